"""A paid POST is sent at most once, whatever happens to its answer or to its caller."""

from __future__ import annotations

import asyncio

import pytest
from ledger import balance

from luma_async import (
    LumaSession,
    MemoryJournal,
    NotSent,
    Phase,
    PromptRejected,
    RateLimited,
    RetryPolicy,
    SessionClosed,
    SubmitInDoubt,
    Timeouts,
    VideoRequest,
)
from luma_async.testing import (
    FakeGateway,
    cut_body,
    drop_after_reading,
    drop_before_reading,
    garbage,
    hang,
    html_page,
    id_and_error,
    late,
    no_id,
    rate_limited,
    redirect,
    rejects,
    server_error,
    two_documents,
)

LOST_ANSWERS = {
    "closed before it was read": drop_before_reading(),
    "reset before it was read": drop_before_reading("rst"),
    "closed after it was read": drop_after_reading(),
    "reset after it was read": drop_after_reading("rst"),
    "silent and charged": hang(charged=True),
    "silent and not charged": hang(),
    "cut": cut_body(),
    "garbage": garbage(),
    "a web page": html_page(charged=True),
    "without an id": no_id(),
    "an id and an error": id_and_error(),
    "502 with a page, charged": server_error(502, html=True, charged=True),
    "502 with a page, not charged": server_error(502, html=True),
    "500": server_error(500, charged=True),
    "504": server_error(504, charged=True),
    "two documents": two_documents(201, charged=True),
    "307": redirect(307, "/elsewhere"),
    "302": redirect(302, "/elsewhere", charged=True),
}


@pytest.fixture
def journal():
    return MemoryJournal()


def session(gateway, journal, **settings):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal, **settings)


@pytest.mark.looptime
@pytest.mark.parametrize("fault", LOST_ANSWERS.values(), ids=LOST_ANSWERS.keys())
async def test_a_lost_answer_is_a_doubt_and_never_a_second_post(gateway, journal, fault):
    """However an answer is lost, one POST leaves, the caller is told so, and the same key does not send again."""
    gateway.inject(fault, times=100)
    async with session(gateway, journal, timeouts=Timeouts(submit=5)) as luma:
        with pytest.raises(SubmitInDoubt) as caught:
            await luma.submit("cat dance", key="cat")
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]
    assert caught.value.key == "cat"
    assert caught.value.sent_at is not None
    assert gateway.counts["submit"] == 1
    await balance(gateway, journal)


@pytest.mark.looptime
async def test_what_provably_was_not_sent_is_sent_again(journal):
    """A refused connection is tried again until the gateway is up, and then costs one charge."""
    gateway = FakeGateway()
    await gateway.start()
    await gateway.stop()
    async with session(gateway, journal) as luma:
        submitting = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(3)
        async with gateway:
            handle = await submitting
            assert handle.id in gateway.generations
            assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_a_gateway_that_stays_down_is_not_sent(journal):
    """After half a minute without a connection the caller learns that nothing was sent, and nothing stays claimed."""
    gateway = FakeGateway()
    await gateway.start()
    await gateway.stop()
    async with session(gateway, journal) as luma:
        with pytest.raises(NotSent):
            await luma.submit("cat dance", key="cat")
        assert await luma.doubts.list() == []
    assert [entry.phase for entry in await journal.entries()] in ([], [Phase.NOT_SENT])


@pytest.mark.looptime
@pytest.mark.parametrize("hint", [None, 2], ids=["without Retry-After", "with Retry-After"])
async def test_a_saturated_service_is_asked_again(gateway, journal, hint):
    """429 means that nothing was charged: the submit waits and is sent again, and the key ends with one charge."""
    gateway.inject(rate_limited(hint), times=3)
    async with session(gateway, journal) as luma:
        await luma.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 4
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_a_service_that_stays_saturated_is_reported(gateway, journal):
    """After the policy's attempts the 429 comes out, nothing was charged, and the key may be sent later."""
    gateway.inject(rate_limited(), times=3)
    async with session(gateway, journal, retry=RetryPolicy(attempts=3)) as luma:
        with pytest.raises(RateLimited):
            await luma.submit("cat dance", key="cat")
        assert (await journal.get("cat")).phase is Phase.REFUSED
        await luma.submit("cat dance", key="cat")
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_two_calls_with_one_key_share_one_send(gateway, journal):
    """Ten concurrent submits under one key are one purchase, and all get the same generation."""
    gateway.inject(late(1))
    async with session(gateway, journal) as luma, asyncio.TaskGroup() as group:
        calls = [group.create_task(luma.submit("cat dance", key="cat")) for _ in range(10)]
    assert len({call.result().id for call in calls}) == 1
    assert await balance(gateway, journal) == (1, 1, 0)


class SlowJournal(MemoryJournal):
    """A journal that takes some turns of the loop before each thing it does, and some after."""

    async def _dawdle(self):
        for _ in range(4):
            await asyncio.sleep(0)

    async def get(self, key):
        await self._dawdle()
        return await super().get(key)

    async def change(self, key, step):
        await self._dawdle()
        entry = await super().change(key, step)
        await self._dawdle()
        return entry


ANSWERS = {
    "at once": None,
    "late": late(1),
    "429 first": rate_limited(),
    "lost": drop_after_reading(),
    "refused": rejects(),
}
FOLLOWERS = ("somebody before", "somebody after", "somebody who leaves too")


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("journal_kind", "answer", "follower", "stride"),
    [
        (MemoryJournal, "at once", "nobody", 1),
        *((SlowJournal, answer, "nobody", 1 if answer in {"at once", "429 first"} else 3) for answer in ANSWERS),
        *((SlowJournal, answer, follower, 4) for answer in ANSWERS for follower in FOLLOWERS),
    ],
)
async def test_cancelling_a_submit_at_any_moment_never_costs_twice(gateway, journal_kind, answer, follower, stride):
    """A caller that is cancelled after any number of turns of the loop leaves at most one charge, and it is known.

    Whoever else wants the same key, before or after, gets the truth about it, and never hears of the one who left.
    """
    journal = journal_kind()
    outcomes = set()
    for turns in range(1, 1000, stride):
        name = f"cat {turns}"
        gateway.clear_faults()
        if answer == "refused":
            gateway.scripts[name] = rejects()
        elif ANSWERS[answer] is not None:
            gateway.inject(ANSWERS[answer])
        charged_before = len(gateway.charges)
        finished = await _cancel_after(turns, name, gateway, journal, follower)
        charges = len(gateway.charges) - charged_before
        entry = await journal.get(name)
        phase = entry.phase if entry is not None else None
        if answer == "lost" and charges:
            assert phase is Phase.IN_DOUBT
        else:
            assert (phase is Phase.ACCEPTED) is bool(charges)
            assert phase is not Phase.SENDING
        if follower in {"somebody before", "somebody after"}:
            assert charges == (answer != "refused")
        outcomes.add((charges, phase))
        if finished:
            break
    assert finished
    await balance(gateway, journal)
    if follower in {"nobody", "somebody who leaves too"}:
        assert {phase for _, phase in outcomes} & {None, Phase.NOT_SENT}
        assert len(outcomes) > 1


async def _cancel_after(turns, name, gateway, journal, follower):
    """Cancel a submit after so many turns, with others who want the same; say whether it had ended by then."""
    async with session(gateway, journal) as luma:

        def submit():
            return asyncio.ensure_future(luma.submit(name, key=name))

        caller = submit()
        others = [submit()] if follower in {"somebody before", "somebody who leaves too"} else []
        for turn in range(turns):
            # A submit takes some hundred turns of the loop; what is left then is waiting for the clock.
            await asyncio.sleep(0 if turn < 120 else 0.2)
        finished = caller.done()
        caller.cancel()
        if follower == "somebody who leaves too":
            others[0].cancel()
        elif follower == "somebody after":
            others = [submit()]
        await asyncio.wait([caller, *others])
        for one in [caller, *others]:
            if not one.cancelled() and one.exception() is not None:
                assert isinstance(one.exception(), SubmitInDoubt | PromptRejected), one.exception()
    return finished


@pytest.mark.looptime
@pytest.mark.parametrize("moment_s", [0.5, 1.5, 2.5, 3.5])
async def test_a_claim_that_is_being_written_is_taken_back_when_nobody_waits(gateway, moment_s):
    """Cancelled while the journal writes the claim: nothing is sent, and nothing stays claimed."""

    class Ponderous(MemoryJournal):
        async def change(self, key, step):
            await asyncio.sleep(1)
            entry = await super().change(key, step)
            await asyncio.sleep(1)
            return entry

    journal = Ponderous()
    async with session(gateway, journal) as luma:
        caller = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(moment_s)
        caller.cancel()
        await asyncio.wait([caller])
    claimed_only = moment_s < 2
    assert len(gateway.charges) == (0 if claimed_only else 1)
    assert (await journal.get("cat")).phase is (Phase.NOT_SENT if claimed_only else Phase.ACCEPTED)


@pytest.mark.looptime
@pytest.mark.parametrize("limit", range(1, 100, 6))
async def test_closing_a_session_at_any_moment_never_costs_twice(limit):
    """A session that closes under submits at any turn of the loop: each is paid once and known, or not sent at all."""
    journal = SlowJournal()
    async with FakeGateway(record=False) as gateway:
        async with session(gateway, journal) as luma:
            callers = [asyncio.ensure_future(luma.submit(f"cat {number}", key=f"cat {number}")) for number in range(5)]
            for _ in range(limit):
                await asyncio.sleep(0)
        await asyncio.wait(callers)
        failures = [caller.exception() for caller in callers if caller.exception() is not None]
        assert all(isinstance(failure, SessionClosed) for failure in failures), failures
        charges, accepted, doubtful = await balance(gateway, journal)
        assert (charges, doubtful) == (accepted, 0)
        assert charges == 5 - len(failures)


@pytest.mark.looptime
async def test_a_cancelled_caller_is_free_at_once_and_the_answer_is_still_journalled(gateway, journal):
    """Cancelling while the POST is on its way returns at once; the answer that comes later is in the journal."""
    gateway.inject(late(10))
    loop = asyncio.get_running_loop()
    async with session(gateway, journal) as luma:
        caller = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        began_at = loop.time()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert loop.time() - began_at < 1
        handle = await luma.submit("cat dance", key="cat")
    assert handle.id in gateway.generations
    assert gateway.counts["submit"] == 1
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_closing_a_session_drains_what_was_sent(gateway, journal):
    """A POST that is on its way when the session closes is waited for, and its generation is in the journal."""
    gateway.inject(late(10))
    async with session(gateway, journal) as luma:
        caller = asyncio.ensure_future(luma.submit(VideoRequest("cat dance"), key="cat"))
        await asyncio.sleep(1)
    assert (await caller).id in gateway.generations
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_a_drain_that_runs_out_of_time_leaves_a_doubt(gateway, journal):
    """When the answer does not come within `Timeouts.close`, the caller is told of a doubt, and the journal has it."""
    gateway.inject(hang(charged=True))
    async with session(gateway, journal, timeouts=Timeouts(close=2)) as luma:
        caller = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
    with pytest.raises(SubmitInDoubt):
        await caller
    async with session(gateway, journal) as luma:
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 1
    await balance(gateway, journal)
