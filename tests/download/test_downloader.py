"""Many downloads at once, their progress, and their cancellation."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import broken_disk
import pytest
from file_server import FileServer, completed, large_clip

from luma_async import Downloaded, Downloading, GenerationFailed, LumaSession, MemoryJournal, PollPolicy
from luma_async.testing import fails, file_bytes

CLIP = file_bytes()


async def test_downloads_at_once(make, fetch, server, folder, names):
    """At most `at_once` downloads run at the same time, and all complete."""
    server.data, server.hold_after = CLIP, 0
    downloader = make(at_once=3)
    async with asyncio.TaskGroup() as group:
        for number in range(9):
            group.create_task(fetch(folder / f"{number}.mp4", by=downloader))
        await server.seen_requests(3)
        await asyncio.sleep(0.1)
        server.let_go.set()
    assert server.max_running == 3
    assert {path.read_bytes() for path in folder.iterdir()} == {CLIP}
    assert len(names()) == 9


async def test_earliest_expiry_goes_first(make, fetch, server, folder):
    """The link that expires first is next, plain links are last, and a cancelled download is skipped."""
    server.hold_after = 0
    downloader = make(at_once=1)
    now = datetime.now(UTC)

    def link(path, minutes):
        return server.url(f"{path}?X-Amz-Date={now:%Y%m%dT%H%M%SZ}&X-Amz-Expires={minutes * 60}")

    def start(url, name):
        return asyncio.ensure_future(fetch(folder / name, completed(url), by=downloader))

    tasks = [start(server.url("first"), "first.mp4")]
    await server.seen_requests(1)
    urls = [server.url("plain"), link("later", 50), link("soon", 10), link("middle", 30), link("cancelled", 5)]
    tasks += [start(url, f"{number}.mp4") for number, url in enumerate(urls)]
    # Each needs a few turns of the loop to reach the semaphore, and no I/O.
    for _ in range(20):
        await asyncio.sleep(0)
    tasks[-1].cancel()
    server.let_go.set()
    await asyncio.wait(tasks)
    assert [request.path for request in server.seen] == ["/first", "/soon", "/middle", "/later", "/plain"]


@pytest.mark.looptime
async def test_events_of_short_download(fetch, server, dest, events):
    """A short download emits its beginning and its end."""
    path = await fetch(dest)
    assert events == [
        Downloading(generation_id="abc", path=path, received_bytes=0, total_bytes=len(server.data)),
        Downloaded(generation_id="abc", path=path, size_bytes=len(server.data)),
    ]


@pytest.mark.looptime
async def test_events_of_long_download(fetch, dest, events):
    """A long download emits its progress once a second, and takes as long as it moves."""
    async with FileServer(large_clip(40_000)) as server:
        server.trickle, server.hold_after = (2000, 0.5), 0
        fetching = asyncio.ensure_future(fetch(dest, completed(server.url())))
        while not events:
            await asyncio.sleep(0)
        server.let_go.set()
        await fetching
    assert len(server.seen) == 1
    progress = [event.received_bytes for event in events if isinstance(event, Downloading)]
    assert progress == sorted(set(progress))
    assert len(progress) == 10


async def test_path_in_journal(gateway, folder):
    """The journal records the path of the video, and not of a thumbnail."""
    journal = MemoryJournal()
    async with LumaSession(
        gateway.api_key, base_url=gateway.base_url, journal=journal, poll=PollPolicy.fixed(0.1)
    ) as luma:
        handle = await luma.submit("cat dance", key="cat")
        await handle.download(folder, what="thumbnail")
        assert (await journal.get("cat")).path is None
        path = await handle.download(folder)
    assert (await journal.get("cat")).path == str(path.absolute())


async def test_failed_generation(luma, gateway, folder):
    """A failed generation raises GenerationFailed, as `wait()` does, and sends no request for a file."""
    gateway.scripts["bad cat"] = fails("Job failed", after=0)
    with pytest.raises(GenerationFailed):
        await (await luma.submit("bad cat")).download(folder)
    assert gateway.counts["file"] == 0


async def test_cancelled_at_any_step(make, fetch, folder, names, caplog):
    """Cancelled after any number of turns of the loop, a download can be repeated, and leaves nothing open."""
    downloader, turns, finished = make(), 0, False
    with broken_disk.no_sync():
        async with FileServer(CLIP) as server:
            while not finished:
                turns += 3
                dest = folder / f"{turns}.mp4"
                task = asyncio.ensure_future(fetch(dest, completed(server.url()), by=downloader))
                for _ in range(turns):
                    await asyncio.sleep(0)
                finished = task.done()
                task.cancel()
                await asyncio.wait([task])
                await fetch(dest, completed(server.url()), by=downloader, overwrite=True)
                assert dest.read_bytes() == CLIP
                assert names() == [dest.name]
                dest.unlink()
    assert turns > 10
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
