"""Outcomes, limits and counts of a batch."""

from __future__ import annotations

import asyncio
import math

import pytest
from batch_inputs import EndlessInput, prompts, settle

from luma_async import (
    GenerationFailed,
    InvalidInput,
    Limits,
    PromptRejected,
    State,
    UpscaleRequest,
    VideoRequest,
    WaitTimeout,
)
from luma_async.testing import (
    drop_after_reading,
    fails,
    rejects,
    stalls,
    succeeds,
)
from luma_async.values.errors import UnsupportedOperation

pytestmark = pytest.mark.looptime(noop_cycles=8)


async def test_outcome_order(luma, gateway):
    """A loop yields outcomes in completion order; `results()` returns them in input order."""
    gateway.scripts |= {f"cat {number}": succeeds(after=30 - 10 * number) for number in range(3)}
    seen = [outcome async for outcome in luma.batch(prompts(3))]
    assert [outcome.index for outcome in seen] == [2, 1, 0]
    assert [outcome.request.prompt for outcome in seen] == ["cat 2", "cat 1", "cat 0"]
    assert {outcome.generation.state for outcome in seen} == {State.COMPLETED}
    assert all(outcome.handle.id == outcome.generation.id and outcome.key for outcome in seen)
    results = await luma.batch(["cat 0", VideoRequest("cat 1", aspect_ratio="1:1"), "cat 2"]).results()
    assert [outcome.index for outcome in results] == [0, 1, 2]
    assert gateway.charges[-2].body["aspect_ratio"] == "1:1"


async def test_failures_are_outcomes(luma, gateway):
    """A failed generation, a rejected prompt and an invalid item become outcomes and do not affect other items."""
    gateway.scripts |= {"cat 1": fails("Job failed"), "cat 2": rejects()}
    results = await luma.batch([*prompts(4), 7, "", UpscaleRequest("some-id"), "cat 7"]).results()
    kinds = [type(outcome.error) for outcome in results]
    assert kinds == [
        type(None),
        GenerationFailed,
        PromptRejected,
        type(None),
        InvalidInput,
        InvalidInput,
        UnsupportedOperation,
        type(None),
    ]
    assert results[1].generation is None
    assert results[1].handle.last.state is State.FAILED
    assert results[4].request is None


async def test_untaken_outcomes_hold_slots(luma, gateway):
    """An outcome that was not taken yet counts against `max_in_flight`."""
    source = EndlessInput()
    batch = luma.batch(source, max_in_flight=4)
    await anext(batch)
    await settle()
    assert len(gateway.charges) == 4
    assert batch.stats.done == 4
    await anext(batch)
    await settle()
    assert len(gateway.charges) == 5
    await batch.aclose()


async def test_submit_while_batch_is_full(luma, gateway):
    """`max_in_flight` applies to batches; `submit()` does not wait while a batch is full."""
    gateway.scripts |= dict.fromkeys(prompts(4), stalls())
    batch = luma.batch(prompts(4), max_in_flight=1)
    taking = asyncio.ensure_future(anext(batch))
    await asyncio.sleep(10)
    assert len(gateway.charges) == 1
    async with asyncio.timeout(1):
        await luma.submit("a dog")
    taking.cancel()
    await batch.aclose()


async def test_batches_share_max_in_flight(open_session, gateway):
    """The batches of a session stay within its `max_in_flight` together."""
    highest = 0

    async def take(luma, name):
        nonlocal highest
        async for _ in luma.batch([f"{name} {number}" for number in range(10)]):
            highest = max(highest, gateway.running)

    async with open_session(limits=Limits(max_in_flight=3)) as luma, asyncio.TaskGroup() as group:
        group.create_task(take(luma, "cat"))
        group.create_task(take(luma, "dog"))
    assert len(gateway.charges) == 20
    assert highest <= 3


async def test_max_in_flight_values(luma, gateway):
    """`math.inf` means no limit, and an invalid `max_in_flight` is refused."""
    taking = asyncio.ensure_future(luma.batch(prompts(150), max_in_flight=math.inf).results())
    await asyncio.sleep(1)
    assert gateway.running == 150
    await taking
    for nonsense in (0, -1, "many", math.nan):
        with pytest.raises(InvalidInput, match="max_in_flight"):
            luma.batch(prompts(2), max_in_flight=nonsense)


async def test_cancelled_anext(luma):
    """A cancelled call for the next outcome loses no outcome."""
    batch = luma.batch(prompts(5), max_in_flight=2)
    seen = []
    while not batch.closed:
        try:
            async with asyncio.timeout(3):
                seen.append((await anext(batch)).index)
        except TimeoutError:
            continue
        except StopAsyncIteration:
            break
    assert sorted(seen) == list(range(5))


async def test_timeout_per_item(luma, gateway):
    """A generation that takes longer than `timeout` is an outcome with a live handle; others are unaffected."""
    gateway.scripts["cat 1"] = succeeds(after=100)
    results = await luma.batch(prompts(3), timeout=50).results()
    assert [type(outcome.error) for outcome in results] == [type(None), WaitTimeout, type(None)]
    assert (await results[1].handle).state is State.COMPLETED
    with pytest.raises(InvalidInput, match="timeout"):
        luma.batch(prompts(2), timeout=-1)


async def test_stats(luma, gateway):
    """The counts are right at any time, and an estimate follows once something has finished."""
    gateway.scripts |= {"cat 1": fails(), "cat 2": rejects()}
    gateway.inject(drop_after_reading(), when=lambda seen: seen.body["prompt"] == "cat 3")
    batch = luma.batch(prompts(12), max_in_flight=4)
    assert (batch.stats.total, batch.stats.requests, batch.stats.seconds_left) == (12, 0, None)
    async for _ in batch:
        stats = batch.stats
        assert stats.submitted <= len(gateway.charges)
        assert stats.running <= 4
        if stats.done == 3:
            assert 20 < stats.seconds_left < 100
    stats = batch.stats
    assert (stats.done, stats.failed, stats.in_doubt, stats.running, stats.submitted) == (9, 2, 1, 0, 10)
    assert stats.requests == gateway.counts.total()
    assert stats.seconds_left == 0
    assert luma.batch(iter(prompts(2))).stats.total is None
