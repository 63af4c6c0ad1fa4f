"""An interrupted download continues where it ended, and only with bytes of the same file."""

from __future__ import annotations

import asyncio

import pytest
from file_server import FileServer, completed, large_clip, written

from luma_async import SessionClosed


def starts_of(server):
    """Return the first byte that each request asked for."""
    return [int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0 for asked in server.ranges]


@pytest.fixture
def part(dest):
    """The path of the incomplete file."""
    return dest.with_name("cat.mp4.part")


@pytest.fixture
def cancelled_half_way(fetch, server, dest, part):
    """Cancel a download after about a million bytes."""

    async def cancel():
        server.hold_after = 1_000_000
        task = asyncio.ensure_future(fetch(dest))
        await written(part, 1_000_000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.hold_after = None

    return cancel


async def test_resume_after_cut(fetch, server, dest, part, names):
    """The rest is requested by its range and the ETag, and appended."""
    server.cuts, server.part = [1_000_000, 500_000], part
    path = await fetch(dest)
    assert path.read_bytes() == server.data
    assert names() == ["cat.mp4"]
    assert starts_of(server) == [0, 1_000_000, 1_500_000]
    assert [request.headers.get("If-Range") for request in server.seen] == [None, '"v1"', '"v1"']


async def test_resume_with_short_ranges(fetch, server, dest):
    """A range that ends before the file does is followed by a request for the next."""
    server.cuts, server.max_range_bytes = [1_000_000], 1_500_000
    path = await fetch(dest)
    assert path.read_bytes() == server.data
    assert starts_of(server) == [0, 1_000_000, 2_500_000]


async def test_attempts_with_progress(fetch, dest, part):
    """Attempts that receive a megabyte are not counted, so that a large file arrives over a bad line."""
    async with FileServer(large_clip(12_000_000)) as server:
        server.cuts, server.part = [1_100_000] * 10, part
        path = await fetch(dest, completed(server.url()))
        assert path.read_bytes() == server.data


async def test_resume_after_cancellation(fetch, server, dest, part, names, cancelled_half_way):
    """A cancelled download keeps its `.part`, and a later session resumes it."""
    await cancelled_half_way()
    kept_bytes = part.stat().st_size
    assert part.read_bytes() == server.data[:kept_bytes]
    assert names() == ["cat.mp4.part", "cat.mp4.part.etag"]
    path = await fetch(dest, completed(server.url() + "?X-Amz-Signature=new"))
    assert path.read_bytes() == server.data
    assert server.ranges[-1] == f"bytes={kept_bytes}-"
    assert names() == ["cat.mp4"]


async def test_resume_after_closing(make, fetch, server, dest, part, folder, names):
    """Closing ends a download with SessionClosed and keeps its `.part`; later downloads are refused."""
    server.hold_after = 1_000_000
    downloader = make()
    running = asyncio.ensure_future(fetch(dest, by=downloader))
    await written(part, 1_000_000)
    await downloader.aclose()
    with pytest.raises(SessionClosed, match="resumes"):
        await running
    with pytest.raises(SessionClosed):
        await fetch(folder / "other.mp4", by=downloader)
    assert names() == ["cat.mp4.part", "cat.mp4.part.etag"]
    server.hold_after = None
    assert (await fetch(dest)).read_bytes() == server.data
    assert server.ranges[-1] is not None


async def test_part_of_other_generation(fetch, server, dest, cancelled_half_way):
    """What another generation left under the same name is not resumed, even with an equal ETag."""
    await cancelled_half_way()
    path = await fetch(dest, completed(server.url(), "another"))
    assert path.read_bytes() == server.data
    assert server.ranges[-1] is None


@pytest.mark.parametrize("etag", ['W/"v1"', "", "v1"])
async def test_part_without_strong_etag(fetch, server, dest, etag):
    """Without a strong ETag the download starts again."""
    server.etag, server.cuts = etag, [1_000_000]
    path = await fetch(dest)
    assert path.read_bytes() == server.data
    assert server.ranges == [None, None]


async def test_unreadable_sidecar(fetch, server, dest, cancelled_half_way):
    """With a sidecar that cannot be read the download starts again."""
    await cancelled_half_way()
    dest.with_name("cat.mp4.part.etag").write_bytes(b"\xff\0{")
    assert (await fetch(dest)).read_bytes() == server.data
    assert server.ranges[-1] is None


async def test_part_longer_than_file(fetch, server, dest, part, cancelled_half_way):
    """A `.part` that is longer than the file is replaced."""
    await cancelled_half_way()
    part.write_bytes(server.data + b"more")
    assert (await fetch(dest)).read_bytes() == server.data
    assert server.ranges[-2:] == [f"bytes={len(server.data) + 4}-", None]
