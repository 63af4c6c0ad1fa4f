"""The fake Agents API answers generations as the guides and the samples do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from luma_async.testing import AgentsBehaviour, FakeGateway, fails, file_bytes, stalls

SAMPLES = Path(__file__).parents[2] / "samples" / "agents"
VIDEO = {"model": "ray-3.2", "type": "video", "prompt": "a paper boat"}
SOURCE = {"url": "https://video.example/in.mp4", "media_type": "video/mp4"}
PAID = {
    "video": (VIDEO, "video", ["video"]),
    "exr": (VIDEO | {"video": {"hdr": True, "exr_export": True}}, "video", ["video", "exr"]),
    "image": ({"prompt": "a boat"}, "image", ["image"]),
    "image_edit": ({"type": "image_edit", "prompt": "a boat", "source": SOURCE}, "image_edit", ["image"]),
    "video_edit": (VIDEO | {"type": "video_edit", "source": SOURCE}, "modify", ["video"]),
    "video_reframe": (
        VIDEO | {"type": "video_reframe", "source": SOURCE, "aspect_ratio": "9:16"},
        "reframe_video",
        ["video"],
    ),
    "layering": ({"type": "layering", "prompt": "a boat", "source": SOURCE}, "layering", ["image", "image"]),
}


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text())


def error(name):
    """The recorded answer to a refused request."""
    recorded = sample(f"errors/{name}")
    return recorded["status"], recorded["body"]


async def submit(client, body, **more):
    return await client.ask("POST", "/v1/generations", json=body, **more)


@pytest.mark.looptime
@pytest.mark.parametrize(("body", "kind", "outputs"), PAID.values(), ids=PAID.keys())
async def test_every_type(client, gateway, body, kind, outputs):
    """Every type is charged once, and ends with its outputs in the form of the samples."""
    submitted = await submit(client, body)
    queued = submitted.body
    assert (submitted.status, queued["state"], queued["output"]) == (201, "queued", [])
    assert queued.keys() == sample("create-201-queued")["body"].keys()
    assert [(charge.kind, charge.generation_id) for charge in gateway.charges] == [(kind, queued["id"])]
    await asyncio.sleep(6)
    assert (await client.ask("GET", f"/v1/generations/{queued['id']}")).body["state"] == "processing"
    await asyncio.sleep(15)
    done = (await client.ask("GET", f"/v1/generations/{queued['id']}")).body
    assert [output["type"] for output in done["output"]] == outputs
    assert done | {"state": "queued", "output": []} == queued
    first = await client.file(done["output"][0]["url"])
    assert first.raw == file_bytes("video.mp4" if outputs[0] == "video" else "image.jpg")
    seen = await client.luma("GET", f"/generations/{queued['id']}")
    assert (seen.status, seen.body["state"]) == (200, "completed")


@pytest.mark.parametrize("name", ["video", "i2v", "edit"])
async def test_sample_requests(client, gateway, name):
    """The requests of the samples are accepted, and all their fields are known."""
    assert (await submit(client, sample(f"create-request-{name}"))).status == 201
    assert gateway.unknown_fields == set()


@pytest.mark.looptime
@pytest.mark.parametrize("name", ["extend", "reframe"])
async def test_sample_of_a_source(client, gateway, name):
    """The requests of the samples that build on a generation are accepted once it is completed."""
    body = sample(f"create-request-{name}")
    assert (await submit(client, body)).status == 422
    source = (await submit(client, VIDEO)).body["id"]
    await asyncio.sleep(21)
    text = json.dumps(body).replace("c0ffee00-1111-4222-8333-444455556666", source)
    assert (await submit(client, json.loads(text))).status == 201
    assert gateway.charges[1].kind == {"extend": "extend", "reframe": "reframe_video"}[name]


@pytest.mark.looptime
async def test_failed_generation(client, gateway):
    """A failed generation has its reason and its code."""
    recorded = sample("get-failed-moderated")
    gateway.scripts["a paper boat"] = fails(recorded["failure_reason"], after=1, code=recorded["failure_code"])
    generation = (await submit(client, VIDEO)).body
    await asyncio.sleep(2)
    answer = (await client.ask("GET", f"/v1/generations/{generation['id']}")).body
    assert answer == recorded | {"id": generation["id"], "created_at": generation["created_at"]}


@pytest.mark.looptime
async def test_links_are_signed_again(client, gateway):
    """A link works for an hour, and a query signs another."""
    path = f"/v1/generations/{(await submit(client, VIDEO)).body['id']}"
    await asyncio.sleep(21)
    [old] = (await client.ask("GET", path)).body["output"]
    await asyncio.sleep(3601)
    [new] = (await client.ask("GET", path)).body["output"]
    assert [(await client.file(each["url"])).status for each in (old, new)] == [403, 200]
    assert gateway.leaks == ()


REFUSED = {
    "400-unknown-model": {"model": "ray-2"},
    "400-type-model": {"model": "uni-1"},
    "400-aspect": {"model": "uni-1", "type": "image", "aspect_ratio": "4:3"},
    "400-prompt": {"prompt": ""},
    "422-fetch": {"model": "uni-1", "type": "image", "image_ref": [{"url": "https://gone.example/a.jpg"}]},
}


@pytest.mark.parametrize(("name", "change"), REFUSED.items(), ids=REFUSED.keys())
async def test_documented_refusals(client, gateway, name, change):
    """Wrong requests get the documented status and text, and are not charged."""
    gateway.agents.unreachable_urls = frozenset({"https://gone.example/a.jpg"})
    answer = await submit(client, VIDEO | change)
    assert (answer.status, answer.body) == error(name)
    assert gateway.charges == ()


PICTURE = {"url": "https://image.example/a.jpg"}
KEYFRAMES = {"keyframes": [PICTURE], "keyframe_indexes": [0]}
EXCLUSIONS = {
    "long start": ({"duration": "10s", "start_frame": PICTURE}, ("video.duration", "video.start_frame")),
    "long loop": ({"loop": True, "duration": "10s"}, ("video.loop", "video.duration")),
    "HDR loop": ({"loop": True, "hdr": True}, ("video.loop", "video.hdr")),
    "loop to end": ({"loop": True, "end_frame": PICTURE}, ("video.loop", "video.end_frame")),
    "small HDR": ({"hdr": True, "resolution": "540p"}, ("video.hdr", "video.resolution")),
    "long HDR": ({"hdr": True, "duration": "10s"}, ("video.hdr", "video.duration")),
    "EXR": ({"exr_export": True}, ("video.exr_export", "video.hdr")),
    "keyframes": ({**KEYFRAMES, "start_frame": PICTURE}, ("video.keyframes", "video.start_frame")),
    "indexes": ({**KEYFRAMES, "keyframe_indexes": [0, 1]}, ("video.keyframe_indexes", "video.keyframes")),
    "late index": ({**KEYFRAMES, "keyframe_indexes": [121]}, ("video.keyframe_indexes", "120")),
    "edit": ({"edit": {"strength": "flex_1"}}, ("video.edit", "video_edit")),
    "wrong word": ({"duration": 5}, ("video.duration",)),
}


@pytest.mark.parametrize(("video", "words"), EXCLUSIONS.values(), ids=EXCLUSIONS.keys())
async def test_assumed_exclusions(client, gateway, video, words):
    """Options that exclude each other get a 422 that names them; it is no list."""
    answer = await submit(client, VIDEO | {"video": video})
    assert answer.status == 422
    assert all(word in answer.body["detail"] for word in words)
    assert gateway.charges == ()


async def test_long_video_of_keyframes(client):
    """Keyframes may be combined with HDR and 10 seconds, and null means absent."""
    video = {**KEYFRAMES, "keyframe_indexes": [240], "hdr": True, "duration": "10s", "end_frame": None}
    assert (await submit(client, VIDEO | {"video": video})).status == 201


async def test_keys(client):
    """A missing key and a wrong key have their own texts, and every answer has its headers."""
    missing = await submit(client, VIDEO, headers={"Authorization": "", "X-Request-Id": "mine"})
    assert (missing.status, missing.body) == error("401-missing")
    assert (missing.headers["X-Request-Id"], missing.headers["X-API-Version"]) == ("mine", "2026-04-01")
    assert (await submit(client, VIDEO, key="wrong")).body == {"detail": "Invalid API key"}


@pytest.mark.parametrize("generation_id", ["c0ffee00-1111-4222-8333-444455556666", "no-uuid"])
async def test_unknown_id(client, generation_id):
    """An unknown id is not found, nor is one that is no uuid."""
    answer = await client.ask("GET", f"/v1/generations/{generation_id}")
    assert (answer.status, answer.body) == error("404")


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("DELETE", 405)])
async def test_no_list_and_no_delete(client, method, status):
    """There is no list of generations and nothing deletes them."""
    path = "/v1/generations" if method == "GET" else "/v1/generations/any"
    assert (await client.ask(method, path)).status == status


@pytest.mark.looptime
async def test_minute_limit(client, gateway):
    """The submit above the limit of a minute gets a 429 with the wait, which is long enough."""
    gateway.agents.max_unfinished = None
    first = await submit(client, VIDEO)
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("30", "29")
    await asyncio.sleep(10)
    for _ in range(29):
        assert (await submit(client, VIDEO)).status == 201
    refused = await submit(client, VIDEO)
    assert (refused.status, refused.body) == error("429-rpm")
    assert sample("errors/429-rpm")["headers"].keys() <= refused.headers.keys()
    await asyncio.sleep(int(refused.headers["Retry-After"]))
    assert [(await submit(client, VIDEO)).status for _ in range(2)] == [201, 429]


@pytest.mark.looptime
async def test_unfinished_limit(client, gateway):
    """The eleventh unfinished job gets a 429 without rate headers; a place is held for an hour at most."""
    gateway.scripts["a paper boat"] = stalls()
    for _ in range(10):
        await submit(client, VIDEO)
    refused = await submit(client, VIDEO)
    assert (refused.status, refused.body, refused.headers["Retry-After"]) == (*error("429-concurrent"), "60")
    assert not [name for name in refused.headers if name.startswith("X-RateLimit")]
    await asyncio.sleep(3601)
    assert (await submit(client, VIDEO)).status == 201


@pytest.mark.looptime
async def test_general_ceiling(client, gateway):
    """The general ceiling counts requests of every kind, and its 429 has only the wait."""
    gateway.agents.requests_per_minute = 1
    generation_id = (await submit(client, VIDEO)).body["id"]
    refused = await client.ask("GET", f"/v1/generations/{generation_id}")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert not [name for name in refused.headers if name.startswith("X-RateLimit")]


async def test_without_strict(client):
    """Without `strict`, any id is a completed video, combinations are accepted, and no limit applies."""
    async with FakeGateway(strict=False, agents=AgentsBehaviour(submits_per_minute=1, max_unfinished=1)) as gateway:
        url = f"{gateway.agents_url}/generations"
        body = VIDEO | {"video": {"loop": True, "hdr": True}}
        assert [(await client.ask("POST", url, json=body)).status for _ in range(3)] == [201] * 3
        assert (await client.ask("GET", f"{url}/any", key="any")).body["state"] == "completed"
        assert (await client.ask("POST", url, json={"prompt": 1})).status == 422
