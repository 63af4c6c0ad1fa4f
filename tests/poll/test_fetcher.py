"""Fetching many generations: lists of ids, pages of the account's list, and single queries where these fail."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import (
    DreamMachine,
    InvalidInput,
    Limits,
    LumaSession,
    PollPolicy,
    RetryPolicy,
    RixAPI,
    ServiceUnavailable,
    State,
    Unauthorized,
)
from luma_async.testing import (
    ALWAYS,
    FakeGateway,
    adds_foreign_row,
    answer,
    drop_after_reading,
    drops_rows,
    fails,
    garbles_row,
    html_page,
    nulls_data,
    rate_limited,
    repeats_rows,
    reshapes,
    server_error,
    shuffles_rows,
    succeeds,
)

pytestmark = pytest.mark.looptime


async def submit(luma, count):
    return [(await luma.submit(f"cat {number}")).id for number in range(count)]


def session(gateway, **settings):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, **settings)


@pytest.mark.parametrize("batch", ["envelope", "list", "missing", "html"])
async def test_kinds_of_relays(batch):
    """A relay answers for many in an envelope or as a list; without the call, each id gets a single query."""
    async with FakeGateway(batch=batch) as gateway, session(gateway) as luma:
        ids = await submit(luma, 7)
        asked = [*reversed(ids), "unknown", ids[0]]
        assert list(await luma.get_many(asked)) == list(reversed(ids))
        assert gateway.counts["tasks"] == 1
        singles = {"envelope": 1, "list": 1, "missing": 8, "html": 8}
        assert gateway.counts["query"] == singles[batch]


async def test_missing_call_is_learned_once():
    """After the watcher has found that `/luma/tasks` is missing, `get_many()` does not ask it."""
    async with FakeGateway(batch="missing") as gateway, session(gateway) as luma:
        handles = [await luma.submit(f"cat {number}") for number in range(3)]
        assert len([outcome async for outcome in luma.as_completed(handles)]) == 3
        asked = gateway.counts["tasks"]
        assert asked <= 3
        assert len(await luma.get_many(handle.id for handle in handles)) == 3
        assert gateway.counts["tasks"] == asked


async def test_many_in_chunks():
    """There is one request for each `batch_size` ids, and no id is sent twice."""
    async with FakeGateway() as gateway, session(gateway, dialect=RixAPI(batch_size=10)) as luma:
        ids = await submit(luma, 25)
        assert list(await luma.get_many(ids * 2)) == ids
        assert gateway.counts["tasks"] == 3
        asked = [one for seen in gateway.requests if seen.kind == "tasks" for one in seen.body["ids"]]
        assert sorted(asked) == sorted(ids)


async def test_batch_size_of_one(gateway):
    """With `batch_size=1`, only single queries are sent."""
    async with session(gateway, dialect=RixAPI(batch_size=1)) as luma:
        ids = await submit(luma, 3)
        assert list(await luma.get_many(ids)) == ids
    assert (gateway.counts["tasks"], gateway.counts["query"]) == (0, 3)


@pytest.mark.parametrize(
    "fault",
    [
        drops_rows(2),
        drops_rows(6),
        nulls_data(),
        repeats_rows(),
        shuffles_rows(),
        adds_foreign_row(),
        garbles_row(),
        answer(400, {"code": "invalid_request", "message": "too many", "data": None}),
        answer(413, "<html>"),
        answer(200, {"code": "success", "message": "", "data": None}),
        html_page(),
    ],
    ids=lambda fault: fault.name,
)
async def test_faulty_answer_for_many(luma, gateway, fault):
    """When rows are missing, shuffled, doubled, foreign or unreadable, single queries fetch the rest."""
    ids = await submit(luma, 6)
    gateway.inject(fault, on="tasks", times=ALWAYS)
    found = await luma.get_many(ids)
    assert list(found) == ids
    assert all(found[one].id == one for one in ids)


async def test_unreadable_row(luma, gateway):
    """A row that cannot be read is fetched again by a single query."""
    ids = await submit(luma, 3)

    def spoil(body):
        first, *others = body["data"]
        return {**body, "data": [{**first, "data": {"id": first["task_id"], "state": 7}}, *others]}

    gateway.inject(reshapes(spoil), on="tasks")
    assert list(await luma.get_many(ids)) == ids
    assert gateway.counts["query"] == 1


async def test_failed_generation(luma, gateway):
    """A failed generation is returned like any other, not raised."""
    gateway.scripts["bad cat"] = fails("moderated", after=1)
    bad, good = (await luma.submit("bad cat")).id, (await luma.submit("cat")).id
    await asyncio.sleep(5)
    found = await luma.get_many([bad, good])
    assert [one.state for one in found.values()] == [State.FAILED, State.PROCESSING]
    assert found[bad].failure_reason == "moderated"


async def test_unknown_ids_are_absent(luma):
    """Ids that the service does not know are absent from the result, and are no error."""
    (known,) = await submit(luma, 1)
    assert await luma.get_many(["unknown"]) == {}
    assert await luma.get_many(["unknown", "missing", "absent"]) == {}
    assert list(await luma.get_many(["unknown", known])) == [known]
    assert await luma.get_many([]) == {}


@pytest.mark.parametrize("ids", ["g1", ["g1", "../admin"], ["g1", None], [""]])
async def test_malformed_id(luma, gateway, ids):
    """A bad id among many, or a string instead of a list, raises InvalidInput before any request."""
    with pytest.raises(InvalidInput):
        await luma.get_many(ids)
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("on", ["tasks", "query"])
async def test_service_unavailable(gateway, on):
    """When neither way gets an answer, the error of the request is raised."""
    async with session(gateway, retry=RetryPolicy(attempts=2, first_delay=0)) as luma:
        ids = await submit(luma, 3)
        gateway.inject(server_error(500), on="tasks", times=ALWAYS)
        gateway.inject(server_error(500), on="query", times=ALWAYS)
        with pytest.raises(ServiceUnavailable):
            await luma.get_many(ids if on == "tasks" else ids[:1])


async def test_slot_while_waiting_to_repeat(gateway):
    """A `get()` that waits to be repeated does not keep other requests waiting."""
    async with session(gateway, limits=Limits(requests=1), retry=RetryPolicy(first_delay=1)) as luma:
        first, second = await submit(luma, 2)
        failed = asyncio.Event()
        gateway.inject(rate_limited(5), on="query", when=lambda _: failed.set() or True)
        fetching = asyncio.ensure_future(luma.get(first))
        await failed.wait()
        assert (await luma.get(second)).id == second
        assert not fetching.done()
        assert (await fetching).id == first


async def test_get_many_after_odd_answer(luma, gateway):
    """After a single web page, `get_many()` uses single queries once, and then shared ones again."""
    ids = await submit(luma, 6)
    gateway.inject(html_page(), on="tasks")
    assert list(await luma.get_many(ids)) == ids
    assert list(await luma.get_many(ids)) == ids
    assert (gateway.counts["tasks"], gateway.counts["query"]) == (2, 6)


async def test_list_refuses_key(luma, gateway):
    """A 401 of the call for many is not believed if a single query succeeds."""
    ids = await submit(luma, 6)
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    assert list(await luma.get_many(ids)) == ids


async def test_rejected_key(luma, gateway):
    """HTTP 401 raises Unauthorized."""
    ids = await submit(luma, 3)
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    with pytest.raises(Unauthorized):
        await luma.get_many(ids)


async def test_get_many_ends_waits(luma, gateway):
    """A final state that `get_many()` fetched ends a wait without another request."""
    handle = await luma.submit("cat dance")
    others = await submit(luma, 1)
    await asyncio.sleep(30)
    found = await luma.get_many([handle.id, *others])
    looks = gateway.counts["query"] + gateway.counts["tasks"]
    assert (await handle.wait()) == found[handle.id]
    assert gateway.counts["query"] + gateway.counts["tasks"] == looks


async def test_cancelled_get_many(luma, gateway):
    """Cancelling `get_many()` cancels its single queries: they are not repeated."""
    ids = await submit(luma, 3)
    gateway.inject(html_page(), on="tasks", times=ALWAYS)
    asked = asyncio.Event()
    gateway.inject(drop_after_reading(), on="query", times=ALWAYS, when=lambda _: asked.set() or True)
    fetching = asyncio.ensure_future(luma.get_many(ids))
    await asked.wait()
    fetching.cancel()
    await asyncio.wait([fetching])
    assert fetching.cancelled()
    await asyncio.sleep(60)
    assert gateway.counts["query"] <= len(ids)


# --- the account's list, in Luma's own format ---


async def complete_all(gateway, count, **settings):
    """Submit so many at once, and wait for all."""
    settings = {"poll": PollPolicy.adaptive()} | settings
    async with session(gateway, dialect=DreamMachine(), **settings) as luma:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(luma.submit(f"prompt {number}")) for number in range(count)]
        handles = [call.result() for call in calls]
        outcomes = [outcome async for outcome in luma.as_completed(handles)]
    assert {outcome.generation.id for outcome in outcomes} == {handle.id for handle in handles}
    assert all(outcome.generation.state is State.COMPLETED for outcome in outcomes)


async def test_list_for_a_thousand(gateway):
    """With a look a second, 1,000 jobs of five seconds cost at most 1.5 requests each, the submit included."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=5 + number / 1000) for number in range(1000)})
    await complete_all(gateway, 1000, poll=PollPolicy.fixed(1))
    sent = gateway.counts["submit"] + gateway.counts["query"] + gateway.counts["list"]
    assert gateway.counts["list"] > 0
    assert sent / 1000 <= 1.5


async def test_list_with_adaptive_policy(gateway):
    """With the adaptive policy, 1,000 jobs of a minute cost at most half a status request each."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=40 + number / 25) for number in range(1000)})
    await complete_all(gateway, 1000)
    assert (gateway.counts["query"] + gateway.counts["list"]) / 1000 <= 0.5


async def test_list_for_a_single_job(gateway):
    """A single job is fetched by a single query, not from the list."""
    await complete_all(gateway, 1)
    assert gateway.counts["list"] == 0


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_missing_list(gateway, status):
    """A service without a list gets single queries, and is asked for its list at most three times."""
    gateway.inject(answer(status, {"detail": "no such call"}), on="list", times=ALWAYS)
    await complete_all(gateway, 5, poll=PollPolicy.fixed(1))
    assert gateway.counts["list"] <= 3


async def test_rejected_page(gateway):
    """A service that rejects every page delays the jobs, and loses none."""
    gateway.inject(answer(422, {"detail": "limit"}), on="list", times=ALWAYS)
    await complete_all(gateway, 5, poll=PollPolicy.fixed(1))


async def test_failing_list(gateway):
    """A page that fails is a failed look: it delays the jobs, and loses none."""
    gateway.inject(server_error(502, html=True), on="list", times=3)
    await complete_all(gateway, 20, poll=PollPolicy.fixed(1))
