"""What leaves a session, byte for byte: method, address, headers and body of every call in the official format."""

from __future__ import annotations

import json

import pytest
from samples_of import sample
from yarl import URL

from luma_async import (
    AudioRequest,
    DreamMachine,
    ExtendRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    InvalidInput,
    Keyframes,
    LumaSession,
    ModifyRequest,
    ReframeRequest,
    State,
    UpscaleRequest,
    VideoRequest,
)

# Luma announced the end of this API; relays still speak its dialect.
pytestmark = pytest.mark.filterwarnings("ignore:Luma announced:DeprecationWarning")

KEY = "luma-official"
LUMA = "https://api.lumalabs.ai/dream-machine/v1"
QUEUED = sample("dream_machine", "create-201-queued-relay")
SOURCE = GenerationKeyframe("749d328e-4fd0-43a8-8c89-32394d60da69")
TIGER = ImageKeyframe("https://pictures.example/tiger.jpg")
CLIP, STILL = "https://media.example/cat.mp4", "https://media.example/cat.jpg"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("LUMA_BASE_URL", raising=False)
    monkeypatch.setenv("LUMA_API_KEY", "sk-relay")
    monkeypatch.setenv("LUMAAI_API_KEY", KEY)


def only_request(mocked_http):
    """The one request that was sent: method, address, headers, and body as JSON."""
    ((method, url), calls) = next(iter(mocked_http.requests.items()))
    assert len(mocked_http.requests) == len(calls) == 1
    sent = calls[0].kwargs
    assert sent["allow_redirects"] is False
    body = sent.get("data")
    return method, str(url), sent["headers"], None if body is None else json.loads(body)


PURCHASES = {
    "a video": (
        VideoRequest("cat dance", keyframes=Keyframes(TIGER), loop=True, resolution="720p", concepts=("static",)),
        "/generations",
        201,
        {
            "model": "ray-2",
            "prompt": "cat dance",
            "aspect_ratio": "16:9",
            "keyframes": {"frame0": {"type": "image", "url": TIGER.url}},
            "loop": True,
            "resolution": "720p",
            "concepts": [{"key": "static"}],
        },
    ),
    "a continuation": (
        ExtendRequest(SOURCE.id, "it sits"),
        "/generations",
        200,
        {
            "model": "ray-2",
            "prompt": "it sits",
            "keyframes": {"frame0": {"type": "generation", "id": SOURCE.id}},
        },
    ),
    "sound": (
        AudioRequest(SOURCE.id, "purring", negative_prompt="barking"),
        f"/generations/{SOURCE.id}/audio",
        200,
        {"prompt": "purring", "negative_prompt": "barking"},
    ),
    "more pixels": (
        UpscaleRequest(SOURCE.id, resolution="4k", notify_hook="https://me.example/hook"),
        f"/generations/{SOURCE.id}/upscale",
        200,
        {"resolution": "4k", "callback_url": "https://me.example/hook"},
    ),
    "a picture": (
        ImageRequest("a cat", image_refs=(ImageReference(STILL, weight=0.5),), format="png"),
        "/generations/image",
        201,
        {
            "model": "photon-1",
            "prompt": "a cat",
            "aspect_ratio": "16:9",
            "image_ref": [{"url": STILL, "weight": 0.5}],
            "format": "png",
        },
    ),
    "a reframed picture": (
        ReframeRequest(STILL, kind="image", aspect_ratio="1:1"),
        "/generations/image/reframe",
        201,
        {"generation_type": "reframe_image", "media": {"url": STILL}, "model": "photon-1", "aspect_ratio": "1:1"},
    ),
    "a modified video": (
        ModifyRequest(CLIP, mode="flex_2", prompt="at night"),
        "/generations/video/modify",
        201,
        {
            "generation_type": "modify_video",
            "media": {"url": CLIP},
            "model": "ray-2",
            "mode": "flex_2",
            "prompt": "at night",
        },
    ),
}


@pytest.mark.parametrize(("request_", "below", "status", "body"), PURCHASES.values(), ids=PURCHASES.keys())
async def test_submit_request(mocked_http, request_, below, status, body):
    """Each kind of submit is one POST to its path at Luma, with Luma's key and exactly its fields."""
    mocked_http.post(LUMA + below, status=status, payload=QUEUED)
    async with LumaSession(dialect=DreamMachine()) as luma:
        handle = await luma.submit(request_)
    method, url, headers, sent = only_request(mocked_http)
    assert (method, url, sent) == ("POST", LUMA + below, body)
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert set(headers) == {"Authorization", "Content-Type", "Accept", "Accept-Encoding", "User-Agent"}
    assert (handle.id, handle.last.state) == (QUEUED["id"], State.PENDING)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://relay.example", "https://relay.example/dream-machine/v1/generations"),
        ("https://relay.example/vip/", "https://relay.example/vip/dream-machine/v1/generations"),
        ("https://relay.example/vip/dream-machine/v1", "https://relay.example/vip/dream-machine/v1/generations"),
        ("https://api.lumalabs.ai/dream-machine/v1/", f"{LUMA}/generations"),
    ],
)
async def test_base_url_path(mocked_http, base, url):
    """The format's path appears once, below any path of the base URL."""
    mocked_http.post(url, status=201, payload=QUEUED)
    async with LumaSession(base_url=base, dialect=DreamMachine()) as luma:
        await luma.submit("cat dance")
    assert only_request(mocked_http)[1] == url


async def test_create_path(mocked_http):
    """The path for creating a video is a setting."""
    mocked_http.post(f"{LUMA}/generations/video", status=201, payload=QUEUED)
    async with LumaSession(dialect=DreamMachine(create_path="/generations/video")) as luma:
        await luma.submit("cat dance")
    assert only_request(mocked_http)[1] == f"{LUMA}/generations/video"


async def test_get_request(mocked_http):
    """A single query is a GET, and the link of an image is read like that of a video."""
    recorded = sample("dream_machine", "get-completed-image")
    mocked_http.get(f"{LUMA}/generations/{recorded['id']}", payload=recorded)
    async with LumaSession(dialect=DreamMachine()) as luma:
        generation = await luma.get(recorded["id"])
    assert only_request(mocked_http)[::3] == ("GET", None)
    assert generation.image.url == recorded["assets"]["image"]


async def test_video_url_without_link_call(mocked_http):
    """There is no call for a link: a completed generation has it, without a watermark."""
    recorded = sample("dream_machine", "get-completed")
    mocked_http.get(f"{LUMA}/generations/{recorded['id']}", payload=recorded)
    async with LumaSession(dialect=DreamMachine()) as luma:
        assert await luma.video_url(recorded["id"]) == recorded["assets"]["video"]
    assert len(mocked_http.requests) == 1


QUESTIONS = {
    "list": (
        lambda luma: luma.library.list(7, 3),
        "GET",
        "/generations?limit=7&offset=3",
        sample("dream_machine", "list"),
    ),
    "concepts": (lambda luma: luma.library.concepts(), "GET", "/generations/concepts/list", ["static"]),
    "camera motions": (lambda luma: luma.library.camera_motions(), "GET", "/generations/camera_motion/list", ["Pan"]),
    "credits": (lambda luma: luma.account.credits(), "GET", "/credits", sample("dream_machine", "credits")),
    "ping": (lambda luma: luma.ping(), "GET", "/ping", {"message": "pong"}),
}


@pytest.mark.parametrize(("ask", "method", "below", "payload"), QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_free_request(mocked_http, ask, method, below, payload):
    """A free call is one request to its path, with Luma's key and without a body."""
    mocked_http.get(URL(LUMA + below), payload=payload)
    async with LumaSession(dialect=DreamMachine()) as luma:
        await ask(luma)
    sent_method, url, headers, body = only_request(mocked_http)
    assert (sent_method, url, body) == (method, LUMA + below, None)
    assert headers["Authorization"] == f"Bearer {KEY}"


async def test_delete_request(mocked_http):
    """A deletion is a DELETE, and succeeds with 204 and no body."""
    mocked_http.delete(f"{LUMA}/generations/some-id", status=204)
    async with LumaSession(dialect=DreamMachine()) as luma:
        assert await luma.library.delete("some-id") is None
    assert only_request(mocked_http)[:2] == ("DELETE", f"{LUMA}/generations/some-id")


async def test_unsupported_field(mocked_http):
    """A field that the format does not have is refused before any request, and leaves no entry."""
    async with LumaSession(dialect=DreamMachine()) as luma:
        with pytest.raises(InvalidInput, match="expand_prompt"):
            await luma.submit("cat dance", expand_prompt=True)
        assert await luma.doubts.list() == []
    assert mocked_http.requests == {}
