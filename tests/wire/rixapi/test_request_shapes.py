"""What leaves a session, byte for byte: method, address, headers and body of every call in the relay format."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime

import pytest
from samples_of import sample
from yarl import URL

from luma_async import (
    AudioRequest,
    ExtendRequest,
    GenerationKeyframe,
    ImageKeyframe,
    InvalidInput,
    Keyframes,
    LumaSession,
    PollPolicy,
    RixAPI,
    State,
    UnsupportedOperation,
    UpscaleRequest,
    VideoRequest,
)
from luma_async.testing import FakeGateway, succeeds

KEY, BASE = "sk-relay", "https://relay.example"
SUBMIT = f"{BASE}/luma/generations"
TIGER = ImageKeyframe("https://pictures.example/tiger.jpg")
EARLIER = GenerationKeyframe("749d328e-4fd0-43a8-8c89-32394d60da69")
PENDING = sample("rixapi", "submit-201-pending")


def session(**settings):
    return LumaSession(KEY, base_url=BASE, **settings)


def only_request(mocked_http):
    """The one request that was sent: method, address, headers, and body as JSON."""
    ((method, url), calls) = next(iter(mocked_http.requests.items()))
    assert len(mocked_http.requests) == len(calls) == 1
    sent = calls[0].kwargs
    body = sent.get("data")
    return method, str(url), sent["headers"], None if body is None else json.loads(body)


async def test_documented_example(mocked_http):
    """The page's example is sent as documented, without further keys, and its answer is a pending generation."""
    mocked_http.post(SUBMIT, status=201, payload=PENDING)
    documented = sample("rixapi", "submit-request-2025")
    frame = ImageKeyframe(documented["keyframes"]["frame0"]["url"])
    async with session() as luma:
        handle = await luma.submit("cat dance", aspect_ratio="16:9", keyframes=Keyframes(frame0=frame))
    method, url, headers, body = only_request(mocked_http)
    assert (method, url, body) == ("POST", SUBMIT, documented)
    assert (headers["Authorization"], headers["Content-Type"]) == (f"Bearer {KEY}", "application/json")
    assert set(headers) == {"Authorization", "Content-Type", "Accept", "Accept-Encoding", "User-Agent"}
    assert handle.id == "fc7fb008-7a5e-40ad-a7ff-dbb63db61be8"
    assert handle.last.state is State.PENDING
    assert handle.last.created_at == datetime(2024, 7, 22, 12, 47, 28, 553_735, tzinfo=UTC)
    assert handle.last.created_at.tzinfo is UTC
    assert handle.last.prompt == "cat dance"


CAT_2024 = {"user_prompt": "cat dance", "aspect_ratio": "16:9"}
PURCHASES = {
    "a video": ("2025", VideoRequest("cat dance"), "", {"prompt": "cat dance", "aspect_ratio": "16:9"}),
    "a video from a generation": (
        "2025",
        VideoRequest("cat dance", aspect_ratio="1:1", keyframes=Keyframes(EARLIER, TIGER), loop=False),
        "",
        {
            "prompt": "cat dance",
            "aspect_ratio": "1:1",
            "loop": False,
            "keyframes": {
                "frame0": {"type": "generation", "id": EARLIER.id},
                "frame1": {"type": "image", "url": TIGER.url},
            },
        },
    ),
    "a continuation": ("2025", ExtendRequest("some-id", "it sits"), "/some-id/extend", {"prompt": "it sits"}),
    "sound": ("2025", AudioRequest("some-id", "purring"), "", {"prompt": "purring", "task_id": "some-id"}),
    "a video, 2024": ("2024", VideoRequest("cat dance"), "", CAT_2024),
    "a video from a picture, 2024": (
        "2024",
        VideoRequest("cat dance", keyframes=Keyframes(TIGER), model="ray-v2", duration="5s"),
        "",
        {**CAT_2024, "image_url": TIGER.url, "model_name": "ray-v2", "duration": "5s"},
    ),
    "a continuation, 2024": (
        "2024",
        ExtendRequest("some-id", "add cat", expand_prompt=True),
        "/some-id/extend",
        sample("rixapi", "extend-request-2024"),
    ),
    "sound, 2024": ("2024", AudioRequest("some-id", "purring"), "", {"user_prompt": "purring", "task_id": "some-id"}),
}


@pytest.mark.parametrize(("edition", "request_", "below", "expected"), PURCHASES.values(), ids=PURCHASES.keys())
async def test_submit_request(mocked_http, edition, request_, below, expected):
    """Each kind of submit is one POST to its path with exactly the fields of its edition."""
    mocked_http.post(f"{SUBMIT}{below}", status=200, payload=sample("rixapi", "extend-200"))
    async with session(dialect=RixAPI(edition=edition)) as luma:
        handle = await luma.submit(request_)
    method, url, headers, body = only_request(mocked_http)
    assert (method, url, body) == ("POST", f"{SUBMIT}{below}", expected)
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert handle.id == "749d328e-4fd0-43a8-8c89-32394d60da69"


@pytest.mark.parametrize(
    ("base", "dialect", "url"),
    [
        (f"{BASE}/vip", RixAPI(), f"{BASE}/vip/luma/generations"),
        (BASE, RixAPI(prefix="/pro/luma"), f"{BASE}/pro/luma/generations"),
        (f"{BASE}/", RixAPI(prefix=""), f"{BASE}/generations"),
    ],
)
async def test_base_url_and_prefix(mocked_http, base, dialect, url):
    """The base URL's own path and the dialect's prefix come before the path of a call."""
    mocked_http.post(url, status=201, payload=PENDING)
    async with LumaSession(KEY, base_url=base, dialect=dialect) as luma:
        await luma.submit("cat dance")
    assert only_request(mocked_http)[1] == url


async def test_get_request(mocked_http):
    """A single query is a GET without a body, and its answer is read in full."""
    recorded = sample("rixapi", "query-completed-2024")
    mocked_http.get(f"{SUBMIT}/{recorded['id']}", payload=recorded)
    async with session() as luma:
        generation = await luma.get(recorded["id"])
    method, url, _, body = only_request(mocked_http)
    assert (method, url, body) == ("GET", f"{SUBMIT}/{recorded['id']}", None)
    assert generation.state is State.COMPLETED
    assert generation.video.download_url == recorded["video"]["download_url"]


async def test_get_many_request(mocked_http):
    """A query for several is one POST with their ids."""
    first, second = sample("rixapi", "query-completed-2024"), sample("rixapi", "query-completed-2025")
    mocked_http.post(f"{BASE}/luma/tasks", payload=[second, first])
    async with session() as luma:
        found = await luma.get_many([first["id"], second["id"]])
    method, url, headers, body = only_request(mocked_http)
    assert (method, url, body) == ("POST", f"{BASE}/luma/tasks", {"ids": [first["id"], second["id"]]})
    assert headers["Content-Type"] == "application/json"
    assert list(found) == [first["id"], second["id"]]


async def test_link_request(mocked_http):
    """If a video has no link, the watermark-free link is requested once, below the generation's path."""
    bare = sample("rixapi", "query-completed-no-link")
    address = f"{SUBMIT}/{bare['id']}"
    mocked_http.get(address, payload=bare, repeat=True)
    mocked_http.get(f"{address}/download_video_url", payload=sample("rixapi", "download-url"))
    async with session() as luma:
        assert await luma.video_url(bare["id"]) == sample("rixapi", "download-url")["url"]
    assert set(mocked_http.requests) == {("GET", URL(address)), ("GET", URL(f"{address}/download_video_url"))}
    assert len(mocked_http.requests["GET", URL(f"{address}/download_video_url")]) == 1


async def test_account_request(mocked_http):
    """The account page gets the access token and the account's number, and never the API key."""
    mocked_http.get(f"{BASE}/api/user/self", payload=sample("rixapi", "user-self"))
    mocked_http.get(f"{BASE}/api/usage/token", payload=sample("rixapi", "usage-token"))
    async with session(dialect=RixAPI(access_token="at-secret", user_id=1)) as luma:
        assert (await luma.account.user()).quota == 500_000
        assert (await luma.account.key()).available == 987_655
    user, key = (
        mocked_http.requests["GET", URL(f"{BASE}{path}")][0].kwargs["headers"]
        for path in ("/api/user/self", "/api/usage/token")
    )
    assert (user["Authorization"], user["New-Api-User"]) == ("Bearer at-secret", "1")
    assert KEY not in str(user)
    assert key["Authorization"] == f"Bearer {KEY}"
    assert "New-Api-User" not in key


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (VideoRequest("cat dance", concepts=("dolly_zoom",)), InvalidInput),
        (VideoRequest("cat dance", extra={"prompt": "dog"}), InvalidInput),
        (UpscaleRequest("some-id"), UnsupportedOperation),
    ],
)
async def test_unsupported_request(mocked_http, request_, error):
    """A request that the format does not support is refused before any request, and leaves no entry."""
    async with session() as luma:
        with pytest.raises(error):
            await luma.submit(request_)
        assert await luma.doubts.list() == []
        assert await luma.resume() == []
    assert mocked_http.requests == {}


@pytest.mark.looptime
async def test_batch_size_of_one():
    """With `batch_size=1` only single queries are sent."""
    async with FakeGateway(script=succeeds(after=5)) as gateway:
        settings = {"base_url": gateway.base_url, "dialect": RixAPI(batch_size=1), "poll": PollPolicy.fixed(1)}
        async with LumaSession(gateway.api_key, **settings) as luma:
            handles = [await luma.submit(f"cat {number}") for number in range(3)]
            states = [outcome.generation.state async for outcome in luma.as_completed(handles)]
            found = await luma.get_many(handle.id for handle in handles)
        assert states == [State.COMPLETED] * 3
        assert len(found) == 3
        assert gateway.counts["query"] >= 6
        assert set(gateway.counts) <= {"submit", "query"}


async def test_converter_is_loaded_on_open():
    """The converter is loaded when a session opens: not on import, and not with the first answer."""
    code = """
import asyncio, sys, luma_async
async def main():
    print("cattrs" in sys.modules)
    async with luma_async.LumaSession("sk-relay", base_url="https://relay.example"):
        print("cattrs" in sys.modules)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert printed.split() == [b"False", b"True"]
