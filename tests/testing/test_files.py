"""The files of the fake gateway: byte exact, in parts, under links that expire, and broken on demand."""

from __future__ import annotations

import asyncio
from importlib import resources

import aiohttp
import pytest

from luma_async.testing import (
    changes_object,
    cut_after,
    endless,
    file_bytes,
    forbidden_until_refreshed,
    html_instead,
    ignores_range,
    redirects_to,
    stall_after,
    succeeds,
    wrong_length,
)

CLIP = (resources.files("luma_async.testing") / "data" / "clip.mp4").read_bytes()


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=0)}


@pytest.fixture
async def completed(client):
    """The body of a completed generation."""
    return (await client.query(await client.buy())).body


@pytest.fixture
def url(completed):
    return completed["video"]["download_url"]


def test_the_clip_is_a_small_mp4():
    """The package carries a real mp4 of about 2 KB."""
    assert CLIP[4:8] == b"ftyp"
    assert b"moov" in CLIP
    assert b"mdat" in CLIP
    assert len(CLIP) < 3000


async def test_the_video_is_served_byte_exact(client, url):
    """The clean link is the clip, with its length, its type and a strong ETag."""
    answer = await client.file(url)
    assert (answer.status, answer.raw) == (200, CLIP)
    assert answer.headers["Content-Length"] == str(len(CLIP))
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"')
    assert file_bytes() == CLIP


async def test_a_head_request_tells_the_length(client, url):
    """HEAD has the headers and no body."""
    answer = await client.file(url, method="HEAD")
    assert (answer.status, answer.headers["Content-Length"], answer.raw) == (200, str(len(CLIP)), b"")


async def test_every_file_of_a_generation_is_there(client, completed):
    """The raw one is the clip too, the watermarked one can be told apart, the pictures are JPEGs."""
    assert (await client.file(completed["video_raw"]["url"])).raw == CLIP
    assert (await client.file(completed["video"]["url"])).raw == file_bytes("watermarked.mp4") != CLIP
    for picture in ("thumbnail", "last_frame"):
        answer = await client.file(completed[picture]["url"])
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.raw[:3] == b"\xff\xd8\xff"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=1000-", 1000, len(CLIP)),
        ("bytes=-7", len(CLIP) - 7, len(CLIP)),
        ("bytes=5-999999", 5, len(CLIP)),
    ],
)
async def test_a_range_is_served_exactly(client, url, asked, start, stop):
    """A part comes with status 206, its place and its length."""
    answer = await client.file(url, Range=asked)
    assert (answer.status, answer.raw) == (206, CLIP[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CLIP)}"
    assert answer.headers["Content-Length"] == str(stop - start)


async def test_a_range_behind_the_end_is_refused(client, url):
    """416 tells the true size."""
    answer = await client.file(url, Range=f"bytes={len(CLIP)}-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(CLIP)}")


async def test_an_unreadable_range_is_ignored(client, url):
    """As HTTP says, the whole file comes."""
    assert (await client.file(url, Range="lines=1-2")).status == 200


async def test_a_range_of_another_object_is_the_whole_file(client, url):
    """If-Range with the ETag gives the part, with another one the whole file."""
    etag = (await client.file(url)).headers["ETag"]
    assert (await client.file(url, Range="bytes=9-", If_Range=etag)).status == 206
    answer = await client.file(url, Range="bytes=9-", If_Range='"other"')
    assert (answer.status, answer.raw) == (200, CLIP)
    assert (await client.file(url, Range="bytes=9-", If_Range=f"W/{etag}")).status == 200


async def test_a_file_that_is_not_there_is_a_404(client, gateway):
    """Unknown generations and names answer as an object store does."""
    generation_id = await client.buy()
    for path in ("/files/unknown/video.mp4", f"/files/{generation_id}/other.mp4"):
        assert (await client.file(gateway.base_url + path)).status == 404


async def test_files_are_counted_and_want_no_key(client, gateway, url):
    """A file request is recorded as such, and one without a key is no leak."""
    await client.file(url)
    assert gateway.counts["file"] == 1
    assert gateway.requests[-1].kind == "file"
    assert gateway.leaks == ()


async def test_a_cut_can_be_healed_with_a_range(client, gateway, url):
    """A cut file ends early; the rest of it fits."""
    gateway.inject(cut_after(700), on="file")
    async with client.http.get(url) as response:
        got = await response.content.readexactly(700)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
    assert got == CLIP[:700]
    assert got + (await client.file(url, Range="bytes=700-")).raw == CLIP


async def test_a_range_can_be_cut_too(client, gateway, url):
    """The cut counts the bytes of the answer, not of the file."""
    gateway.inject(cut_after(5), on="file")
    async with client.http.get(url, headers={"Range": "bytes=100-"}) as response:
        assert response.content_length == len(CLIP) - 100
        assert await response.content.readexactly(5) == CLIP[100:105]
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()


@pytest.mark.looptime
async def test_a_stall_lasts(client, gateway, url):
    """After its bytes nothing comes until the client gives up."""
    gateway.inject(stall_after(100), on="file")
    async with client.http.get(url) as response:
        assert await response.content.readexactly(100) == CLIP[:100]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await response.content.read()


@pytest.mark.looptime
async def test_a_stall_ends_in_a_cut(client, gateway, url):
    """A stall of some seconds closes the connection."""
    gateway.inject(stall_after(100, seconds=5), on="file")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.file(url)


async def test_a_range_can_be_ignored(client, gateway, url):
    """The whole file comes with status 200, once."""
    gateway.inject(ignores_range(), on="file")
    assert (await client.file(url, Range="bytes=9-")).raw == CLIP
    assert (await client.file(url, Range="bytes=9-")).status == 206


async def test_an_object_can_be_replaced(client, gateway, url):
    """From the fault on there is another file under the link: the old If-Range gives all of it."""
    etag = (await client.file(url)).headers["ETag"]
    gateway.inject(changes_object(), on="file")
    answer = await client.file(url, Range="bytes=9-", If_Range=etag)
    assert (answer.status, answer.raw) == (200, file_bytes(version=1))
    assert answer.raw != CLIP
    again = await client.file(url)
    assert again.headers["ETag"] == answer.headers["ETag"] != etag


async def test_a_length_can_be_too_large(client, gateway, url):
    """All bytes come, and the connection closes where more should."""
    gateway.inject(wrong_length(100), on="file")
    async with client.http.get(url) as response:
        assert response.content_length == len(CLIP) + 100
        assert await response.content.readexactly(len(CLIP)) == CLIP
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()


async def test_a_length_can_be_too_small(client, gateway, url):
    """HTTP sees a complete answer; the file is not."""
    gateway.inject(wrong_length(-100), on="file")
    answer = await client.file(url)
    assert (answer.status, answer.raw) == (200, CLIP[:-100])


async def test_a_page_can_stand_for_the_file(client, gateway, url):
    """A web page comes with status 200."""
    gateway.inject(html_instead(), on="file")
    answer = await client.file(url)
    assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")


@pytest.mark.parametrize("refresh", ["query", "tasks", "link"])
async def test_a_link_can_be_revoked_until_it_is_refreshed(client, gateway, completed, url, refresh):
    """Old links stay dead; a query of any kind or the link endpoint gives one that works."""
    gateway.inject(forbidden_until_refreshed(), on="file")
    assert [(await client.file(url)).status for _ in range(2)] == [403, 403]
    body = (await getattr(client, refresh)(completed["id"])).body
    body = body["data"][0]["data"] if refresh == "tasks" else body
    assert (await client.file(body["url"] if refresh == "link" else body["video"]["download_url"])).status == 200


async def test_a_file_can_be_elsewhere(client, gateway, url):
    """The link answers with a redirect."""
    gateway.inject(redirects_to("https://elsewhere.example/a.mp4"), on="file")
    answer = await client.file(url)
    assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/a.mp4")


async def test_a_file_can_be_endless(client, gateway, url):
    """It begins like the clip, names no length, and does not stop by itself."""
    gateway.inject(endless(), on="file")
    async with client.http.get(url) as response:
        assert response.content_length is None
        assert await response.content.readexactly(len(CLIP)) == CLIP
        assert len(await response.content.readexactly(3_000_000)) == 3_000_000
