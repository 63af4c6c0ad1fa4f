"""The submitter where the stories leave gaps: owners, failing journals, resubmits, and closing."""

from __future__ import annotations

import asyncio
import re

import attrs
import pytest

from luma_async import (
    DreamMachine,
    Entry,
    ImageRequest,
    JournalError,
    KeyConflict,
    Limits,
    LumaSession,
    MemoryJournal,
    NotSent,
    Paused,
    Phase,
    RateLimited,
    Refused,
    Retried,
    RetryPolicy,
    RixAPI,
    SessionClosed,
    State,
    SubmitFailed,
    SubmitInDoubt,
    Submitted,
    Timeouts,
    VideoRequest,
)
from luma_async._aio import wall_now
from luma_async._journal import lifecycle
from luma_async._submit.outcomes import OutcomeWriter, UnwrittenOutcome
from luma_async.testing import (
    ALWAYS,
    Fault,
    answer,
    drop_after_reading,
    late,
    rate_limited,
    rejects,
    reshapes,
    server_error,
)

pytestmark = pytest.mark.looptime


def session(gateway, journal, **settings):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal, **settings)


async def phase_of(journal, key="cat"):
    entry = await journal.get(key)
    return entry.phase if entry is not None else None


def later(call):
    return asyncio.ensure_future(call)


class Broken(MemoryJournal):
    """A journal whose writes fail from the n-th on: the first is the claim, the second the outcome."""

    def __init__(self, fails_at, error):
        super().__init__()
        self.writes = 0
        self.fails_at = fails_at
        self.error = error

    async def change(self, key, step):
        self.writes += 1
        if self.writes >= self.fails_at:
            raise self.error
        return await super().change(key, step)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), JournalError(message="No space left"), RuntimeError("No space left")]
)
async def test_claim_not_written(gateway, error):
    """A full disk stops the POST: JournalError, no charge, and the key is free once there is room."""
    journal = Broken(1, error)
    async with session(gateway, journal) as luma:
        with pytest.raises(JournalError, match="No space left"):
            await luma.submit("cat dance", key="cat")
        assert gateway.counts["submit"] == 0
        journal.fails_at = 1000
        await luma.submit("cat dance", key="cat")
    assert len(gateway.charges) == 1
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_acceptance_not_written(gateway, caplog):
    """The handle is returned, the id is logged, nothing more is bought, and the entry stays *sending*."""
    journal = Broken(2, OSError(28, "No space left"))
    async with session(gateway, journal) as luma:
        handle = await luma.submit("cat dance", key="cat")
        assert handle.id in gateway.generations
        assert handle.id in next(record.getMessage() for record in caplog.records if record.levelname == "ERROR")
        with pytest.raises(JournalError, match="nothing further is sent"):
            await luma.submit("dog dance", key="dog")
        assert (await handle.refresh()).id == handle.id
    assert len(gateway.charges) == 1
    assert await phase_of(journal) is Phase.SENDING
    journal.fails_at = 1000
    async with session(gateway, journal) as luma:
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]


async def test_unwritten_outcome_settled(gateway):
    """An outcome that could not be written is a doubt, which the open session can resolve."""
    journal = Broken(2, OSError(28, "No space left"))
    async with session(gateway, journal) as luma, session(gateway, journal) as other:
        handle = await luma.submit("cat dance", key="cat")
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        waiting = asyncio.ensure_future(other.submit("cat dance", key="cat"))
        await asyncio.sleep(5)
        assert not waiting.done()
        journal.fails_at = 1000
        assert await other.doubts.list() == []
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]
        assert (await luma.doubts.resolve("cat", generation_id=handle.id)).id == handle.id
        assert await luma.doubts.list() == []
        assert (await waiting).id == handle.id
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("fault", [drop_after_reading(), rate_limited(), answer(400, {"detail": "no"})])
async def test_outcome_not_written(gateway, fault):
    """The caller gets the true outcome, and the session buys nothing more."""
    journal = Broken(2, OSError(28, "No space left"))
    gateway.inject(fault)
    async with session(gateway, journal) as luma:
        with pytest.raises((SubmitInDoubt, Refused, JournalError)):
            await luma.submit("cat dance", key="cat")
        with pytest.raises(JournalError, match="Fix the journal"):
            await luma.submit("dog dance", key="dog")
    assert gateway.counts["submit"] == 1
    assert await phase_of(journal) is Phase.SENDING


async def test_key_sent_by_another_session(gateway, journal):
    """Two sessions, one journal, one key: one POST, and both get the same generation."""
    gateway.inject(late(10))
    async with session(gateway, journal) as first, session(gateway, journal) as second:
        sending = later(first.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        waiting = later(second.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        assert await second.doubts.list() == []
        assert (await sending).id == (await waiting).id
    assert len(gateway.charges) == 1


async def test_key_refused_in_another_session(gateway, journal):
    """When the other session's submit is refused, the waiting session sends its own."""
    gateway.inject(late(5))
    gateway.scripts["cat dance"] = rejects()
    async with session(gateway, journal) as first, session(gateway, journal) as second:
        sending = later(first.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        waiting = later(second.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        del gateway.scripts["cat dance"]
        with pytest.raises(Refused):
            await sending
        assert (await waiting).id in gateway.generations
    assert len(gateway.charges) == 1


async def test_claim_of_a_dead_session(gateway, journal):
    """*Sending* with a dead owner is a doubt, although no session wrote it."""
    gateway.inject(late(10))
    async with session(gateway, journal) as luma:
        dying = later(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        journal._owners.clear()
        async with session(gateway, journal) as survivor:
            with pytest.raises(SubmitInDoubt, match="ended before the answer came"):
                await survivor.submit("cat dance", key="cat")
        assert (await dying).id in gateway.generations
    assert len(gateway.charges) == 1


async def test_owner_finishes_meanwhile(gateway):
    """An entry that was accepted between the two reads is found, and is no doubt."""

    class Racing(MemoryJournal):
        racing = False

        async def alive(self, owner):
            if self.racing:
                self.racing = False
                await dying
                self._owners.discard(owner)
            return await super().alive(owner)

    journal = Racing()
    gateway.inject(late(5))
    async with session(gateway, journal) as first, session(gateway, journal) as second:
        dying = later(first.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        journal.racing = True
        assert (await second.submit("cat dance", key="cat")).id == (await dying).id


async def test_concurrent_claims_of_a_key(gateway):
    """Two sessions find a key free and one claims it: the other waits for its result."""

    class Simultaneous(MemoryJournal):
        async def get(self, key):
            entry = await super().get(key)
            await asyncio.sleep(1)
            return entry

    journal = Simultaneous()
    async with session(gateway, journal) as first, session(gateway, journal) as second:
        handles = [later(one.submit("cat dance", key="cat")) for one in (first, second)]
        assert (await handles[0]).id == (await handles[1]).id
    assert len(gateway.charges) == 1


async def test_key_of_another_request(luma, gateway):
    """While a request is being sent, another request under its key is refused, and not sent."""
    gateway.inject(late(5))
    sending = later(luma.submit("cat dance", key="pet"))
    await asyncio.sleep(1)
    with pytest.raises(KeyConflict, match="a different request, which is being sent"):
        await luma.submit("dog dance", key="pet")
    await sending
    assert [charge.prompt for charge in gateway.charges] == ["cat dance"]


async def test_caller_joins_an_ending_submit(gateway, journal):
    """A caller that comes as an abandoned submit ends with a 429 gets an attempt of its own, at any turn."""
    async with session(gateway, journal) as luma:
        for turns in range(40):
            name = f"cat {turns}"
            gateway.inject(rate_limited())
            sent_before = gateway.counts["submit"]
            leaver = later(luma.submit(name, key=name))
            while gateway.counts["submit"] == sent_before:
                await asyncio.sleep(0)
            leaver.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            assert (await luma.submit(name, key=name)).id in gateway.generations
    assert len(gateway.charges) == 40


async def test_answer_with_an_old_id(luma, gateway, journal):
    """An answer that names the generation of another key is a doubt."""
    first = await luma.submit("cat dance", key="cat")
    gateway.inject(reshapes(lambda body: {**body, "id": first.id}))
    with pytest.raises(SubmitInDoubt, match=f"names generation {first.id}, which another key bought"):
        await luma.submit("dog dance", key="dog")
    assert await phase_of(journal, "dog") is Phase.IN_DOUBT
    assert (await journal.get("cat")).generation_id == first.id


async def test_answer_reader_raises(gateway, journal, caplog):
    """An exception while an answer is read proves nothing: a doubt."""

    class Clumsy(RixAPI):
        def read_submit(self, document):
            raise ZeroDivisionError

    async with session(gateway, journal, dialect=Clumsy()) as luma:
        with pytest.raises(SubmitInDoubt, match="could not be read"):
            await luma.submit("cat dance", key="cat")
    assert await phase_of(journal) is Phase.IN_DOUBT
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("dialect", [RixAPI(), DreamMachine()], ids=["rixapi", "dream-machine"])
async def test_answer_with_several(mocked_http, journal, dialect):
    """Of several generations in one answer the first is bought; the journal and the results name the others."""
    body = [{"id": "g1", "state": "pending"}, {"id": "g2", "state": "pending"}]
    mocked_http.post(re.compile(".*"), status=201, payload=body)
    mocked_http.get(re.compile(".*"), payload={"id": "g1", "state": "completed", "video": "https://x.example/v.mp4"})
    async with LumaSession("sk-test", base_url="https://r.example", dialect=dialect, journal=journal) as luma:
        handle = await luma.submit("cat dance", key="cat")
        assert (handle.id, handle.last.siblings) == ("g1", ("g2",))
        assert (await journal.get("cat")).reason == "the answer also names g2"
        assert (await handle.wait()).siblings == ("g2",)
    entry = await journal.get("cat")
    assert (entry.phase, entry.reason) == (Phase.COMPLETED, "the answer also names g2")


async def test_answer_with_an_id_only(gateway, journal):
    """An answer with an id is accepted, whatever is wrong with the rest."""

    class Picky(RixAPI):
        def generation(self, raw):
            raise ZeroDivisionError

    async with session(gateway, journal, dialect=Picky()) as luma:
        handle = await luma.submit("cat dance", key="cat")
        assert handle.last.state is State.UNKNOWN
        assert handle.last.raw["id"] == handle.id
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_answer_without_connector(mocked_http, journal):
    """Where the connector does not report, the claim is written with the outcome."""
    url = "https://relay.example/luma/generations"
    mocked_http.post(url, status=201, payload={"id": "g1", "state": "pending"})
    mocked_http.post(url, status=400, payload={"detail": "no"})
    mocked_http.post(url, status=502, body="<html>")
    async with LumaSession("sk-mocked", base_url="https://relay.example", journal=journal) as luma:
        assert (await luma.submit("cat dance", key="cat")).id == "g1"
        with pytest.raises(Refused):
            await luma.submit("dog dance", key="dog")
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cow dance", key="cow")
    phases = [entry.phase for entry in await journal.entries()]
    assert phases == [Phase.ACCEPTED, Phase.REFUSED, Phase.IN_DOUBT]


# Resubmits.


async def in_doubt(luma, gateway):
    gateway.inject(drop_after_reading())
    with pytest.raises(SubmitInDoubt):
        await luma.submit("cat dance", key="cat")


async def test_resubmit_accepted(luma, gateway, journal):
    """After a resubmit there is one more POST, and the key has its generation."""
    await in_doubt(luma, gateway)
    handle = await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert handle.id == (await journal.get("cat")).generation_id
    assert gateway.counts["submit"] == 2


@pytest.mark.parametrize("fault", [answer(400, {"detail": "no"}), answer(403, {"code": "insufficient_user_quota"})])
async def test_resubmit_refused(luma, gateway, journal, fault):
    """A refused resubmit leaves the doubt about the first request, and the key does not buy by itself."""
    await in_doubt(luma, gateway)
    gateway.inject(fault)
    with pytest.raises(Refused):
        await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert await phase_of(journal) is Phase.IN_DOUBT
    assert "sent again, it was refused" in (await journal.get("cat")).reason
    with pytest.raises(SubmitInDoubt):
        await luma.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 2
    handle = await luma.doubts.resolve("cat", generation_id=gateway.charges[0].generation_id)
    assert handle.key == "cat"


class TakenForDead(MemoryJournal):
    """A journal in which a person sends a claim again, before the answer to its request is recorded."""

    writes = 0

    async def change(self, key, step):
        self.writes += 1
        if self.writes == 2:
            entry = await self.get(key)
            again = attrs.evolve(entry, owner="f" * 16)
            await super().change(key, lifecycle.resubmit(entry, again, at=wall_now()))
        return await super().change(key, step)


@pytest.mark.parametrize("fault", [answer(400, {"detail": "no"}), drop_after_reading()])
async def test_refused_after_a_resubmit(gateway, fault):
    """A refusal or a doubt leaves a claim alone that another session has made for the same key meanwhile."""
    journal = TakenForDead()
    gateway.inject(fault)
    async with session(gateway, journal) as luma:
        with pytest.raises((Refused, SubmitInDoubt)):
            await luma.submit("cat dance", key="cat")
    entry = await journal.get("cat")
    assert (entry.phase, entry.owner) == (Phase.SENDING, "f" * 16)


async def test_resubmit_after_429s(luma, gateway, journal):
    """A resubmit is repeated after a 429, under the same decision of the person."""
    await in_doubt(luma, gateway)
    gateway.inject(rate_limited(), times=2)
    await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert gateway.counts["submit"] == 4
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_resubmit_not_sent(gateway, journal):
    """Without a connection a resubmit sends nothing, and the first request stays in doubt."""
    async with session(gateway, journal, retry=RetryPolicy(connect_retry_for=1)) as luma:
        await in_doubt(luma, gateway)
        await gateway.stop()
        with pytest.raises(NotSent):
            await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
    assert await phase_of(journal) is Phase.IN_DOUBT


async def test_resubmit_cancelled(gateway):
    """A resubmit that is cancelled while its claim is written sends nothing and leaves the doubt."""

    class Slow(MemoryJournal):
        async def change(self, key, step):
            await asyncio.sleep(1)
            return await super().change(key, step)

    journal = Slow()
    async with session(gateway, journal) as luma:
        await in_doubt(luma, gateway)
        again = later(luma.doubts.resubmit("cat", accept_duplicate_risk=True))
        await asyncio.sleep(0.5)
        again.cancel()
        with pytest.raises(asyncio.CancelledError):
            await again
    assert gateway.counts["submit"] == 1
    assert await phase_of(journal) is Phase.IN_DOUBT


# Retries, pauses and their events.


async def test_submit_events(gateway, journal):
    """Retried and Paused for each 429, then Submitted; SubmitFailed with the caller's error."""
    events = []
    gateway.inject(rate_limited(), times=2)
    gateway.scripts["bad"] = rejects()
    async with session(gateway, journal, on_event=events.append) as luma:
        handle = await luma.submit("cat dance", key="cat")
        with pytest.raises(Refused) as caught:
            await luma.submit("bad", key="bad")
    kinds = [Retried, Paused, Retried, Paused, Submitted, SubmitFailed]
    assert [type(event) for event in events] == kinds
    assert [event.attempt for event in events if isinstance(event, Retried)] == [1, 2]
    assert events[4].generation.id == handle.id
    assert events[5].error is caught.value


async def test_429_pauses_submits_only(gateway, journal):
    """After a 429 all submits of the session wait as long as the service says; queries do not."""
    loop = asyncio.get_running_loop()
    async with session(gateway, journal) as luma:
        old = await luma.submit("old cat")
        gateway.inject(rate_limited(20))
        began_at_s = loop.time()
        turned_away = later(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        other = later(luma.submit("dog dance", key="dog"))
        await old.refresh()
        assert loop.time() - began_at_s < 2
        await asyncio.wait([turned_away, other])
        assert min(charge.at for charge in gateway.charges[1:]) >= began_at_s + 20


async def test_429_with_a_long_delay(luma, gateway):
    """A Retry-After of more than a minute raises RateLimited at once, with the number."""
    gateway.inject(rate_limited(600))
    with pytest.raises(RateLimited) as caught:
        await luma.submit("cat dance")
    assert caught.value.retry_after_s == 600
    assert gateway.counts["submit"] == 1


async def test_connect_time_after_throttle(gateway, journal):
    """The time that a submit waits for the rate does not count as time to connect."""
    async with session(gateway, journal, limits=Limits(submits_per_minute=1)) as luma:
        await luma.submit("first")
        second = later(luma.submit("second", key="second"))
        await asyncio.sleep(59)
        await gateway.stop()
        await asyncio.sleep(10)
        assert not second.done()
        await gateway.start()
        assert (await second).id in gateway.generations


async def test_connect_time_after_a_429(gateway, journal):
    """The pause after a 429 does not count as time to connect."""
    gateway.inject(rate_limited(60))
    async with session(gateway, journal) as luma:
        sending = later(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(50)
        await gateway.stop()
        await asyncio.sleep(25)
        assert not sending.done()
        await gateway.start()
        assert (await sending).id in gateway.generations


# Queueing: as many submits start as the throttle lets through.


def submits():
    """Return the tasks in which submits run."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "luma_async submit"]


async def test_queued_submits_have_no_task(gateway, journal):
    """Of many submits only as many have a task as the throttle lets through; all are sent in order."""
    gateway.inject(late(2), times=ALWAYS)
    async with session(gateway, journal, limits=Limits(requests=3)) as luma:
        buying = [later(luma.submit(f"cat {number}")) for number in range(10)]
        await asyncio.sleep(1)
        assert len(submits()) == 3
        await asyncio.gather(*buying)
        assert submits() == []
    assert [charge.body["prompt"] for charge in gateway.charges] == [f"cat {number}" for number in range(10)]


async def test_queued_submit_cancelled(gateway, journal):
    """A cancelled submit leaves the queue unsent, and the next one moves up."""
    gateway.inject(late(5))
    events = []
    async with session(gateway, journal, limits=Limits(requests=1), on_event=events.append) as luma:
        first, second, third = (later(luma.submit(prompt)) for prompt in ("cat", "dog", "cow"))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.gather(first, third)
    assert [charge.body["prompt"] for charge in gateway.charges] == ["cat", "cow"]
    assert [type(event) for event in events] == [Submitted, Submitted]
    assert second.cancelled()


async def test_key_after_a_cancelled_submit(gateway, journal):
    """A named submit that was cancelled before its turn was not sent; the next with its key is."""
    gateway.inject(late(5))
    async with session(gateway, journal, limits=Limits(requests=1)) as luma:
        first, second = (later(luma.submit(prompt, key=prompt)) for prompt in ("cat", "dog"))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.sleep(1)
        await asyncio.gather(first, later(luma.submit("dog", key="dog")))
    assert [charge.body["prompt"] for charge in gateway.charges] == ["cat", "dog"]


async def test_submit_between_attempts(gateway, journal):
    """While a submit waits for its next attempt, another is sent."""
    gateway.inject(answer(503, {"code": "get_channel_failed", "message": "none"}))
    retry = RetryPolicy(first_delay=50_000, max_delay=50_000)
    async with session(gateway, journal, limits=Limits(requests=1), retry=retry) as luma:
        tired = later(luma.submit("tired cat"))
        await asyncio.sleep(1)
        await luma.submit("cat dance")
        assert not tired.done()
        await tired
    assert [charge.body["prompt"] for charge in gateway.charges] == ["cat dance", "tired cat"]


async def test_known_key_is_not_queued(gateway, journal):
    """A key that has bought is answered at once, however many submits are queued."""
    async with session(gateway, journal, limits=Limits(requests=1)) as luma:
        bought = await luma.submit("cat dance", key="cat")
        gateway.inject(rate_limited(50))
        paused = [later(luma.submit(f"dog {number}")) for number in range(3)]
        await asyncio.sleep(1)
        assert (await asyncio.wait_for(luma.submit("cat dance", key="cat"), 1)).id == bought.id
        with pytest.raises(KeyConflict):
            await asyncio.wait_for(luma.submit("another dance", key="cat"), 1)
        await asyncio.gather(*paused)


# Closing.


async def test_429_while_closing(gateway, journal):
    """A 429 that comes while the session closes is not followed by another attempt."""

    async def busy(exchange):
        await exchange.idle(5)
        return await rate_limited().act(exchange)

    gateway.inject(Fault("busy", charged=False, act=busy), times=ALWAYS)
    loop = asyncio.get_running_loop()
    async with session(gateway, journal) as luma:
        sending = later(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        began_at_s = loop.time()
    assert loop.time() - began_at_s < 10
    with pytest.raises(RateLimited):
        await sending
    assert gateway.counts["submit"] == 1
    assert await phase_of(journal) is Phase.REFUSED


@pytest.mark.parametrize("waits_for", ["a pause", "a connection", "another session", "its turn"])
async def test_closing_withdraws_unsent(gateway, waits_for):
    """Closing ends queued submits with SessionClosed at once, and they are never sent."""
    journal = MemoryJournal()
    loop = asyncio.get_running_loop()
    async with session(gateway, journal) as other:
        if waits_for == "a pause":
            gateway.inject(rate_limited(50))
        elif waits_for == "a connection":
            await gateway.stop()
        elif waits_for == "another session":
            gateway.inject(late(25))
            theirs = later(other.submit("cat dance", key="cat"))
            await asyncio.sleep(1)
        async with session(gateway, journal, limits=Limits(requests=1)) as luma:
            if waits_for == "its turn":
                gateway.inject(rate_limited(50))
                later(luma.submit("dog dance")).add_done_callback(asyncio.Task.exception)
            sending = later(luma.submit("cat dance", key=None if waits_for == "its turn" else "cat"))
            await asyncio.sleep(1)
            began_at_s = loop.time()
        assert loop.time() - began_at_s < 1
        with pytest.raises(SessionClosed, match="nothing was charged"):
            await sending
        if waits_for == "another session":
            await theirs
    assert len(gateway.charges) == (waits_for == "another session")


async def test_closing_during_a_claim(gateway):
    """A session that closes while its claim fails for another session's raises SessionClosed at once."""

    class Slow(MemoryJournal):
        async def change(self, key, step):
            await asyncio.sleep(1)
            return await super().change(key, step)

    journal = Slow()
    gateway.inject(late(20))
    loop = asyncio.get_running_loop()
    async with session(gateway, journal) as other:
        theirs = later(other.submit("cat dance", key="cat"))
        async with session(gateway, journal) as luma:
            ours = later(luma.submit("cat dance", key="cat"))
            await asyncio.sleep(0.5)
        assert loop.time() < 5
        with pytest.raises(SessionClosed, match="nothing was charged"):
            await ours
        await theirs
    assert len(gateway.charges) == 1


async def test_handle_of_a_closed_session(gateway, journal):
    """Buying through a handle of a closing or closed session raises SessionClosed."""
    gateway.inject(late(5), when=lambda seen: seen.body["prompt"] == "late cat")
    async with session(gateway, journal) as luma:
        handle = await luma.submit("cat dance")
        draining = later(luma.submit("late cat"))
        await asyncio.sleep(1)
        closing = later(luma.aclose())
        await asyncio.sleep(1)
        with pytest.raises(SessionClosed):
            await handle.extend("it sits")
        await closing
        await draining
    with pytest.raises(SessionClosed):
        await handle.extend("it sits")
    assert gateway.counts["extend"] == 0


async def test_closing_waits_for_sync_only(gateway, journal):
    """A synchronous image request gives no extra time to a submit that hangs."""
    gateway.inject(late(500), on="submit")
    gateway.inject(late(10), on="image")
    settings = {"dialect": DreamMachine(), "timeouts": Timeouts(close=15)}
    async with session(gateway, journal, **settings) as luma:
        video = later(luma.submit("cat dance", key="video"))
        picture = later(luma.submit(ImageRequest("a cat", sync=True, sync_timeout=60), key="cat"))
        await asyncio.sleep(5)
        began_at = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began_at == pytest.approx(15, abs=1)
    assert await phase_of(journal) is Phase.ACCEPTED
    assert await phase_of(journal, "video") is Phase.IN_DOUBT
    assert (await picture).id
    with pytest.raises(SubmitInDoubt):
        await video


async def test_caller_after_the_task_ended(gateway, journal):
    """A caller that comes between the end of a task and its callback gets a purchase of its own."""
    gateway.inject(answer(400, {"detail": "no"}))
    async with session(gateway, journal) as luma:
        first = later(luma.submit("cat dance", key="cat"))
        intents = luma._engine.submitter._intents

        async def submit_then():
            while "cat" not in intents or not intents["cat"].task.done():
                await asyncio.sleep(0)
            return await luma.submit("cat dance", key="cat")

        second = later(submit_then())
        with pytest.raises(Refused):
            await first
        assert (await second).id == gateway.charges[0].generation_id


async def test_closing_waits_for_sync_answer(gateway, journal):
    """Closing waits for the answer to a synchronous image request as long as the request allows."""
    gateway.inject(late(40), on="image")
    settings = {"dialect": DreamMachine(), "timeouts": Timeouts(close=15)}
    async with session(gateway, journal, **settings) as luma:
        buying = later(luma.submit(ImageRequest("a cat", sync=True, sync_timeout=60), key="cat"))
        await asyncio.sleep(5)
        buying.cancel()
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_close_cancelled(gateway, journal):
    """A cancelled close leaves no task, and the unanswered submit is in doubt."""
    gateway.inject(late(20))
    luma = session(gateway, journal, timeouts=Timeouts(close=15))
    await luma.open()
    sending = later(luma.submit("cat dance", key="cat"))
    await asyncio.sleep(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await luma.aclose()
    with pytest.raises(SubmitInDoubt):
        await sending
    assert await phase_of(journal) is Phase.IN_DOUBT
    assert not await journal.alive((await journal.get("cat")).owner)


async def test_request_that_cannot_be_built(luma, gateway, journal):
    """A request that the dialect does not support leaves no trace in the journal."""
    with pytest.raises(ValueError, match="concepts"):
        await luma.submit(VideoRequest("cat dance", concepts=["dolly_zoom"]), key="cat")
    assert await journal.entries() == []
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_doubt_is_not_repeated(luma, gateway, status):
    """No retry policy repeats a submit that is in doubt."""
    gateway.inject(server_error(status), times=ALWAYS)
    with pytest.raises(SubmitInDoubt):
        await luma.submit("cat dance", key="cat")
    await asyncio.sleep(600)
    assert gateway.counts["submit"] == 1


def submit_tasks():
    return [task for task in asyncio.all_tasks() if task.get_name() == "luma_async submit"]


def cancels_at(kind):
    """Return an `on_event` that cancels all tasks of submits at events of one kind."""

    def on_event(event):
        if isinstance(event, kind):
            for task in submit_tasks():
                task.cancel()

    return on_event


async def test_submit_cancelled_once_accepted(gateway, journal):
    """A program that cancels the session's own task after the acceptance still gets the handle."""
    async with session(gateway, journal, on_event=cancels_at(Submitted)) as luma:
        handle = await luma.submit("cat dance", key="cat")
        assert (await luma.submit("cat dance", key="cat")).id == handle.id
    assert [charge.generation_id for charge in gateway.charges] == [handle.id]


async def test_submit_cancelled_between_attempts(gateway, journal):
    """A program that cancels the session's own task before a repetition gets NotSent, and the key is free."""
    gateway.inject(rate_limited())
    luma = session(gateway, journal, on_event=cancels_at(Retried))
    async with luma:
        with pytest.raises(NotSent, match="cancelled before it was sent"):
            await luma.submit("cat dance", key="cat")
        await luma.submit("cat dance", key="cat")
    assert len(gateway.charges) == 1


async def test_submit_cancelled_while_sent(gateway, journal):
    """A program that cancels the session's own task during the POST gets SubmitInDoubt, and a doubt to settle."""
    gateway.inject(late(20))
    async with session(gateway, journal) as luma:
        sending = later(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        cancels_at(Submitted)(Submitted(key="cat", generation=None))
        with pytest.raises(SubmitInDoubt, match="its task was cancelled"):
            await sending
        assert [doubt.key for doubt in await luma.doubts.list()] == ["cat"]
        await asyncio.sleep(1)
        assert await phase_of(journal) is Phase.IN_DOUBT
        await luma.submit("dog dance", key="dog")


async def test_submit_cancelled_while_claimed(gateway):
    """A program that cancels the session's own task during the claim sends nothing, and the key is free again."""

    class Slow(MemoryJournal):
        async def change(self, key, step):
            entry = await super().change(key, step)
            await asyncio.sleep(1)
            return entry

    journal = Slow()
    async with session(gateway, journal) as luma:
        sending = later(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(0.5)
        assert await phase_of(journal) is Phase.SENDING
        for task in submit_tasks():
            task.cancel()
        with pytest.raises(SubmitInDoubt):
            await sending
        await asyncio.sleep(3)
        assert await phase_of(journal) is Phase.NOT_SENT
        await luma.submit("cat dance", key="cat")
    assert len(gateway.charges) == 1


async def test_acceptance_cancelled_while_written(gateway):
    """A task that is cancelled while the acceptance is written gives its handle, and the acceptance is recorded."""

    class Slow(MemoryJournal):
        writes = 0

        async def change(self, key, step):
            self.writes += 1
            if self.writes == 2:
                await asyncio.sleep(1)
            return await super().change(key, step)

    journal = Slow()
    async with session(gateway, journal) as luma:
        sending = later(luma.submit("cat dance", key="cat"))
        while journal.writes < 2:
            await asyncio.sleep(0.1)
        for task in submit_tasks():
            task.cancel()
        handle = await sending
        await asyncio.sleep(1)
        assert (await journal.get("cat")).generation_id == handle.id
    assert len(gateway.charges) == 1


async def test_refusal_kept_while_another_claims(gateway):
    """An outcome that is written again leaves the claim that another session has made since alone."""
    journal = MemoryJournal()
    writer = OutcomeWriter(journal, "0" * 16)
    entry = Entry(key="cat", phase=Phase.SENDING, service="s", digest="d", owner="0" * 16)
    await journal.change("cat", lifecycle.claim(entry, at=wall_now()))
    step = lifecycle.end_without_generation(lifecycle.Step.REFUSE, "no", at=wall_now())
    await journal.change("cat", step)
    theirs = attrs.evolve(entry, owner="1" * 16)
    await journal.change("cat", lifecycle.claim(theirs, at=wall_now()))
    writer.keep(UnwrittenOutcome(key="cat", step=step, what="the outcome of submit cat"))
    await asyncio.sleep(1)
    assert writer.unwritten == set()
    assert (await journal.get("cat")).phase is Phase.SENDING
    await writer.aclose(1)


async def test_outcomes_written_with_pauses(gateway):
    """A journal that fails for an hour is asked a few hundred times, and buying goes on once it works."""
    journal = Broken(2, OSError(28, "No space left"))
    async with session(gateway, journal) as luma:
        handle = await luma.submit("cat dance", key="cat")
        await asyncio.sleep(3600)
        assert 100 < journal.writes < 500
        journal.fails_at = 10**6
        await asyncio.sleep(11)
        assert (await journal.get("cat")).generation_id == handle.id
        await luma.submit("dog dance", key="dog")
    assert len(gateway.charges) == 2
