"""Two downloads to one path: equal ones share one transfer, others are refused."""

from __future__ import annotations

import asyncio

import pytest
from file_server import completed, written

from luma_async import DamagedFile, Downloaded, InvalidInput, SessionClosed

HALF = 1_000_000


@pytest.fixture
async def start(make, fetch, server, dest):
    """Start downloads that the server holds half way, and wait until they share what has been received."""
    server.hold_after = HALF
    downloader = make()

    async def begin(*dests, **options):
        callers = [asyncio.ensure_future(fetch(path, by=downloader, **options)) for path in dests]
        await written(dest.with_name("cat.mp4.part"), HALF)
        return callers

    begin.downloader = downloader
    return begin


async def test_equal_downloads_share(start, fetch, server, dest, names, events):
    """Equal downloads make one request, and each returns the path."""
    callers = [*await start(dest, dest), asyncio.ensure_future(fetch(dest, by=start.downloader))]
    await asyncio.sleep(0)
    server.let_go.set()
    assert await asyncio.gather(*callers) == [dest] * 3
    assert dest.read_bytes() == server.data
    assert (len(server.seen), names()) == (1, ["cat.mp4"])
    assert [type(event) for event in events].count(Downloaded) == 1


async def test_path_written_differently(start, server, folder, dest, tmp_path, monkeypatch):
    """A relative path and a linked folder are recognised as the same file; each caller gets the path that it gave."""
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    dests = "videos/cat.mp4", "videos/../videos/cat.mp4", "link/cat.mp4", dest
    callers = await start(*dests)
    server.let_go.set()
    assert [str(path) for path in await asyncio.gather(*callers)] == [str(path) for path in dests]
    assert len(server.seen) == 1


async def test_one_caller_is_cancelled(start, server, dest):
    """Cancelling the first caller, or another, leaves the download to the rest."""
    first, second, third = await start(dest, dest, dest)
    for caller in (first, third):
        caller.cancel()
    await asyncio.wait([first, third])
    server.let_go.set()
    assert (await second).read_bytes() == server.data
    assert first.cancelled()
    assert third.cancelled()
    assert len(server.seen) == 1


async def test_all_callers_are_cancelled(start, fetch, server, dest, names):
    """When the last caller is cancelled, the download stops and keeps its part; another call resumes it."""
    callers = await start(dest, dest)
    for caller in callers:
        caller.cancel()
    server.hold_after = None
    await asyncio.sleep(0)
    # The next call comes before the download has stopped: it waits for that, and resumes.
    assert not callers[-1].done()
    assert await fetch(dest, by=start.downloader) == dest
    assert all(caller.cancelled() for caller in callers)
    assert server.ranges[0] is None
    assert server.ranges[1] is not None
    assert (dest.read_bytes(), names()) == (server.data, ["cat.mp4"])


async def test_error_goes_to_all(start, server, dest):
    """Each caller gets the error of the shared download."""
    server.data = bytes(len(server.data))
    callers = await start(dest, dest)
    server.let_go.set()
    for result in await asyncio.gather(*callers, return_exceptions=True):
        assert isinstance(result, DamagedFile)


async def test_session_closes(start, dest):
    """Closing the session ends the wait of each caller."""
    callers = await start(dest, dest)
    await start.downloader.aclose()
    for result in await asyncio.gather(*callers, return_exceptions=True):
        assert isinstance(result, SessionClosed)


@pytest.mark.parametrize(
    "other",
    [{"overwrite": True}, {"watermark": "allow"}, {"what": "thumbnail"}, {"generation_id": "other"}],
    ids=lambda other: next(iter(other)),
)
async def test_other_arguments(start, fetch, server, dest, other):
    """A download to the same path with other arguments, or of another generation, is refused at once."""
    first, *_ = await start(dest)
    generation = completed(server.url(), other.pop("generation_id", "abc"))
    with pytest.raises(InvalidInput, match="another download to"):
        await fetch(dest, generation, by=start.downloader, **other)
    assert len(server.seen) == 1
    server.let_go.set()
    assert (await first).read_bytes() == server.data


async def test_other_session(start, fetch, server, dest):
    """A download to the same path from another session is refused at once."""
    first, *_ = await start(dest)
    with pytest.raises(InvalidInput, match="another process"):
        await fetch(dest)
    server.let_go.set()
    assert (await first).read_bytes() == server.data


async def test_handles_share(luma, gateway, folder):
    """Handles of one generation that download to one folder share the file, before it is completed too."""
    handle = await luma.submit("cat dance")
    other = luma.handle(handle.id)
    paths = await asyncio.gather(handle.download(folder), other.download(f"{folder}/"), handle.download(folder))
    assert paths == [folder / f"{handle.id}.mp4"] * 3
    assert gateway.counts["file"] == 1
