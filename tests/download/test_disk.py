"""Downloads to a disk that is full, slow, or lacks a feature."""

from __future__ import annotations

import asyncio
import errno
import os

import broken_disk
import pytest

from luma_async import DiskError, Downloaded, DownloadError, InvalidInput, LumaError, MemoryJournal
from luma_async._download.part_file import PartFile
from luma_async._journal.recorder import Recorder


async def test_full_disk(fetch, server, dest):
    """ENOSPC names the `.part`, which is kept, and ends the download; with room again it is resumed."""
    with broken_disk.full(1_000_000), pytest.raises(DiskError, match=r"cat\.mp4\.part") as caught:
        await fetch(dest)
    assert caught.value.errno == errno.ENOSPC
    assert len(server.seen) == 1
    assert dest.with_name("cat.mp4.part").read_bytes() == server.data[:1_000_000]
    assert (await fetch(dest)).read_bytes() == server.data
    assert server.ranges[-1] == "bytes=1000000-"


async def test_disk_timeout(fetch, server, dest):
    """A timeout of the disk is an OSError that names the file, and no failure of the server."""
    with broken_disk.timed_out_writes(), pytest.raises(DiskError, match=r"cat\.mp4\.part"):
        await fetch(dest)
    assert len(server.seen) == 1


async def test_short_writes(fetch, server, dest):
    """A write that accepts a part of a piece is followed by a write of the rest."""
    with broken_disk.short_writes(50_000):
        assert (await fetch(dest)).read_bytes() == server.data


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


async def test_real_full_disk(fetch, server, small_disk):
    """On a file system of 2 MB a file of 3 MB ends in ENOSPC: with its length at once, else when no more fits."""
    for length in (True, False):
        server.sends_length = length
        with pytest.raises(DiskError, match=r"cat\.mp4\.part") as caught:
            await fetch(small_disk / "cat.mp4")
        assert caught.value.errno == errno.ENOSPC
        assert (small_disk / "cat.mp4.part").exists() is not length
    assert len(server.seen) == 2
    part = (small_disk / "cat.mp4.part").read_bytes()
    assert len(part) > 1_000_000
    assert part == server.data[: len(part)]


async def test_no_room_for_sidecar(fetch, server, dest, names):
    """An error of the sidecar names the file, and the next download starts again."""
    with broken_disk.no_open(".part.etag"), pytest.raises(DiskError, match=r"cat\.mp4\.part"):
        await fetch(dest)
    assert names() == []
    assert (await fetch(dest)).read_bytes() == server.data


async def test_file_system_without_locks(fetch, server, dest):
    """Where files cannot be locked, downloads work without the protection from a second process."""
    with broken_disk.no_locks():
        assert (await fetch(dest)).read_bytes() == server.data


async def test_failed_sync(fetch, server, dest, names):
    """After a failed fsync the `.part` may have holes, so that the next download starts again."""
    with broken_disk.failing_sync(), pytest.raises(DiskError, match=r"cat\.mp4\.part"):
        await fetch(dest)
    assert names() == ["cat.mp4.part"]
    assert (await fetch(dest)).read_bytes() == server.data
    assert server.ranges == [None, None]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_read_only_folder(fetch, server, dest, folder):
    """Where no file may be created, the error names it, and there is no second attempt."""
    folder.chmod(0o500)
    with pytest.raises(DiskError, match=r"cat\.mp4\.part"):
        await fetch(dest)
    assert len(server.seen) == 1


async def test_file_appears_meanwhile(fetch, server, dest, names):
    """A file that appears at the path is not overwritten; a download with overwrite=True only moves the `.part`."""
    server.hold_after = 1_000_000
    task = asyncio.ensure_future(fetch(dest))
    await server.seen_requests(1)
    dest.write_bytes(b"another file")
    server.let_go.set()
    with pytest.raises(DiskError, match=r"File exists: .*/cat\.mp4\.") as caught:
        await task
    assert caught.value.errno == errno.EEXIST
    assert dest.read_bytes() == b"another file"
    path = await fetch(dest, overwrite=True)
    assert path.read_bytes() == server.data
    assert server.ranges[-1] == f"bytes={len(server.data)}-"
    assert names() == ["cat.mp4"]


async def test_file_system_without_links(fetch, server, dest, names):
    """Where a file cannot have two names, the complete file is moved in another way."""
    with broken_disk.no_links():
        await fetch(dest)
    assert dest.read_bytes() == server.data
    assert names() == ["cat.mp4"]


async def test_no_links_and_existing_file(fetch, server, dest):
    """Without links, a file that appears at the path is not overwritten either."""
    with (
        broken_disk.no_links(lambda path: path.write_bytes(b"another file")),
        pytest.raises(DiskError, match="File exists"),
    ):
        await fetch(dest)
    assert dest.read_bytes() == b"another file"
    assert len(server.seen) == 1


@pytest.mark.usefixtures("server")
async def test_part_linked_to_file(fetch, server, dest):
    """A `.part` that is a second name of a finished file is replaced, and the file does not change."""
    dest.write_bytes(b"finished")
    dest.with_name("cat.mp4.part").hardlink_to(dest)
    server.cuts = [1000, 0, 0, 0]
    with pytest.raises(DownloadError):
        await fetch(dest, overwrite=True)
    assert dest.read_bytes() == b"finished"


@pytest.fixture
def victim(tmp_path):
    """A file elsewhere, which must not change."""
    file = tmp_path / "victim"
    file.write_bytes(b"precious")
    yield file
    assert file.read_bytes() == b"precious"


OBSTACLES = {
    "symbolic link": lambda path, victim: path.symlink_to(victim),
    "symbolic link to nothing": lambda path, victim: path.symlink_to(victim.with_name("nowhere")),
    "named pipe": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("make_obstacle", OBSTACLES.values(), ids=OBSTACLES.keys())
async def test_part_is_no_file(fetch, dest, victim, make_obstacle):
    """Anything but a regular file with the name of the `.part` is an error, and nothing is written through it."""
    make_obstacle(dest.with_name("cat.mp4.part"), victim)
    with pytest.raises(LumaError, match=r"cat\.mp4"):
        await fetch(dest)
    assert not victim.with_name("nowhere").exists()


@pytest.mark.parametrize("make_obstacle", [*OBSTACLES.values()][:3], ids=[*OBSTACLES][:3])
async def test_sidecar_is_no_file(fetch, server, dest, names, victim, make_obstacle):
    """Anything but a regular file with the name of the sidecar is neither read nor written through, but replaced."""
    dest.with_name("cat.mp4.part").write_bytes(server.data[:1000])
    make_obstacle(dest.with_name("cat.mp4.part.etag"), victim)
    assert (await fetch(dest)).read_bytes() == server.data
    assert server.ranges == [None]
    assert names() == ["cat.mp4"]


async def test_sidecar_linked_to_file(fetch, server, dest, victim):
    """A sidecar that is a second name of another file is replaced."""
    dest.with_name("cat.mp4.part.etag").hardlink_to(victim)
    assert (await fetch(dest)).read_bytes() == server.data


async def test_file_size_without_room(fetch, server, dest, names):
    """A file that is larger than the free space is refused before a byte is written; unknown sizes are ignored."""
    with broken_disk.free_space(2_999_999), pytest.raises(DiskError) as caught:
        await fetch(dest)
    assert caught.value.errno == errno.ENOSPC
    assert names() == []
    with broken_disk.free_space(0, total_bytes=0):
        assert (await fetch(dest)).read_bytes() == server.data


async def test_part_moved_while_opened(dest):
    """A process that opens a `.part` just before its owner moves it does not write to the finished file."""
    part = PartFile(dest)
    part.part_path.write_bytes(b"complete")
    with (
        broken_disk.after_open(lambda: part.part_path.replace(dest)),
        pytest.raises(InvalidInput, match="another process"),
    ):
        await part.open_existing()
    part.close()
    assert dest.read_bytes() == b"complete"


async def test_cancelled_while_opening(make, fetch, server, dest):
    """A cancelled download waits for the thread that opens its `.part`, so that no lock is left."""
    downloader = make()
    with broken_disk.slow_open(".part") as go_on:
        downloading = asyncio.ensure_future(fetch(dest, by=downloader))
        await server.seen_requests(1)
        for _ in range(3):
            await asyncio.sleep(0.05)
            downloading.cancel()
        go_on.set()
        await asyncio.wait([downloading])
    assert downloading.cancelled()
    assert (await fetch(dest, by=downloader)).read_bytes() == server.data


async def test_cancelled_while_syncing(make, fetch, server, dest, events):
    """A file that is moved although its download was cancelled is recorded and reported."""
    recorded = []
    recorder = Recorder(MemoryJournal(), "test")
    recorder.downloaded = lambda *arguments: recorded.append(arguments)
    with broken_disk.slow_sync() as (syncing, go_on):
        downloading = asyncio.ensure_future(fetch(dest, by=make(recorder=recorder)))
        await asyncio.to_thread(syncing.wait)
        downloading.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([downloading])
    assert downloading.cancelled()
    assert dest.read_bytes() == server.data
    assert recorded == [("abc", dest)]
    assert events[-1] == Downloaded(generation_id="abc", path=dest, size_bytes=len(server.data))


async def test_closed_while_syncing(make, fetch, server, dest, names):
    """A file that is moved while the session closes is returned."""
    downloader = make()
    with broken_disk.slow_sync() as (syncing, go_on):
        downloading = asyncio.ensure_future(fetch(dest, by=downloader))
        await asyncio.to_thread(syncing.wait)
        closing = asyncio.ensure_future(downloader.aclose())
        await asyncio.sleep(0)
        go_on.set()
        await closing
    assert (await downloading).read_bytes() == server.data
    assert names() == ["cat.mp4"]


async def test_sidecar_not_removable(fetch, server, dest):
    """A sidecar that cannot be removed does not fail the download of a complete file."""
    with broken_disk.no_unlink(".part.etag"):
        path = await fetch(dest)
    assert path.read_bytes() == server.data


async def test_slow_disk_frees_line(make, fetch, server, folder, names):
    """While a file is being synced, the next download receives its file."""
    downloader = make(at_once=1)
    with broken_disk.slow_sync(only_first=True) as (_, go_on):
        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(fetch(folder / f"{number}.mp4", by=downloader))
            await server.seen_requests(2)
            assert names()[0].startswith("0.mp4.part")
            go_on.set()
    assert names() == ["0.mp4", "1.mp4"]
