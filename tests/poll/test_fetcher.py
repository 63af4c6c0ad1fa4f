"""Asking for many at once: whatever a relay can and cannot, all that is known comes back, in the order asked."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import InvalidInput, LumaSession, RetryPolicy, RixAPI, ServiceUnavailable, State, Unauthorized
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
    repeats_rows,
    server_error,
    shuffles_rows,
)

pytestmark = pytest.mark.looptime


async def bought(luma, number):
    return [(await luma.submit(f"cat {one}")).id for one in range(number)]


def session(gateway, **settings):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, **settings)


@pytest.fixture
async def luma(gateway):
    async with session(gateway) as opened:
        yield opened


@pytest.mark.parametrize("batch", ["envelope", "list", "missing", "html"])
async def test_every_kind_of_relay_answers_for_many(batch):
    """In an envelope, as a list, by single queries where there is no such call or a web page in its place."""
    async with FakeGateway(batch=batch) as gateway, session(gateway) as luma:
        ids = await bought(luma, 7)
        asked = [*reversed(ids), "nobody", ids[0]]
        assert list(await luma.get_many(asked)) == list(reversed(ids))
        assert gateway.counts["tasks"] == 1
        singles = {"envelope": 1, "list": 1, "missing": 8, "html": 8}
        assert gateway.counts["query"] == singles[batch]


async def test_missing_call_is_learned_once():
    """After the watcher has found that `/luma/tasks` is missing, `get_many()` does not ask it."""
    async with FakeGateway(batch="missing") as gateway, session(gateway) as luma:
        handles = [await luma.submit(f"cat {number}") for number in range(3)]
        assert len([outcome async for outcome in luma.as_completed(handles)]) == 3
        assert gateway.counts["tasks"] == 1
        assert len(await luma.get_many(handle.id for handle in handles)) == 3
        assert gateway.counts["tasks"] == 1


async def test_many_go_in_chunks():
    """One request for each `batch_size` ids, and none twice."""
    async with FakeGateway() as gateway, session(gateway, dialect=RixAPI(batch_size=10)) as luma:
        ids = await bought(luma, 25)
        assert list(await luma.get_many(ids * 2)) == ids
        assert gateway.counts["tasks"] == 3
        asked = [one for seen in gateway.requests if seen.kind == "tasks" for one in seen.body["ids"]]
        assert sorted(asked) == sorted(ids)


async def test_the_documented_call_alone(gateway):
    """`batch_size=1` uses the single query only."""
    async with session(gateway, dialect=RixAPI(batch_size=1)) as luma:
        ids = await bought(luma, 3)
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
async def test_an_odd_answer_for_many_hides_nobody(luma, gateway, fault):
    """Rows left out, mixed up, doubled, foreign or unreadable: the rest is asked for one by one, and all are there."""
    ids = await bought(luma, 6)
    gateway.inject(fault, on="tasks", times=ALWAYS)
    found = await luma.get_many(ids)
    assert list(found) == ids
    assert all(found[one].id == one for one in ids)


async def test_a_failed_generation_is_returned(luma, gateway):
    """It is a state like any other, not an error."""
    gateway.scripts["bad cat"] = fails("moderated", after=1)
    bad, good = (await luma.submit("bad cat")).id, (await luma.submit("cat")).id
    await asyncio.sleep(5)
    found = await luma.get_many([bad, good])
    assert [one.state for one in found.values()] == [State.FAILED, State.PROCESSING]
    assert found[bad].failure_reason == "moderated"


async def test_unknown_ids_are_absent(luma):
    """All of them, some of them, or the only one: an absence, not an error."""
    (one,) = await bought(luma, 1)
    assert await luma.get_many(["nobody"]) == {}
    assert await luma.get_many(["nobody", "no-one", "nothing"]) == {}
    assert list(await luma.get_many(["nobody", one])) == [one]
    assert await luma.get_many([]) == {}


@pytest.mark.parametrize("ids", ["g1", ["g1", "../admin"], ["g1", None], [""]])
async def test_a_malformed_id_sends_nothing(luma, gateway, ids):
    """One bad id among many, or a lone text that would be taken for its letters: refused before any request."""
    with pytest.raises(InvalidInput):
        await luma.get_many(ids)
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("on", ["tasks", "query"])
async def test_a_service_in_trouble_is_reported(gateway, on):
    """When neither way gives an answer, the failure is raised as itself, in no wrapping."""
    async with session(gateway, retry=RetryPolicy(attempts=2, first_delay=0)) as luma:
        ids = await bought(luma, 3)
        gateway.inject(server_error(500), on="tasks", times=ALWAYS)
        gateway.inject(server_error(500), on="query", times=ALWAYS)
        with pytest.raises(ServiceUnavailable):
            await luma.get_many(ids if on == "tasks" else ids[:1])


async def test_a_key_that_is_refused_is_reported(luma, gateway):
    """401 on either call is Unauthorized."""
    ids = await bought(luma, 3)
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    with pytest.raises(Unauthorized):
        await luma.get_many(ids)


async def test_what_many_showed_those_who_wait_know(luma, gateway):
    """A final state seen by `get_many` ends the waiting of whoever waits for it, without a further look."""
    handle = await luma.submit("cat dance")
    others = await bought(luma, 1)
    await asyncio.sleep(30)
    found = await luma.get_many([handle.id, *others])
    looks = gateway.counts["query"] + gateway.counts["tasks"]
    assert (await handle.wait()) == found[handle.id]
    assert gateway.counts["query"] + gateway.counts["tasks"] == looks


async def test_leaving_stops_the_asking(luma, gateway):
    """Cancelled while single queries are on their way: they stop with it."""
    ids = await bought(luma, 3)
    gateway.inject(html_page(), on="tasks", times=ALWAYS)
    gateway.inject(drop_after_reading(), on="query", times=ALWAYS)
    asking = asyncio.ensure_future(luma.get_many(ids))
    await asyncio.sleep(0.3)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    asked = gateway.counts["query"]
    await asyncio.sleep(60)
    assert gateway.counts["query"] == asked
