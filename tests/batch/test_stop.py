"""A batch that stops: nothing more is submitted, and what is paid is delivered."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from batch_inputs import EndlessInput, later, prompts, strike, take, take_all

from luma_async import (
    GenerationFailed,
    Limits,
    LumaError,
    NotSent,
    OutOfCredit,
    Phase,
    ServiceUnavailable,
    State,
    SubmitInDoubt,
    Unauthorized,
    WrongPrompt,
)
from luma_async.testing import (
    ALWAYS,
    drop_after_reading,
    fails,
    late,
    out_of_credit,
    rate_limited,
    reshapes,
    server_error,
    succeeds,
)

pytestmark = pytest.mark.looptime(noop_cycles=8)


STOPS = {
    "the key is refused": (server_error(401), Unauthorized),
    "the credit is used up": (out_of_credit(), OutOfCredit),
}


@pytest.mark.parametrize(("fault", "kind"), STOPS.values(), ids=STOPS.keys())
async def test_stop_on_401_or_402(luma, gateway, fault, kind):
    """The first such error stops the submits; running items are delivered, then the error is raised once."""
    gateway.inject(fault, times=ALWAYS, when=lambda _: len(gateway.charges) == 3)
    source = EndlessInput()
    batch = luma.batch(source, max_in_flight=4)
    seen = []
    with pytest.raises(kind, match="HTTP 40") as caught:
        await take(batch, seen)
    assert [outcome.error for outcome in seen if outcome.generation] == [None] * 3
    [error] = [outcome.error for outcome in seen if isinstance(outcome.error, kind)]
    assert str(caught.value) == f"{error} {caught.value.note}"
    assert len(gateway.charges) == 3
    assert source.pulled <= 8
    assert [outcome async for outcome in batch] == []


NO_SERVICE = "http://127.0.0.1:9"


async def test_stop_when_unreachable(gateway, journal, open_session):
    """Five items in a row that could not be sent stop a batch in which nothing was accepted."""
    async with open_session(base_url=NO_SERVICE) as luma:
        source = EndlessInput()
        seen = []
        with pytest.raises(NotSent, match=r"stopped the batch 'cats': 0 submitted in this run\. To go on") as caught:
            await take(luma.batch(source, name="cats", max_in_flight=2), seen)
        assert "Nothing was sent or charged" in str(caught.value)
    assert [type(outcome.error) for outcome in seen] == [NotSent] * 5
    assert {entry.phase for entry in await journal.entries()} <= {Phase.NOT_SENT}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (server_error(401), ["This stopped the batch 'cats': 2 of 9 submitted in this run. To go on", "same name"]),
        (out_of_credit(), ["Top up", "2 of 9 submitted in this run", "same name"]),
        (drop_after_reading(), ["2 of 9 submitted in this run, 5 in doubt", "session.doubts", "same name"]),
    ],
    ids=["key", "credit", "doubts"],
)
async def test_stop_says_how_far_it_came(luma, gateway, fault, said):
    """The error that stopped a batch says so in its message, with how far it came and how to go on."""
    gateway.inject(fault, times=ALWAYS, when=lambda _: len(gateway.charges) >= 2)
    with pytest.raises(LumaError) as caught:
        await luma.batch(prompts(9), name="cats", max_in_flight=1).results()
    assert [words for words in said if words not in str(caught.value)] == []
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def repeats(prompt):
    return reshapes(lambda body: body | {"prompt": prompt})


async def test_stop_on_another_prompt(gateway, journal, open_session):
    """The first response with an empty prompt stops the submits; what runs is delivered, then WrongPrompt is raised."""
    strike(gateway, "cat 4", repeats(""))
    async with open_session() as luma:
        seen = []
        with pytest.raises(
            WrongPrompt, match=r"--edition 2024.*stopped the batch 'cats': [56] of 20 submitted"
        ) as caught:
            await take(luma.batch(prompts(20), name="cats", max_in_flight=2), seen)
    assert {outcome.generation.id for outcome in seen} == {charge.generation_id for charge in gateway.charges}
    assert len(gateway.charges) <= 6
    assert caught.value.generation_id in gateway.generations
    assert (caught.value.sent, caught.value.returned) == ("cat 4", "")


async def test_stop_cancels_queued_submits(open_session, gateway):
    """Items that wait for the rate limit when the batch stops are not sent."""
    gateway.inject(server_error(401), times=ALWAYS)
    began_at = asyncio.get_running_loop().time()
    async with open_session(limits=Limits(submits_per_minute=1)) as luma:
        with pytest.raises(Unauthorized):
            await luma.batch(prompts(9), max_in_flight=9).results()
    assert gateway.counts["submit"] == 1
    assert asyncio.get_running_loop().time() - began_at < 30


async def test_stop_before_first_send(luma, gateway):
    """An item that was started in the same turn of the loop as the stop is not sent."""
    batch = luma.batch(prompts(9), max_in_flight=3)
    batch._fill()
    batch._stop(Unauthorized(status=401))
    with pytest.raises(Unauthorized):
        await anext(batch)
    assert gateway.counts.total() == 0


async def test_results_after_stop(luma, gateway):
    """`results()` raises the error that stopped the batch; a second call returns the outcomes until then."""
    gateway.inject(server_error(401), times=ALWAYS, when=lambda _: len(gateway.charges) == 2)
    batch = luma.batch(prompts(9), max_in_flight=2)
    with pytest.raises(Unauthorized):
        await batch.results()
    kept = await batch.results()
    assert [outcome.index for outcome in kept] == list(range(len(kept)))
    assert sum(outcome.generation is not None for outcome in kept) == 2


async def test_stop_on_401_while_polling(luma, gateway):
    """A 401 to a status request stops the batch too."""
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    with pytest.raises(Unauthorized):
        await luma.batch(prompts(20), max_in_flight=2).results()
    assert len(gateway.charges) == 2


async def test_stop_on_five_doubts(luma, gateway, journal):
    """Five submits in a row that end in doubt stop the batch; submits that are being sent may add to them."""
    gateway.inject(drop_after_reading(), times=ALWAYS)
    seen = []
    with pytest.raises(SubmitInDoubt):
        await take(luma.batch(EndlessInput(), max_in_flight=3), seen)
    assert all(isinstance(outcome.error, SubmitInDoubt) for outcome in seen)
    assert 5 <= len(seen) <= 7
    assert len(gateway.charges) == len(seen)
    assert {entry.phase for entry in await journal.entries()} == {Phase.IN_DOUBT}


async def test_doubts_not_in_a_row(luma, gateway):
    """An accepted submit resets the count of doubts in a row."""
    doomed = {f"cat {number}" for number in range(20) if number % 5}
    gateway.inject(drop_after_reading(), times=ALWAYS, when=lambda seen: seen.body["prompt"] in doomed)
    batch = luma.batch(prompts(20), max_in_flight=1)
    await batch.results()
    assert (batch.stats.done, batch.stats.in_doubt) == (4, 16)


async def test_doubts_of_earlier_run(open_session, gateway):
    """Doubts of an earlier run are outcomes and do not stop the batch."""
    doomed = {f"cat {number}" for number in range(12) if number % 4}
    gateway.inject(drop_after_reading(), times=ALWAYS, when=lambda seen: seen.body["prompt"] in doomed)
    async with open_session() as luma:
        await luma.batch(prompts(12), name="cats", max_in_flight=1).results()
    async with open_session() as luma:
        reordered = sorted(prompts(12), key=lambda prompt: prompt not in doomed)
        results = await luma.batch([*reordered, "a dog"], name="cats", max_in_flight=1).results()
        assert sum(isinstance(outcome.error, SubmitInDoubt) for outcome in results) == 9
        assert results[-1].generation.state is State.COMPLETED
    assert len(gateway.charges) == 13


async def test_stop_while_requeued(open_session, gateway):
    """An item that waits for a slot after a 429 is not sent again once the batch has stopped."""
    strike(gateway, "busy", rate_limited())
    strike(gateway, "broke", later(2, out_of_credit()))
    async with open_session(limits=Limits(max_in_flight=2)) as luma, asyncio.timeout(600):
        errors, stopped_by = await take_all(luma.batch(["broke", "busy", "more"]))
    assert set(errors) <= {"broke", "more"}
    assert isinstance(stopped_by, OutOfCredit)
    assert [charge.prompt for charge in gateway.charges] in ([], ["more"])


@pytest.mark.parametrize("refusal", [rate_limited(), server_error(503)], ids=["429", "503"])
async def test_submit_retries_after_stop(luma, gateway, refusal):
    """A `submit()` that shares an item of a stopped batch keeps its attempts."""
    strike(gateway, "broke", later(1, out_of_credit()))
    strike(gateway, "shared", later(3, refusal))
    strike(gateway, "shared", refusal, times=2)
    batch = luma.batch(["broke", "shared"], keys=["b", "c"])
    taking = asyncio.ensure_future(take_all(batch))
    await asyncio.sleep(0.5)
    sharing = asyncio.ensure_future(luma.submit("shared", key="c"))
    await asyncio.sleep(1)
    taking.cancel()
    await batch.aclose()
    assert (await sharing).id == gateway.charges[0].generation_id
    assert gateway.counts["submit"] == 5


async def test_paid_item_after_stop(luma, gateway, journal):
    """A paid item is delivered although a `submit()` with its key reads the journal when the batch stops."""
    gateway.scripts["slow"] = succeeds(after=30)
    strike(gateway, "broke", later(5, out_of_credit()))
    taking = asyncio.ensure_future(take_all(luma.batch(["slow", "broke"], keys=["slow", "broke"])))
    await asyncio.sleep(3)
    get = journal.get

    async def slow(key):
        await asyncio.sleep(10)
        return await get(key)

    journal.get = slow
    again = asyncio.ensure_future(luma.submit("slow", key="slow"))
    errors, stopped_by = await taking
    assert errors["slow"] is None
    assert isinstance(stopped_by, OutOfCredit)
    assert (await again).id == gateway.charges[0].generation_id
    assert len(gateway.charges) == 1


async def test_resent_item_after_stop(open_session, gateway):
    """An item that is sent again after a 429 when the batch stops is delivered."""
    gateway.scripts["quick"] = succeeds(after=1)
    strike(gateway, "busy", rate_limited())
    strike(gateway, "busy", late(9))
    strike(gateway, "broke", later(6, out_of_credit()))
    async with open_session(limits=Limits(max_in_flight=5)) as luma:
        errors, stopped_by = await take_all(luma.batch(["quick", "quick", "quick", "broke", "busy"]))
    assert errors["busy"] is None
    assert isinstance(stopped_by, OutOfCredit)
    assert len(gateway.charges) == 4


async def test_429_after_stop(luma, gateway):
    """A submit that meets a 429 after the stop is not sent again, and the batch ends."""
    strike(gateway, "broke", later(1, out_of_credit()))
    strike(gateway, "busy", later(2, rate_limited()))
    async with asyncio.timeout(60):
        errors, stopped_by = await take_all(luma.batch(["broke", "busy"]))
    assert set(errors) == {"broke"}
    assert isinstance(stopped_by, OutOfCredit)
    assert (gateway.counts["submit"], gateway.charges) == (2, ())


async def test_503_after_stop(luma, gateway):
    """A submit that meets a 503 after the stop is not sent again; the error is its outcome."""
    strike(gateway, "broke", later(1, out_of_credit()))
    strike(gateway, "busy", later(2, server_error(503)))
    errors, stopped_by = await take_all(luma.batch(["broke", "busy"]))
    assert isinstance(errors["busy"], ServiceUnavailable)
    assert isinstance(stopped_by, OutOfCredit)
    assert (gateway.counts["submit"], gateway.charges) == (2, ())


@pytest.mark.parametrize("refusal", [rate_limited(), server_error(503)], ids=["429", "503"])
async def test_shared_purchase_after_stop(luma, gateway, refusal):
    """A `submit()` that shares an item of a stopped batch gets the generation."""
    strike(gateway, "broke", later(1, out_of_credit()))
    strike(gateway, "shared", later(2, refusal))
    strike(gateway, "shared", refusal, times=2)
    gateway.scripts["slow"] = succeeds(after=300)
    taking = asyncio.ensure_future(take_all(luma.batch(["slow", "broke", "shared"], keys=["a", "b", "c"])))
    await asyncio.sleep(0.5)
    async with asyncio.timeout(60):
        handle = await luma.submit("shared", key="c")
    assert handle.key == "c"
    _, stopped_by = await taking
    assert isinstance(stopped_by, OutOfCredit)
    assert sorted(charge.prompt for charge in gateway.charges) == ["shared", "slow"]


async def test_retry_failed_after_stop(luma, gateway, journal):
    """`retry_failed` submits nothing if the batch stops while the earlier purchase is looked up."""
    find, asked = journal.get, []

    async def slow(key):
        asked.append(key)
        if key == "bad~2":
            await asyncio.sleep(10)
        return await find(key)

    journal.get = slow
    gateway.scripts["bad"] = fails("Job failed", after=1)
    await take_all(luma.batch(["bad"], keys=["bad"]))
    strike(gateway, "broke", out_of_credit())
    errors, stopped_by = await take_all(luma.batch(["bad", "broke"], keys=["bad", "broke"], retry_failed=True))
    assert "bad~2" in asked
    assert isinstance(errors["bad"], GenerationFailed)
    assert isinstance(stopped_by, OutOfCredit)
    assert len(gateway.charges) == 1
