"""Waiting, against a gateway: shared requests, faulty answers, outages, timeouts, and waiters that leave."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import aclosing

import pytest

from luma_async import (
    Changed,
    Finished,
    GenerationNotFound,
    Limits,
    LumaError,
    LumaSession,
    NotSent,
    OutOfCredit,
    Phase,
    Polled,
    PollingFailed,
    PollPolicy,
    RixAPI,
    SessionClosed,
    State,
    WaitTimeout,
)
from luma_async.testing import (
    ALWAYS,
    adds_foreign_row,
    answer,
    completes_without_link,
    drop_after_reading,
    drops_rows,
    estimates,
    fails,
    forgets,
    garbage,
    garbles_row,
    hang,
    html_page,
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

NOT_FOUND = answer(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None})
"""A service that does not know an id, once."""


@pytest.fixture
def events():
    return []


@pytest.fixture
def settings():
    return {"poll": PollPolicy.fixed(1)}


def session(gateway, **settings):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, **settings)


@pytest.fixture
async def luma(gateway, journal, events, settings):
    async with session(gateway, journal=journal, on_event=events.append, **settings) as opened:
        yield opened


async def submit(luma, count):
    """Submit so many at once."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(luma.submit(f"prompt {number}", key=f"key {number}")) for number in range(count)]
    return [call.result() for call in calls]


async def complete(luma, handles):
    """Wait for all, and check that each handle got its own generation."""
    ended = {outcome.handle.id: outcome async for outcome in luma.as_completed(handles)}
    assert set(ended) == {handle.id for handle in handles}
    for handle in handles:
        generation = ended[handle.id].generation
        assert generation is not None, ended[handle.id].error
        assert (generation.id, generation.state) == (handle.id, State.COMPLETED)
    return ended


async def test_shared_requests(luma, gateway):
    """Two hundred jobs are polled in requests of fifty, with less than a quarter of a request each."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=5 + number / 200) for number in range(200)})
    await complete(luma, await submit(luma, 200))
    looks = gateway.counts["tasks"] + gateway.counts["query"]
    assert looks / 200 < 0.25
    assert max(len(seen.body["ids"]) for seen in gateway.requests if seen.kind == "tasks") == 50


async def test_single_job(luma, gateway):
    """A single job is polled with the single query."""
    await (await luma.submit("cat dance"))
    assert gateway.counts["tasks"] == 0
    assert gateway.counts["query"] > 0


async def test_batch_size_of_one(gateway):
    """With `RixAPI(batch_size=1)`, jobs are polled with the single query only."""
    async with session(gateway, dialect=RixAPI(batch_size=1), poll=PollPolicy.fixed(1)) as luma:
        await complete(luma, await submit(luma, 10))
    assert set(gateway.counts) == {"submit", "query"}


FAULTS = {
    "drops rows": drops_rows(3),
    "repeats rows": repeats_rows(),
    "adds a foreign row": adds_foreign_row(),
    "shuffles rows": shuffles_rows(),
    "a row without data": nulls_data(),
    "a garbled row": garbles_row(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("shape", ["envelope", "list"])
async def test_faulty_answer_for_many(luma, gateway, fault, shape):
    """Whatever rows an answer omits, repeats, adds or garbles, each waiter gets its own generation."""
    gateway.behaviour.batch = shape
    gateway.inject(fault, on="tasks", times=ALWAYS)
    await complete(luma, await submit(luma, 12))


async def test_unreadable_row(luma, gateway, events):
    """A row that cannot be read gets a single query, and no waiter gets an error."""

    def spoil(body):
        rows = [{**body["data"][0], "data": {"id": body["data"][0]["task_id"], "state": 7}}, *body["data"][1:]]
        return {**body, "data": rows}

    gateway.inject(reshapes(spoil), on="tasks", times=ALWAYS)
    await complete(luma, await submit(luma, 5))
    assert gateway.counts["query"] > 0


async def test_dialect_fails_on_single_query(gateway, caplog):
    """If reading the single query raises as well, the wait ends after `max_outage`."""

    class Broken(RixAPI):
        def get(self, generation_id):
            raise ZeroDivisionError

    def spoil(body):
        return {**body, "data": [{**row, "data": {"id": row["task_id"], "state": 7}} for row in body["data"]]}

    gateway.scripts |= {f"prompt {number}": succeeds(after=600) for number in range(3)}
    gateway.inject(reshapes(spoil), on="tasks", times=ALWAYS)
    poll = PollPolicy.fixed(1, max_outage=20)
    async with session(gateway, dialect=Broken(), poll=poll) as luma:
        ended = [outcome async for outcome in luma.as_completed(await submit(luma, 3))]
    assert all(isinstance(outcome.error, PollingFailed) for outcome in ended)


async def test_update_after_wait(gateway):
    """`updates()` reports a change from what an earlier `wait()` saw, even back to an older state."""
    shown = {"state": "queued"}
    gateway.scripts["cat dance"] = succeeds(after=600)
    gateway.inject(reshapes(lambda body: {**body, **shown}), on="query", times=ALWAYS)

    async def wait_for_state(updates, word):
        async for one in updates:
            if one.raw_state == word:
                return

    async with session(gateway, poll=PollPolicy.fixed(1)) as luma:
        handle = await luma.submit("cat dance")
        await wait_for_state(handle.updates(), "queued")
        shown["state"] = "processing"
        with pytest.raises(WaitTimeout):
            await handle.wait(timeout=5)
        listening = asyncio.ensure_future(wait_for_state(handle.updates(), "queued"))
        shown["state"] = "queued"
        await asyncio.wait_for(listening, 5)
        assert handle.last.raw_state == "queued"


async def test_changed_event_after_refresh(gateway):
    """After a refresh showed another state, the next look is reported as a change."""
    shown = {"state": "queued"}
    gateway.scripts["cat dance"] = succeeds(after=600)
    gateway.inject(reshapes(lambda body: {**body, **shown}), on="query", times=ALWAYS)
    events = []
    async with session(gateway, poll=PollPolicy.fixed(10), on_event=events.append) as luma:
        handle = await luma.submit("cat dance")
        waiting = asyncio.ensure_future(handle.wait())
        await asyncio.sleep(15)
        shown["state"] = "processing"
        await handle.refresh()
        shown["state"] = "queued"
        await asyncio.sleep(15)
        waiting.cancel()
    words = [event.generation.raw_state for event in events if isinstance(event, Changed)]
    assert words == ["queued", "processing", "queued"]


async def test_waiter_leaves_during_look(gateway):
    """When the last waiter leaves during a look, no further look follows."""
    asked = asyncio.Event()
    gateway.inject(late(5), on="query", when=lambda _: asked.set() or True)
    async with session(gateway, poll=PollPolicy.fixed(10)) as luma:
        handle = await luma.submit("cat dance")
        waiting = asyncio.ensure_future(handle.wait())
        await asked.wait()
        waiting.cancel()
        await asyncio.sleep(60)
    assert gateway.counts["query"] == 1


async def test_waiter_comes_during_look(gateway):
    """A waiter that comes during a look gets its result too."""
    asked = asyncio.Event()
    gateway.scripts["cat dance"] = succeeds(after=1)
    gateway.inject(late(5), on="query", when=lambda _: asked.set() or True)
    async with session(gateway, poll=PollPolicy.fixed(10)) as luma:
        handle = await luma.submit("cat dance")
        waiting = asyncio.ensure_future(handle.wait())
        await asked.wait()
        assert await handle.wait(timeout=300) == await waiting


async def test_updates_after_close(gateway):
    """`updates()` of a closed session raises SessionClosed after the known state."""
    async with session(gateway) as luma:
        handle = await luma.submit("cat dance")
    updates = handle.updates()
    assert await anext(updates) == handle.last
    with pytest.raises(SessionClosed):
        await anext(updates)


@pytest.mark.parametrize("kind", ["missing", "html"])
async def test_relay_without_batch_query(luma, gateway, kind):
    """A relay without the call for many is asked for it at most three times, then gets single queries."""
    gateway.behaviour.batch = kind
    await complete(luma, await submit(luma, 10))
    assert gateway.counts["tasks"] <= 3


@pytest.mark.parametrize("status", [400, 413])
async def test_chunk_too_large(luma, gateway, status):
    """A chunk that is too large is halved until it is accepted, and that size is kept."""
    gateway.behaviour.batch_limit, gateway.behaviour.batch_limit_status = 10, status
    await complete(luma, await submit(luma, 50))
    sizes = [len(seen.body["ids"]) for seen in gateway.requests if seen.kind == "tasks"]
    assert all(size <= 10 for size in sizes[12:])


async def test_chunk_of_two_too_large(luma, gateway):
    """If even two ids are too many, jobs get single queries: eight need ten requests at most."""
    gateway.behaviour.batch_limit = 1
    await complete(luma, await submit(luma, 8))
    assert gateway.counts["tasks"] <= 10


async def test_unreliable_batch_query(luma, gateway):
    """Errors, garbage and rate limits on every second look lose no job."""
    jitter = random.Random(4)
    for fault in (server_error(500), garbage(), server_error(502, html=True), rate_limited(2)):
        gateway.inject(fault, on="tasks", times=ALWAYS, when=lambda _: jitter.random() < 0.2)
    await complete(luma, await submit(luma, 60))


SHARED_FAULTS = {
    "500": server_error(500),
    "415": answer(415, {"detail": "Unsupported Media Type"}),
    "422": answer(422, {"detail": "ids"}),
    "403": server_error(403),
    "401": server_error(401),
    "404": answer(404, {"detail": "Not Found"}),
    "400": answer(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
    "413": answer(413, "<html>"),
    "page": html_page(),
    "garbage": garbage(),
    "no answer": drop_after_reading(),
}


@pytest.mark.parametrize("fault", SHARED_FAULTS.values(), ids=SHARED_FAULTS.keys())
async def test_call_for_many_keeps_failing(luma, gateway, fault):
    """If the call for many always fails, single queries find every end within ten seconds."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=6) for number in range(12)})
    gateway.inject(fault, on="tasks", times=ALWAYS)
    handles = await submit(luma, 12)
    loop = asyncio.get_running_loop()
    began_at_s = loop.time()
    await complete(luma, handles)
    assert loop.time() - began_at_s < 10
    assert gateway.counts["tasks"] <= 12


async def test_call_for_many_fails_for_one_id(luma, gateway):
    """If the call for many fails whenever it holds a certain id, all jobs end in time."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=20) for number in range(120)})
    handles = await submit(luma, 120)
    gateway.inject(server_error(500), on="tasks", times=ALWAYS, when=lambda seen: handles[7].id in seen.body["ids"])
    loop = asyncio.get_running_loop()
    began_at_s = loop.time()
    await complete(luma, handles)
    assert loop.time() - began_at_s < 25


async def wait_for_hour(gateway, *, count=400, **settings):
    """Wait for jobs of an hour, and return how many status requests that took."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=3600 + number / 10) for number in range(count)})
    # With many idle connections, some break when the virtual clock jumps.
    poll, limits = PollPolicy.fixed(60, **settings), Limits(requests=8)
    async with session(gateway, poll=poll, limits=limits) as luma:
        await complete(luma, await submit(luma, count))
    return gateway.counts["tasks"] + gateway.counts["query"]


SHARED_LOOKS = 8 * 63
"""Requests for 400 jobs of an hour, in groups of fifty, with a look a minute."""
ODD_ANSWERS = [
    answer(404, "<html>"),
    answer(405, "<html>"),
    answer(400, {"detail": "?"}),
    answer(413, "?"),
    html_page(),
]


@pytest.mark.parametrize("fault", ODD_ANSWERS, ids=lambda fault: fault.name)
async def test_odd_answer_once(gateway, fault):
    """One odd answer to a call for many costs a few requests, and does not end shared requests."""
    gateway.inject(fault, on="tasks")
    assert await wait_for_hour(gateway) <= SHARED_LOOKS + 10


async def test_pages_for_some_minutes(gateway):
    """After four minutes of web pages, the shared requests come back."""
    loop = asyncio.get_running_loop()
    ends_at_s = loop.time() + 300
    gateway.inject(html_page(), on="tasks", times=ALWAYS, when=lambda _: loop.time() < ends_at_s)
    assert await wait_for_hour(gateway) <= SHARED_LOOKS + 400 * 10


async def test_pages_for_an_hour(gateway):
    """During an hour of web pages for the call for many, jobs cost little more than with single queries only."""
    gateway.inject(html_page(), on="tasks", times=ALWAYS)
    assert await wait_for_hour(gateway, count=100) <= 100 * 62 + 50
    assert gateway.counts["tasks"] <= 30


async def test_pages_for_all_calls(gateway):
    """While all calls answer with web pages, jobs are not asked for separately: two requests for each group."""
    loop = asyncio.get_running_loop()
    ends_at_s = loop.time() + 3600
    for call in ("tasks", "query"):
        gateway.inject(html_page(), on=call, times=ALWAYS, when=lambda _: loop.time() < ends_at_s)
    assert await wait_for_hour(gateway, max_outage=7200) <= 2 * SHARED_LOOKS + 100


async def test_outage_shorter_than_max(luma, gateway):
    """A wait survives four minutes of errors, because `max_outage` is five."""
    gateway.scripts["cat dance"] = succeeds(after=30)
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="query", times=ALWAYS)
    waiting = asyncio.ensure_future(handle.wait())
    await asyncio.sleep(240)
    gateway.clear_faults()
    assert (await waiting).state is State.COMPLETED


async def test_outage_longer_than_max(luma, gateway):
    """`PollingFailed` carries the handle, the last state and the failures; waiting again works."""
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


async def test_closed_updates(luma, gateway):
    """Closing the iterator of `updates()` stops polling."""
    gateway.scripts["cat dance"] = succeeds(after=600)
    handle = await luma.submit("cat dance")
    updates = handle.updates()
    known = await anext(updates)
    assert (await anext(updates)) != known
    await updates.aclose()
    asked = gateway.counts.total()
    await asyncio.sleep(300)
    assert gateway.counts.total() == asked


async def test_polling_failed_in_updates(luma, gateway):
    """The `PollingFailed` that ends `updates()` carries the handle."""
    gateway.scripts["cat dance"] = succeeds(after=30)
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="query", times=ALWAYS)
    with pytest.raises(PollingFailed) as caught:
        [one async for one in handle.updates()]
    assert caught.value.handle is handle


async def test_out_of_credit(luma, gateway):
    """A key without credit ends a wait at once."""
    handle = await luma.submit("cat dance")
    gateway.inject(out_of_credit(), on="query", times=ALWAYS)
    with pytest.raises(OutOfCredit):
        await handle


async def test_unknown_after_submit(luma, gateway):
    """An id that is unknown for some seconds after its submit is waited for."""
    gateway.scripts["cat dance"] = unknown_at_first(8, then=succeeds(after=12))
    assert (await luma.run("cat dance")).state is State.COMPLETED


async def test_lost_generation(luma, gateway, journal):
    """After the grace the entry is closed as lost; its key returns the same id, and nothing is charged again."""
    gateway.scripts["cat dance"] = forgets(after=3, then=stalls())
    handle = await luma.submit("cat dance", key="cat")
    with pytest.raises(GenerationNotFound):
        await handle
    assert (await journal.get("cat")).phase is Phase.LOST
    assert (await luma.submit("cat dance", key="cat")).id == handle.id
    assert len(gateway.charges) == 1


async def test_mistyped_id(luma):
    """An id that was not submitted here raises GenerationNotFound without the grace."""
    with pytest.raises(GenerationNotFound):
        await luma.handle("mistyped").wait()


async def test_link_comes_later(luma, gateway):
    """A completed generation without a link is looked at again until the link is there."""
    gateway.scripts["cat dance"] = completes_without_link(after=3, link_after=2)
    generation = await luma.run("cat dance")
    assert generation.video.download_url


async def test_link_never_comes(luma, gateway):
    """After three more looks a generation is returned without a link; waiting again sends no request."""
    gateway.scripts["cat dance"] = completes_without_link(after=3)
    handle = await luma.submit("cat dance")
    generation = await handle
    assert generation.state is State.COMPLETED
    assert generation.video is None
    asked = gateway.counts["query"]
    assert await handle == generation
    assert gateway.counts["query"] == asked
    assert [one.state async for one in handle.updates()] == [State.COMPLETED]


async def test_events(luma, gateway, events):
    """Each request, each change and each end is reported once."""
    handles = await submit(luma, 3)
    await complete(luma, handles)
    asked = {one for event in events if isinstance(event, Polled) for one in event.ids}
    assert asked == {handle.id for handle in handles}
    for handle in handles:
        seen = [event.generation for event in events if isinstance(event, Changed) and event.generation.id == handle.id]
        assert list(dict.fromkeys(one.state for one in seen)) == [State.PENDING, State.PROCESSING, State.COMPLETED]
        assert all(one != other for one, other in itertools.pairwise(seen))
        assert sum(isinstance(event, Finished) and event.generation.id == handle.id for event in events) == 1


async def test_estimates_in_updates(luma, gateway):
    """Each change carries the service's new estimate."""
    gateway.scripts["cat dance"] = estimates(succeeds(after=8))
    handle = await luma.submit("cat dance")
    estimated = [one.estimate_wait_s async for one in handle.updates() if not one.final]
    assert [one for one in estimated if one is not None] == sorted(estimated, reverse=True)
    assert len(set(estimated)) > 2


@pytest.mark.parametrize("settings", [{"poll": PollPolicy.adaptive()}])
async def test_estimate_saves_looks(luma, gateway):
    """With a service that estimates the duration, a single job needs at most four looks."""
    gateway.scripts["cat dance"] = estimates(succeeds(after=50))
    assert (await luma.run("cat dance")).state is State.COMPLETED
    assert gateway.counts["query"] <= 4


async def test_retry_after(luma, gateway):
    """After `Retry-After` no request is sent before that."""
    gateway.scripts["cat dance"] = succeeds(after=20)
    handle = await luma.submit("cat dance")
    gateway.inject(rate_limited(10), on="query")
    await handle
    times = [seen.at for seen in gateway.requests if seen.kind == "query"]
    assert times[1] - times[0] >= 10


async def test_no_polling_without_waiters(luma, gateway):
    """A generation is polled only while there is a waiter."""
    handle = await luma.submit("cat dance")
    await asyncio.sleep(60)
    assert gateway.counts["query"] == 0
    with pytest.raises(WaitTimeout):
        await asyncio.ensure_future(luma.handle(handle.id).wait(timeout=0.01))
    asked = gateway.counts["query"]
    await asyncio.sleep(60)
    assert gateway.counts["query"] == asked


async def test_timeout_of_updates(luma, gateway):
    """`updates(timeout=…)` raises WaitTimeout with the handle, and stops polling."""
    gateway.scripts["cat dance"] = succeeds(after=100)
    handle = await luma.submit("cat dance")
    with pytest.raises(WaitTimeout) as caught:
        [one async for one in handle.updates(timeout=20)]
    assert (caught.value.handle, caught.value.last) == (handle, handle.last)
    assert caught.value.waited_s >= 20
    # A look that was in progress finishes.
    await asyncio.sleep(5)
    asked = gateway.counts["query"]
    await asyncio.sleep(200)
    # A request that was on its way when the time was up may arrive afterwards.
    assert gateway.counts["query"] <= asked + 1


async def test_last_look_before_timeout_of_updates(gateway):
    """A timeout of `updates()` that ends before the next look gets a look just before its end."""
    gateway.scripts["cat dance"] = succeeds(after=7)
    async with session(gateway, poll=PollPolicy.fixed(60)) as luma:
        handle = await luma.submit("cat dance")
        assert [one.state async for one in handle.updates(timeout=10)][-1] is State.COMPLETED


async def test_timeout_of_busy_updates(luma, gateway):
    """A generation that ended while the loop handled an earlier state is yielded, although the time is up."""
    gateway.scripts["cat dance"] = succeeds(after=5)
    handle, seen = await luma.submit("cat dance"), []
    async with aclosing(handle.updates(timeout=10)) as updates:
        async for generation in updates:
            seen.append(generation.state)
            if generation.state is State.PROCESSING:
                await asyncio.sleep(60)
    assert seen[-1] is State.COMPLETED


async def test_last_look_before_timeout(gateway):
    """A wait that ends before the next look gets a look just before its end."""
    gateway.scripts["cat dance"] = succeeds(after=7)
    async with session(gateway, poll=PollPolicy.fixed(60)) as luma:
        handle = await luma.submit("cat dance")
        assert (await handle.wait(timeout=10)).state is State.COMPLETED


async def test_short_wait_next_to_long_wait(gateway):
    """A waiter with a short timeout gets its last look, even if another waiter has none."""
    gateway.scripts["cat dance"] = succeeds(after=7)
    async with session(gateway, poll=PollPolicy.fixed(60)) as luma:
        handle = await luma.submit("cat dance")
        patient = asyncio.ensure_future(handle.wait())
        await asyncio.sleep(0)
        assert (await handle.wait(timeout=10)).state is State.COMPLETED
        assert (await patient).state is State.COMPLETED


async def test_cancelled_and_timed_out_waiters(luma, gateway):
    """Waiters that are cancelled or time out do not affect the other waiters."""
    handles = await submit(luma, 6)
    staying = [asyncio.ensure_future(handle.wait()) for handle in handles]
    leaving = [asyncio.ensure_future(handle.wait()) for handle in handles]
    timed = [asyncio.ensure_future(handle.wait(timeout=2)) for handle in handles]
    await asyncio.sleep(1.5)
    for one in leaving:
        one.cancel()
    done, _ = await asyncio.wait([*staying, *leaving, *timed])
    assert all(one.cancelled() for one in leaving)
    assert all(isinstance(one.exception(), WaitTimeout) for one in timed)
    assert all(one.result().state is State.COMPLETED for one in staying)
    assert len(done) == 18


async def test_each_waiter_gets_own_error(luma, gateway):
    """Waiters that fail for the same reason get an exception object each."""
    gateway.scripts["cat dance"] = forgets(after=1, then=stalls())
    handle = await luma.submit("cat dance")
    results = await asyncio.wait([asyncio.ensure_future(handle.wait()) for _ in range(2)])
    errors = [one.exception() for one in results[0]]
    assert errors[0] is not errors[1]
    assert all(isinstance(one, GenerationNotFound) for one in errors)


async def test_handles_share_state(luma):
    """All handles of a generation show the same state and key."""
    handle = await luma.submit("cat dance", key="cat")
    other = luma.handle(handle.id)
    assert other.last.state is State.PENDING
    assert other.key == "cat"
    await handle
    assert other.last.state is State.COMPLETED


async def test_get_many_ends_waits(gateway):
    """What `get_many()` fetches ends a wait before the watcher's next look."""
    async with session(gateway, poll=PollPolicy.fixed(500)) as luma:
        handles = await submit(luma, 2)
        waiting = [asyncio.ensure_future(handle.wait()) for handle in handles]
        await asyncio.sleep(20)
        await luma.get_many([handle.id for handle in handles])
        assert [(await one).state for one in waiting] == [State.COMPLETED] * 2


async def test_resume_spreads_first_looks(gateway, journal):
    """First looks at 300 finished jobs of an earlier session take seconds, and are not all sent in the same second."""
    async with session(gateway, journal=journal) as luma:
        await submit(luma, 300)
    await asyncio.sleep(100)
    gateway.behaviour.batch = "missing"
    loop = asyncio.get_running_loop()
    async with session(gateway, journal=journal) as luma:
        began_at = loop.time()
        await complete(luma, await luma.resume())
        assert loop.time() - began_at < 15
    per_second = [int(seen.at - began_at) for seen in gateway.requests if seen.kind == "query"]
    # The random delays put about 140 into the first second.
    assert max(per_second.count(second) for second in set(per_second)) < 200


async def test_unknown_state_is_logged_once(luma, gateway, caplog):
    """A state that this version does not know does not end a wait, and is logged once."""
    from luma_async.testing import new_state

    gateway.scripts.update({f"prompt {number}": new_state("rendering_4d") for number in range(5)})
    await complete(luma, await submit(luma, 5))
    assert sum("rendering_4d" in record.getMessage() for record in caplog.records) == 1


async def test_failed_generations(luma, gateway, events):
    """Failed generations end only their own wait, with the service's reason."""
    gateway.scripts.update({f"prompt {number}": fails("Job failed", after=2 + number) for number in range(3)})
    handles = await submit(luma, 6)
    ended = {outcome.handle.id: outcome async for outcome in luma.as_completed(handles)}
    assert [ended[handle.id].generation is None for handle in handles] == [True] * 3 + [False] * 3
    assert all("Job failed" in str(ended[handle.id].error) for handle in handles[:3])


@pytest.mark.parametrize("name", ["get", "peek", "generation"])
async def test_dialect_raises(gateway, caplog, name):
    """An unexpected exception of a dialect is a failed look: the wait ends after `max_outage`."""

    def fail(*_):
        raise ZeroDivisionError

    broken = type("Broken", (RixAPI,), {name: fail})()
    async with session(gateway, dialect=broken, poll=PollPolicy.fixed(1, max_outage=20)) as luma:
        with pytest.raises(PollingFailed, match="ZeroDivisionError"):
            await luma.run("cat dance")


@pytest.mark.parametrize("raised", [asyncio.CancelledError, BaseExceptionGroup("", [SystemError()])])
async def test_look_ends_unexpectedly(gateway, caplog, raised):
    """A look that ends with any exception is made again, and the wait goes on."""

    class Broken(RixAPI):
        def get(self, generation_id):
            if gateway.counts["query"] == 1 and not failed:
                failed.append(generation_id)
                raise raised
            return super().get(generation_id)

    failed = []
    async with session(gateway, dialect=Broken(), poll=PollPolicy.fixed(1)) as luma:
        handle = await luma.submit("cat dance")
        assert (await handle.wait()).state is State.COMPLETED
    assert failed


async def test_looks_always_end_unexpectedly(gateway, caplog):
    """If every look ends with an exception, the wait ends after `max_outage`."""

    class Broken(RixAPI):
        def get(self, generation_id):
            raise asyncio.CancelledError

    async with session(gateway, dialect=Broken(), poll=PollPolicy.fixed(1, max_outage=20)) as luma:
        with pytest.raises(PollingFailed, match="CancelledError"):
            await luma.run("cat dance")


async def test_journal_of_lost_fails(gateway, caplog):
    """If noting that a generation is lost fails, its waiters get an error, and do not wait for ever."""

    def fail(*_):
        raise ZeroDivisionError

    gateway.scripts["cat dance"] = forgets(after=1, then=stalls())
    async with session(gateway, poll=PollPolicy.fixed(1)) as luma:
        handle = await luma.submit("cat dance")
        luma._engine.watcher._on_lost = fail
        with pytest.raises(LumaError, match="ZeroDivisionError"):
            await handle.wait(timeout=600)


async def test_timeout_of_unknown_host():
    """What is not known is not said: an id that was not submitted here, at a host that does not answer."""
    async with LumaSession("sk-test", base_url="http://127.0.0.1:9", poll=PollPolicy.fixed(1)) as luma:
        with pytest.raises(WaitTimeout) as caught:
            await luma.handle("mistyped").wait(timeout=5)
    assert "paid" not in str(caught.value)
    assert "The last status request failed: Cannot connect to" in str(caught.value)
    assert isinstance(caught.value.last_error, NotSent)


async def test_timeout_of_id_in_journal(gateway, journal):
    """The timeout of an id that only the journal knows says that it is paid."""
    gateway.scripts["cat dance"] = stalls()
    async with session(gateway, journal=journal) as luma:
        made = (await luma.submit("cat dance", key="cat")).id
    gateway.inject(server_error(503), on="query", times=ALWAYS)
    async with session(gateway, journal=journal, poll=PollPolicy.fixed(1)) as luma:
        with pytest.raises(WaitTimeout, match="It is paid, and the timeout did not stop it") as caught:
            await luma.handle(made).wait(timeout=5)
    assert (caught.value.key, caught.value.last) == ("cat", None)
    assert caught.value.last_error.status == 503


async def test_late_not_found(luma, gateway, journal):
    """The grace counts from the request: a late answer that the id is unknown loses no paid generation."""
    gateway.scripts["cat dance"] = unknown_at_first(5)
    gateway.inject(late(29.9), on="query")
    handle = await luma.submit("cat dance", key="cat")
    assert (await handle.wait()).state is State.COMPLETED
    assert (await journal.get("cat")).phase is Phase.COMPLETED


@pytest.mark.parametrize("settings", [{"poll": PollPolicy.fixed(4)}])
async def test_hanging_single_query(luma, gateway, journal):
    """A single query that hangs delays only its own generation."""
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


async def test_updates_while_busy(luma, gateway):
    """Changes during the body of the loop are yielded next, the end too."""
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


async def test_updates_without_change(luma, gateway):
    """`updates()` does not yield a state again that has not changed."""
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


async def test_long_retry_after(luma, gateway):
    """A `Retry-After` of a day stops polling for five minutes only."""
    gateway.inject(rate_limited(86_400), on="query")
    loop = asyncio.get_running_loop()
    handle = await luma.submit("cat dance")
    began_at_s = loop.time()
    assert (await handle.wait()).state is State.COMPLETED
    assert 299 < loop.time() - began_at_s < 400


@pytest.mark.parametrize(("every_s", "timeout_s"), [(60, 50), (300, 200), (600, 500), (3600, 1800)])
@pytest.mark.parametrize("offset_s", [0.0, 1.3, 2.7])
async def test_last_look_with_long_interval(gateway, every_s, timeout_s, offset_s):
    """However long the interval is, a look comes before the timeout."""
    gateway.scripts["cat dance"] = succeeds(after=30)
    async with session(gateway, poll=PollPolicy.fixed(every_s)) as luma:
        await asyncio.sleep(offset_s)
        handle = await luma.submit("cat dance")
        assert (await handle.wait(timeout=timeout_s)).state is State.COMPLETED


@pytest.mark.parametrize("how", ["wait", "updates"])
async def test_id_found_in_journal(gateway, journal, settings, how):
    """For an id that the journal knows, a single "unknown" from the service does not close the entry."""
    gateway.scripts["cat dance"] = succeeds(after=90)
    async with session(gateway, journal=journal) as luma:
        made = (await luma.submit("cat dance", key="cat")).id
    gateway.inject(NOT_FOUND, on="query")
    async with session(gateway, journal=journal, **settings) as luma:
        handle = luma.handle(made)
        last = await handle.wait() if how == "wait" else [seen async for seen in handle.updates()][-1]
        assert (last.state, handle.key) == (State.COMPLETED, "cat")
    assert (await journal.get("cat")).phase is Phase.COMPLETED


async def test_journal_lookup_fails(gateway, journal, settings):
    """If the journal cannot be read, the entry is not closed as lost."""
    async with session(gateway, journal=journal) as luma:
        made = (await luma.submit("cat dance", key="cat")).id
    find = journal.find

    async def broken(service, generation_id):
        journal.find = find
        raise OSError("no disk")

    journal.find = broken
    gateway.inject(NOT_FOUND, on="query")
    async with session(gateway, journal=journal, **settings) as luma:
        with pytest.raises(GenerationNotFound):
            await luma.handle(made).wait()
        assert [handle.id for handle in await luma.resume()] == [made]


async def test_single_not_found(luma, gateway, journal):
    """Long after the submit, a single "unknown" from a replica does not end the wait."""
    gateway.scripts["cat dance"] = succeeds(after=90)
    handle = await luma.submit("cat dance", key="cat")
    waiting = asyncio.ensure_future(handle.wait())
    await asyncio.sleep(60)
    gateway.inject(NOT_FOUND, on="query")
    assert (await waiting).state is State.COMPLETED
    assert (await journal.get("cat")).phase is Phase.COMPLETED
