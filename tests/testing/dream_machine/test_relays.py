"""The Dream Machine API as relays offer it: two endpoints, older names, nulls, and errors in the relay's form."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from luma_async.testing import DreamMachineBehaviour, fails, rejects

SAMPLES = Path(__file__).parents[2] / "samples"
ORDER = {"prompt": "cat dance", "aspect_ratio": "16:9"}


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text())


@pytest.fixture
def gateway_options():
    return {"dream_machine": DreamMachineBehaviour(relay=True)}


async def test_submit_fields(client, gateway):
    """The answer to a submit is the recorded answer, with nulls, and `type` in addition."""
    recorded = sample("dream_machine/create-201-queued-relay")
    order = recorded["request"] | {"callback_url": "https://e.example/hook"}
    answer = await client.luma("POST", "/generations", order)
    assert answer.status == 201
    ours = {"id": answer.body["id"], "created_at": answer.body["created_at"], "request": order}
    assert answer.body == recorded | ours | {"type": "video"}
    assert len(gateway.charges) == 1


@pytest.mark.looptime
async def test_query_fields(client, gateway):
    """A completed generation has a link and a version; a failed generation has a reason and no assets."""
    gateway.scripts["bad cat"] = fails("Job failed")
    ids = [
        (await client.luma("POST", "/generations", ORDER | more)).body["id"]
        for more in ({"model": "ray-2"}, {"prompt": "bad cat"})
    ]
    await asyncio.sleep(21)
    good, bad = [(await client.luma("GET", f"/generations/{generation_id}")).body for generation_id in ids]
    assert set(good) == set(bad) == set(sample("dream_machine/create-201-queued-relay")) | {"type"}
    assert (good["version"], good["failure_reason"], set(good["assets"])) == ("ray-2", None, {"video"})
    assert (bad["version"], bad["failure_reason"], bad["assets"]) == (None, "Job failed", None)


@pytest.mark.looptime
async def test_flat_query(client, gateway):
    """With `flat_query`, the answer is the body of the relay dialect."""
    gateway.dream_machine.flat_query = True
    generation_id = (await client.luma("POST", "/generations", ORDER)).body["id"]
    await asyncio.sleep(21)
    body = (await client.luma("GET", f"/generations/{generation_id}")).body
    assert body == (await client.query(generation_id)).body
    assert set(body) == set(sample("rixapi/query-completed-2025"))


async def test_behaviour_can_change(client, gateway):
    """A changed behaviour applies from the next request on."""
    generation_id = (await client.luma("POST", "/generations", ORDER)).body["id"]
    gateway.dream_machine.relay = False
    body = (await client.luma("GET", f"/generations/{generation_id}")).body
    assert (body["generation_type"], body["model"]) == ("video", "ray-2")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/generations/video"),
        ("POST", "/generations/image"),
        ("POST", "/generations/a/upscale"),
        ("GET", "/generations"),
        ("DELETE", "/generations/a"),
        ("GET", "/generations/concepts/list"),
        ("GET", "/credits"),
        ("PUT", "/generations"),
        ("GET", "/nothing"),
    ],
)
async def test_undocumented_endpoints(client, method, path):
    """Endpoints that relays do not document get the relay's 404."""
    answer = await client.luma(method, path, ORDER)
    assert (answer.status, answer.body["error"]["message"]) == (404, f"Invalid URL ({method} /dream-machine/v1{path})")


@pytest.mark.parametrize("order", [{}, {"aspect_ratio": "16:9"}, ORDER | {"loop": "yes"}, [ORDER]])
async def test_invalid_body(client, gateway, order):
    """The relay keeps the status and quotes the body of Luma's refusal as a string."""
    answer = await client.luma("POST", "/generations", order)
    assert (answer.status, answer.body["code"], answer.body["data"]) == (422, "fail_to_fetch_task", None)
    assert json.loads(answer.body["message"])["detail"][0]["loc"][0] == "body"
    assert gateway.charges == ()


async def test_short_prompt(client):
    """The recorded message about a short prompt is quoted in the relay's form."""
    answer = await client.luma("POST", "/generations", ORDER | {"prompt": "ab"})
    assert answer.body == sample("errors/500-fetch")["body"]


async def test_front_end_errors(client, gateway):
    """A wrong key, an unknown id and a refusal look as in the relay dialect."""
    answer = await client.luma("GET", "/generations/a", key="wrong")
    assert (answer.status, set(answer.body["error"])) == (401, {"message", "type", "code"})
    recorded = sample("errors/400-unknown-task")
    answer = await client.luma("GET", "/generations/a")
    assert (answer.status, answer.body) == (recorded["status"], recorded["body"])
    gateway.scripts["cat dance"] = rejects()
    answer = await client.luma("POST", "/generations", ORDER)
    assert (answer.status, answer.body["error"]["code"]) == (400, "sensitive_words_detected")
