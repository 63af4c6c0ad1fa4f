"""The files of the fake gateway, and the faults of downloads."""

from __future__ import annotations

import asyncio
import struct
from importlib import resources

import aiohttp
import pytest

from luma_async.testing import (
    SCENES,
    changes_object,
    cut_after,
    endless,
    file_bytes,
    forbidden_until_refreshed,
    html_instead,
    ignores_range,
    redirects_to,
    shows,
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
    return (await client.query(await client.submit_id())).body


@pytest.fixture
def url(completed):
    return completed["video"]["download_url"]


def test_clip_is_a_small_mp4():
    """The package contains a real MP4 of about 2 KB."""
    assert CLIP[4:8] == b"ftyp"
    assert b"moov" in CLIP
    assert b"mdat" in CLIP
    assert len(CLIP) < 3000


@pytest.mark.parametrize("scene", SCENES)
async def test_files_of_a_scene(client, gateway, scene):
    """A scene is H.264 with its moov box first and its own pictures, in the size that the answer says."""
    gateway.scripts["cat dance"] = shows(scene, succeeds(after=0))
    body = (await client.query(await client.submit_id())).body
    film = (await client.file(body["video"]["download_url"])).raw
    assert film.index(b"moov") < film.index(b"mdat")
    assert b"avc1" in film
    frame = film.rindex(b"avc1") + 28
    assert struct.unpack(">HH", film[frame : frame + 4]) == (body["video"]["width"], body["video"]["height"])
    thumbnail, last = [(await client.file(body[name]["url"])).raw for name in ("thumbnail", "last_frame")]
    assert thumbnail[:3] == last[:3] == b"\xff\xd8\xff"
    assert len({len(thumbnail), len(last)}) == 2


def test_scenes_differ_and_are_small():
    """The three scenes differ, and all files of the gateway together have less than half a megabyte."""
    assert len({file_bytes(scene=scene) for scene in SCENES}) == 3
    folder = resources.files("luma_async.testing") / "data"
    assert sum(len(file.read_bytes()) for file in folder.iterdir() if file.is_file()) < 500_000


async def test_video_bytes_and_headers(client, url):
    """The watermark-free link returns the clip with its length, its type and a strong ETag."""
    answer = await client.file(url)
    assert (answer.status, answer.raw) == (200, CLIP)
    assert answer.headers["Content-Length"] == str(len(CLIP))
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"')
    assert file_bytes() == CLIP


async def test_head_request(client, url):
    """HEAD returns the headers without a body."""
    answer = await client.file(url, method="HEAD")
    assert (answer.status, answer.headers["Content-Length"], answer.raw) == (200, str(len(CLIP)), b"")


async def test_all_files_of_a_generation(client, completed):
    """The raw video is the clip, the watermarked video differs, and the images are JPEGs."""
    assert (await client.file(completed["video_raw"]["url"])).raw == CLIP
    assert (await client.file(completed["video"]["url"])).raw == file_bytes("watermarked.mp4") != CLIP
    for name in ("thumbnail", "last_frame"):
        answer = await client.file(completed[name]["url"])
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
async def test_range(client, url, asked, start, stop):
    """A range is answered with 206, its position and its length."""
    answer = await client.file(url, Range=asked)
    assert (answer.status, answer.raw) == (206, CLIP[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CLIP)}"
    assert answer.headers["Content-Length"] == str(stop - start)


async def test_range_past_the_end(client, url):
    """A range past the end is answered with 416 and the size of the file."""
    answer = await client.file(url, Range=f"bytes={len(CLIP)}-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(CLIP)}")


async def test_malformed_range(client, url):
    """A malformed range is ignored: the whole file is sent, as HTTP requires."""
    assert (await client.file(url, Range="lines=1-2")).status == 200


async def test_if_range(client, url):
    """`If-Range` returns the range for the current ETag, and the whole file for any other."""
    etag = (await client.file(url)).headers["ETag"]
    assert (await client.file(url, Range="bytes=9-", If_Range=etag)).status == 206
    answer = await client.file(url, Range="bytes=9-", If_Range='"other"')
    assert (answer.status, answer.raw) == (200, CLIP)
    assert (await client.file(url, Range="bytes=9-", If_Range=f"W/{etag}")).status == 200


async def test_missing_file(client, gateway):
    """Unknown generations and file names are answered with 404."""
    generation_id = await client.submit_id()
    for path in ("/files/unknown/video.mp4", f"/files/{generation_id}/other.mp4"):
        assert (await client.file(gateway.base_url + path)).status == 404


async def test_file_request_is_recorded(client, gateway, url):
    """A request for a file is counted, and is not a leak without a key."""
    await client.file(url)
    assert gateway.counts["file"] == 1
    assert gateway.requests[-1].kind == "file"
    assert gateway.leaks == ()


async def test_cut_after(client, gateway, url):
    """A cut file ends early, and a range returns the rest."""
    gateway.inject(cut_after(700), on="file")
    async with client.http.get(url) as response:
        got = await response.content.readexactly(700)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
    assert got == CLIP[:700]
    assert got + (await client.file(url, Range="bytes=700-")).raw == CLIP


async def test_cut_after_of_a_range(client, gateway, url):
    """The bytes before a cut are counted in the answer, not in the file."""
    gateway.inject(cut_after(5), on="file")
    async with client.http.get(url, headers={"Range": "bytes=100-"}) as response:
        assert response.content_length == len(CLIP) - 100
        assert await response.content.readexactly(5) == CLIP[100:105]
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()


@pytest.mark.looptime
async def test_stall_after(client, gateway, url):
    """After its bytes the server sends nothing until the client gives up."""
    gateway.inject(stall_after(100), on="file")
    async with client.http.get(url) as response:
        assert await response.content.readexactly(100) == CLIP[:100]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await response.content.read()


@pytest.mark.looptime
async def test_stall_after_closes(client, gateway, url):
    """After its seconds, a stall closes the connection."""
    gateway.inject(stall_after(100, seconds=5), on="file")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.file(url)


async def test_ignores_range(client, gateway, url):
    """The whole file is sent with status 200, once."""
    gateway.inject(ignores_range(), on="file")
    assert (await client.file(url, Range="bytes=9-")).raw == CLIP
    assert (await client.file(url, Range="bytes=9-")).status == 206


async def test_changes_object(client, gateway, url):
    """From the fault on the link has another file, which an old `If-Range` returns whole."""
    etag = (await client.file(url)).headers["ETag"]
    gateway.inject(changes_object(), on="file")
    answer = await client.file(url, Range="bytes=9-", If_Range=etag)
    assert (answer.status, answer.raw) == (200, file_bytes(version=1))
    assert answer.raw != CLIP
    again = await client.file(url)
    assert again.headers["ETag"] == answer.headers["ETag"] != etag


async def test_wrong_length_too_large(client, gateway, url):
    """All bytes are sent, and the connection closes before the promised end."""
    gateway.inject(wrong_length(100), on="file")
    async with client.http.get(url) as response:
        assert response.content_length == len(CLIP) + 100
        assert await response.content.readexactly(len(CLIP)) == CLIP
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()


async def test_wrong_length_too_small(client, gateway, url):
    """The answer is complete for HTTP, but the file is truncated."""
    gateway.inject(wrong_length(-100), on="file")
    answer = await client.file(url)
    assert (answer.status, answer.raw) == (200, CLIP[:-100])


async def test_html_instead(client, gateway, url):
    """A web page is sent with status 200."""
    gateway.inject(html_instead(), on="file")
    answer = await client.file(url)
    assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")


@pytest.mark.parametrize("refresh", ["query", "tasks", "link"])
async def test_forbidden_until_refreshed(client, gateway, completed, url, refresh):
    """Old links answer 403; each kind of query and the link endpoint return a new link that works."""
    gateway.inject(forbidden_until_refreshed(), on="file")
    assert [(await client.file(url)).status for _ in range(2)] == [403, 403]
    body = (await getattr(client, refresh)(completed["id"])).body
    body = body["data"][0]["data"] if refresh == "tasks" else body
    assert (await client.file(body["url"] if refresh == "link" else body["video"]["download_url"])).status == 200


async def test_redirects_to(client, gateway, url):
    """The link answers with a redirect."""
    gateway.inject(redirects_to("https://elsewhere.example/a.mp4"), on="file")
    answer = await client.file(url)
    assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/a.mp4")


async def test_endless(client, gateway, url):
    """The answer begins with the clip, has no length, and does not end."""
    gateway.inject(endless(), on="file")
    async with client.http.get(url) as response:
        assert response.content_length is None
        assert await response.content.readexactly(len(CLIP)) == CLIP
        assert len(await response.content.readexactly(3_000_000)) == 3_000_000
