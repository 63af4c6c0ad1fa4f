"""Waiting, against a gateway: shared requests, what a lying service does to them, budgets, and those who leave."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from luma_async import (
    Changed,
    Finished,
    GenerationNotFound,
    LumaSession,
    MemoryJournal,
    OutOfCredit,
    Phase,
    Polled,
    PollingFailed,
    PollPolicy,
    RixAPI,
    State,
    WaitTimeout,
)
from luma_async.testing import (
    ALWAYS,
    adds_foreign_row,
    answer,
    completes_without_link,
    drops_rows,
    estimates,
    fails,
    forgets,
    garbage,
    garbles_row,
    hang,
    late,
    nulls_data,
    out_of_credit,
    rate_limited,
    repeats_rows,
    reshapes,
    server_error,
    shuffles_rows,
    stalls,
    succeeds,
    unknown_at_first,
)

pytestmark = pytest.mark.looptime


@pytest.fixture
def events():
    return []


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def settings():
    return {"poll": PollPolicy.fixed(1)}


@pytest.fixture
async def luma(gateway, journal, events, settings):
    async with LumaSession(
        gateway.api_key, base_url=gateway.base_url, journal=journal, on_event=events.append, **settings
    ) as session:
        yield session


async def submit(luma, count):
    """Submit so many, at once."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(luma.submit(f"prompt {number}", key=f"key {number}")) for number in range(count)]
    return [call.result() for call in calls]


async def outcomes_of(luma, handles):
    """Wait for all, and check that each got its own."""
    ended = {outcome.handle.id: outcome async for outcome in luma.as_completed(handles)}
    assert set(ended) == {handle.id for handle in handles}
    for handle in handles:
        generation = ended[handle.id].generation
        assert generation is not None, ended[handle.id].error
        assert (generation.id, generation.state) == (handle.id, State.COMPLETED)
    return ended


async def test_many_share_their_requests(luma, gateway):
    """Two hundred that wait are looked at in requests of fifty: a fraction of a request each."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=5 + number / 200) for number in range(200)})
    await outcomes_of(luma, await submit(luma, 200))
    looks = gateway.counts["tasks"] + gateway.counts["query"]
    assert looks / 200 < 0.25
    assert max(len(seen.body["ids"]) for seen in gateway.requests if seen.kind == "tasks") == 50


async def test_a_lone_one_is_asked_for_by_itself(luma, gateway):
    """One that waits alone is looked at with the single query."""
    await (await luma.submit("cat dance"))
    assert gateway.counts["tasks"] == 0
    assert gateway.counts["query"] > 0


async def test_with_a_batch_size_of_one_only_the_single_query_is_sent(gateway):
    """`RixAPI(batch_size=1)` polls exactly as the relay documents for one."""
    async with LumaSession(
        gateway.api_key, base_url=gateway.base_url, dialect=RixAPI(batch_size=1), poll=PollPolicy.fixed(1)
    ) as luma:
        await outcomes_of(luma, await submit(luma, 10))
    assert set(gateway.counts) == {"submit", "query"}


LIES = {
    "drops rows": drops_rows(3),
    "repeats rows": repeats_rows(),
    "adds a foreign row": adds_foreign_row(),
    "shuffles rows": shuffles_rows(),
    "a row without data": nulls_data(),
    "a row that is no row": garbles_row(),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("shape", ["envelope", "list"])
async def test_a_lying_answer_for_many_misleads_nobody(luma, gateway, lie, shape):
    """Whatever rows a service leaves out, repeats, invents or garbles, everybody gets their own generation."""
    gateway.behaviour.batch = shape
    gateway.inject(lie, on="tasks", times=ALWAYS)
    await outcomes_of(luma, await submit(luma, 12))


async def test_an_unreadable_row_is_looked_at_by_itself(luma, gateway, events):
    """A row whose generation cannot be structured gets a single query, and no error reaches anybody."""

    def spoil(body):
        rows = [{**body["data"][0], "data": {"id": body["data"][0]["task_id"], "state": 7}}, *body["data"][1:]]
        return {**body, "data": rows}

    gateway.inject(reshapes(spoil), on="tasks", times=ALWAYS)
    await outcomes_of(luma, await submit(luma, 5))
    assert gateway.counts["query"] > 0


async def test_a_closer_look_that_trips_leaves_nobody_waiting_for_ever(gateway, caplog):
    """A row that is unreadable among many, and trips the reader by itself, ends with the patience."""

    class Tripping(RixAPI):
        def read_query(self, document, generation_id):
            raise ZeroDivisionError

    def spoil(body):
        return {**body, "data": [{**row, "data": {"id": row["task_id"], "state": 7}} for row in body["data"]]}

    gateway.scripts |= {f"prompt {number}": succeeds(after=600) for number in range(3)}
    gateway.inject(reshapes(spoil), on="tasks", times=ALWAYS)
    poll = PollPolicy.fixed(1, max_outage=20)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, dialect=Tripping(), poll=poll) as luma:
        ended = [outcome async for outcome in luma.as_completed(await submit(luma, 3))]
    assert all(isinstance(outcome.error, PollingFailed) for outcome in ended)


async def test_what_was_seen_while_nobody_listened_is_what_later_looks_are_compared_with(gateway):
    """A service that takes a step back is heard by whoever listens then."""
    said = {"state": "queued"}
    gateway.scripts["cat dance"] = succeeds(after=600)
    gateway.inject(reshapes(lambda body: {**body, **said}), on="query", times=ALWAYS)

    async def hear(updates, word):
        async for one in updates:
            if one.raw_state == word:
                return

    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(1)) as luma:
        handle = await luma.submit("cat dance")
        await hear(handle.updates(), "queued")
        said["state"] = "processing"
        with pytest.raises(WaitTimeout):
            await handle.wait(timeout=5)
        listening = asyncio.ensure_future(hear(handle.updates(), "queued"))
        said["state"] = "queued"
        await asyncio.wait_for(listening, 5)
        assert handle.last.raw_state == "queued"


async def test_what_a_refresh_showed_is_what_the_next_look_is_compared_with(gateway):
    """Looks that show the same are told when somebody's refresh between them showed something else."""
    said = {"state": "queued"}
    gateway.scripts["cat dance"] = succeeds(after=600)
    gateway.inject(reshapes(lambda body: {**body, **said}), on="query", times=ALWAYS)
    events = []
    async with LumaSession(
        gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(10), on_event=events.append
    ) as luma:
        handle = await luma.submit("cat dance")
        waiting = asyncio.ensure_future(handle.wait())
        await asyncio.sleep(15)
        said["state"] = "processing"
        await handle.refresh()
        said["state"] = "queued"
        await asyncio.sleep(15)
        waiting.cancel()
    words = [event.generation.raw_state for event in events if isinstance(event, Changed)]
    assert words == ["queued", "processing", "queued"]


async def test_what_everybody_has_left_is_not_looked_at_again(gateway):
    """Whoever leaves while a look is on its way leaves no further look behind."""
    gateway.inject(late(5), on="query")
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(10)) as luma:
        handle = await luma.submit("cat dance")
        waiting = asyncio.ensure_future(handle.wait())
        while not gateway.counts["query"]:
            await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.sleep(60)
    assert gateway.counts["query"] == 1


@pytest.mark.parametrize("kind", ["missing", "html"])
async def test_a_relay_without_the_call_for_many_is_asked_one_by_one(luma, gateway, kind):
    """It is asked for many once, and remembered as one that cannot."""
    gateway.behaviour.batch = kind
    await outcomes_of(luma, await submit(luma, 10))
    assert gateway.counts["tasks"] == 1


@pytest.mark.parametrize("status", [400, 413])
async def test_a_chunk_that_is_too_large_is_halved(luma, gateway, status):
    """The size that works is found by halving, and kept."""
    gateway.behaviour.batch_limit, gateway.behaviour.batch_limit_status = 10, status
    await outcomes_of(luma, await submit(luma, 50))
    sizes = [len(seen.body["ids"]) for seen in gateway.requests if seen.kind == "tasks"]
    first_good = next(place for place, size in enumerate(sizes) if size <= 10)
    assert all(size <= 25 for size in sizes[1:])
    assert all(size <= 10 for size in sizes[first_good + 2 :])


async def test_a_service_that_takes_not_even_two_is_asked_one_by_one(luma, gateway):
    """When a chunk of two is too large, the call counts as missing: eight are halved seven times at the most."""
    gateway.behaviour.batch_limit = 1
    await outcomes_of(luma, await submit(luma, 8))
    assert gateway.counts["tasks"] <= 7


async def test_a_call_for_many_that_breaks_half_the_time_delays_and_loses_nothing(luma, gateway):
    """Errors, garbage and disconnects on every other look disturb no waiter."""
    jitter = random.Random(4)
    for fault in (server_error(500), garbage(), server_error(502, html=True), rate_limited(2)):
        gateway.inject(fault, on="tasks", times=ALWAYS, when=lambda _: jitter.random() < 0.2)
    await outcomes_of(luma, await submit(luma, 60))


async def test_a_wait_outlives_a_service_that_is_down_for_a_while(luma, gateway):
    """Four minutes of errors are within the patience of five."""
    gateway.scripts["cat dance"] = succeeds(after=30)
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="query", times=ALWAYS)
    waiting = asyncio.ensure_future(handle.wait())
    await asyncio.sleep(240)
    gateway.clear_faults()
    assert (await waiting).state is State.COMPLETED


async def test_an_unbroken_run_of_failures_ends_a_wait(luma, gateway):
    """Beyond the patience `PollingFailed` tells what was seen last and what failed, and its handle waits on."""
    gateway.scripts["cat dance"] = succeeds(after=30)
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="query", times=ALWAYS)
    with pytest.raises(PollingFailed) as caught:
        await handle
    assert caught.value.handle is handle
    assert caught.value.last.state is State.PENDING
    assert caught.value.failures
    gateway.clear_faults()
    assert (await caught.value.handle.wait()).state is State.COMPLETED


async def test_who_leaves_updates_leaves_the_looking(luma, gateway):
    """Closing the iterator is enough, though what it iterates over is held elsewhere."""
    gateway.scripts["cat dance"] = succeeds(after=600)
    handle = await luma.submit("cat dance")
    updates = handle.updates()
    known = await anext(updates)
    assert (await anext(updates)) != known
    await updates.aclose()
    asked = gateway.counts.total()
    await asyncio.sleep(300)
    assert gateway.counts.total() == asked


async def test_who_follows_a_generation_that_cannot_be_looked_at_can_go_on_waiting(luma, gateway):
    """The failure that ends `updates` carries the handle, as that of a wait does."""
    gateway.scripts["cat dance"] = succeeds(after=30)
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="query", times=ALWAYS)
    with pytest.raises(PollingFailed) as caught:
        [one async for one in handle.updates()]
    assert caught.value.handle is handle


async def test_out_of_credit_ends_a_wait_at_once(luma, gateway):
    """A key without credit is not waited for."""
    handle = await luma.submit("cat dance")
    gateway.inject(out_of_credit(), on="query", times=ALWAYS)
    with pytest.raises(OutOfCredit):
        await handle


async def test_a_lagging_replica_is_forgiven(luma, gateway):
    """An id that is unknown for the first seconds after its submit is waited for."""
    gateway.scripts["cat dance"] = unknown_at_first(8, then=succeeds(after=12))
    assert (await luma.run("cat dance")).state is State.COMPLETED


async def test_an_id_that_stays_unknown_is_closed_as_lost_and_never_bought_again(luma, gateway, journal):
    """After the grace the wait ends, the entry is closed, and its key leads to the same id, not to another charge."""
    gateway.scripts["cat dance"] = forgets(after=3, then=stalls())
    handle = await luma.submit("cat dance", key="cat")
    with pytest.raises(GenerationNotFound):
        await handle
    await asyncio.sleep(0.1)
    assert (await journal.get("cat")).phase is Phase.LOST
    assert (await luma.submit("cat dance", key="cat")).id == handle.id
    assert len(gateway.charges) == 1


async def test_a_foreign_id_that_nobody_knows_is_told_at_once(luma):
    """Grace is for submits of ours; a mistyped id is not waited for."""
    with pytest.raises(GenerationNotFound):
        await luma.handle("mistyped").wait()


async def test_completed_without_a_link_is_looked_at_again(luma, gateway):
    """A link that comes a little later is waited for."""
    gateway.scripts["cat dance"] = completes_without_link(after=3, link_after=2)
    generation = await luma.run("cat dance")
    assert generation.video.download_url


async def test_completed_for_ever_without_a_link_is_returned_as_it_is(luma, gateway):
    """After three more looks the generation is taken without one; waiting again asks nobody."""
    gateway.scripts["cat dance"] = completes_without_link(after=3)
    handle = await luma.submit("cat dance")
    generation = await handle
    assert generation.state is State.COMPLETED
    assert generation.video is None
    asked = gateway.counts["query"]
    assert await handle == generation
    assert gateway.counts["query"] == asked
    assert [one.state async for one in handle.updates()] == [State.COMPLETED]


async def test_events_tell_every_change_once(luma, gateway, events):
    """Each request, each new state, and one end for each generation."""
    handles = await submit(luma, 3)
    await outcomes_of(luma, handles)
    asked = {one for event in events if isinstance(event, Polled) for one in event.ids}
    assert asked == {handle.id for handle in handles}
    for handle in handles:
        seen = [event.generation for event in events if isinstance(event, Changed) and event.generation.id == handle.id]
        assert list(dict.fromkeys(one.state for one in seen)) == [State.PENDING, State.PROCESSING, State.COMPLETED]
        assert all(one != other for one, other in itertools.pairwise(seen))
        assert sum(isinstance(event, Finished) and event.generation.id == handle.id for event in events) == 1


async def test_updates_carry_progress_and_estimates(luma, gateway):
    """Where the service tells how far it is and how long it takes, each change says so."""
    gateway.scripts["cat dance"] = estimates(succeeds(after=8))
    handle = await luma.submit("cat dance")
    estimated = [one.estimate_wait_s async for one in handle.updates() if not one.final]
    assert [one for one in estimated if one is not None] == sorted(estimated, reverse=True)
    assert len(set(estimated)) > 2


@pytest.mark.parametrize("settings", [{"poll": PollPolicy.adaptive()}])
async def test_an_honest_estimate_saves_looks(luma, gateway):
    """With a service that tells how long it takes, a lone video needs a handful of looks."""
    gateway.scripts["cat dance"] = estimates(succeeds(after=50))
    assert (await luma.run("cat dance")).state is State.COMPLETED
    assert gateway.counts["query"] <= 4


async def test_a_named_delay_is_kept(luma, gateway):
    """After `Retry-After` nobody looks before that."""
    gateway.scripts["cat dance"] = succeeds(after=20)
    handle = await luma.submit("cat dance")
    gateway.inject(rate_limited(10), on="query")
    await handle
    times = [seen.at for seen in gateway.requests if seen.kind == "query"]
    assert times[1] - times[0] >= 10


async def test_nobody_looks_when_nobody_waits(luma, gateway):
    """A generation is looked at only while somebody waits for it."""
    handle = await luma.submit("cat dance")
    await asyncio.sleep(60)
    assert gateway.counts["query"] == 0
    with pytest.raises(WaitTimeout):
        await asyncio.ensure_future(luma.handle(handle.id).wait(timeout=0.01))
    asked = gateway.counts["query"]
    await asyncio.sleep(60)
    assert gateway.counts["query"] == asked


async def test_a_short_wait_leaves_with_fresh_news(gateway):
    """A wait whose time is up before the next look falls due gets a last look just before its end."""
    gateway.scripts["cat dance"] = succeeds(after=7)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(60)) as luma:
        handle = await luma.submit("cat dance")
        assert (await handle.wait(timeout=10)).state is State.COMPLETED


async def test_somebody_in_a_hurry_draws_the_next_look_nearer(gateway):
    """The patient wait of another does not keep a short one from its last look."""
    gateway.scripts["cat dance"] = succeeds(after=7)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(60)) as luma:
        handle = await luma.submit("cat dance")
        patient = asyncio.ensure_future(handle.wait())
        await asyncio.sleep(0)
        assert (await handle.wait(timeout=10)).state is State.COMPLETED
        assert (await patient).state is State.COMPLETED


async def test_one_who_leaves_disturbs_nobody(luma, gateway):
    """Of many who wait for the same and for others, those who are cancelled or time out take nothing with them."""
    handles = await submit(luma, 6)
    committed = [asyncio.ensure_future(handle.wait()) for handle in handles]
    leaving = [asyncio.ensure_future(handle.wait()) for handle in handles]
    hurried = [asyncio.ensure_future(handle.wait(timeout=2)) for handle in handles]
    await asyncio.sleep(1.5)
    for one in leaving:
        one.cancel()
    done, _ = await asyncio.wait([*committed, *leaving, *hurried])
    assert all(one.cancelled() for one in leaving)
    assert all(isinstance(one.exception(), WaitTimeout) for one in hurried)
    assert all(one.result().state is State.COMPLETED for one in committed)
    assert len(done) == 18


async def test_each_who_waits_gets_an_error_of_their_own(luma, gateway):
    """An error that many wait for carries each one's own handle."""
    gateway.scripts["cat dance"] = forgets(after=1, then=stalls())
    handle = await luma.submit("cat dance")
    results = await asyncio.wait([asyncio.ensure_future(handle.wait()) for _ in range(2)])
    errors = [one.exception() for one in results[0]]
    assert errors[0] is not errors[1]
    assert all(isinstance(one, GenerationNotFound) for one in errors)


async def test_all_handles_of_one_generation_know_the_same(luma):
    """What one handle has seen, every other knows; a late answer takes nothing back."""
    handle = await luma.submit("cat dance", key="cat")
    other = luma.handle(handle.id)
    assert other.last.state is State.PENDING
    assert other.key == "cat"
    await handle
    assert other.last.state is State.COMPLETED


async def test_somebody_elses_look_ends_a_wait(gateway):
    """What `get` or `get_many` sees is told to those who wait, before any look of theirs."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(500)) as luma:
        handles = await submit(luma, 2)
        waiting = [asyncio.ensure_future(handle.wait()) for handle in handles]
        await asyncio.sleep(20)
        await luma.get_many([handle.id for handle in handles])
        assert [(await one).state for one in waiting] == [State.COMPLETED] * 2


async def test_what_was_bought_before_is_looked_at_soon_and_not_all_at_once(gateway, journal):
    """A session that takes up 300 finished generations knows all of them within seconds, in few requests a second."""
    settings = {"base_url": gateway.base_url, "journal": journal}
    async with LumaSession(gateway.api_key, **settings) as luma:
        await submit(luma, 300)
    await asyncio.sleep(100)
    gateway.behaviour.batch = "missing"
    loop = asyncio.get_running_loop()
    async with LumaSession(gateway.api_key, **settings) as luma:
        began_at = loop.time()
        await outcomes_of(luma, await luma.resume())
        assert loop.time() - began_at < 15
    per_second = [int(seen.at - began_at) for seen in gateway.requests if seen.kind == "query"]
    # The random delays put about 140 into the first second.
    assert max(per_second.count(second) for second in set(per_second)) < 200


async def test_an_unknown_word_is_logged_once(luma, gateway, caplog):
    """A word of tomorrow keeps everybody waiting and makes one line in the log."""
    from luma_async.testing import new_state

    gateway.scripts.update({f"prompt {number}": new_state("rendering_4d") for number in range(5)})
    await outcomes_of(luma, await submit(luma, 5))
    assert sum("rendering_4d" in record.getMessage() for record in caplog.records) == 1


async def test_failed_ones_are_outcomes_among_the_others(luma, gateway, events):
    """Early and late failures come out with their reason, and end only their own wait."""
    gateway.scripts.update({f"prompt {number}": fails("Job failed", after=2 + number) for number in range(3)})
    handles = await submit(luma, 6)
    ended = {outcome.handle.id: outcome async for outcome in luma.as_completed(handles)}
    assert [ended[handle.id].generation is None for handle in handles] == [True] * 3 + [False] * 3
    assert all("Job failed" in str(ended[handle.id].error) for handle in handles[:3])


@pytest.mark.parametrize("name", ["read_query", "peek", "generation"])
async def test_a_dialect_that_trips_leaves_nobody_waiting_for_ever(gateway, caplog, name):
    """An exception that no reader should raise is a failed look like any other, and ends with the patience."""

    def trip(*_):
        raise ZeroDivisionError

    class Tripping(RixAPI):
        pass

    setattr(Tripping, name, trip)
    async with LumaSession(
        gateway.api_key, base_url=gateway.base_url, dialect=Tripping(), poll=PollPolicy.fixed(1, max_outage=20)
    ) as luma:
        with pytest.raises(PollingFailed, match="ZeroDivisionError"):
            await luma.run("cat dance")


async def test_an_early_unknown_that_comes_late_is_forgiven(luma, gateway, journal):
    """The grace counts from the question: what was true within it loses no paid generation after it."""
    gateway.scripts["cat dance"] = unknown_at_first(5)
    gateway.inject(late(29.9), on="query")
    handle = await luma.submit("cat dance", key="cat")
    assert (await handle.wait()).state is State.COMPLETED
    assert (await journal.get("cat")).phase is Phase.COMPLETED


@pytest.mark.parametrize("settings", [{"poll": PollPolicy.fixed(4)}])
async def test_a_single_query_that_hangs_holds_up_nobody(luma, gateway, journal):
    """Those that an answer for many left out are asked for one by one, and each learns its own answer at once."""
    for number in range(6):
        gateway.scripts[f"prompt {number}"] = unknown_at_first(5)
    handles = await submit(luma, 6)
    gateway.inject(hang(), on="query")
    loop = asyncio.get_running_loop()
    began_at_s = loop.time()
    ended = [(loop.time() - began_at_s, outcome.error) async for outcome in luma.as_completed(handles)]
    assert [error for _, error in ended] == [None] * 6
    assert ended[-2][0] < 30 <= ended[-1][0]
    assert {(await journal.get(handle.key)).phase for handle in handles} == {Phase.COMPLETED}


async def test_updates_miss_nothing_while_their_taker_is_busy(luma, gateway):
    """What others see meanwhile comes next, the end too; an unchanged state is not told twice."""
    handle = await luma.submit("cat dance")
    other = asyncio.ensure_future(handle.wait())
    states = []
    async for generation in handle.updates():
        states.append(generation.state)
        if len(states) == 1:
            await other
    assert states == [State.PENDING, State.COMPLETED]

    handle = await luma.submit("dog dance")
    states = []
    async for generation in handle.updates():
        states.append(generation.state)
        if len(states) == 1:
            while (await handle.refresh()).state is not State.PROCESSING:
                await asyncio.sleep(1)
        elif len(states) == 2:
            await handle.refresh()
    assert states == [State.PENDING, State.PROCESSING, State.COMPLETED]


async def test_updates_tell_nothing_twice(luma, gateway):
    """Looking again at a generation that has not changed, while the taker of its updates is busy, is no news."""
    gateway.scripts["cat dance"] = stalls(processing_after=0)
    handle = await luma.submit("cat dance")
    await asyncio.sleep(1)
    known = await handle.refresh()
    updates = handle.updates()
    assert await anext(updates) == known
    await asyncio.sleep(1)
    assert await handle.refresh() == known
    waiting = asyncio.ensure_future(anext(updates))
    await asyncio.sleep(10)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_a_service_that_wants_a_day_of_rest_blinds_nobody(luma, gateway):
    """A named time is kept for some minutes at most."""
    gateway.inject(rate_limited(86_400), on="query")
    loop = asyncio.get_running_loop()
    handle = await luma.submit("cat dance")
    began_at_s = loop.time()
    assert (await handle.wait()).state is State.COMPLETED
    assert 299 < loop.time() - began_at_s < 400


@pytest.mark.parametrize(("every_s", "timeout_s"), [(60, 50), (300, 200), (600, 500), (3600, 1800)])
@pytest.mark.parametrize("offset_s", [0.0, 1.3, 2.7])
async def test_a_last_look_comes_before_the_end_of_a_wait(gateway, every_s, timeout_s, offset_s):
    """However long the interval, who stops waiting leaves with fresh news."""
    gateway.scripts["cat dance"] = succeeds(after=30)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(every_s)) as luma:
        await asyncio.sleep(offset_s)
        handle = await luma.submit("cat dance")
        assert (await handle.wait(timeout=timeout_s)).state is State.COMPLETED


@pytest.mark.parametrize("how", ["wait", "updates"])
async def test_an_id_that_was_bought_here_is_known_whoever_names_it(gateway, journal, settings, how):
    """A later session that is given the id alone looks it up: one stray "unknown" closes no purchase."""
    gateway.scripts["cat dance"] = succeeds(after=90)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as luma:
        made = (await luma.submit("cat dance", key="cat")).id
    gateway.inject(answer(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}), on="query")
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal, **settings) as luma:
        handle = luma.handle(made)
        last = await handle.wait() if how == "wait" else [seen async for seen in handle.updates()][-1]
        assert (last.state, handle.key) == (State.COMPLETED, "cat")
    assert (await journal.get("cat")).phase is Phase.COMPLETED


async def test_what_a_session_cannot_look_up_is_not_closed(gateway, journal, settings):
    """A journal that cannot be read says nothing of an id, so neither is anything written of it."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as luma:
        made = (await luma.submit("cat dance", key="cat")).id
    find = journal.find

    async def broken(service, generation_id):
        journal.find = find
        raise OSError("no disk")

    journal.find = broken
    gateway.inject(answer(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}), on="query")
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal, **settings) as luma:
        with pytest.raises(GenerationNotFound):
            await luma.handle(made).wait()
        assert [handle.id for handle in await luma.resume()] == [made]


async def test_one_replica_that_does_not_know_an_id_loses_nothing(luma, gateway, journal):
    """Long after the submit one stray "unknown" is no more than that: the next look sees it running."""
    gateway.scripts["cat dance"] = succeeds(after=90)
    handle = await luma.submit("cat dance", key="cat")
    waiting = asyncio.ensure_future(handle.wait())
    await asyncio.sleep(60)
    gateway.inject(answer(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}), on="query")
    assert (await waiting).state is State.COMPLETED
    assert (await journal.get("cat")).phase is Phase.COMPLETED
