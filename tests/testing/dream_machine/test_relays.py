"""The official format as relays speak it: two endpoints, older names, nulls, and the service's errors in their own."""

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


async def test_a_submit_has_the_fields_of_the_recorded_answer(client, gateway):
    """A submit is answered as recorded, nulls included, and with the type besides."""
    recorded = sample("dream_machine/create-201-queued-relay")
    order = recorded["request"] | {"callback_url": "https://e.example/hook"}
    answer = await client.luma("POST", "/generations", order)
    assert answer.status == 201
    ours = {"id": answer.body["id"], "created_at": answer.body["created_at"], "request": order}
    assert answer.body == recorded | ours | {"type": "video"}
    assert len(gateway.charges) == 1


@pytest.mark.looptime
async def test_a_query_has_the_older_names(client, gateway):
    """A finished one has its link, its version and a null for a reason; a failed one has the reason and no assets."""
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
async def test_a_query_may_be_flat(client, gateway):
    """One relay documents its own flat body here."""
    gateway.dream_machine.flat_query = True
    generation_id = (await client.luma("POST", "/generations", ORDER)).body["id"]
    await asyncio.sleep(21)
    body = (await client.luma("GET", f"/generations/{generation_id}")).body
    assert body == (await client.query(generation_id)).body
    assert set(body) == set(sample("rixapi/query-completed-2025"))


async def test_the_quirks_can_be_switched_off_while_it_runs(client, gateway):
    """A changed behaviour counts from the next request on."""
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
async def test_only_what_relays_document_is_there(client, method, path):
    """Anything else is the relay's own 404."""
    answer = await client.luma(method, path, ORDER)
    assert (answer.status, answer.body["error"]["message"]) == (404, f"Invalid URL ({method} /dream-machine/v1{path})")


@pytest.mark.parametrize("order", [{}, {"aspect_ratio": "16:9"}, ORDER | {"loop": "yes"}, [ORDER]])
async def test_a_wrong_body_is_the_services_refusal_in_the_relays_words(client, gateway, order):
    """The relay keeps the status and quotes the body as text."""
    answer = await client.luma("POST", "/generations", order)
    assert (answer.status, answer.body["code"], answer.body["data"]) == (422, "fail_to_fetch_task", None)
    assert json.loads(answer.body["message"])["detail"][0]["loc"][0] == "body"
    assert gateway.charges == ()


async def test_a_short_prompt_is_quoted_too(client):
    """The recorded sentence about a short prompt comes wrapped."""
    answer = await client.luma("POST", "/generations", ORDER | {"prompt": "ab"})
    assert answer.body == sample("errors/500-fetch")["body"]


async def test_the_front_end_speaks_for_itself(client, gateway):
    """A wrong key, an unknown id and a refusal look as in the relay's own format."""
    answer = await client.luma("GET", "/generations/a", key="wrong")
    assert (answer.status, set(answer.body["error"])) == (401, {"message", "type", "code"})
    recorded = sample("errors/400-unknown-task")
    answer = await client.luma("GET", "/generations/a")
    assert (answer.status, answer.body) == (recorded["status"], recorded["body"])
    gateway.scripts["cat dance"] = rejects()
    answer = await client.luma("POST", "/generations", ORDER)
    assert (answer.status, answer.body["error"]["code"]) == (400, "sensitive_words_detected")
