"""Links: the generation's own, then a fresh look, then one request for a link, which may be charged."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from file_server import completed

from luma_async import Generation, LinkGone, LumaSession, PollPolicy, Refused, SessionClosed, State, Video
from luma_async._aio import loop_now
from luma_async.testing import (
    completes_without_link,
    cut_after,
    file_bytes,
    hang,
    presigned,
    server_error,
    succeeds,
    watermarked_only,
)

CLIP = file_bytes()
BARE = Generation(id="abc", state=State.COMPLETED)


async def refresh_bare(_):
    """Return a generation without a link."""
    return BARE


async def test_link_request_is_sent_once(luma, gateway, folder):
    """A generation without a link costs one request for a link, however often it is downloaded."""
    gateway.scripts["cat dance"] = completes_without_link(after=0)
    handle = await luma.submit("cat dance")
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(handle.download(folder / f"{number}.mp4"))
    await handle.download(folder / "later.mp4")
    assert await handle.video_url()
    assert gateway.counts["link"] == 1
    assert {path.read_bytes() for path in folder.iterdir()} == {CLIP}


async def test_no_link_request_with_link(luma, gateway, dest):
    """A generation with a watermark-free link costs no request for a link."""
    handle = await luma.submit("cat dance")
    await handle.download(dest)
    assert await handle.video_url()
    assert gateway.counts["link"] == 0


async def test_refused_link_request(luma, gateway, dest):
    """A refused request for a link is not repeated, and the error names the option that helps."""
    gateway.scripts["cat dance"] = watermarked_only(after=0, link_endpoint=False)
    handle = await luma.submit("cat dance")
    with pytest.raises(LinkGone, match='watermark="allow"'):
        await handle.download(dest)
    assert gateway.counts["link"] == 1
    with pytest.raises(Refused):
        await handle.video_url()
    path = await handle.download(dest, watermark="allow")
    assert path.read_bytes() == file_bytes("watermarked.mp4")
    assert len(gateway.charges) == 1


async def test_watermark_hint_for_refused_link(make, fetch, server, dest):
    """An error does not offer a watermarked link at the very address that was refused."""
    url = server.url()
    same = Generation(id="abc", state=State.COMPLETED, video=Video(url=url, download_url=url))

    async def refresh(_):
        return same

    server.statuses = [410, 410]
    with pytest.raises(LinkGone, match="HTTP 410") as caught:
        await fetch(dest, same, by=make(refresh=refresh))
    assert "watermark" not in str(caught.value)
    assert len(server.seen) == 2


LATE_ANSWERS = [202, 204, 400, 403, 404, 409, 425, "json"]


@pytest.mark.parametrize("answer", LATE_ANSWERS)
async def test_requested_link_works_later(make, fetch, server, dest, answer):
    """A requested link whose file is not there yet is requested once, and tried again for two minutes."""
    asked = []

    async def ask(generation_id):
        asked.append(generation_id)
        return server.url()

    server.statuses = [answer] * 8
    downloader = make(refresh=refresh_bare, ask=ask)
    path = await fetch(dest, BARE, by=downloader, completed_at_s=loop_now() - 100)
    assert path.read_bytes() == server.data
    assert asked == ["abc"]
    assert len(server.seen) == 9


async def test_failed_link_request(luma, gateway, dest):
    """A request for a link that fails is reported and not repeated; the next download sends a new one."""
    gateway.scripts["cat dance"] = completes_without_link(after=0)
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="link")
    with pytest.raises(Refused):
        await handle.download(dest, watermark="allow")
    assert gateway.counts["link"] == 1
    assert (await handle.download(dest)).read_bytes() == CLIP


@pytest.mark.looptime
async def test_expired_link(luma, gateway, dest):
    """An expired link costs one status request, and no request for a link."""
    gateway.scripts["cat dance"] = presigned(600, then=succeeds(after=0))
    handle = await luma.submit("cat dance")
    await handle
    await asyncio.sleep(3600)
    asked = gateway.counts["query"]
    gateway.inject(cut_after(700), on="file", when=lambda seen: "raw" not in seen.path)
    assert (await handle.download(dest)).read_bytes() == CLIP
    assert gateway.counts["query"] == asked + 1
    assert gateway.counts["link"] == 0
    assert len(gateway.charges) == 1


def stale(server):
    """Return a generation with a link that expired an hour ago."""
    then = datetime.now(UTC) - timedelta(hours=2)
    return completed(server.url(f"old.mp4?X-Amz-Date={then:%Y%m%dT%H%M%SZ}&X-Amz-Expires=3600"))


async def test_stale_link_after_refresh(make, fetch, server, folder):
    """When a fresh look shows the expired link again, a link is requested."""
    asked = []

    async def refresh(_):
        asked.append("refresh")
        return stale(server)

    async def ask(_):
        asked.append("ask")
        return server.url("new.mp4")

    downloader = make(refresh=refresh, ask=ask)
    await fetch(folder / "a.mp4", stale(server), by=downloader)
    await fetch(folder / "b.mp4", stale(server), by=downloader)
    assert asked == ["refresh", "ask"]
    assert {request.path for request in server.seen} == {"/new.mp4"}
    assert await downloader.link(stale(server)) == server.url("new.mp4")


async def test_expired_link_as_last_resort(make, fetch, server, dest):
    """Without a better link an expired one is tried, because the local clock may be wrong."""

    async def refresh(_):
        return stale(server)

    path = await fetch(dest, stale(server), by=make(refresh=refresh))
    assert path.read_bytes() == server.data


async def test_rejected_requested_link(make, fetch, server, folder):
    """A requested link that the file server rejects is dropped, and another is requested."""
    urls = [server.url("first.mp4"), server.url("second.mp4")]

    async def ask(_):
        return urls.pop(0)

    downloader = make(refresh=refresh_bare, ask=ask)
    await fetch(folder / "a.mp4", BARE, by=downloader)
    server.statuses = [403]
    await fetch(folder / "b.mp4", BARE, by=downloader)
    assert [request.path for request in server.seen] == ["/first.mp4", "/first.mp4", "/second.mp4"]


async def test_no_link_and_no_request(make, fetch, folder, names):
    """Where the dialect has no request for a link, a generation without a link is LinkGone."""
    downloader = make(refresh=refresh_bare)
    with pytest.raises(LinkGone, match="no link to its video"):
        await fetch(folder / "cat.mp4", BARE, by=downloader)
    with pytest.raises(LinkGone, match="no link to its last frame"):
        await fetch(folder / "cat.jpg", BARE, by=downloader, what="last_frame")
    with pytest.raises(LinkGone):
        await downloader.link(BARE)
    assert names() == []


async def test_link_request_after_cancel(make, fetch, server, dest):
    """A request for a link whose caller is cancelled is not sent again: its result is kept."""
    asked, answer = asyncio.Queue(), asyncio.Event()

    async def ask(generation_id):
        asked.put_nowait(generation_id)
        await answer.wait()
        return server.url()

    downloader = make(refresh=refresh_bare, ask=ask)
    first = asyncio.ensure_future(fetch(dest, BARE, by=downloader))
    await asked.get()
    first.cancel()
    await asyncio.wait([first])
    answer.set()
    assert (await fetch(dest, BARE, by=downloader)).read_bytes() == server.data
    assert asked.empty()


async def test_link_request_while_closing(gateway):
    """A request for a link that is cancelled by the closing session raises SessionClosed."""
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
