"""Downloads over real sockets: whatever a file server does, a byte-exact file or a typed error, and no new charge."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from file_server import FileServer, large_clip

from luma_async import (
    DamagedFile,
    Downloaded,
    DownloadError,
    Downloading,
    Generation,
    GenerationFailed,
    Image,
    InvalidInput,
    LinkGone,
    LumaSession,
    MemoryJournal,
    NoResponse,
    PollPolicy,
    Refused,
    Retried,
    RetryPolicy,
    SessionClosed,
    State,
    Timeouts,
    Video,
)
from luma_async._download import response as downloading
from luma_async._download.client import FileClient
from luma_async._download.downloader import AT_ONCE, Downloader
from luma_async._download.links import Link
from luma_async._download.names import SIDECAR_SUFFIX
from luma_async._download.part_file import PartFile
from luma_async._http.proxies import Proxies
from luma_async.testing import (
    ALWAYS,
    changes_object,
    completes_without_link,
    cut_after,
    drop_after_reading,
    endless,
    fails,
    file_bytes,
    forbidden_until_refreshed,
    garbage,
    hang,
    html_instead,
    ignores_range,
    presigned,
    rate_limited,
    redirects_to,
    server_error,
    stall_after,
    succeeds,
    watermarked_only,
    wrong_length,
)
from luma_async.values.events import Emitter

CLIP = file_bytes()
LARGE = large_clip(3_000_000)
RETRY = RetryPolicy(attempts=4, first_delay=0.01, max_delay=0.02)


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=0)}


@pytest.fixture
def events():
    return []


@pytest.fixture
async def luma(gateway, events):
    async with LumaSession(
        gateway.api_key,
        base_url=gateway.base_url,
        poll=PollPolicy.fixed(0.1),
        retry=RETRY,
        timeouts=Timeouts(download_stall=5),
        on_event=events.append,
    ) as session:
        yield session


@pytest.fixture
async def server():
    async with FileServer(LARGE) as running:
        yield running


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_paid_once(gateway):
    assert len(gateway.charges) == 1
    assert gateway.leaks == ()


HEALED = {
    "cut": [cut_after(700)],
    "cut at once": [cut_after(0)],
    "cut again and again": [cut_after(700), cut_after(700), cut_after(100)],
    "stalled": [stall_after(100)],
    "stalled before the body": [stall_after(0)],
    "never answered": [hang()],
    "dropped": [drop_after_reading()],
    "reset": [drop_after_reading("rst")],
    "garbage": [garbage()],
    "a 500": [server_error(500)],
    "a 503 with a page": [server_error(503, html=True)],
    "a 429": [rate_limited(1)],
    "a page": [html_instead()],
    "a page in the middle": [cut_after(700), html_instead()],
    "a range that is ignored": [cut_after(700), ignores_range()],
    "a length too large": [wrong_length(100)],
    "a length too small": [wrong_length(-100)],
    "an expired link": [forbidden_until_refreshed()],
    "an expired link in the middle": [cut_after(700), forbidden_until_refreshed()],
    "links that expire twice": [
        forbidden_until_refreshed(),
        server_error(403),
        cut_after(700),
        forbidden_until_refreshed(),
    ],
    "a link that is refused": [server_error(403)],
}


@pytest.mark.looptime
@pytest.mark.parametrize("faults", HEALED.values(), ids=HEALED.keys())
async def test_a_fault_that_passes_leaves_a_byte_exact_file(luma, gateway, tmp_path, faults):
    """Cuts, stalls, pages, lies and dead links are overcome: the file is the server's, and nothing lies beside it."""
    handle = await luma.submit("cat dance")
    for fault in faults:
        gateway.inject(fault, on="file")
    path = await handle.download(tmp_path / "cat.mp4")
    assert path.read_bytes() == CLIP
    assert left(tmp_path) == ["cat.mp4"]
    assert_paid_once(gateway)


LASTING = {
    "cut": (cut_after(0), DownloadError),
    "stalled": (stall_after(0), DownloadError),
    "never answered": (hang(), DownloadError),
    "dropped": (drop_after_reading(), DownloadError),
    "garbage": (garbage(), DownloadError),
    "a 500": (server_error(500), DownloadError),
    "a 429": (rate_limited(1), DownloadError),
    "a 429 for an hour": (rate_limited(3600), DownloadError),
    "a page": (html_instead(), DamagedFile),
    "a length too small": (wrong_length(-100), DamagedFile),
    "an endless body": (endless(), DamagedFile),
    "refused": (server_error(403), LinkGone),
    "not there": (server_error(404), LinkGone),
    "revoked each time": (forbidden_until_refreshed(), LinkGone),
    "a redirect to a file": (redirects_to("file:///etc/passwd"), LinkGone),
    "a redirect to nowhere": (redirects_to(""), LinkGone),
}


@pytest.mark.looptime
@pytest.mark.parametrize(("fault", "error"), LASTING.values(), ids=LASTING.keys())
async def test_a_fault_that_lasts_is_a_typed_error(luma, gateway, tmp_path, monkeypatch, fault, error):
    """In the end the caller gets the kind of error that says what to do, with the id and the path in it."""
    handle = await luma.submit("cat dance")
    monkeypatch.setattr(downloading, "CAP_BYTES", 1_000_000)
    gateway.inject(fault, on="file", times=ALWAYS)
    with pytest.raises(DownloadError) as caught:
        await handle.download(tmp_path / "cat.mp4")
    assert type(caught.value) is error
    assert caught.value.generation_id == handle.id
    assert caught.value.path == tmp_path / "cat.mp4"
    assert "buys nothing" in str(caught.value)
    assert left(tmp_path) == []
    assert gateway.counts["file"] <= 8
    assert gateway.counts["link"] == 0
    assert_paid_once(gateway)
    gateway.clear_faults()
    assert (await handle.download(tmp_path / "cat.mp4")).read_bytes() == CLIP
    assert left(tmp_path) == ["cat.mp4"]


@pytest.mark.looptime
async def test_a_server_that_never_answers_is_left_by_us(luma, gateway, tmp_path):
    """It is our patience that ends such an attempt, long before the server closes the connection."""
    gateway.inject(hang(), on="file", times=ALWAYS)
    handle = await luma.submit("cat dance")
    with pytest.raises(DownloadError, match="did not answer in time"):
        await handle.download(tmp_path / "cat.mp4")


@pytest.mark.looptime
async def test_a_replaced_file_is_fetched_anew(luma, gateway, tmp_path):
    """When the object changes after a cut, the new one comes whole: never a mixture of both."""
    handle = await luma.submit("cat dance")
    gateway.inject(cut_after(700), on="file")
    gateway.inject(changes_object(), on="file")
    path = await handle.download(tmp_path / "cat.mp4")
    assert path.read_bytes() == file_bytes(version=1)


async def test_a_file_elsewhere_is_followed_without_any_secret(luma, gateway, server, tmp_path):
    """A redirect to another host is followed, and neither host sees a key or a cookie."""
    handle = await luma.submit("cat dance")
    gateway.inject(redirects_to(server.url("elsewhere.mp4")), on="file")
    path = await handle.download(tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE
    (request,) = server.seen
    assert not {"Authorization", "Cookie", "Proxy-Authorization"} & set(request.headers)
    assert request.headers["Accept-Encoding"] == "identity"
    assert gateway.api_key not in str(request.raw_headers)
    assert_paid_once(gateway)


async def test_redirects_in_a_circle_end(luma, gateway, tmp_path):
    """A server that redirects for ever is left after a few hops."""
    handle = await luma.submit("cat dance")
    gateway.inject(redirects_to(f"{gateway.base_url}/files/{handle.id}/video.mp4"), on="file", times=ALWAYS)
    with pytest.raises(LinkGone):
        await handle.download(tmp_path / "cat.mp4")
    # Two links, before and after a fresh look, with five hops each.
    assert gateway.counts["file"] == 2 * 2 * 6


# --- going on where an earlier attempt ended ---


@pytest.fixture
async def fetcher(events):
    """What makes downloads of a made-up generation, without a session."""
    files = FileClient(timeouts=Timeouts(download_stall=5), proxies=Proxies())
    made = []

    def make(**more):
        async def refresh(generation_id):
            raise NoResponse(message="nobody is there")

        settings = {
            "files": files,
            "refresh": refresh,
            "ask_link": refresh,
            "may_ask_link": False,
            "note": lambda *_: None,
            "events": Emitter(events.append),
            "retry": RETRY,
            "stall_s": 5,
            "random": lambda: 1.0,
        }
        made.append(Downloader(**{**settings, **more}))
        return made[-1]

    yield make
    for downloads in made:
        await downloads.aclose()
    await files.aclose()


def completed(url, generation_id="abc"):
    return Generation(id=generation_id, state=State.COMPLETED, video=Video(download_url=url))


def fetch(downloads, generation, dest, **more):
    return downloads.fetch(generation, dest, **{"overwrite": False, "watermark": "forbid", **more})


def starts_of(server):
    """Where each request began."""
    return [int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0 for asked in server.ranges]


async def received(part, size_bytes):
    """Wait until so much has come."""
    while not part.exists() or part.stat().st_size < size_bytes:
        await asyncio.sleep(0.01)


async def cancelled_half_way(downloads, server, dest, generation=None):
    """Cancel a download after about a million bytes."""
    server.hold_after = 1_000_000
    task = asyncio.ensure_future(fetch(downloads, generation or completed(server.url()), dest))
    part = dest.with_name(dest.name + ".part")
    await received(part, 1_000_000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.hold_after = None
    return part


async def test_a_cut_is_gone_on_from_where_it_was(fetcher, server, tmp_path):
    """The rest is asked for by its range and the ETag, and fits exactly."""
    server.cuts, server.part = [1_000_000, 500_000], tmp_path / "cat.mp4.part"
    path = await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE
    assert left(tmp_path) == ["cat.mp4"]
    assert starts_of(server) == [0, 1_000_000, 1_500_000]
    assert [request.headers.get("If-Range") for request in server.seen] == [None, '"v1"', '"v1"']


async def test_a_server_that_sends_pieces_is_asked_for_the_next(fetcher, server, tmp_path):
    """A part that honestly ends before the file does is one attempt of several."""
    server.cuts, server.most_of_a_range = [1_000_000], 1_500_000
    path = await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE
    assert starts_of(server) == [0, 1_000_000, 2_500_000]


async def test_a_bad_line_takes_as_many_attempts_as_it_needs(fetcher, tmp_path):
    """Attempts that bring much are not counted, so a large file comes through a line that cuts every megabyte."""
    async with FileServer(large_clip(12_000_000)) as server:
        server.cuts = [1_100_000] * 10
        path = await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
        assert path.read_bytes() == server.data


async def test_a_cancelled_download_keeps_what_came_and_goes_on_later(fetcher, server, tmp_path):
    """Cancelling ends at once and keeps the `.part`; a later session goes on with it."""
    part = await cancelled_half_way(fetcher(), server, tmp_path / "cat.mp4")
    kept = part.stat().st_size
    assert part.read_bytes() == LARGE[:kept]
    assert left(tmp_path) == ["cat.mp4.part", "cat.mp4.part.etag"]
    path = await fetch(fetcher(), completed(server.url() + "?X-Amz-Signature=new"), tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE
    assert server.ranges[-1] == f"bytes={kept}-"
    assert left(tmp_path) == ["cat.mp4"]


async def test_another_generation_begins_again(fetcher, server, tmp_path):
    """What an earlier generation left under the same name is never mixed in, even under an equal ETag."""
    await cancelled_half_way(fetcher(), server, tmp_path / "cat.mp4")
    path = await fetch(fetcher(), completed(server.url(), "another"), tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE
    assert server.ranges[-1] is None


@pytest.mark.parametrize("etag", ['W/"v1"', "", "v1"])
async def test_without_a_strong_etag_it_begins_again(fetcher, server, tmp_path, etag):
    """No range is asked for that could belong to another file."""
    server.etag, server.cuts = etag, [1_000_000]
    path = await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE
    assert server.ranges == [None, None]


async def test_a_spoiled_note_begins_again(fetcher, server, tmp_path):
    """A note that cannot be read is no proof of anything."""
    await cancelled_half_way(fetcher(), server, tmp_path / "cat.mp4")
    (tmp_path / "cat.mp4.part.etag").write_bytes(b"\xff\0{")
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE
    assert server.ranges[-1] is None


async def test_more_than_there_is_begins_again(fetcher, server, tmp_path):
    """A `.part` that is longer than the file cannot be its beginning."""
    part = await cancelled_half_way(fetcher(), server, tmp_path / "cat.mp4")
    part.write_bytes(LARGE + b"more")
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE
    assert server.ranges[-2:] == [f"bytes={len(LARGE) + 4}-", None]


@pytest.mark.looptime
async def test_a_trickle_is_a_stall(fetcher, tmp_path, events):
    """A server that sends a byte now and then is never silent, and is given up all the same."""
    async with FileServer(CLIP) as server:
        server.trickle = (1, 1)
        with pytest.raises(DownloadError, match="next to nothing"):
            await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
        assert asyncio.get_running_loop().time() < 60
    assert [event.attempt for event in events if isinstance(event, Retried)] == [1, 2, 3]


# --- the disk ---


async def test_a_full_disk_is_an_oserror_at_once(fetcher, server, tmp_path, monkeypatch):
    """ENOSPC names the `.part`, which is kept; no other attempt is made, and with room again it goes on."""
    real, room = os.write, [1_000_000]

    def write(fd, data):
        if len(data) > 1000 and room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: max(1, room[0])] if len(data) > 1000 else data)
        room[0] -= written if len(data) > 1000 else 0
        return written

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match=r"cat\.mp4\.part") as caught:
        await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert caught.value.errno == errno.ENOSPC
    assert len(server.seen) == 1
    assert (tmp_path / "cat.mp4.part").read_bytes() == LARGE[:1_000_000]
    monkeypatch.undo()
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE
    assert server.ranges[-1] == "bytes=1000000-"


async def test_a_disk_that_does_not_answer_is_no_silent_server(fetcher, server, tmp_path, monkeypatch):
    """A timeout of the disk stays an OSError that names the file; the server is not blamed, and not asked again."""

    def fail(*_):
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(TimeoutError, match=r"cat\.mp4\.part"):
        await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert len(server.seen) == 1


async def test_a_disk_that_takes_a_little_at_a_time_gets_all(fetcher, server, tmp_path, monkeypatch):
    """A write that takes only a part of a piece is followed by the rest of it."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:50_000]))
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE


@pytest.fixture
async def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder), stderr=asyncio.subprocess.DEVNULL
    )
    if await mount.wait():
        pytest.skip("mounting a small file system takes root")
    yield folder
    assert await (await asyncio.create_subprocess_exec("umount", str(folder))).wait() == 0


async def test_a_disk_that_is_really_full(fetcher, server, small_disk):
    """On a file system of 2 MB a file of 3 MB ends in ENOSPC, with what fits kept."""
    with pytest.raises(OSError, match=r"cat\.mp4\.part") as caught:
        await fetch(fetcher(), completed(server.url()), small_disk / "cat.mp4")
    assert caught.value.errno == errno.ENOSPC
    assert len(server.seen) == 1
    part = (small_disk / "cat.mp4.part").read_bytes()
    assert len(part) > 1_000_000
    assert part == LARGE[: len(part)]


async def test_a_disk_without_room_for_the_note_is_an_oserror_too(fetcher, server, tmp_path, monkeypatch):
    """Whatever does not fit, the error names the file, and the next download begins again."""

    def fail(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(PartFile, "_write_note", fail)
    with pytest.raises(OSError, match=r"cat\.mp4\.part"):
        await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert left(tmp_path) == []
    monkeypatch.undo()
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE


async def test_a_file_system_without_locks_is_used_all_the_same(fetcher, server, tmp_path, monkeypatch):
    """Where nothing can be locked, downloads work; only the guard against a second program is missing."""

    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE


async def test_what_could_not_be_synced_is_not_gone_on_with(fetcher, server, tmp_path, monkeypatch):
    """After a failed fsync nobody knows what is on the disk: the next download begins again."""

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"cat\.mp4\.part"):
        await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    monkeypatch.undo()
    assert left(tmp_path) == ["cat.mp4.part"]
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE
    assert server.ranges == [None, None]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cannot_be_written_is_an_oserror(fetcher, server, tmp_path):
    """Where no file may be made, the error says which, and it is not tried again."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"cat\.mp4\.part"):
        await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert len(server.seen) == 1


async def test_a_file_that_appears_meanwhile_is_not_overwritten(fetcher, server, tmp_path):
    """It is an error at the end, and what came is kept: a second call with overwrite=True only moves it."""
    server.hold_after = 1_000_000
    task = asyncio.ensure_future(fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4"))
    while not server.running:
        await asyncio.sleep(0.01)
    (tmp_path / "cat.mp4").write_bytes(b"somebody's own")
    server.let_go.set()
    with pytest.raises(FileExistsError, match=r"cat\.mp4'"):
        await task
    assert (tmp_path / "cat.mp4").read_bytes() == b"somebody's own"
    path = await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4", overwrite=True)
    assert path.read_bytes() == LARGE
    assert server.ranges[-1] == f"bytes={len(LARGE)}-"
    assert left(tmp_path) == ["cat.mp4"]


@pytest.mark.parametrize("appears", [False, True])
async def test_a_file_system_without_links_overwrites_nothing_either(fetcher, server, tmp_path, monkeypatch, appears):
    """Where a file cannot have two names, the place is claimed in another way."""

    def no_links(path, _):
        if appears:
            path.write_bytes(b"somebody's own")
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    dest = tmp_path / "cat.mp4"
    if appears:
        with pytest.raises(FileExistsError):
            await fetch(fetcher(), completed(server.url()), dest)
        assert dest.read_bytes() == b"somebody's own"
    else:
        await fetch(fetcher(), completed(server.url()), dest)
        assert dest.read_bytes() == LARGE
        assert left(tmp_path) == ["cat.mp4"]


async def test_a_finished_file_is_never_touched_through_its_old_name(fetcher, server, tmp_path):
    """Killed between taking its place and tidying up, a file has two names; writing to one would change the other."""
    done = tmp_path / "cat.mp4"
    done.write_bytes(b"finished")
    done.with_name("cat.mp4.part").hardlink_to(done)
    server.cuts = [1000, 0, 0, 0]
    with pytest.raises(DownloadError):
        await fetch(fetcher(), completed(server.url()), done, overwrite=True)
    assert done.read_bytes() == b"finished"


async def test_a_planted_link_is_not_followed(fetcher, server, tmp_path):
    """A `.part` that somebody made a link to another file is not written through."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "cat.mp4.part").symlink_to(victim)
    with pytest.raises(OSError, match=r"cat\.mp4\.part"):
        await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert victim.read_bytes() == b"precious"


# --- where files go ---


def folder_of(tmp_path):
    (tmp_path / "there").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")


REFUSED_PLACES = {
    "there": "exists",
    "missing/cat.mp4": "no folder",
    "missing/": "no folder",
    "there/cat.mp4": "no folder",
    "dangling": "not a regular file",
    "pipe": "not a regular file",
    "a\0b": "must be the path",
    "half\ud800": "must be the path",
}


@pytest.mark.parametrize(("name", "complaint"), REFUSED_PLACES.items())
async def test_a_place_that_cannot_be_is_refused_before_anything(luma, gateway, tmp_path, name, complaint):
    """Nothing is asked of anybody, and nobody waits, when there is nowhere to put the file."""
    folder_of(tmp_path)
    with pytest.raises(InvalidInput, match=complaint):
        await luma.handle("some-id").download(f"{tmp_path}/{name}")
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("dest", ["", None, 7, b"cat.mp4"])
async def test_what_is_no_path_is_refused(luma, dest):
    """A destination is a text or a path."""
    with pytest.raises(InvalidInput, match="dest"):
        await luma.handle("some-id").download(dest)


@pytest.mark.parametrize("name", ["pipe", "folder/taken"])
async def test_overwriting_replaces_regular_files_alone(luma, gateway, tmp_path, name):
    """Neither a device nor a folder that bears the name is replaced, whatever was asked for."""
    handle = await luma.submit("cat dance")
    folder_of(tmp_path)
    (tmp_path / "folder" / f"{handle.id}.mp4").mkdir()
    dest = tmp_path / ("folder" if name == "folder/taken" else name)
    with pytest.raises(InvalidInput):
        await handle.download(dest, overwrite=True)
    assert gateway.counts["file"] == 0


async def test_a_folder_takes_a_file_named_after_the_id(luma, tmp_path):
    """In a folder the file is called by the id, and a picture says which it is."""
    handle = await luma.submit("cat dance")
    assert await handle.download(tmp_path) == tmp_path / f"{handle.id}.mp4"
    assert await handle.download(f"{tmp_path}/", what="thumbnail") == tmp_path / f"{handle.id}-thumbnail.jpg"
    assert await handle.download(tmp_path, what="last_frame") == tmp_path / f"{handle.id}-last_frame.jpg"
    assert (tmp_path / f"{handle.id}-thumbnail.jpg").read_bytes() == file_bytes("thumb.jpg")
    assert (tmp_path / f"{handle.id}-last_frame.jpg").read_bytes() == file_bytes("last_frame.jpg")
    with pytest.raises(InvalidInput, match="exists"):
        await handle.download(tmp_path)


async def test_an_existing_file_is_replaced_when_asked(luma, tmp_path):
    """overwrite=True swaps the whole file in at the end."""
    handle = await luma.submit("cat dance")
    (tmp_path / "cat.mp4").write_bytes(b"old")
    assert (await handle.download(tmp_path / "cat.mp4", overwrite=True)).read_bytes() == CLIP
    assert left(tmp_path) == ["cat.mp4"]


async def test_a_relative_path_stays_relative(luma, tmp_path, monkeypatch):
    """The caller gets back what was given."""
    handle = await luma.submit("cat dance")
    monkeypatch.chdir(tmp_path)
    assert str(await handle.download("cat.mp4")) == "cat.mp4"
    assert (tmp_path / "cat.mp4").read_bytes() == CLIP


async def test_a_picture_generation_is_a_picture(fetcher, tmp_path):
    """What an image request made is checked and named as a picture."""
    async with FileServer(file_bytes("thumb.jpg")) as server:
        picture = Generation(id="abc", state=State.COMPLETED, image=Image(url=server.url("i.jpg")))
        path = await fetch(fetcher(), picture, tmp_path)
        assert path == tmp_path / "abc.jpg"
        assert path.read_bytes() == server.data
        server.data = b"no picture"
        with pytest.raises(DamagedFile, match="picture"):
            await fetch(fetcher(), picture, tmp_path / "other.jpg")


async def test_two_downloads_to_one_place_are_refused(fetcher, server, tmp_path):
    """The second is told at once, in one session and in another; the first is not disturbed."""
    server.hold_after = 1_000_000
    downloads = fetcher()
    first = asyncio.ensure_future(fetch(downloads, completed(server.url()), tmp_path / "cat.mp4"))
    await received(tmp_path / "cat.mp4.part", 1_000_000)
    with pytest.raises(InvalidInput, match="already"):
        await fetch(downloads, completed(server.url()), tmp_path / "cat.mp4")
    with pytest.raises(InvalidInput, match="somebody else"):
        await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert len(server.seen) == 1
    server.let_go.set()
    assert (await first).read_bytes() == LARGE


async def test_a_part_that_was_finished_while_it_was_opened_is_left_alone(tmp_path):
    """Whoever opens a `.part` a moment before its owner moves it away holds a finished file, and must not write."""
    part = PartFile(tmp_path / "cat.mp4")
    part.part.write_bytes(CLIP)
    real = os.open

    def open_and_lose(path, *arguments):
        fd = real(path, *arguments)
        part.part.replace(part.path)
        return fd

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_and_lose)
        with pytest.raises(InvalidInput, match="somebody else"):
            await part.find()
    part.close()
    assert part.path.read_bytes() == CLIP


# --- links ---


async def ask_nobody(_):
    raise AssertionError("this may cost something")


async def test_the_link_endpoint_is_asked_once_and_its_answer_kept(luma, gateway, tmp_path):
    """A generation without a link costs one question, however often and from how many places it is fetched."""
    gateway.scripts["cat dance"] = completes_without_link(after=0)
    handle = await luma.submit("cat dance")
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(handle.download(tmp_path / f"{number}.mp4"))
    await handle.download(tmp_path / "later.mp4")
    assert await handle.video_url()
    assert gateway.counts["link"] == 1
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {CLIP}


async def test_the_link_endpoint_is_not_asked_when_there_is_a_link(luma, gateway, tmp_path):
    """A generation that carries a watermark-free link costs no question."""
    handle = await luma.submit("cat dance")
    await handle.download(tmp_path / "cat.mp4")
    assert await handle.video_url()
    assert gateway.counts["link"] == 0


async def test_a_link_endpoint_that_refuses_is_asked_once(luma, gateway, tmp_path):
    """Without a watermark-free link the error says so, and what would help; the question is not repeated."""
    gateway.scripts["cat dance"] = watermarked_only(after=0, link_endpoint=False)
    handle = await luma.submit("cat dance")
    with pytest.raises(LinkGone, match='watermark="allow"'):
        await handle.download(tmp_path / "cat.mp4")
    assert gateway.counts["link"] == 1
    with pytest.raises(Refused):
        await handle.video_url()
    path = await handle.download(tmp_path / "cat.mp4", watermark="allow")
    assert path.read_bytes() == file_bytes("watermarked.mp4")
    assert_paid_once(gateway)


async def test_a_link_endpoint_in_trouble_is_not_asked_again_by_itself(luma, gateway, tmp_path):
    """Some relays bill the question: trouble is reported, and asking again is the caller's to decide."""
    gateway.scripts["cat dance"] = completes_without_link(after=0)
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="link")
    with pytest.raises(Refused):
        await handle.download(tmp_path / "cat.mp4", watermark="allow")
    assert gateway.counts["link"] == 1
    assert (await handle.download(tmp_path / "cat.mp4")).read_bytes() == CLIP


@pytest.mark.looptime
async def test_an_expired_link_costs_a_query_and_nothing_else(luma, gateway, tmp_path):
    """An hour later the link is dead; a query gives a fresh one."""
    gateway.scripts["cat dance"] = presigned(600, then=succeeds(after=0))
    handle = await luma.submit("cat dance")
    await handle
    await asyncio.sleep(3600)
    asked = gateway.counts["query"]
    gateway.inject(cut_after(700), on="file", when=lambda seen: "raw" not in seen.path)
    assert (await handle.download(tmp_path / "cat.mp4")).read_bytes() == CLIP
    assert gateway.counts["query"] == asked + 1
    assert gateway.counts["link"] == 0
    assert_paid_once(gateway)


def stale(server, path="old.mp4"):
    then = datetime.now(UTC) - timedelta(hours=2)
    return server.url(f"{path}?X-Amz-Date={then:%Y%m%dT%H%M%SZ}&X-Amz-Expires=3600")


async def test_a_relay_that_keeps_stale_links_is_asked_for_a_new_one(fetcher, server, tmp_path):
    """When a fresh look shows the expired link again, the generation carries none that can be good: the question."""
    asked = []

    async def refresh(_):
        asked.append("refresh")
        return completed(stale(server))

    async def ask(_):
        asked.append("ask")
        return server.url("new.mp4")

    downloads = fetcher(refresh=refresh, ask_link=ask, may_ask_link=True)
    await fetch(downloads, completed(stale(server)), tmp_path / "a.mp4")
    await fetch(downloads, completed(stale(server)), tmp_path / "b.mp4")
    assert asked == ["refresh", "ask"]
    assert {request.path for request in server.seen} == {"/new.mp4"}
    assert await downloads.link(completed(stale(server))) == server.url("new.mp4")


async def test_a_link_that_only_our_clock_calls_expired_still_works(fetcher, server, tmp_path):
    """When there is nothing better, an expired link is tried all the same: the clock here may be wrong."""

    async def refresh(_):
        return completed(stale(server))

    path = await fetch(fetcher(refresh=refresh), completed(stale(server)), tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE


async def test_a_kept_answer_that_is_refused_is_asked_for_anew(fetcher, server, tmp_path):
    """An answer that has gone bad is dropped, and the question put once more for the next download."""
    answers = [server.url("first.mp4"), server.url("second.mp4")]

    async def refresh(generation_id):
        return Generation(id=generation_id, state=State.COMPLETED)

    async def ask(_):
        return answers.pop(0)

    downloads = fetcher(refresh=refresh, ask_link=ask, may_ask_link=True)
    bare = Generation(id="abc", state=State.COMPLETED)
    await fetch(downloads, bare, tmp_path / "a.mp4")
    server.statuses = [403]
    await fetch(downloads, bare, tmp_path / "b.mp4")
    assert [request.path for request in server.seen] == ["/first.mp4", "/first.mp4", "/second.mp4"]


async def test_a_format_without_the_question_says_that_there_is_no_link(fetcher, tmp_path):
    """Where nobody can be asked, a generation without a link is LinkGone, and nothing is asked."""

    async def refresh(generation_id):
        return Generation(id=generation_id, state=State.COMPLETED)

    downloads = fetcher(refresh=refresh, ask_link=ask_nobody)
    bare = Generation(id="abc", state=State.COMPLETED)
    with pytest.raises(LinkGone, match="no link to its video"):
        await fetch(downloads, bare, tmp_path / "cat.mp4")
    with pytest.raises(LinkGone, match="no link to its last frame"):
        await fetch(downloads, bare, tmp_path / "cat.jpg", what="last_frame")
    with pytest.raises(LinkGone):
        await downloads.link(bare)
    assert left(tmp_path) == []


async def test_a_question_outlives_a_cancelled_caller(fetcher, server, tmp_path):
    """A question that may be billed is not put twice because a caller went away: its answer is kept."""
    asked, answer = [], asyncio.Event()

    async def refresh(generation_id):
        return Generation(id=generation_id, state=State.COMPLETED)

    async def ask(_):
        asked.append(1)
        await answer.wait()
        return server.url()

    downloads = fetcher(refresh=refresh, ask_link=ask, may_ask_link=True)
    bare = Generation(id="abc", state=State.COMPLETED)
    first = asyncio.ensure_future(fetch(downloads, bare, tmp_path / "cat.mp4"))
    while not asked:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    answer.set()
    assert (await fetch(downloads, bare, tmp_path / "cat.mp4")).read_bytes() == LARGE
    assert len(asked) == 1


async def test_an_odd_address_is_asked_for_as_it_can_be(fetcher, server, tmp_path):
    """Blanks and letters beyond ASCII are quoted; a signature's own quoting is left as it is."""
    for number, path in enumerate(["a b.mp4", "猫.mp4", "x%2Fy%7Ez.mp4?sig=a%2Bb%3D%7E"]):
        await fetch(fetcher(), completed(server.url(path)), tmp_path / f"{number}.mp4")
    assert [request.raw_path for request in server.seen] == [
        "/a%20b.mp4",
        "/%E7%8C%AB.mp4",
        "/x%2Fy%7Ez.mp4?sig=a%2Bb%3D%7E",
    ]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x.mp4", "http://127.0.0.1:99999/x.mp4", "http://nowhere.invalid/x"]
)
async def test_where_nobody_listens_is_a_download_error(fetcher, tmp_path, url):
    """No connection is trouble, reported without the address's query, and no exception of the HTTP library."""
    with pytest.raises(DownloadError) as caught:
        await fetch(fetcher(), completed(f"{url}?X-Amz-Signature=secret"), tmp_path / "cat.mp4")
    error = caught.value
    while error is not None:
        assert type(error).__module__.partition(".")[0] in {"luma_async", "builtins"}
        assert "secret" not in str(error)
        error = error.__cause__ or error.__context__
    assert left(tmp_path) == []


async def test_a_download_that_is_cancelled_twice_leaves_nothing_open(fetcher, server, tmp_path, monkeypatch):
    """A thread that is still opening the `.part` is waited for, or its lock would keep every later download out."""
    opened, go_on = os.open, threading.Event()

    def slow(path, *arguments, **options):
        if str(path).endswith(".part"):
            go_on.wait(10)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", slow)
    downloads = fetcher()
    downloading = asyncio.ensure_future(fetch(downloads, completed(server.url()), tmp_path / "cat.mp4"))
    while not server.seen:
        await asyncio.sleep(0.01)
    for _ in range(3):
        await asyncio.sleep(0.05)
        downloading.cancel()
    go_on.set()
    await asyncio.wait([downloading])
    assert downloading.cancelled()
    assert (await fetch(downloads, completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE


@pytest.fixture
def slow_disk(monkeypatch):
    """The first file to be synced waits: whether it does already, and what lets it go on."""
    sync, syncing, go_on = os.fsync, threading.Event(), threading.Event()

    def slow_sync(fd):
        syncing.set()
        go_on.wait(10)
        sync(fd)

    monkeypatch.setattr(os, "fsync", slow_sync)
    return syncing, go_on


async def test_a_file_that_takes_its_place_while_its_download_is_cancelled_is_told(
    fetcher, server, tmp_path, events, slow_disk
):
    """The disk cannot be stopped: the file is there, whole, and the journal and whoever watches know it."""
    syncing, go_on = slow_disk
    noted = []
    downloads = fetcher(note=lambda *found: noted.append(found))
    downloading = asyncio.ensure_future(fetch(downloads, completed(server.url()), tmp_path / "cat.mp4"))
    while not syncing.is_set():
        await asyncio.sleep(0.01)
    downloading.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([downloading])
    assert downloading.cancelled()
    assert (tmp_path / "cat.mp4").read_bytes() == LARGE
    assert noted == [("abc", tmp_path / "cat.mp4")]
    assert events[-1] == Downloaded(generation_id="abc", path=tmp_path / "cat.mp4", size_bytes=len(LARGE))


async def test_a_note_that_cannot_be_removed_spoils_no_file(fetcher, server, tmp_path, monkeypatch):
    """Once a file is in its place, nothing says that it is not."""
    unlink = Path.unlink

    def fail(path, **options):
        if path.name.endswith(SIDECAR_SUFFIX):
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", fail)
    path = await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert path.read_bytes() == LARGE


async def test_a_file_that_takes_its_place_while_the_session_closes_is_returned(fetcher, server, tmp_path, slow_disk):
    """Nobody is told to download again what is there."""
    syncing, go_on = slow_disk
    downloads = fetcher()
    downloading = asyncio.ensure_future(fetch(downloads, completed(server.url()), tmp_path / "cat.mp4"))
    while not syncing.is_set():
        await asyncio.sleep(0.01)
    closing = asyncio.ensure_future(downloads.aclose())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert (await downloading).read_bytes() == LARGE
    assert left(tmp_path) == ["cat.mp4"]


async def test_a_note_follows_no_link(fetcher, server, tmp_path):
    """In a folder that others write to, nobody may have us overwrite another file."""
    victim, folder = tmp_path / "precious.txt", tmp_path / "shared"
    victim.write_text("precious")
    folder.mkdir()
    (folder / f"cat.mp4{SIDECAR_SUFFIX}").symlink_to(victim)
    with pytest.raises(OSError, match=r"cat\.mp4"):
        await fetch(fetcher(), completed(server.url()), folder / "cat.mp4")
    assert victim.read_text() == "precious"


async def test_a_link_that_is_asked_for_while_the_session_closes(gateway):
    """SessionClosed, and no cancellation that nobody asked for."""
    gateway.scripts["cat dance"] = completes_without_link(after=0)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(0.1)) as luma:
        handle = await luma.submit("cat dance")
        await handle.wait()
        gateway.inject(hang(), on="link")
        asking = asyncio.ensure_future(handle.video_url())
        while not gateway.counts["link"]:
            await asyncio.sleep(0.01)
    with pytest.raises(SessionClosed):
        await asking


# --- many at once ---


async def test_so_many_at_once_and_no_more(fetcher, server, tmp_path):
    """However many are asked for, a bounded number runs, and all arrive."""
    server.data, server.hold_after = CLIP, 0
    downloads = fetcher()
    async with asyncio.TaskGroup() as group:
        for number in range(3 * AT_ONCE):
            group.create_task(fetch(downloads, completed(server.url()), tmp_path / f"{number}.mp4"))
        while server.running < AT_ONCE:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        server.let_go.set()
    assert server.most_running == AT_ONCE
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {CLIP}
    assert len(left(tmp_path)) == 3 * AT_ONCE


async def test_a_slow_disk_keeps_no_other_from_the_line(fetcher, server, tmp_path, monkeypatch):
    """While one file is being synced, the next is received already."""
    monkeypatch.setattr("luma_async._download.downloader.AT_ONCE", 1)
    another_came, first = threading.Event(), threading.Lock()
    sync, waited = os.fsync, []

    def slow_sync(fd):
        if first.acquire(blocking=False):
            waited.append(another_came.wait(10))
        sync(fd)

    monkeypatch.setattr(os, "fsync", slow_sync)
    downloads = fetcher()
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(fetch(downloads, completed(server.url()), tmp_path / f"{number}.mp4"))
        while len(server.seen) < 2:
            await asyncio.sleep(0.01)
        another_came.set()
    assert waited == [True]
    assert left(tmp_path) == ["0.mp4", "1.mp4"]


async def test_those_whose_links_end_first_go_first(fetcher, server, tmp_path, monkeypatch):
    """Among those who wait, the link that ends first is fetched first; plain links come last; who leaves is skipped."""
    monkeypatch.setattr("luma_async._download.downloader.AT_ONCE", 1)
    server.hold_after = 0
    downloads = fetcher()
    now = datetime.now(UTC)

    def link(path, minutes):
        return server.url(f"{path}?X-Amz-Date={now:%Y%m%dT%H%M%SZ}&X-Amz-Expires={minutes * 60}")

    def start(url, name):
        return asyncio.ensure_future(fetch(downloads, completed(url), tmp_path / name))

    tasks = [start(server.url("first"), "first.mp4")]
    while not server.running:
        await asyncio.sleep(0.01)
    urls = [server.url("plain"), link("later", 50), link("soon", 10), link("middle", 30), link("leaves", 5)]
    tasks += [start(url, f"{number}.mp4") for number, url in enumerate(urls)]
    while len(downloads._places._waiters) < len(urls):
        await asyncio.sleep(0.01)
    tasks[-1].cancel()
    server.let_go.set()
    await asyncio.wait(tasks)
    order = [request.path for request in server.seen]
    assert order == ["/first", "/soon", "/middle", "/later", "/plain"]


@pytest.mark.looptime
async def test_progress_is_told_and_rarely(fetcher, server, tmp_path, events):
    """A download tells where it stands at its beginning, at most once a second, and at its end."""
    path = await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")
    assert events == [
        Downloading(generation_id="abc", path=path, received_bytes=0, total_bytes=len(LARGE)),
        Downloaded(generation_id="abc", path=path, size_bytes=len(LARGE)),
    ]


@pytest.mark.looptime
async def test_a_long_download_tells_its_progress_each_second(fetcher, tmp_path, events):
    """What people watch moves, and grows; a download may take long as long as it moves."""
    async with FileServer(large_clip(40_000)) as server:
        server.trickle, server.hold_after = (2000, 0.5), 0
        fetching = asyncio.ensure_future(fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4"))
        while not events:
            await asyncio.sleep(0)
        server.let_go.set()
        await fetching
    assert len(server.seen) == 1
    told = [event.received_bytes for event in events if isinstance(event, Downloading)]
    assert told == sorted(told)
    assert len(set(told)) == len(told)
    assert len(told) == 10


async def test_a_download_is_noted_in_the_journal(gateway, tmp_path):
    """The journal learns where the video is, and nothing of thumbnails."""
    journal = MemoryJournal()
    async with LumaSession(
        gateway.api_key, base_url=gateway.base_url, journal=journal, poll=PollPolicy.fixed(0.1)
    ) as luma:
        handle = await luma.submit("cat dance", key="cat")
        await handle.download(tmp_path, what="thumbnail")
        await asyncio.sleep(0.05)
        assert (await journal.get("cat")).path is None
        path = await handle.download(tmp_path)
    assert (await journal.get("cat")).path == str(path.absolute())


# --- ends ---


async def test_closing_ends_downloads_and_keeps_what_came(fetcher, server, tmp_path):
    """Whoever downloads when the session closes gets SessionClosed; the `.part` is whole as far as it goes."""
    server.hold_after = 1_000_000
    downloads = fetcher()
    running = asyncio.ensure_future(fetch(downloads, completed(server.url()), tmp_path / "cat.mp4"))
    await received(tmp_path / "cat.mp4.part", 1_000_000)
    await downloads.aclose()
    with pytest.raises(SessionClosed, match="continues"):
        await running
    with pytest.raises(SessionClosed):
        await fetch(downloads, completed(server.url()), tmp_path / "other.mp4")
    assert left(tmp_path) == ["cat.mp4.part", "cat.mp4.part.etag"]
    server.hold_after = None
    assert (await fetch(fetcher(), completed(server.url()), tmp_path / "cat.mp4")).read_bytes() == LARGE
    assert server.ranges[-1] is not None


async def test_cancelling_at_any_moment_leaves_nothing_open(fetcher, tmp_path, caplog, monkeypatch):
    """Cancelled after any number of turns of the loop, the next download still succeeds, byte for byte."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    async with FileServer(CLIP) as server:
        downloads = fetcher()
        turns = 0
        finished = False
        while not finished:
            turns += 3
            dest = tmp_path / f"{turns}.mp4"
            task = asyncio.ensure_future(fetch(downloads, completed(server.url()), dest))
            for _ in range(turns):
                await asyncio.sleep(0)
            finished = task.done()
            task.cancel()
            await asyncio.wait([task])
            await fetch(downloads, completed(server.url()), dest, overwrite=True)
            assert dest.read_bytes() == CLIP
            assert left(tmp_path) == [dest.name]
            dest.unlink()
    assert turns > 10
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_failed_generation_is_not_downloaded(luma, gateway, tmp_path):
    """There is nothing to fetch, and `download` says why, as `wait` does."""
    gateway.scripts["bad cat"] = fails("Job failed", after=0)
    with pytest.raises(GenerationFailed):
        await (await luma.submit("bad cat")).download(tmp_path)
    assert gateway.counts["file"] == 0


async def test_links_and_errors_show_no_signature(caplog, fetcher, server, tmp_path):
    """Nothing that is logged, raised or shown holds the query of an address."""
    caplog.set_level(logging.DEBUG, "luma_async")
    server.statuses = [500] * 4
    with pytest.raises(DownloadError) as caught:
        await fetch(fetcher(), completed(server.url("x?X-Amz-Signature=secret")), tmp_path / "cat.mp4")
    assert "secret" not in str(caught.value) + repr(caught.value) + caplog.text
    assert "secret" not in repr(Link(url="https://x.example/?secret", name="link"))
