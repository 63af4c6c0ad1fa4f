"""A batch as a program uses it: bounded, lazy, resumable, and each item on its own."""

from __future__ import annotations

import asyncio
import gc
import math

import pytest

from luma_async import (
    ConfigurationError,
    GenerationFailed,
    InvalidInput,
    Limits,
    LumaError,
    LumaSession,
    MemoryJournal,
    OutOfCredit,
    Phase,
    PollPolicy,
    PromptRejected,
    RateLimited,
    RetryPolicy,
    ServiceUnavailable,
    SessionClosed,
    State,
    SubmitFailed,
    SubmitInDoubt,
    Unauthorized,
    UpscaleRequest,
    VideoRequest,
    WaitTimeout,
)
from luma_async.testing import (
    ALWAYS,
    Fault,
    drop_after_reading,
    fails,
    late,
    out_of_credit,
    rate_limited,
    rejects,
    server_error,
    stalls,
    succeeds,
)
from luma_async.values.errors import UnsupportedOperation

pytestmark = pytest.mark.looptime(noop_cycles=8)


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def open_session(gateway, journal):
    """Describe sessions that share a journal."""

    def describe(**settings):
        options = {"base_url": gateway.base_url, "journal": journal, "poll": PollPolicy.fixed(1)} | settings
        return LumaSession(gateway.api_key, **options)

    return describe


@pytest.fixture
async def luma(open_session):
    async with open_session() as session:
        yield session


def prompts(count):
    return [f"cat {number}" for number in range(count)]


class Counting:
    """An endless input that counts how often it was asked."""

    def __init__(self):
        self.pulled = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.pulled += 1
        return f"cat {self.pulled - 1}"


async def take(batch, seen):
    """Take all outcomes into a list, which keeps those that came before an error."""
    async for outcome in batch:
        seen.append(outcome)


async def settle():
    """Let everything happen that is going to happen by itself."""
    await asyncio.sleep(300)


async def test_outcomes_come_as_they_end_and_results_in_order(luma, gateway):
    """A loop yields outcomes in the order in which they end; `results()` returns them in that of the input."""
    gateway.scripts |= {f"cat {number}": succeeds(after=30 - 10 * number) for number in range(3)}
    seen = [outcome async for outcome in luma.batch(prompts(3))]
    assert [outcome.index for outcome in seen] == [2, 1, 0]
    assert [outcome.request.prompt for outcome in seen] == ["cat 2", "cat 1", "cat 0"]
    assert {outcome.generation.state for outcome in seen} == {State.COMPLETED}
    assert all(outcome.handle.id == outcome.generation.id and outcome.key for outcome in seen)
    results = await luma.batch(["cat 0", VideoRequest("cat 1", aspect_ratio="1:1"), "cat 2"]).results()
    assert [outcome.index for outcome in results] == [0, 1, 2]
    assert gateway.charges[-2].body["aspect_ratio"] == "1:1"


async def test_one_failure_touches_no_other(luma, gateway):
    """A failed generation, a rejected prompt and something that is no prompt are values beside the good ones."""
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


async def test_an_empty_batch_ends_at_once(luma, gateway):
    """Nothing in, nothing out, nothing sent."""
    assert await luma.batch([]).results() == []
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("wanted", ["a cat", b"a cat", VideoRequest("a cat"), {"a cat": 1}, 7, None])
async def test_what_is_not_many_is_refused(luma, gateway, wanted):
    """A lone text would be bought letter by letter; it is refused before anything is sent."""
    with pytest.raises(InvalidInput, match="many"):
        luma.batch(wanted)
    assert gateway.counts.total() == 0


async def test_the_input_is_pulled_only_when_there_is_room(luma, gateway):
    """At most `max_in_flight` items are pulled ahead of the outcomes taken, and none before the first is asked for."""
    source = Counting()
    batch = luma.batch(source, max_in_flight=3)
    await settle()
    assert source.pulled == 0
    taken = 0
    async for _ in batch:
        taken += 1
        assert source.pulled <= taken + 2
        await asyncio.sleep(0.1)
        assert gateway.running <= 3
        if taken == 10:
            break


async def test_outcomes_that_nobody_takes_count_against_the_bound(luma, gateway):
    """A consumer that dawdles holds the batch back: what has ended and was not taken keeps its seat."""
    source = Counting()
    batch = luma.batch(source, max_in_flight=4)
    await anext(batch)
    await settle()
    assert len(gateway.charges) == 4
    assert batch.stats.done == 4
    await anext(batch)
    await settle()
    assert len(gateway.charges) == 5
    await batch.aclose()


async def test_the_same_name_resumes_and_pays_only_for_what_is_missing(open_session, gateway):
    """What an earlier run bought is found, running or finished; a longer input buys the rest; a new name buys again."""
    gateway.scripts["cat 1"] = succeeds(after=100)
    async with open_session() as luma:
        async for _ in luma.batch(prompts(2), name="cats", max_in_flight=2):
            break
        assert len(gateway.charges) == 2
    async with open_session() as luma:
        batch = luma.batch(prompts(3), name="cats")
        results = await batch.results()
        assert [outcome.generation.state for outcome in results] == [State.COMPLETED] * 3
        assert len(gateway.charges) == 3
        assert batch.stats.submitted == 1
        asked = gateway.counts.total()
        await luma.batch(prompts(3), name="cats").results()
        assert gateway.counts.total() == asked
        await luma.batch(prompts(3), name="more cats").results()
        assert len(gateway.charges) == 6


@pytest.mark.looptime(False)
async def test_over_a_file_a_batch_needs_a_name_or_keys(gateway, tmp_path):
    """Without one it would buy everything again in the next run; the error says what a name does."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(ConfigurationError, match="the same name resumes"):
            luma.batch(prompts(2))
        luma.batch(prompts(2), name="cats")
        luma.batch(prompts(2), keys=["a", "b"])
    assert gateway.counts.total() == 0


@pytest.mark.looptime(False)
async def test_over_a_file_what_has_no_key_takes_a_name(gateway, tmp_path):
    """A derived key would be another one in the next run, and buy again: that item alone fails, unpaid."""
    gateway.scripts |= dict.fromkeys(prompts(2), succeeds(after=0))
    for _ in range(2):
        async with LumaSession(
            gateway.api_key, base_url=gateway.base_url, journal=tmp_path / "jobs.db", poll=PollPolicy.fixed(0.05)
        ) as luma:
            outcomes = await luma.batch(prompts(2), keys=["a", None]).results()
            assert outcomes[0].error is None
            assert isinstance(outcomes[1].error, InvalidInput)
            assert outcomes[1].error.field == "keys"
            assert [one.error for one in await luma.batch(prompts(2), name="cats", keys=["a", None]).results()] == [
                None,
                None,
            ]
    assert len(gateway.charges) == 2


@pytest.mark.parametrize("name", ["", " "])
async def test_a_name_says_something(luma, name):
    """An empty name is a mistake, most likely a variable that was never set."""
    with pytest.raises(InvalidInput, match="name"):
        luma.batch(prompts(2), name=name)


async def test_a_preview_says_what_a_batch_would_buy(open_session, gateway):
    """For each item what the journal knows, the latest try of a failed one, and whether it would be submitted."""
    gateway.scripts |= {"cat 1": fails(), "cat 2": rejects()}
    gateway.inject(drop_after_reading(), when=lambda seen: seen.body["prompt"] == "cat 3")
    wanted = [*prompts(5), UpscaleRequest("some-id"), 7]

    async def look(luma, **options):
        return [item async for item in luma.batch(wanted, name="cats", **options).preview()]

    async with open_session() as luma:
        first = await luma.batch(prompts(4), name="cats").results()
        asked = gateway.counts.total()
        seen = await look(luma)
        standings = [item.entry and item.entry.phase for item in seen]
        assert standings == [Phase.COMPLETED, Phase.FAILED, Phase.REFUSED, Phase.IN_DOUBT, None, None, None]
        assert [item.buys for item in seen] == [False, False, True, False, True, False, False]
        assert [type(item.error) for item in seen[-2:]] == [UnsupportedOperation, InvalidInput]
        assert [item.key for item in seen[:4]] == [outcome.key for outcome in first]
        assert [item.buys for item in await look(luma, retry_failed=True)][1] is True
        assert gateway.counts.total() == asked
        gateway.scripts["cat 1"] = succeeds()
        await luma.batch(prompts(2), name="cats", retry_failed=True).results()
        again = (await look(luma, retry_failed=True))[1]
        assert (again.key, again.entry.phase, again.buys) == (f"{first[1].key}~2", Phase.COMPLETED, False)


async def test_without_a_name_each_batch_buys(luma, gateway):
    """In memory a batch needs no name, and then is a purchase of its own."""
    for _ in range(2):
        await luma.batch(prompts(2)).results()
    assert len(gateway.charges) == 4


async def test_equal_items_are_purchases_of_their_own_and_are_reported(luma, gateway):
    """The same prompt three times is bought three times, counted as two duplicates, and found again by name."""
    batch = luma.batch(["cat", "cat", "dog", "cat"], name="cats")
    assert len({outcome.key for outcome in await batch.results()}) == 4
    assert batch.stats.duplicates == 2
    assert len(gateway.charges) == 4
    await luma.batch(["cat", "dog", "cat", "cat"], name="cats").results()
    assert len(gateway.charges) == 4


@pytest.mark.parametrize("way", ["it ended", "it was closed", "its loop was left", "it was forgotten"])
async def test_a_name_is_taken_while_its_batch_is_open(luma, way):
    """Two open batches of one name are refused; however the first one goes, the name is free again."""
    first = luma.batch(prompts(2), name="cats")
    with pytest.raises(ConfigurationError, match="open"):
        luma.batch(prompts(2), name="cats")
    if way == "it ended":
        await first.results()
    elif way == "it was closed":
        await first.aclose()
    elif way == "its loop was left":
        async for _ in first:
            break
        await asyncio.sleep(0.1)
    else:
        del first
        gc.collect()
    assert len(await luma.batch(prompts(2), name="cats").results()) == 2


async def test_failed_ones_are_bought_again_only_when_asked(open_session, gateway):
    """A rerun returns the failure; `retry_failed` buys once more under key~2; a later rerun finds what that became."""
    tries = iter([fails("Job failed"), fails("Job failed again"), succeeds()])
    gateway.scripts["cat 0"] = lambda _prompt, _number: next(tries)

    async def run(**options):
        async with open_session() as luma:
            return await luma.batch(prompts(2), name="cats", **options).results()

    first, second = await run()
    assert "Job failed" in str(first.error)
    assert second.error is None
    assert isinstance((await run())[0].error, GenerationFailed)
    assert len(gateway.charges) == 2
    again = (await run(retry_failed=True))[0]
    assert (again.key, again.error.reason) == (f"{first.key}~2", "Job failed again")
    assert (await run())[0].error.reason == "Job failed again"
    assert (await run(retry_failed=True))[0].key == f"{first.key}~3"
    assert (await run())[0].generation.state is State.COMPLETED
    assert (await run(retry_failed=True))[0].key == f"{first.key}~3"
    assert len(gateway.charges) == 4


async def test_keys_may_be_the_callers_own(luma, gateway):
    """Keys stand beside the prompts; None among them derives one; a bad one is that item's failure."""
    results = await luma.batch(prompts(4), keys=["a", None, "c", ""], name="cats").results()
    assert [outcome.key for outcome in results][::2] == ["a", "c"]
    assert len(results[1].key) == 64
    assert isinstance(results[3].error, InvalidInput)
    assert (await luma.submit("cat 0", key="a")).id == results[0].handle.id
    assert len(gateway.charges) == 3


async def test_keys_that_do_not_match_are_refused(luma, gateway):
    """A list of another length is refused at once; an iterator that ends early ends the batch after what it named."""
    with pytest.raises(InvalidInput, match="keys: got 1 keys for 2"):
        luma.batch(prompts(2), keys=["a"])
    with pytest.raises(InvalidInput, match="keys"):
        luma.batch(prompts(2), keys="ab")
    batch = luma.batch(prompts(2), keys=iter(["a"]))
    with pytest.raises(InvalidInput, match="fewer keys"):
        await batch.results()
    assert [outcome.key for outcome in await batch.results()] == ["a"]
    assert len(gateway.charges) == 1


async def test_a_429_sends_the_item_again_uncounted(open_session, gateway, journal):
    """However often the service is saturated, no item fails for it, and each is charged once."""
    gateway.inject(rate_limited(), times=30)
    async with open_session(retry=RetryPolicy(attempts=2)) as luma:
        results = await luma.batch(prompts(6)).results()
        assert [outcome.error for outcome in results] == [None] * 6
    assert len(gateway.charges) == 6
    assert gateway.counts["submit"] == 36
    assert {entry.phase for entry in await journal.entries()} == {Phase.COMPLETED}


async def test_a_429_that_asks_for_an_hour_is_asked_again_after_a_minute(luma, gateway):
    """A named delay is obeyed up to a minute: asking again costs nothing."""
    gateway.inject(rate_limited(3600))
    began_at = asyncio.get_running_loop().time()
    await luma.batch(prompts(1)).results()
    assert 60 <= asyncio.get_running_loop().time() - began_at < 120


async def test_a_plain_submit_does_not_wait_for_a_batch(luma, gateway):
    """The bound on what is in flight holds for batches: `submit()` goes through while one is full."""
    gateway.scripts |= dict.fromkeys(prompts(4), stalls())
    batch = luma.batch(prompts(4), max_in_flight=1)
    taking = asyncio.ensure_future(anext(batch))
    await asyncio.sleep(10)
    assert len(gateway.charges) == 1
    async with asyncio.timeout(1):
        await luma.submit("a dog")
    taking.cancel()
    await batch.aclose()


async def test_batches_of_one_session_share_its_bound(open_session, gateway):
    """Two batches at once stay within the session's `max_in_flight` together, and both end."""
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


async def test_max_in_flight_bounds_and_can_be_lifted(luma, gateway):
    """A number bounds from the start, `math.inf` does not, and nonsense is refused."""
    taking = asyncio.ensure_future(luma.batch(prompts(150), max_in_flight=math.inf).results())
    await asyncio.sleep(1)
    assert gateway.running == 150
    await taking
    for nonsense in (0, -1, "many", math.nan):
        with pytest.raises(InvalidInput, match="max_in_flight"):
            luma.batch(prompts(2), max_in_flight=nonsense)


STOPS = {
    "the key is refused": (server_error(401), Unauthorized),
    "the credit is used up": (out_of_credit(), OutOfCredit),
}


@pytest.mark.parametrize(("fault", "kind"), STOPS.values(), ids=STOPS.keys())
async def test_what_would_meet_every_item_stops_the_batch(luma, gateway, fault, kind):
    """The first such refusal ends the buying; what runs is delivered, and then the error is raised, once."""
    gateway.inject(fault, times=ALWAYS, when=lambda _: len(gateway.charges) == 3)
    source = Counting()
    batch = luma.batch(source, max_in_flight=4)
    seen = []
    with pytest.raises(kind, match="HTTP 40") as caught:
        await take(batch, seen)
    assert [outcome.error for outcome in seen if outcome.generation] == [None] * 3
    assert caught.value in [outcome.error for outcome in seen]
    assert len(gateway.charges) == 3
    assert source.pulled <= 8
    assert [outcome async for outcome in batch] == []


async def test_a_stop_withdraws_what_waits_for_its_turn(open_session, gateway):
    """Items that wait at the gate when the batch stops never go, and nobody waits for their turns."""
    gateway.inject(server_error(401), times=ALWAYS)
    began_at = asyncio.get_running_loop().time()
    async with open_session(limits=Limits(submits_per_minute=1)) as luma:
        with pytest.raises(Unauthorized):
            await luma.batch(prompts(9), max_in_flight=9).results()
    assert gateway.counts["submit"] == 1
    assert asyncio.get_running_loop().time() - began_at < 30


async def test_a_stop_reaches_what_has_not_begun(luma, gateway):
    """An item that was started in the same turn of the loop as the stop is not bought either."""
    batch = luma.batch(prompts(9), max_in_flight=3)
    batch._fill()
    batch._stop(Unauthorized(status=401))
    with pytest.raises(Unauthorized):
        await anext(batch)
    assert gateway.counts.total() == 0


async def test_results_keep_what_was_delivered_before_a_stop(luma, gateway):
    """`results()` raises what stopped the batch; called again, it returns what was taken until then."""
    gateway.inject(server_error(401), times=ALWAYS, when=lambda _: len(gateway.charges) == 2)
    batch = luma.batch(prompts(9), max_in_flight=2)
    with pytest.raises(Unauthorized):
        await batch.results()
    kept = await batch.results()
    assert [outcome.index for outcome in kept] == list(range(len(kept)))
    assert sum(outcome.generation is not None for outcome in kept) == 2


async def test_a_key_that_dies_while_waiting_stops_the_batch(luma, gateway):
    """A look that is refused for the key ends the buying as well."""
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    with pytest.raises(Unauthorized):
        await luma.batch(prompts(20), max_in_flight=2).results()
    assert len(gateway.charges) == 2


async def test_five_doubts_in_a_row_stop_the_batch(luma, gateway, journal):
    """A relay that drops every answer costs five doubts, and those that were on their way with the fifth."""
    gateway.inject(drop_after_reading(), times=ALWAYS)
    seen = []
    with pytest.raises(SubmitInDoubt):
        await take(luma.batch(Counting(), max_in_flight=3), seen)
    assert all(isinstance(outcome.error, SubmitInDoubt) for outcome in seen)
    assert 5 <= len(seen) <= 7
    assert len(gateway.charges) == len(seen)
    assert {entry.phase for entry in await journal.entries()} == {Phase.IN_DOUBT}


async def test_doubts_that_are_not_in_a_row_stop_nothing(luma, gateway):
    """An accepted submit between them starts the count anew."""
    doomed = {f"cat {number}" for number in range(20) if number % 5}
    gateway.inject(drop_after_reading(), times=ALWAYS, when=lambda seen: seen.body["prompt"] in doomed)
    batch = luma.batch(prompts(20), max_in_flight=1)
    await batch.results()
    assert (batch.stats.done, batch.stats.in_doubt) == (4, 16)


async def test_old_doubts_do_not_count(open_session, gateway):
    """Doubts that an earlier run left in the journal are outcomes, and say nothing about the service of today."""
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


async def test_an_input_that_raises_is_heard_last(luma, gateway):
    """What it gave is bought and delivered, then its own exception comes out: no outcome tells of that one."""

    def broken():
        yield from prompts(3)
        raise LookupError("the database is gone")

    batch = luma.batch(broken(), max_in_flight=8)
    with pytest.raises(LookupError, match="database"):
        await batch.results()
    assert [outcome.error for outcome in await batch.results()] == [None] * 3
    gateway.inject(server_error(401), times=ALWAYS)
    with pytest.raises(LookupError, match="database"):
        await luma.batch(broken(), max_in_flight=8).results()


async def test_an_async_input_is_waited_for_beside_the_outcomes(luma, gateway):
    """A slow source holds no outcome back, keys may come from one too, and its exception is heard last."""

    async def slowly():
        for prompt in prompts(3):
            yield prompt
            await asyncio.sleep(100)
        raise LookupError("the queue is gone")

    async def keys():
        for name in "abc":
            yield name

    class Moments(list):
        def append(self, _):
            super().append(asyncio.get_running_loop().time() - began_at)

    began_at, moments = asyncio.get_running_loop().time(), Moments()
    with pytest.raises(LookupError, match="queue"):
        await take(luma.batch(slowly(), keys=keys()), moments)
    assert [round(at, -1) for at in moments] == [20, 120, 220]
    assert len(gateway.charges) == 3


async def test_leaving_a_batch_closes_its_async_input(luma):
    """A source that is being waited for when the batch is left is not left hanging."""
    ended = asyncio.Event()

    async def endless():
        try:
            yield "a cat"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async for _ in luma.batch(endless()):
        break
    await asyncio.sleep(1)
    assert ended.is_set()


async def _break(batch):
    async for _ in batch:
        break


async def _raise(batch):
    async def fail():
        async for _ in batch:
            raise LookupError

    with pytest.raises(LookupError):
        await fail()


async def _return(batch):
    async def first():
        async for outcome in batch:
            return outcome
        return None

    assert await first() is not None


async def _cancel(batch):
    async def take():
        async for _ in batch:
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(25):
            await take()


async def _leave_context(batch):
    async with batch:
        await anext(batch)


async def _close(batch):
    await anext(batch)
    await batch.aclose()
    await batch.aclose()


@pytest.mark.parametrize(
    "leave", [_break, _raise, _return, _cancel, _leave_context, _close], ids=lambda way: way.__name__
)
async def test_leaving_submits_nothing_more(luma, gateway, journal, leave):
    """However a batch is left, the submits that had left are settled, the rest never goes, and nothing is forgotten."""
    gateway.scripts |= {f"cat {number}": succeeds(after=20 + 10 * number) for number in range(9)}
    batch = luma.batch(Counting(), name="cats", max_in_flight=5)
    await leave(batch)
    sent = gateway.counts["submit"]
    await settle()
    assert gateway.counts["submit"] == sent
    assert len(gateway.charges) == sent
    phases = [entry.phase for entry in await journal.entries()]
    assert phases.count(Phase.ACCEPTED) + phases.count(Phase.COMPLETED) == sent
    assert Phase.ACCEPTED in phases
    assert [outcome async for outcome in batch] == []


async def test_leaving_at_a_ready_outcome_starts_nothing(luma, gateway):
    """What a call for an outcome has just made room for is not bought when the loop is left at that outcome."""
    batch = luma.batch(Counting(), max_in_flight=2)
    await anext(batch)
    await settle()
    sent = gateway.counts["submit"]
    async for _ in batch:
        break
    await settle()
    assert gateway.counts["submit"] == sent == 2


async def test_a_batch_gives_back_its_seats(luma, gateway):
    """What has ended is in flight no more, taken or not; a batch that is left holds no seat of the session."""
    gateway.scripts["cat 1"] = fails()
    batch = luma.batch(prompts(3))
    await anext(batch)
    await settle()
    in_flight = batch._in_flight
    assert (in_flight.unfinished, in_flight.used) == (0, 2)
    await batch.aclose()
    assert (in_flight.unfinished, in_flight.used) == (0, 0)


async def test_leaving_a_loop_is_noticed_at_once(luma, gateway):
    """Between leaving a loop and the next line nothing happens, and the name is free already."""
    for _ in range(3):
        async for _ in luma.batch(prompts(1), name="cats"):
            break
    assert len(gateway.charges) == 1


async def test_a_loop_that_another_thread_drops_is_left_too(luma, gateway):
    """Whoever collects a forgotten loop, the batch is left in its own event loop."""
    batch = luma.batch(Counting(), max_in_flight=2)
    loops = [aiter(batch)]
    await anext(loops[0])
    await asyncio.to_thread(loops.clear)
    await asyncio.sleep(0.1)
    assert batch.closed
    await settle()
    assert len(gateway.charges) <= 3


async def test_an_endless_input_without_a_bound_still_yields(luma, gateway):
    """With nothing to hold it back, a batch starts items in portions, and hands out outcomes between them."""
    gateway.scripts["cat 0"] = rejects()
    source = Counting()
    async for outcome in luma.batch(source, max_in_flight=math.inf):
        assert outcome.index == 0
        break
    assert source.pulled < 5000
    await settle()
    assert gateway.counts["submit"] < 5000


async def test_what_waits_for_its_turn_is_withdrawn(open_session, gateway, journal):
    """Submits that wait for the rate when the batch is left never go."""
    async with open_session(limits=Limits(submits_per_minute=1)) as luma:
        async for _ in luma.batch(prompts(9), max_in_flight=9):
            break
        await settle()
    assert gateway.counts["submit"] == 1
    assert [entry.phase for entry in await journal.entries()] == [Phase.COMPLETED]


async def test_a_send_that_is_on_its_way_is_settled(luma, gateway, journal):
    """A batch that is left while a POST is unanswered returns at once; its answer still reaches the journal."""
    gateway.inject(late(30))
    batch = luma.batch(prompts(1), name="cats")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await batch.results()
    await settle()
    assert [entry.phase for entry in await journal.entries()] == [Phase.ACCEPTED]
    assert await batch.results() == []


async def test_a_cancelled_anext_loses_nothing(luma):
    """Taking one by one with a timeout: each outcome comes exactly once."""
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


async def test_closing_the_session_tells_whoever_takes_outcomes(open_session, gateway, journal):
    """A loop over a batch whose session closes ends with SessionClosed; what is paid stays in the journal."""
    luma = open_session()
    await luma.open()
    batch = luma.batch(prompts(5), name="cats", max_in_flight=2)
    unused = luma.batch(prompts(5), name="dogs")
    taking = asyncio.ensure_future(batch.results())
    await asyncio.sleep(1)
    await luma.aclose()
    with pytest.raises(SessionClosed):
        await taking
    with pytest.raises(SessionClosed):
        await anext(unused)
    assert [entry.phase for entry in await journal.entries()] == [Phase.ACCEPTED] * 2
    with pytest.raises(SessionClosed):
        luma.batch(prompts(2))


async def test_the_timeout_is_each_items_own(luma, gateway):
    """A video that takes too long is an outcome with a live handle; the others are unharmed."""
    gateway.scripts["cat 1"] = succeeds(after=100)
    results = await luma.batch(prompts(3), timeout=50).results()
    assert [type(outcome.error) for outcome in results] == [type(None), WaitTimeout, type(None)]
    assert (await results[1].handle).state is State.COMPLETED
    with pytest.raises(InvalidInput, match="timeout"):
        luma.batch(prompts(2), timeout=-1)


async def test_stats_tell_how_far_it_is(luma, gateway):
    """Counts at any moment, with an estimate once something has finished and the number of items is known."""
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


async def test_a_refused_item_shared_with_a_plain_submit_goes_on(luma, gateway):
    """Whoever waits for the key of an item that met a 429 still gets the generation when the batch is left."""
    gateway.scripts["a dog"] = stalls()
    gateway.inject(rate_limited(), when=lambda seen: seen.body["prompt"] == "a cat")
    batch = luma.batch(["a dog", "a cat"], keys=["dog", "cat"], max_in_flight=2)
    taking = asyncio.ensure_future(anext(batch))
    await asyncio.sleep(5)
    assert len(gateway.charges) == 1
    sharing = asyncio.ensure_future(luma.submit("a cat", key="cat"))
    await asyncio.sleep(1)
    taking.cancel()
    await batch.aclose()
    assert (await sharing).id in gateway.generations


@pytest.mark.parametrize("refusals", [1, 12])
async def test_items_of_one_key_share_what_comes_of_a_429(open_session, gateway, refusals):
    """Two rows of one key: neither waits for a seat that the other holds, however often the service says no."""
    gateway.inject(rate_limited(), times=refusals)
    events = []
    async with open_session(on_event=events.append) as luma, asyncio.timeout(600):
        outcomes = await luma.batch(["a cat", "a cat"], keys=["cat", "cat"]).results()
    assert not [event for event in events if isinstance(event, SubmitFailed)]
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len({outcome.handle.id for outcome in outcomes}) == len(gateway.charges) == 1


async def test_batches_of_one_key_share_what_comes_of_a_429(luma, gateway):
    """The same between two batches of one session."""
    gateway.inject(rate_limited(), times=3)
    async with asyncio.timeout(600):
        one, two = await asyncio.gather(*(luma.batch(["a cat"], keys=["cat"]).results() for _ in range(2)))
    assert one[0].handle.id == two[0].handle.id
    assert len(gateway.charges) == 1


async def test_a_plain_submit_does_not_wait_for_a_batch_that_nobody_takes_from(luma, gateway):
    """An item that met a 429 waits until somebody goes on with its batch; a plain submit of its key need not."""
    strike(gateway, "cat", later(1, rate_limited()))
    batch = luma.batch(["a cat"], keys=["cat"])
    taking = asyncio.ensure_future(anext(batch))
    await asyncio.sleep(0.5)
    taking.cancel()
    async with asyncio.timeout(60):
        handle = await luma.submit("a cat", key="cat")
    [outcome] = await batch.results()
    assert outcome.handle.id == handle.id
    assert len(gateway.charges) == 1


async def test_what_waits_for_a_seat_when_it_stops_is_given_up(open_session, gateway):
    """An item that met a 429 and lines up while another one finds the credit gone is not sent once more."""
    strike(gateway, "busy", rate_limited())
    strike(gateway, "broke", later(2, out_of_credit()))
    async with open_session(limits=Limits(max_in_flight=2)) as luma, asyncio.timeout(600):
        errors, stopped_by = await take_all(luma.batch(["broke", "busy", "more"]))
    assert set(errors) <= {"broke", "more"}
    assert isinstance(stopped_by, OutOfCredit)
    assert [charge.prompt for charge in gateway.charges] in ([], ["more"])


@pytest.mark.parametrize("refusal", [rate_limited(), server_error(503)], ids=["429", "503"])
async def test_a_plain_submit_keeps_its_attempts_when_a_stopped_batch_is_left(luma, gateway, refusal):
    """The batch had said that it wants no further send; whoever stays behind still does."""
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


async def test_what_is_paid_is_delivered_whoever_asks_for_it_again(luma, gateway, journal):
    """Somebody submits the key of a paid item, and is at the journal when the batch stops: the item still comes."""
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


async def test_what_was_sent_again_when_it_stops_is_delivered(open_session, gateway):
    """An item that met a 429, was sent again and is on its way is paid, and its outcome comes."""
    gateway.scripts["quick"] = succeeds(after=1)
    strike(gateway, "busy", rate_limited())
    strike(gateway, "busy", late(9))
    strike(gateway, "broke", later(6, out_of_credit()))
    async with open_session(limits=Limits(max_in_flight=5)) as luma:
        errors, stopped_by = await take_all(luma.batch(["quick", "quick", "quick", "broke", "busy"]))
    assert errors["busy"] is None
    assert isinstance(stopped_by, OutOfCredit)
    assert len(gateway.charges) == 4


async def test_a_plain_submit_still_hears_of_a_429(open_session, gateway):
    """Outside of batches a 429 is counted, and comes out after the policy's attempts."""
    gateway.inject(rate_limited(), times=3)
    async with open_session(retry=RetryPolicy(attempts=3)) as luma:
        with pytest.raises(RateLimited):
            await luma.submit("a cat")


# --- what is on its way when it stops ---


def later(seconds, fault):
    """Let a fault strike after a while."""

    async def act(exchange):
        await asyncio.sleep(seconds)
        return await fault.act(exchange)

    return Fault("later", charged=False, act=act)


def strike(gateway, prompt, fault, **options):
    gateway.inject(fault, when=lambda seen: prompt in str(seen.body), **options)


async def take_all(batch):
    """Take the outcomes until it ends or stops; return their errors by prompt, and what stopped it."""
    errors = {}
    try:
        async for outcome in batch:
            errors[outcome.request.prompt] = outcome.error
    except LumaError as error:
        return errors, error
    return errors, None


async def test_a_429_after_the_stop_ends_the_batch_all_the_same(luma, gateway):
    """A submit that was on its way when the credit ran out and then meets a 429 is not waited for, nor sent again."""
    strike(gateway, "broke", later(1, out_of_credit()))
    strike(gateway, "busy", later(2, rate_limited()))
    async with asyncio.timeout(60):
        errors, stopped_by = await take_all(luma.batch(["broke", "busy"]))
    assert set(errors) == {"broke"}
    assert isinstance(stopped_by, OutOfCredit)
    assert (gateway.counts["submit"], gateway.charges) == (2, ())


async def test_nothing_is_sent_again_after_the_stop(luma, gateway):
    """A 503 may be sent again, but not by a batch that has stopped: it is delivered."""
    strike(gateway, "broke", later(1, out_of_credit()))
    strike(gateway, "busy", later(2, server_error(503)))
    errors, stopped_by = await take_all(luma.batch(["broke", "busy"]))
    assert isinstance(errors["busy"], ServiceUnavailable)
    assert isinstance(stopped_by, OutOfCredit)
    assert (gateway.counts["submit"], gateway.charges) == (2, ())


@pytest.mark.parametrize("refusal", [rate_limited(), server_error(503)], ids=["429", "503"])
async def test_whoever_shares_a_purchase_of_a_stopped_batch_gets_it(luma, gateway, refusal):
    """The batch wants it no more, somebody else does: it is sent again for them."""
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


async def test_a_failed_item_is_not_bought_anew_after_the_stop(luma, gateway, journal):
    """`retry_failed` looks a failed purchase up first; when the batch has stopped by then, it buys nothing."""
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


async def test_a_batch_that_is_dropped_gives_its_seats_back(open_session):
    """Taken by `anext()` and forgotten without `aclose()`: outcomes that nobody will take hold no seat for ever."""
    async with open_session(limits=Limits(max_in_flight=2)) as luma:
        batch = luma.batch(prompts(3))
        await anext(batch)
        del batch
        gc.collect()
        await asyncio.sleep(30)
        gc.collect()
        async with asyncio.timeout(60):
            assert len(await luma.batch(prompts(4)).results()) == 4
        in_flight = luma._registry._in_flight
        assert (in_flight.used, in_flight.unfinished) == (0, 0)
