"""Downloads through every fault of a file server: a byte-exact file or a typed error, and never a new charge."""

from __future__ import annotations

import logging

import pytest
from file_server import FileServer, completed, large_clip
from raw_server import RawServer, answers
from raw_server import response as raw_response

from luma_async import DamagedFile, DownloadError, LinkGone, LumaSession, Retried, RetryPolicy
from luma_async._aio import loop_now
from luma_async._download import response
from luma_async._download.links import Link
from luma_async._download.response import PUBLISHING_S
from luma_async.testing import (
    ALWAYS,
    changes_object,
    cut_after,
    drop_after_reading,
    endless,
    file_bytes,
    forbidden_until_refreshed,
    garbage,
    hang,
    html_instead,
    ignores_range,
    rate_limited,
    redirects_to,
    server_error,
    stall_after,
    wrong_length,
)

CLIP = file_bytes()


def assert_paid_once(gateway):
    assert len(gateway.charges) == 1
    assert gateway.leaks == ()


TEMPORARY = {
    "cut": [cut_after(700)],
    "cut at once": [cut_after(0)],
    "cut several times": [cut_after(700), cut_after(700), cut_after(100)],
    "stalled": [stall_after(100)],
    "stalled before the body": [stall_after(0)],
    "no response": [hang()],
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
@pytest.mark.parametrize("faults", TEMPORARY.values(), ids=TEMPORARY.keys())
async def test_temporary_fault(luma, gateway, dest, names, faults):
    """After a fault that ends, the file equals the server's, and no other file is left."""
    handle = await luma.submit("cat dance")
    for fault in faults:
        gateway.inject(fault, on="file")
    path = await handle.download(dest)
    assert path.read_bytes() == CLIP
    assert names() == ["cat.mp4"]
    assert_paid_once(gateway)


LASTING = {
    "cut": (cut_after(0), DownloadError),
    "stalled": (stall_after(0), DownloadError),
    "no response": (hang(), DownloadError),
    "dropped": (drop_after_reading(), DownloadError),
    "garbage": (garbage(), DownloadError),
    "a 500": (server_error(500), DownloadError),
    "a 429": (rate_limited(1), DownloadError),
    "a 429 for an hour": (rate_limited(3600), DownloadError),
    "a page": (html_instead(), DamagedFile),
    "a length too small": (wrong_length(-100), DamagedFile),
    "an endless body": (endless(), DamagedFile),
    "gone": (server_error(410), LinkGone),
    "a redirect to a file": (redirects_to("file:///etc/passwd"), LinkGone),
    "a redirect without an address": (redirects_to(""), LinkGone),
}


@pytest.mark.looptime
@pytest.mark.parametrize(("fault", "error"), LASTING.values(), ids=LASTING.keys())
async def test_lasting_fault(luma, gateway, dest, names, monkeypatch, fault, error):
    """A fault that lasts is a typed error with the id and the path; a later download succeeds."""
    handle = await luma.submit("cat dance")
    monkeypatch.setattr(response, "MAX_FILE_BYTES", 1_000_000)
    gateway.inject(fault, on="file", times=ALWAYS)
    with pytest.raises(DownloadError) as caught:
        await handle.download(dest)
    assert type(caught.value) is error
    assert caught.value.generation_id == handle.id
    assert caught.value.path == dest
    assert "costs no new generation" in str(caught.value)
    assert names() == []
    assert gateway.counts["file"] <= 8
    assert gateway.counts["link"] == 0
    assert_paid_once(gateway)
    gateway.clear_faults()
    assert (await handle.download(dest)).read_bytes() == CLIP
    assert names() == ["cat.mp4"]


LATE = [server_error(status) for status in (400, 403, 404, 409, 425)] + [forbidden_until_refreshed()]


@pytest.mark.looptime
@pytest.mark.parametrize("fault", LATE, ids=str)
async def test_file_published_late(luma, gateway, dest, events, fault):
    """A file that its storage gets some time after the completion is requested again until it is there."""
    handle = await luma.submit("cat dance")
    gateway.inject(fault, on="file", times=30)
    assert (await handle.download(dest)).read_bytes() == CLIP
    pauses = [event for event in events if isinstance(event, Retried)]
    assert [event.attempt for event in pauses] == list(range(1, len(pauses) + 1))
    assert_paid_once(gateway)


@pytest.mark.looptime
@pytest.mark.parametrize("fault", LATE, ids=str)
async def test_file_never_published(luma, gateway, dest, names, fault):
    """Two minutes after the completion a missing file is given up; a later download gives up at once."""
    handle = await luma.submit("cat dance")
    gateway.inject(fault, on="file", times=ALWAYS)
    began_at_s = loop_now()
    with pytest.raises(DownloadError, match="127"):
        await handle.download(dest)
    assert 100 < loop_now() - began_at_s <= PUBLISHING_S + 1
    requests = gateway.counts["file"]
    assert requests <= 100
    with pytest.raises(DownloadError):
        await handle.download(dest)
    assert gateway.counts["file"] <= requests + 8
    assert names() == []
    assert gateway.counts["link"] == 0
    gateway.clear_faults()
    assert (await handle.download(dest)).read_bytes() == CLIP


async def test_missing_file_with_one_attempt(gateway, dest):
    """RetryPolicy(attempts=1) requests nothing again, a file that may come later neither."""
    gateway.inject(server_error(404), on="file", times=ALWAYS)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, retry=RetryPolicy(attempts=1)) as luma:
        handle = await luma.submit("cat dance")
        with pytest.raises(LinkGone):
            await handle.download(dest)


@pytest.mark.looptime
async def test_server_without_response(luma, gateway, dest):
    """The client ends an attempt without a response, long before the server closes the connection."""
    gateway.inject(hang(), on="file", times=ALWAYS)
    handle = await luma.submit("cat dance")
    with pytest.raises(DownloadError, match="did not respond in time"):
        await handle.download(dest)


async def test_second_response(fetch, folder):
    """A server that sends a second response after a file: it is not taken for the next file."""
    first, second = large_clip(2000, b"cat"), large_clip(2000, b"dog")

    def file(clip):
        return raw_response(200, clip, "Content-Type: video/mp4")

    async def answers_twice(connection):
        await connection.read_request()
        await connection.send(file(first))
        await connection.read_request()
        await connection.send(file(first))

    async with RawServer(answers_twice, answers(file(second))) as server:
        cat = await fetch(folder / "cat.mp4", completed(f"{server.base_url}/cat.mp4", "cat"))
        dog = await fetch(folder / "dog.mp4", completed(f"{server.base_url}/dog.mp4", "dog"))
    assert (cat.read_bytes(), dog.read_bytes()) == (first, second)


async def test_response_with_large_header(fetch, dest):
    """A file is received although the header of the response is larger than aiohttp accepts by default."""
    clip = large_clip(2000)
    large = raw_response(200, clip, f"X-Large: {'x' * 100_000}", "Content-Type: video/mp4")
    async with RawServer(answers(large)) as server:
        assert (await fetch(dest, completed(f"{server.base_url}/cat.mp4"))).read_bytes() == clip


@pytest.mark.looptime
async def test_file_replaced_after_cut(luma, gateway, dest):
    """When the file changes on the server after a cut, the new one is downloaded whole."""
    handle = await luma.submit("cat dance")
    gateway.inject(cut_after(700), on="file")
    gateway.inject(changes_object(), on="file")
    path = await handle.download(dest)
    assert path.read_bytes() == file_bytes(version=1)


@pytest.mark.looptime
async def test_slow_server(fetch, dest, events):
    """A server that sends a byte a second never times out, but its attempt fails as too slow."""
    async with FileServer(CLIP) as server:
        server.trickle = (1, 1)
        with pytest.raises(DownloadError, match="less than 1 KiB/s"):
            await fetch(dest, completed(server.url()))
    assert [event.attempt for event in events if isinstance(event, Retried)] == [1, 2, 3]


async def test_redirect_to_other_host(luma, gateway, server, dest):
    """A redirect to another host is followed, and no host is sent a key or a cookie."""
    handle = await luma.submit("cat dance")
    gateway.inject(redirects_to(server.url("elsewhere.mp4")), on="file")
    path = await handle.download(dest)
    assert path.read_bytes() == server.data
    (request,) = server.seen
    assert not {"Authorization", "Cookie", "Proxy-Authorization"} & set(request.headers)
    assert request.headers["Accept-Encoding"] == "identity"
    assert gateway.api_key not in str(request.raw_headers)
    assert_paid_once(gateway)


async def test_endless_redirects(luma, gateway, dest):
    """A server that redirects in a circle is abandoned after five redirects."""
    handle = await luma.submit("cat dance")
    gateway.inject(redirects_to(f"{gateway.base_url}/files/{handle.id}/video.mp4"), on="file", times=ALWAYS)
    with pytest.raises(LinkGone):
        await handle.download(dest)
    # Two links, before and after a fresh look, with five redirects each.
    assert gateway.counts["file"] == 2 * 2 * 6


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x.mp4", "http://127.0.0.1:99999/x.mp4", "http://nowhere.invalid/x"]
)
async def test_connection_refused(fetch, dest, names, url):
    """A failed connection is a DownloadError without the query of the address and without aiohttp's exceptions."""
    with pytest.raises(DownloadError) as caught:
        await fetch(dest, completed(f"{url}?X-Amz-Signature=secret"))
    error = caught.value
    while error is not None:
        assert type(error).__module__.partition(".")[0] in {"luma_async", "builtins"}
        assert "secret" not in str(error)
        error = error.__cause__ or error.__context__
    assert names() == []


async def test_signature_is_not_shown(caplog, fetch, server, dest):
    """No log record, error or repr contains the query of an address."""
    caplog.set_level(logging.DEBUG, "luma_async")
    server.statuses = [500] * 4
    with pytest.raises(DownloadError) as caught:
        await fetch(dest, completed(server.url("x?X-Amz-Signature=5ec2e7")))
    assert "5ec2e7" not in str(caught.value) + repr(caught.value) + caplog.text
    assert "5ec2e7" not in repr(Link(url="https://x.example/?5ec2e7", name="link"))


async def test_unusual_addresses(fetch, server, folder):
    """Spaces and non-ASCII letters are quoted; the quoting of a signature is left as it is."""
    for number, path in enumerate(["a b.mp4", "猫.mp4", "x%2Fy%7Ez.mp4?sig=a%2Bb%3D%7E"]):
        await fetch(folder / f"{number}.mp4", completed(server.url(path)))
    assert [request.raw_path for request in server.seen] == [
        "/a%20b.mp4",
        "/%E7%8C%AB.mp4",
        "/x%2Fy%7Ez.mp4?sig=a%2Bb%3D%7E",
    ]
