"""The fake Dream Machine API answers as its document and the recorded answers do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from luma_async.testing import FakeGateway, completes_without_link, fails, file_bytes, new_state, stalls, succeeds

SAMPLES = Path(__file__).parents[2] / "samples" / "dream_machine"
SOURCE = {"url": "https://e.example/a.jpg"}
VIDEO = {"model": "ray-2", "prompt": "cat dance"}
UUID = "123e4567-e89b-12d3-a456-426614174000"
PAID = [
    ("/generations", VIDEO, "submit", "video", "video"),
    ("/generations/video", VIDEO, "submit", "video", "video"),
    ("/generations/image", {"model": "photon-1"}, "image", "image", "image"),
    (
        "/generations/image/reframe",
        {"media": SOURCE, "aspect_ratio": "1:1", "model": "photon-1", "generation_type": "reframe_image"},
        "reframe",
        "reframe_image",
        "image",
    ),
    (
        "/generations/video/reframe",
        {"media": SOURCE, "aspect_ratio": "1:1", "model": "ray-2", "generation_type": "reframe_video"},
        "reframe",
        "reframe_video",
        "video",
    ),
    (
        "/generations/video/modify",
        {"media": SOURCE, "model": "ray-2", "mode": "flex_2", "generation_type": "modify_video"},
        "modify",
        "modify",
        "video",
    ),
]
FREE = [
    ("GET", "/ping", "ping"),
    ("GET", "/credits", "credits"),
    ("GET", "/generations", "list"),
    ("GET", f"/generations/{UUID}", "query"),
    ("DELETE", f"/generations/{UUID}", "delete"),
    ("GET", "/generations/concepts/list", "concepts"),
    ("GET", "/generations/camera_motion/list", "camera_motions"),
]


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text())


def nulls(value):
    """Whether a value contains a null."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(nulls, inner))


@pytest.mark.looptime
@pytest.mark.parametrize(("path", "order", "count", "kind", "generation_type"), PAID)
async def test_paid_requests(client, gateway, path, order, count, kind, generation_type):
    """Every paid request is charged once, and ends with a file of its type."""
    submitted = (await client.luma("POST", path, order)).body
    seen = submitted["state"], submitted["generation_type"], "assets" in submitted
    assert seen == ("queued", generation_type, False)
    assert [(charge.kind, charge.generation_id) for charge in gateway.charges] == [(kind, submitted["id"])]
    assert gateway.counts[count] == 1
    await asyncio.sleep(6)
    assert (await client.luma("GET", f"/generations/{submitted['id']}")).body["state"] == "dreaming"
    await asyncio.sleep(15)
    done = (await client.luma("GET", f"/generations/{submitted['id']}")).body
    assert done | {"state": "queued"} == submitted | {"assets": done["assets"]}
    assert not nulls(submitted)
    assert not nulls(done)
    [link] = [done["assets"][generation_type]]
    name = "image.jpg" if generation_type == "image" else "video.mp4"
    assert (await client.file(link)).raw == file_bytes(name)


@pytest.mark.looptime
async def test_completed_query_fields(client):
    """A completed generation has the recorded fields, except the null that Luma's schema forbids."""
    source = await client.luma_submit_id()
    await asyncio.sleep(21)
    recorded = sample("get-completed")
    frames = {"frame0": {"type": "image"} | SOURCE, "frame1": {"type": "generation", "id": source}}
    order = recorded["request"] | {"model": "ray-1-6", "keyframes": frames}
    generation_id = (await client.luma("POST", "/generations", order)).body["id"]
    await asyncio.sleep(21)
    body = (await client.luma("GET", f"/generations/{generation_id}")).body
    assert set(body) == set(recorded) - {"failure_reason"} | {"generation_type"}
    assert set(body["request"]) == set(recorded["request"]) | {"model", "generation_type"}
    assert set(body["assets"]) == set(recorded["assets"])
    assert body["created_at"].endswith("Z")


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("script", "state", "reason"),
    [
        (fails("Frame moderation failed", after=1), "failed", "Frame moderation failed"),
        (completes_without_link(after=1), "completed", None),
        (new_state("polishing", stalls(1)), "polishing", None),
    ],
)
async def test_states_without_assets(client, gateway, script, state, reason):
    """Failed has a reason, completed may lack its link, and a new state is passed on."""
    gateway.scripts["cat dance"] = script
    generation_id = await client.luma_submit_id()
    assert not {"failure_reason", "assets"} & set((await client.luma("GET", f"/generations/{generation_id}")).body)
    await asyncio.sleep(3)
    body = (await client.luma("GET", f"/generations/{generation_id}")).body
    assert (body["state"], body.get("failure_reason"), "assets" in body) == (state, reason, False)


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("more", "state", "takes_s"),
    [({}, "completed", 20), ({"sync_timeout": 7.5}, "dreaming", 7.5), ({"sync_timeout": -1}, "queued", 0)],
)
async def test_assumed_synchronous_image(client, gateway, more, state, takes_s):
    """The charge is made at once; the answer is sent at the end or at the timeout."""
    loop = asyncio.get_running_loop()
    answer = await client.luma("POST", "/generations/image", {"model": "photon-1", "sync": True} | more)
    assert (answer.status, answer.body["state"]) == (201, state)
    assert gateway.charges[0].at + takes_s == pytest.approx(loop.time(), abs=1)
    assert len(gateway.charges) == 1


async def test_list_pages(client):
    """Pages have the newest first, and report whether there are more."""
    ids = [await client.luma_submit_id(f"cat {number}") for number in range(5)][::-1]
    recorded = sample("list")
    for limit, offset, expected, more in [(2, 0, ids[:2], True), (2, 3, ids[3:], False), (9, 9, [], False)]:
        body = (await client.luma("GET", f"/generations?limit={limit}&offset={offset}")).body
        assert set(body) == set(recorded)
        assert [each["id"] for each in body["generations"]] == expected
        assert (body["has_more"], body["count"], body["limit"], body["offset"]) == (more, len(expected), limit, offset)
    whole = (await client.luma("GET", "/generations")).body
    assert ([each["id"] for each in whole["generations"]], whole["limit"], whole["offset"]) == (ids, 100, 0)
    assert whole["generations"][0] == (await client.luma("GET", f"/generations/{ids[0]}")).body


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("limit=0", []),
        ("limit=-1", []),
        ("limit=1&offset=-1", [2]),
        (f"limit={9**100}&offset=1", [1, 0]),
        (f"offset={9**100}", []),
    ],
)
async def test_assumed_list_integers(client, query, numbers):
    """A negative limit or offset counts as 0, and a huge value is accepted."""
    ids = [await client.luma_submit_id(f"cat {number}") for number in range(3)]
    body = (await client.luma("GET", f"/generations?{query}")).body
    assert [each["id"] for each in body["generations"]] == [ids[number] for number in numbers]


@pytest.mark.parametrize("query", ["limit=a", "limit=1.5", "offset=", "offset=%D9%A1"])
async def test_list_with_invalid_number(client, query):
    """A value that is not an integer gets a 422 that names the parameter."""
    answer = await client.luma("GET", f"/generations?{query}")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["query", query.split("=")[0]])


@pytest.mark.looptime
async def test_delete(client, gateway):
    """A deleted generation is unknown in both dialects, and its charge stays."""
    generation_id = await client.luma_submit_id()
    await asyncio.sleep(21)
    answer = await client.luma("DELETE", f"/generations/{generation_id}")
    assert (answer.status, answer.raw) == (204, b"")
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/upscale"), ("POST", "/audio")]:
        answer = await client.luma(method, f"/generations/{generation_id}{path}", {} if method == "POST" else None)
        assert (answer.status, answer.body) == (404, {"detail": "Generation not found"})
    assert (await client.luma("GET", "/generations")).body["count"] == 0
    assert (await client.query(generation_id)).body["code"] == "task_not_exist"
    assert len(gateway.charges) == 1
    assert gateway.generations[generation_id].deleted


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("what", "order", "generation_type"),
    [("upscale", {"resolution": "4k"}, "upscale_video"), ("audio", {"prompt": "purring"}, "add_audio")],
)
async def test_assumed_upscale_and_audio(client, gateway, what, order, generation_type):
    """Upscale and audio are charged for a completed video, and refused for all others."""
    video, image = await client.luma_submit_id(), (await client.luma("POST", *PAID[2][:2])).body["id"]
    early = await client.luma("POST", f"/generations/{video}/{what}", order)
    await asyncio.sleep(21)
    of_image = await client.luma("POST", f"/generations/{image}/{what}", order)
    unknown = await client.luma("POST", f"/generations/{UUID}/{what}", order)
    assert (early.status, of_image.status, unknown.status, len(gateway.charges)) == (400, 400, 404, 2)
    answer = await client.luma("POST", f"/generations/{video}/{what}", order)
    assert answer.status == 200
    assert answer.body["request"] == {"generation_type": generation_type, **order}
    assert "model" not in answer.body
    assert gateway.charges[-1].kind == gateway.generations[answer.body["id"]].kind == what
    assert gateway.generations[answer.body["id"]].source == video
    assert gateway.counts[what] == 4


@pytest.mark.looptime
@pytest.mark.parametrize("frame", ["frame0", "frame1"])
async def test_assumed_generation_frames(client, gateway, frame):
    """A frame needs a completed video; the video is then charged as an extend."""
    source = await client.luma_submit_id()

    async def extend(generation_id):
        order = VIDEO | {"keyframes": {frame: {"type": "generation", "id": generation_id}}}
        return await client.luma("POST", "/generations/video", order)

    assert [(await extend(generation_id)).status for generation_id in (source, UUID)] == [400, 400]
    await asyncio.sleep(21)
    answer = await extend(source)
    assert (answer.status, answer.body["request"]["generation_type"]) == (201, "video")
    assert [charge.kind for charge in gateway.charges] == ["video", "extend"]
    assert gateway.generations[answer.body["id"]].source == source


async def test_credits(client):
    """Every paid request takes cents from the balance, and no other request does."""
    before = (await client.luma("GET", "/credits")).body
    assert set(before) == set(sample("credits"))
    left = before["credit_balance"]
    for path, order, *_ in PAID:
        await client.luma("POST", path, order)
        await client.luma("GET", "/generations")
        now = (await client.luma("GET", "/credits")).body["credit_balance"]
        assert now < left
        left = now


async def test_words_and_ping(client):
    """Concepts and camera motions are lists of strings, and a ping is answered."""
    for path in ("/generations/concepts/list", "/generations/camera_motion/list"):
        words = (await client.luma("GET", path)).body
        assert words
        assert all(isinstance(word, str) for word in words)
    assert (await client.luma("GET", "/ping")).body == {"message": "pong"}


@pytest.mark.parametrize(
    ("method", "path", "order"),
    [("POST", path, order) for path, order, *_ in PAID]
    + [("POST", f"/generations/{UUID}/{what}", {}) for what in ("upscale", "audio")]
    + [(method, path, None) for method, path, _ in FREE],
)
async def test_key_is_required(client, gateway, method, path, order):
    """Without the correct key, each endpoint answers with the recorded 401 and charges nothing."""
    recorded = json.loads((SAMPLES.parent / "errors" / "401-dream-machine.json").read_text())
    for shown in ("Bearer wrong", "Bearer ", "", "sk-fake", "Basic sk-fake"):
        answer = await client.luma(method, path, order, headers={"Authorization": shown})
        assert (answer.status, answer.body) == (recorded["status"], recorded["body"])
    assert gateway.charges == ()


@pytest.mark.parametrize(("method", "path", "kind"), FREE)
async def test_free_requests_are_counted(client, gateway, method, path, kind):
    """Free requests have kinds, too."""
    await client.luma(method, path)
    assert gateway.counts == {kind: 1}


async def test_wrong_paths_and_methods(client, gateway):
    """A wrong method gets a 405 with `Allow`, an unknown path a 404."""
    for method, path, allowed in [
        ("PUT", "/generations", "GET, POST"),
        ("POST", f"/generations/{UUID}", "GET, DELETE"),
        ("DELETE", "/credits", "GET"),
        ("GET", f"/generations/{UUID}/audio", "POST"),
    ]:
        answer = await client.luma(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert answer.body == {"detail": "Method Not Allowed"}
    answer = await client.luma("GET", "/nothing/here")
    assert (answer.status, answer.body) == (404, {"detail": "Not Found"})
    assert gateway.counts == {"unknown": 5}


@pytest.mark.looptime
async def test_relay_submit_is_visible(client):
    """Submits in the relay dialect are listed here, with a type and a model."""
    first = (await client.submit("first cat", loop=None)).body["id"]
    old = {"user_prompt": "second cat", "aspect_ratio": "9:16", "image_url": "data:image/png;base64,AA=="}
    second = (await client.ask("POST", "/luma/generations", json=old)).body["id"]
    await asyncio.sleep(21)
    third = (await client.ask("POST", f"/luma/generations/{first}/extend", json={"prompt": "more cat"})).body["id"]
    sound = (await client.submit("purring", task_id=first)).body["id"]
    listed = (await client.luma("GET", "/generations")).body["generations"]
    assert [each["id"] for each in listed] == [sound, third, second, first]
    assert [each["request"] for each in listed] == [
        {"generation_type": "add_audio", "prompt": "purring"},
        {"generation_type": "video", "model": "ray-2", "prompt": "more cat"},
        {"generation_type": "video", "model": "ray-2", "prompt": "second cat", "aspect_ratio": "9:16"},
        {"generation_type": "video", "model": "ray-2", "prompt": "first cat", "aspect_ratio": "16:9"},
    ]
    assert set(listed[2]["assets"]) == {"video"}


@pytest.mark.looptime
async def test_visible_in_relay_dialect(client):
    """A video has a query, a row and a link in the relay dialect; an image is unknown there."""
    video, image = await client.luma_submit_id(), (await client.luma("POST", *PAID[2][:2])).body["id"]
    await asyncio.sleep(21)
    assert (await client.query(video)).body["video"]["download_url"]
    assert [row["task_id"] for row in (await client.tasks(video, image)).body["data"]] == [video]
    assert (await client.link(video)).status == 200
    for answer in (await client.query(image), await client.link(image)):
        assert (answer.status, answer.body["code"]) == (400, "task_not_exist")
    extend = await client.ask("POST", f"/luma/generations/{image}/extend", json={"prompt": "more"})
    assert extend.body["code"] == "task_not_exist"


async def test_prefix(client):
    """`prefix=` applies to every endpoint of the Dream Machine API."""
    async with FakeGateway(prefix="/vip", script=succeeds(0)) as gateway:
        client.gateway = gateway
        assert gateway.dream_machine_url == f"http://127.0.0.1:{gateway.port}/vip/dream-machine/v1"
        link = (await client.luma("POST", "/generations", VIDEO)).body["assets"]["video"]
        assert (await client.file(link)).status == 200
        assert (await client.ask("GET", f"http://127.0.0.1:{gateway.port}/dream-machine/v1/ping")).status == 404
