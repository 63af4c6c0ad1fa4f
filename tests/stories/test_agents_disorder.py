"""A service in disorder: odd answers, limits, cancellations and closes pay nothing twice and lose nothing."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest
from ledger import balance

from luma_async import Agents, LumaError, LumaSession, Phase, PollPolicy, RetryPolicy, SubmitInDoubt, Timeouts
from luma_async.testing import (
    ALWAYS,
    AgentsBehaviour,
    FakeGateway,
    answer,
    cut_body,
    drop_after_reading,
    drop_before_reading,
    garbage,
    id_and_error,
    late,
    no_id,
)

pytestmark = pytest.mark.looptime

ID, OTHER_ID = "c0ffee00-1111-4222-8333-444455556666", "d0ffee00-1111-4222-8333-444455556666"


def session(gateway, journal, **settings):
    settings = {"dialect": Agents(), "journal": journal, "poll": PollPolicy.fixed(1), **settings}
    return LumaSession(gateway.api_key, base_url=gateway.base_url, **settings)


def generation(state, **fields):
    return {"id": ID, "type": "video", "state": state, "output": [], **fields}


LINK = "https://storage.example/o"
ODD_ANSWERS = {
    "failed, with words of a refusal": (
        generation("failed", failure_reason="429 Too many requests: refunded", failure_code="generation_failed"),
        Phase.FAILED,
    ),
    "failed, without a word": (generation("failed"), Phase.FAILED),
    "cancelled": (generation("cancelled"), Phase.FAILED),
    "a state that is not known": (generation("awaiting_review"), Phase.ACCEPTED),
    "no state": (generation(None), Phase.ACCEPTED),
    "an output that is not known": (generation("completed", output=[{"type": "exr", "url": LINK}]), Phase.COMPLETED),
    "no output": (generation("completed", output=None), Phase.COMPLETED),
    "outputs of no form": (generation("completed", output=[None, 7, {"type": "video", "url": 7}]), Phase.COMPLETED),
    "another id": ({**generation("completed"), "id": OTHER_ID}, Phase.ACCEPTED),
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
async def test_odd_answer_to_a_query(gateway, journal, name):
    """Whatever a status request is answered, the paid generation keeps its id, and its key sends nothing again."""
    body, phase = ODD_ANSWERS[name]
    gateway.inject(answer(201, generation("queued")))
    gateway.inject(answer(200, body), on="query", times=ALWAYS)
    async with session(gateway, journal) as luma:
        for _ in range(2):
            handle = await luma.submit("cat", key="cat")
            with suppress(LumaError):
                await handle.wait(timeout=20)
    entry = await journal.get("cat")
    assert (entry.phase, entry.generation_id, gateway.counts["submit"]) == (phase, ID, 1)


async def test_failed_at_once(gateway, journal):
    """An answer to a submit that has an id and has failed already is a paid generation, not a refusal."""
    failed = generation("failed", failure_reason="Insufficient credits", failure_code="budget_exhausted")
    gateway.inject(answer(201, failed))
    async with session(gateway, journal) as luma:
        assert (await luma.submit("cat", key="cat")).id == ID
    assert (await journal.get("cat")).generation_id == ID


async def test_one_id_for_two_submits(gateway, journal):
    """An answer that names the generation of another key proves nothing: the second submit is in doubt."""
    gateway.inject(answer(201, generation("queued")), times=2)
    async with session(gateway, journal) as luma:
        await luma.submit("cat", key="cat")
        for _ in range(2):
            with pytest.raises(SubmitInDoubt):
                await luma.submit("dog", key="dog")
    assert gateway.counts["submit"] == 2


FAULTS = [
    answer(429, {"detail": "Too many concurrent jobs"}, {"Retry-After": "60"}),
    answer(429, {"detail": "Rate limit exceeded"}, {"Retry-After": "3", "X-RateLimit-Limit": "30"}),
    answer(429, {"detail": "Too many requests"}, {"Retry-After": "2"}),
    answer(502, {"detail": "Upstream service unavailable"}),
    answer(502, {"detail": "Upstream service unavailable"}, charged=True),
    answer(503, {"detail": "URL ingestion unavailable"}, charged=True),
    answer(402, {"detail": "Insufficient credits"}),
    answer(422, {"detail": "Bad parameters"}),
    drop_before_reading(),
    drop_after_reading(),
    cut_body(),
    late(3),
    garbage(),
    no_id(),
    id_and_error(),
]


async def disorder(luma, gateway, chance):
    """Submit through faults, also under keys of earlier submits, and cancel some; return the tasks."""

    async def buy(key):
        with suppress(LumaError):
            handle = await luma.submit(key, key=key)
            if chance.random() < 0.5:
                await handle

    tasks = []
    for _ in range(25):
        if chance.random() < 0.5:
            gateway.inject(chance.choice(FAULTS))
        tasks.append(asyncio.ensure_future(buy(f"cat {chance.randint(0, 60)}")))
        if chance.random() < 0.4:
            await asyncio.sleep(chance.choice([0, 0.01, 1, 5]))
        if chance.random() < 0.35:
            chance.choice(tasks).cancel()
    await asyncio.sleep(chance.choice([0, 0.1, 3, 70]))
    return tasks


@pytest.mark.parametrize("seed", range(6))
async def test_disorder(journal, seed):
    """Through each 429, lost answers, cancels and closes, the books balance; then twelve submits go through."""
    chance = random.Random(seed)
    limits = AgentsBehaviour(max_unfinished=chance.choice([2, 4, 10]), submits_per_minute=chance.choice([5, 30]))
    async with FakeGateway(agents=limits) as gateway:
        for _ in range(4):
            settings = {"timeouts": Timeouts(close=chance.choice([0.5, 30]), submit=20)}
            retry = RetryPolicy(attempts=chance.choice([1, 3, 5]))
            async with session(gateway, journal, retry=retry, **settings) as luma:
                tasks = await disorder(luma, gateway, chance)
            await asyncio.wait(tasks)
            await balance(gateway, journal)
            phases = {entry.key: entry.phase for entry in await journal.entries()}
            assert Phase.SENDING not in phases.values()
            paid = {charge.prompt for charge in gateway.charges}
            assert not {phases.get(key) for key in paid} & {None, Phase.NOT_SENT, Phase.REFUSED}
        gateway.clear_faults()
        async with session(gateway, journal) as luma:
            ends = [outcome async for outcome in luma.as_completed(await luma.resume())]
            ends += await luma.batch([f"dog {number}" for number in range(12)], name="dogs").results()
        assert all(end.error is None for end in ends)
        await balance(gateway, journal)
