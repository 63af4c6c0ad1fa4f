"""The sender where the stories leave gaps: owners, journals that fail, doubts sent again, and closing half-way."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import (
    DreamMachine,
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


@pytest.fixture
def journal():
    return MemoryJournal()


def session(gateway, journal, **settings):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal, **settings)


@pytest.fixture
async def luma(gateway, journal):
    async with session(gateway, journal) as opened:
        yield opened


async def phase_of(journal, key="cat"):
    entry = await journal.get(key)
    return entry.phase if entry is not None else None


def later(call):
    return asyncio.ensure_future(call)


class Broken(MemoryJournal):
    """A journal whose writes fail from one on: the first is the claim, the second the outcome."""

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
async def test_a_claim_that_cannot_be_written_sends_nothing(gateway, error):
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


async def test_an_acceptance_that_cannot_be_written_is_not_lost(gateway, caplog):
    """The handle is returned, the id is logged as an error, nothing more is bought, and the entry stays *sending*."""
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


async def test_what_could_not_be_written_can_be_settled_while_the_session_lives(gateway):
    """A service that runs for months need not be closed: the doubt is listed, and the id from the log settles it."""
    journal = Broken(2, OSError(28, "No space left"))
    async with session(gateway, journal) as luma, session(gateway, journal) as other:
        handle = await luma.submit("cat dance", key="cat")
        journal.fails_at = 1000
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        waiting = asyncio.ensure_future(other.submit("cat dance", key="cat"))
        await asyncio.sleep(5)
        assert not waiting.done()
        assert await other.doubts.list() == []
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]
        assert (await luma.doubts.resolve("cat", generation_id=handle.id)).id == handle.id
        assert await luma.doubts.list() == []
        assert (await waiting).id == handle.id
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("fault", [drop_after_reading(), rate_limited(), answer(400, {"detail": "no"})])
async def test_any_outcome_that_cannot_be_written_stops_buying(gateway, fault):
    """Whatever became of it: the caller is told the truth, and the session buys nothing more."""
    journal = Broken(2, OSError(28, "No space left"))
    gateway.inject(fault)
    async with session(gateway, journal) as luma:
        with pytest.raises((SubmitInDoubt, Refused, JournalError)):
            await luma.submit("cat dance", key="cat")
        with pytest.raises(JournalError, match="Fix the journal, then open a new session"):
            await luma.submit("dog dance", key="dog")
    assert gateway.counts["submit"] == 1
    assert await phase_of(journal) is Phase.SENDING


async def test_another_living_session_is_waited_for(gateway, journal):
    """Two sessions over one journal, one key: one POST, and both get the same generation."""
    gateway.inject(late(10))
    async with session(gateway, journal) as first, session(gateway, journal) as second:
        sending = later(first.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        waiting = later(second.submit("cat dance", key="cat"))
        await asyncio.sleep(1)
        assert await second.doubts.list() == []
        assert (await sending).id == (await waiting).id
    assert len(gateway.charges) == 1


async def test_what_another_session_was_refused_is_sent_by_the_next(gateway, journal):
    """The other session's submit is refused while we wait: then it is ours to send."""
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


async def test_a_session_that_died_leaves_a_doubt(gateway, journal):
    """*Sending*, and its owner is gone: in doubt, without anybody having written it."""
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


async def test_an_owner_that_finishes_while_it_is_asked_about_is_no_doubt(gateway):
    """It was *sending*, then accepted and gone by the time we ask whether it lives: the generation is found."""

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


async def test_a_key_that_another_session_claims_first_is_its_purchase(gateway):
    """Both find the key free and one claims it: the other waits for that result instead of sending."""

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


async def test_one_key_for_two_requests_at_once_is_a_conflict(luma, gateway):
    """While one is being sent the other is refused; nothing is sent for it."""
    gateway.inject(late(5))
    sending = later(luma.submit("cat dance", key="pet"))
    await asyncio.sleep(1)
    with pytest.raises(KeyConflict, match="a different request, which is being sent"):
        await luma.submit("dog dance", key="pet")
    await sending
    assert [charge.prompt for charge in gateway.charges] == ["cat dance"]


async def test_whoever_comes_as_an_unwanted_send_ends_gets_an_attempt_of_their_own(gateway, journal):
    """A caller leaves, the answer is 429, and at whatever turn of the loop somebody else comes, they are served."""
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


async def test_an_answer_that_names_what_another_key_bought_is_a_doubt(luma, gateway, journal):
    """A relay that answers with an old id: the new submit may have bought something, and nobody knows what."""
    first = await luma.submit("cat dance", key="cat")
    gateway.inject(reshapes(lambda body: {**body, "id": first.id}))
    with pytest.raises(SubmitInDoubt, match=f"names generation {first.id}, which another key bought"):
        await luma.submit("dog dance", key="dog")
    assert await phase_of(journal, "dog") is Phase.IN_DOUBT
    assert (await journal.get("cat")).generation_id == first.id


async def test_an_answer_that_trips_the_reader_is_a_doubt(gateway, journal, caplog):
    """A fault of our own in reading proves nothing about the money."""

    class Clumsy(RixAPI):
        def read_submit(self, document):
            raise ZeroDivisionError

    async with session(gateway, journal, dialect=Clumsy()) as luma:
        with pytest.raises(SubmitInDoubt, match="could not be read"):
            await luma.submit("cat dance", key="cat")
    assert await phase_of(journal) is Phase.IN_DOUBT
    assert "ZeroDivisionError" in caplog.text


async def test_an_id_is_enough(gateway, journal):
    """Whatever is wrong with the rest of the first answer, it is paid and has a name."""

    class Picky(RixAPI):
        def generation(self, raw):
            raise ZeroDivisionError

    async with session(gateway, journal, dialect=Picky()) as luma:
        handle = await luma.submit("cat dance", key="cat")
        assert handle.last.state is State.UNKNOWN
        assert handle.last.raw["id"] == handle.id
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_an_answer_proves_sending_whatever_the_trace_says(mocked_http, journal):
    """Where no trace fires, the claim is written with the verdict: accepted, refused and in doubt as ever."""
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


# A doubt that a person sends again.


async def in_doubt(luma, gateway):
    gateway.inject(drop_after_reading())
    with pytest.raises(SubmitInDoubt):
        await luma.submit("cat dance", key="cat")


async def test_a_doubt_that_is_sent_again_is_accepted(luma, gateway, journal):
    """A person takes the risk: one more POST, and the key has its generation."""
    await in_doubt(luma, gateway)
    handle = await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert handle.id == (await journal.get("cat")).generation_id
    assert gateway.counts["submit"] == 2


@pytest.mark.parametrize("fault", [answer(400, {"detail": "no"}), answer(403, {"code": "insufficient_user_quota"})])
async def test_a_doubt_that_is_refused_when_sent_again_stays_a_doubt(luma, gateway, journal, fault):
    """The second send cost nothing, and says nothing of the first: its key must not buy by itself."""
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


async def test_a_doubt_is_sent_again_until_it_is_decided(luma, gateway, journal):
    """429s on the way are waited out under the one decision of the person."""
    await in_doubt(luma, gateway)
    gateway.inject(rate_limited(), times=2)
    await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert gateway.counts["submit"] == 4
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_a_doubt_that_cannot_be_sent_again_stays_a_doubt(gateway, journal):
    """No connection: the second send never was, and the first is as doubtful as before."""
    async with session(gateway, journal, retry=RetryPolicy(connect_retry_for=1)) as luma:
        await in_doubt(luma, gateway)
        await gateway.stop()
        with pytest.raises(NotSent):
            await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
    assert await phase_of(journal) is Phase.IN_DOUBT


async def test_a_resubmit_that_is_given_up_leaves_the_doubt(gateway):
    """Cancelled while the claim of the second send is written: still in doubt, and nothing was sent."""

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


# Retries, pauses, and the events that tell of them.


async def test_the_events_of_a_submit_tell_its_story(gateway, journal):
    """Retried and Paused for each 429, then Submitted; SubmitFailed with the error that the caller gets."""
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


async def test_a_429_makes_every_submit_wait_and_no_look(gateway, journal):
    """All submits of the session pause for as long as the service says; queries go on."""
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


async def test_a_service_that_wants_more_than_a_minute_is_reported(luma, gateway):
    """Retry-After beyond a minute is not waited for: RateLimited at once, with the number."""
    gateway.inject(rate_limited(600))
    with pytest.raises(RateLimited) as caught:
        await luma.submit("cat dance")
    assert caught.value.retry_after_s == 600
    assert gateway.counts["submit"] == 1


async def test_waiting_for_a_turn_does_not_use_up_the_time_to_connect(gateway, journal):
    """A submit that waited minutes for the rate is tried for half a minute all the same when nobody listens."""
    async with session(gateway, journal, limits=Limits(submits_per_minute=1)) as luma:
        await luma.submit("first")
        second = later(luma.submit("second", key="second"))
        await asyncio.sleep(59)
        await gateway.stop()
        await asyncio.sleep(10)
        assert not second.done()
        await gateway.start()
        assert (await second).id in gateway.generations


async def test_time_to_connect_counts_from_the_last_answer(gateway, journal):
    """A pause of a minute after a 429 leaves the half minute for connecting whole."""
    gateway.inject(rate_limited(60))
    async with session(gateway, journal) as luma:
        sending = later(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(50)
        await gateway.stop()
        await asyncio.sleep(25)
        assert not sending.done()
        await gateway.start()
        assert (await sending).id in gateway.generations


# Turns: as many start as the gate is wide.


def submits():
    """Return the tasks in which submits run."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "luma_async submit"]


async def test_those_who_wait_for_their_turn_need_no_task(gateway, journal):
    """Of many at once only those run that the gate lets through; all of them are bought, in their order."""
    gateway.inject(late(2), times=ALWAYS)
    async with session(gateway, journal, limits=Limits(requests=3)) as luma:
        buying = [later(luma.submit(f"cat {number}")) for number in range(10)]
        await asyncio.sleep(1)
        assert len(submits()) == 3
        await asyncio.gather(*buying)
        assert submits() == []
    assert [charge.body["prompt"] for charge in gateway.charges] == [f"cat {number}" for number in range(10)]


async def test_who_gives_up_before_the_turn_came_is_never_sent(gateway, journal):
    """A cancelled submit leaves the queue without a word, and those behind it move up."""
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


async def test_a_key_whose_buyer_gave_up_can_be_bought_by_the_next(gateway, journal):
    """A named submit that was cancelled at the gate was not sent; the next under its key is."""
    gateway.inject(late(5))
    async with session(gateway, journal, limits=Limits(requests=1)) as luma:
        first, second = (later(luma.submit(prompt, key=prompt)) for prompt in ("cat", "dog"))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.sleep(1)
        await asyncio.gather(first, later(luma.submit("dog", key="dog")))
    assert [charge.body["prompt"] for charge in gateway.charges] == ["cat", "dog"]


async def test_who_sleeps_between_attempts_takes_nobody_s_turn(gateway, journal):
    """While one waits to be sent again, the next is sent."""
    gateway.inject(answer(503, {"code": "get_channel_failed", "message": "none"}))
    retry = RetryPolicy(first_delay=50_000, max_delay=50_000)
    async with session(gateway, journal, limits=Limits(requests=1), retry=retry) as luma:
        tired = later(luma.submit("tired cat"))
        await asyncio.sleep(1)
        await luma.submit("cat dance")
        assert not tired.done()
        await tired
    assert [charge.body["prompt"] for charge in gateway.charges] == ["cat dance", "tired cat"]


async def test_what_the_journal_knows_takes_no_turn(gateway, journal):
    """A key that has bought is answered at once, whoever waits at the gate."""
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


async def test_a_closing_session_starts_no_further_attempt(gateway, journal):
    """A 429 that comes while the session drains ends the submit; it is not sent again behind the program's back."""

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
async def test_what_was_not_sent_is_withdrawn_at_once(gateway, waits_for):
    """Closing ends waiting submits with SessionClosed, at once, and nothing of them leaves later."""
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


async def test_a_closing_session_does_not_wait_for_another_ones_send(gateway):
    """Its claim is being written as it closes, and turns out to be the other session's: SessionClosed, at once."""

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


async def test_a_closed_session_buys_nothing_through_an_old_handle(gateway, journal):
    """While it drains and afterwards, buying through a handle that somebody kept is SessionClosed."""
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


async def test_what_is_not_held_back_is_not_waited_for(gateway, journal):
    """A synchronous picture lends no time to a submit that hangs beside it."""
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
    assert await phase_of(journal, "video") is Phase.SENDING
    assert (await picture).id
    with pytest.raises(SubmitInDoubt):
        await video


async def test_who_comes_while_a_submit_ends_starts_anew(gateway, journal):
    """Between the end of a submit and the notice of it, whoever wants the same gets a purchase of its own."""
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


async def test_closing_waits_for_an_answer_that_is_held_back(gateway, journal):
    """A synchronous picture is answered when it is done: that is no silence, and closing does not take it for one."""
    gateway.inject(late(40), on="image")
    settings = {"dialect": DreamMachine(), "timeouts": Timeouts(close=15)}
    async with session(gateway, journal, **settings) as luma:
        buying = later(luma.submit(ImageRequest("a cat", sync=True, sync_timeout=60), key="cat"))
        await asyncio.sleep(5)
        buying.cancel()
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_a_close_that_is_itself_cancelled_leaves_nothing_running(gateway, journal):
    """Ctrl-C during the drain: everything stops, the unanswered submit is in doubt."""
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
    assert await phase_of(journal) is Phase.SENDING
    assert not await journal.alive((await journal.get("cat")).owner)


async def test_a_request_is_spelled_before_anything_is_claimed(luma, gateway, journal):
    """What the dialect cannot carry leaves no trace in the journal."""
    with pytest.raises(ValueError, match="concepts"):
        await luma.submit(VideoRequest("cat dance", concepts=["dolly_zoom"]), key="cat")
    assert await journal.entries() == []
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_doubt_is_never_sent_again_by_itself(luma, gateway, status):
    """Whatever the policy says of repeating: not this."""
    gateway.inject(server_error(status), times=ALWAYS)
    with pytest.raises(SubmitInDoubt):
        await luma.submit("cat dance", key="cat")
    await asyncio.sleep(600)
    assert gateway.counts["submit"] == 1
