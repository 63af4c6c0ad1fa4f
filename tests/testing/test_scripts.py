"""Scripts: how the state of a generation changes, in seconds of the loop."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from luma_async.testing import (
    completes_without_link,
    estimates,
    fails,
    forgets,
    new_state,
    presigned,
    queued_words,
    rejects,
    stalls,
    succeeds,
    unknown_at_first,
    watermarked_only,
)

pytestmark = pytest.mark.looptime


async def states(client, gateway, script, *ages):
    """The states that queries see at these ages of one generation."""
    gateway.scripts["cat dance"] = script
    generation_id = await client.submit_id()
    loop = asyncio.get_running_loop()
    start = gateway.charges[-1].at
    seen = []
    for age in ages:
        await asyncio.sleep(start + age - loop.time())
        answer = await client.query(generation_id)
        seen.append(answer.body.get("state") or answer.body["code"])
        listed = (await client.tasks(generation_id)).body["data"]
        assert [row["data"]["state"] for row in listed] == [state for state in seen[-1:] if state != "task_not_exist"]
    return seen


@pytest.mark.parametrize(
    ("script", "ages", "expected"),
    [
        (succeeds(after=20), (1, 6, 21), ["pending", "processing", "completed"]),
        (succeeds(after=0), (0,), ["completed"]),
        (fails("no", after=20), (1, 6, 21), ["pending", "processing", "failed"]),
        (stalls(), (0, 2, 100_000), ["pending", "processing", "processing"]),
        (new_state("polishing", succeeds(20)), (1, 6, 13, 21), ["pending", "processing", "polishing", "completed"]),
        (new_state("polishing", stalls(1)), (0, 1.5, 3), ["pending", "processing", "polishing"]),
        (unknown_at_first(5), (0, 4, 6, 21), ["task_not_exist", "task_not_exist", "processing", "completed"]),
        (forgets(10), (1, 9, 11), ["pending", "processing", "task_not_exist"]),
        (queued_words(), (1, 6, 21), ["queued", "dreaming", "completed"]),
        (queued_words(forgets(10)), (1, 11), ["queued", "task_not_exist"]),
    ],
)
async def test_states_of_a_script(client, gateway, script, ages, expected):
    """Both kinds of query return the script's state at every age."""
    assert await states(client, gateway, script, *ages) == expected
    assert len(gateway.charges) == 1


async def test_new_state_in_a_row(client, gateway):
    """The status of a row has the new word, too."""
    gateway.scripts["cat dance"] = new_state("polishing", succeeds(20))
    generation_id = await client.submit_id()
    await asyncio.sleep(13)
    assert (await client.tasks(generation_id)).body["data"][0]["status"] == "POLISHING"


async def test_progress_of_a_stall(client, gateway):
    """The progress of a stalled generation never reaches 100 %."""
    gateway.scripts["cat dance"] = stalls()
    generation_id = await client.submit_id()
    await asyncio.sleep(10_000)
    assert (await client.tasks(generation_id)).body["data"][0]["progress"] == "30%"


async def test_late_link(client, gateway):
    """A completed generation has no link until its time, while the link endpoint returns it."""
    gateway.scripts["cat dance"] = completes_without_link(after=10, link_after=30)
    generation_id = await client.submit_id()
    await asyncio.sleep(11)
    assert (await client.query(generation_id)).body["video"] is None
    assert (await client.link(generation_id)).status == 200
    await asyncio.sleep(30)
    assert (await client.query(generation_id)).body["video"]["download_url"]


async def test_no_link(client, gateway):
    """Neither the query nor the link endpoint ever returns a link."""
    gateway.scripts["cat dance"] = completes_without_link(after=10, link_endpoint=False)
    generation_id = await client.submit_id()
    await asyncio.sleep(100_000)
    assert (await client.query(generation_id)).body["video"] is None
    assert (await client.link(generation_id)).status == 400


@pytest.mark.parametrize("endpoint", [True, False])
async def test_watermarked_only(client, gateway, endpoint):
    """A query returns only the watermarked link, whatever the link endpoint returns."""
    gateway.scripts["cat dance"] = watermarked_only(after=10, link_endpoint=endpoint)
    generation_id = await client.submit_id()
    await asyncio.sleep(11)
    body = (await client.query(generation_id)).body
    assert (body["video"]["download_url"], body["video_raw"]) == ("", None)
    assert body["artifact"]["video"] == body["video"]
    assert (await client.file(body["video"]["url"])).raw.endswith(b"watermark")
    assert (await client.link(generation_id)).status == (200 if endpoint else 400)


async def test_estimates(client, gateway):
    """The remaining seconds are reported while the generation runs, and null at the end."""
    gateway.scripts["cat dance"] = estimates(succeeds(20))
    submitted = (await client.submit()).body
    assert submitted["estimate_wait_seconds"] == 20
    await asyncio.sleep(15)
    assert (await client.query(submitted["id"])).body["estimate_wait_seconds"] in {4, 5}
    await asyncio.sleep(6)
    assert (await client.query(submitted["id"])).body.get("estimate_wait_seconds") is None


async def test_rejects(client, gateway):
    """A rejected submit gets the script's answer, and nothing is started or charged."""
    gateway.scripts["bad"] = rejects()
    gateway.scripts["worse"] = rejects("prompt_blocked", status=500, message="no")
    answer = await client.submit("bad")
    assert (answer.status, answer.body["error"]["code"]) == (400, "sensitive_words_detected")
    answer = await client.submit("worse")
    assert (answer.status, answer.body["error"]["message"]) == (500, "no")
    assert gateway.charges == ()
    assert not gateway.generations


async def test_script_function(client, gateway):
    """A function gets the prompt and the number of scripts chosen so far."""
    asked = []

    def choose(prompt, index):
        asked.append((prompt, index))
        return rejects() if index == 1 else succeeds()

    gateway.scripts.update(dict.fromkeys("abc", choose))
    assert [(await client.submit(prompt)).status for prompt in "abc"] == [201, 400, 201]
    assert asked == [("a", 0), ("b", 1), ("c", 2)]


async def test_presigned_links_expire(client, gateway):
    """A clean link expires, a new query returns a new link, and the watermarked link never expires."""
    gateway.scripts["cat dance"] = presigned(60, succeeds(1))
    generation_id = await client.submit_id()
    await asyncio.sleep(2)
    video = (await client.query(generation_id)).body["video"]
    signed = (await client.link(generation_id)).body["url"]
    assert "X-Amz-Expires=60" in video["download_url"]
    assert "X-Amz-Date=" in signed
    assert (await client.file(signed)).status == 200
    await asyncio.sleep(61)
    assert (await client.file(signed)).status == 403
    assert (await client.file(video["download_url"])).status == 403
    assert (await client.file(video["url"])).status == 200
    assert (await client.file((await client.query(generation_id)).body["video"]["download_url"])).status == 200


async def test_creation_times(client, gateway):
    """Creation times begin today and move with virtual time."""
    first = gateway.generations[await client.submit_id()].created
    await asyncio.sleep(3600)
    second = gateway.generations[await client.submit_id()].created
    assert 3600 <= (second - first).total_seconds() < 3610
    assert abs((first - datetime.now(UTC)).total_seconds()) < 60
