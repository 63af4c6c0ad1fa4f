"""Streams: the bytes of a file as they come, without a file on disk."""

from __future__ import annotations

import asyncio
import gc

import pytest
from file_server import completed

from luma_async import DamagedFile, DownloadError, InvalidInput, LinkGone, Retried, SessionClosed, Video
from luma_async.testing import fails, file_bytes


@pytest.fixture
def opened(make, server):
    """Open a stream of the server's file with a new downloader, or with `by`."""

    async def open_stream(*, by=None, **more):
        settings = {"watermark": "forbid", "what": "video", "completed_at_s": None, **more}
        return await (by or make()).stream(completed(server.url()), **settings)

    return open_stream


async def read(stream):
    """Return all bytes of a stream."""
    return b"".join([piece async for piece in stream])


async def test_stream_of_a_handle(luma, gateway):
    """A handle streams the video with its size and media type, and waits for it."""
    handle = await luma.submit("cat dance")
    stream = await handle.stream()
    data = await read(stream)
    assert (data[4:8], stream.size_bytes, stream.content_type) == (b"ftyp", len(data), "video/mp4")
    assert len(gateway.charges) == 1


async def test_stream_of_a_picture(luma):
    """A still image has its own media type."""
    stream = await (await luma.submit("cat dance")).stream(what="thumbnail")
    assert (await read(stream), stream.content_type) == (file_bytes("thumb.jpg"), "image/jpeg")


async def test_stream_pieces(opened, server):
    """The bytes come while the file is still being sent."""
    server.hold_after = 1_000_000
    received = bytearray()
    async for piece in await opened():
        received += piece
        if len(received) >= 500_000:
            server.let_go.set()
    assert bytes(received) == server.data


async def test_stream_resumes(opened, server, events):
    """After a cut, the rest is requested by its range and the ETag, and no byte comes twice."""
    server.cuts = [1_000_000, 500_000]
    assert await read(await opened()) == server.data
    assert [request.headers.get("If-Range") for request in server.seen] == [None, '"v1"', '"v1"']
    assert [event.what for event in events if isinstance(event, Retried)] == ["download", "download"]


async def test_stream_without_ranges(opened, server):
    """A server that sends the whole file again, with the same ETag, is read from where the stream was."""
    server.cuts = [1_000_000]
    stream = await opened()
    server.ignores_ranges = True
    assert await read(stream) == server.data


@pytest.mark.parametrize("etag", ["", '"v2"'], ids=["none", "another"])
async def test_stream_of_changed_file(opened, server, etag):
    """Without proof that the rest belongs to the same file, the stream fails and says how far it came."""
    server.cuts = [1_000_000]
    server.etag = etag
    stream = await opened()
    server.etag = '"v3"'
    with pytest.raises(DownloadError, match=r"After \d+ bytes the stream cannot be continued") as caught:
        await read(stream)
    assert caught.value.generation_id == "abc"


async def test_stream_retries_before_first_byte(opened, server):
    """Until the first byte, failures are repeated as in a download."""
    server.statuses = [503, 500]
    assert await read(await opened()) == server.data


async def test_stream_gives_up(opened, server):
    """A server that keeps failing ends the opening with the error of a download."""
    server.statuses = [503] * 9
    with pytest.raises(DownloadError, match="HTTP 503"):
        await opened()
    assert len(server.seen) == 4


async def test_stream_without_length(opened, server):
    """A server that names no length is streamed to its end, with no size."""
    server.sends_length = False
    stream = await opened()
    assert (stream.size_bytes, await read(stream)) == (None, server.data)


@pytest.mark.parametrize("data", [b"", b"<!doctype html><html>" * 9], ids=["empty", "a page"])
async def test_stream_of_no_video(opened, server, data):
    """What does not begin like a video is not streamed."""
    server.data = data
    with pytest.raises(DamagedFile):
        await opened()


async def test_stream_stalls(make, opened, server):
    """A server that stops sending fails, or is resumed."""
    server.hold_after = 1_000_000
    stream = await opened(by=make(stall_s=0.2))
    reading = asyncio.ensure_future(read(stream))
    await server.seen_requests(2)
    server.hold_after = None
    server.let_go.set()
    assert await reading == server.data


async def test_slow_reader(make, opened, server):
    """The time that the reader takes for a piece does not count as the server's."""
    stream, received = await opened(by=make(stall_s=0.1)), 0
    async for piece in stream:
        if not received:
            await asyncio.sleep(0.3)
        received += len(piece)
    assert received == len(server.data)


async def disconnected(server):
    """Wait until the server has no connection that it sends on."""
    while server.running:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("how", ["cancel", "leave", "aclose", "block"])
async def test_stream_is_left(opened, server, how):
    """A reader that is cancelled or leaves closes the connection."""
    server.hold_after = 1_000_000
    stream = await opened()
    if how == "cancel":
        reading = asyncio.ensure_future(read(stream))
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    elif how == "leave":
        async for _ in stream:
            break
        gc.collect()
    elif how == "aclose":
        await stream.aclose()
    else:
        async with stream:
            pass
    server.let_go.set()
    await disconnected(server)
    with pytest.raises(DownloadError, match="was read or closed before"):
        await read(stream)


@pytest.mark.parametrize("reading", [True, False])
async def test_session_closes_stream(make, opened, server, reading):
    """Closing the session ends a stream with SessionClosed, whether it is being read or not."""
    server.hold_after = 1_000_000
    downloads = make()
    stream = await opened(by=downloads)
    task = asyncio.ensure_future(read(stream)) if reading else None
    await asyncio.sleep(0.05)
    await downloads.aclose()
    with pytest.raises(SessionClosed):
        await (task or read(stream))
    with pytest.raises(SessionClosed):
        await opened(by=downloads)


async def test_stream_refuses(luma, gateway):
    """A wrong argument is refused before any request, and a generation without a link has no stream."""
    handle = await luma.submit("cat dance")
    asked = gateway.counts.total()
    with pytest.raises(InvalidInput, match="what"):
        await handle.stream(what="sound")
    assert gateway.counts.total() == asked
    gateway.scripts["dog dance"] = fails(after=0)
    with pytest.raises(Exception, match="failed"):
        await (await luma.submit("dog dance")).stream()


async def test_stream_without_link(make):
    """A watermarked video is streamed only if that is allowed."""
    generation = completed(None)
    with pytest.raises(LinkGone):
        await make(refresh=lambda _: _same(generation)).stream(
            generation, watermark="forbid", what="video", completed_at_s=None
        )
    assert generation.video == Video()


async def _same(generation):
    return generation
