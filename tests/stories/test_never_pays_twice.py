"""A paid POST is sent at most once, whatever happens to its answer or to its caller."""

from __future__ import annotations

import asyncio

import pytest
from ledger import balance

from luma_async import (
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
    ALL_FAULTS,
    AgentsBehaviour,
    FakeGateway,
    drop_after_reading,
    hang,
    late,
    rate_limited,
    rejects,
)

LOST_ANSWERS = [fault for fault in ALL_FAULTS if fault.loses_answer]


@pytest.fixture
def gateway_options():
    """No limits: a story makes its own 429."""
    return {"agents": AgentsBehaviour(submits_per_minute=None, max_unfinished=None)}


@pytest.mark.looptime
@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: fault.name)
async def test_lost_answer_with_the_gateway(session, gateway, journal, fault):
    """However an answer is lost, one POST leaves, the caller gets a doubt, and the key does not send again."""
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
async def test_unsent_submit_is_repeated(session, journal):
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
async def test_gateway_stays_down(session, journal):
    """After half a minute without a connection: NotSent, and nothing stays claimed."""
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
async def test_429_is_repeated(session, gateway, journal, hint):
    """After a 429 nothing was charged: the submit waits and is sent again, and the key ends with one charge."""
    gateway.inject(rate_limited(hint), times=3)
    async with session(gateway, journal) as luma:
        await luma.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 4
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_429_after_all_attempts(session, gateway, journal):
    """After the policy's attempts RateLimited is raised, nothing was charged, and the key may be sent later."""
    gateway.inject(rate_limited(), times=3)
    async with session(gateway, journal, retry=RetryPolicy(attempts=3)) as luma:
        with pytest.raises(RateLimited):
            await luma.submit("cat dance", key="cat")
        assert (await journal.get("cat")).phase is Phase.REFUSED
        await luma.submit("cat dance", key="cat")
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_concurrent_calls_with_one_key(session, gateway, journal):
    """Ten concurrent submits under one key are one purchase, and all get the same generation."""
    gateway.inject(late(1))
    async with session(gateway, journal) as luma, asyncio.TaskGroup() as group:
        calls = [group.create_task(luma.submit("cat dance", key="cat")) for _ in range(10)]
    assert len({call.result().id for call in calls}) == 1
    assert await balance(gateway, journal) == (1, 1, 0)


class SlowJournal(MemoryJournal):
    """A journal that takes some turns of the loop before and after each operation."""

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
FOLLOWERS = ("another before", "another after", "another cancelled")


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("journal_kind", "answer", "follower", "stride"),
    [
        (MemoryJournal, "at once", "alone", 1),
        *((SlowJournal, answer, "alone", 1 if answer in {"at once", "429 first"} else 3) for answer in ANSWERS),
        *((SlowJournal, answer, follower, 4) for answer in ANSWERS for follower in FOLLOWERS),
    ],
)
async def test_cancelled_at_any_moment(dialect, session, gateway, journal_kind, answer, follower, stride):
    """A caller that is cancelled after any number of turns of the loop leaves at most one charge, and it is known.

    Another caller of the key, before or after, gets the true outcome, and is not affected by the cancellation.
    """
    journal = journal_kind()
    outcomes = set()
    # Every turn in one dialect, every third in the others.
    for turns in range(1, 1000, stride * (1 if dialect.name == "rixapi" else 3)):
        name = f"cat {turns}"
        gateway.clear_faults()
        if answer == "refused":
            gateway.scripts[name] = rejects()
        elif ANSWERS[answer] is not None:
            gateway.inject(ANSWERS[answer])
        charged_before = len(gateway.charges)
        finished = await _cancel_after(session, turns, name, gateway, journal, follower)
        charges = len(gateway.charges) - charged_before
        entry = await journal.get(name)
        phase = entry.phase if entry is not None else None
        if answer == "lost" and charges:
            assert phase is Phase.IN_DOUBT
        else:
            assert (phase is Phase.ACCEPTED) is bool(charges)
            assert phase is not Phase.SENDING
        if follower in {"another before", "another after"}:
            assert charges == (answer != "refused")
        outcomes.add((charges, phase))
        if finished:
            break
    assert finished
    await balance(gateway, journal)
    if follower in {"alone", "another cancelled"}:
        assert {phase for _, phase in outcomes} & {None, Phase.NOT_SENT}
        assert len(outcomes) > 1


async def _cancel_after(session, turns, name, gateway, journal, follower):
    """Cancel a submit after so many turns, with other callers of its key; return whether it had ended by then."""
    async with session(gateway, journal) as luma:

        def submit():
            return asyncio.ensure_future(luma.submit(name, key=name))

        caller = submit()
        others = [submit()] if follower in {"another before", "another cancelled"} else []
        for turn in range(turns):
            # A submit takes some hundred turns of the loop; what is left then is waiting for the clock.
            await asyncio.sleep(0 if turn < 120 else 0.2)
        finished = caller.done()
        caller.cancel()
        if follower == "another cancelled":
            others[0].cancel()
        elif follower == "another after":
            others = [submit()]
        await asyncio.wait([caller, *others])
        for one in [caller, *others]:
            if not one.cancelled() and one.exception() is not None:
                assert isinstance(one.exception(), SubmitInDoubt | PromptRejected), one.exception()
    return finished


@pytest.mark.looptime
@pytest.mark.parametrize("moment_s", [0.5, 1.5, 2.5, 3.5])
async def test_cancelled_during_the_claim(session, gateway, moment_s):
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
async def test_closed_at_any_moment(session, limit):
    """A session that closes under submits at any turn of the loop: each is paid once and recorded, or not sent."""
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
async def test_cancelled_during_the_post(session, gateway, journal):
    """Cancelling during the POST returns at once; the answer that comes later is in the journal."""
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
async def test_closing_waits_for_the_answer(session, gateway, journal):
    """Closing a session waits for an outstanding POST, and its generation is in the journal."""
    gateway.inject(late(10))
    async with session(gateway, journal) as luma:
        caller = asyncio.ensure_future(luma.submit(VideoRequest("cat dance"), key="cat"))
        await asyncio.sleep(1)
    assert (await caller).id in gateway.generations
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_closing_timeout_leaves_a_doubt(session, gateway, journal):
    """If the answer does not come within `Timeouts.close`, the caller gets a doubt, and the journal has it."""
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
