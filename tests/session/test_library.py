"""The service's own list, and the words that prompts may use; a relay is not asked for them."""

from __future__ import annotations

import asyncio
import math

import pytest

from luma_async import (
    DreamMachine,
    GenerationNotFound,
    InvalidInput,
    Limits,
    LumaSession,
    NoResponse,
    Refused,
    RetryPolicy,
    SessionClosed,
    State,
    Unauthorized,
    UnreadableResponse,
    UnsupportedOperation,
)
from luma_async.testing import (
    ALWAYS,
    DreamMachineBehaviour,
    drop_after_reading,
    reshapes,
    server_error,
    stalls,
    succeeds,
)

pytestmark = pytest.mark.looptime

UNBOUND = Limits(submits_per_minute=math.inf)


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=5)}


def session(gateway, **settings):
    settings = {"base_url": gateway.base_url, "dialect": DreamMachine(), "limits": UNBOUND, **settings}
    return LumaSession(gateway.api_key, **settings)


@pytest.fixture
async def luma(gateway):
    async with session(gateway) as opened:
        yield opened


async def submitted(luma, count):
    """Submit so many prompts; return the ids, newest first."""
    return [(await luma.submit(f"cat {number}")).id for number in range(count)][::-1]


async def test_list_page(luma, gateway):
    """A page begins with the newest generation and has the length that was asked for."""
    ids = await submitted(luma, 5)
    await asyncio.sleep(6)
    assert [one.id for one in await luma.library.list()] == ids
    assert [one.id for one in await luma.library.list(2)] == ids[:2]
    last = await luma.library.list(limit=100, offset=3)
    assert [(one.id, one.state, one.prompt) for one in last] == [
        (ids[3], State.COMPLETED, "cat 1"),
        (ids[4], State.COMPLETED, "cat 0"),
    ]
    assert [dict(seen.query) for seen in gateway.requests if seen.kind == "list"] == [
        {"limit": "100", "offset": "0"},
        {"limit": "2", "offset": "0"},
        {"limit": "100", "offset": "3"},
    ]


async def test_all_pages(luma, gateway):
    """`all()` reads every page, each generation once and in order, with one request for each hundred."""
    ids = await submitted(luma, 205)
    assert [one.id async for one in luma.library.all()] == ids
    assert gateway.counts["list"] == 3


async def test_all_while_created(luma):
    """Generations that are created between pages cause no duplicate and no gap."""
    ids = await submitted(luma, 150)
    came = []
    async for one in luma.library.all():
        came.append(one.id)
        if len(came) % 50 == 0:
            await luma.submit("another cat")
    assert came == ids


async def test_all_while_deleted(luma, gateway):
    """Generations can be deleted during the iteration, and all are yielded."""
    ids = await submitted(luma, 150)
    async for one in luma.library.all():
        await luma.library.delete(one.id)
        ids.remove(one.id)
    assert ids == []
    assert await luma.library.list() == []
    assert gateway.counts["delete"] == 150


async def test_break_out_of_all(luma, gateway):
    """After the loop ends, no further page is requested."""
    await submitted(luma, 120)
    async for _ in luma.library.all():
        break
    assert gateway.counts["list"] == 1


async def test_unreadable_row(luma, gateway):
    """A row without a state keeps its id, and the other rows are read."""
    newer, older = await submitted(luma, 2)
    gateway.inject(reshapes(lambda body: {"generations": [{"id": newer}, body["generations"][1]]}), on="list")
    listed = await luma.library.list()
    assert [(one.id, one.state) for one in listed] == [(newer, State.UNKNOWN), (older, State.PENDING)]
    assert listed[0].raw == {"id": newer}


async def test_delete(luma, gateway):
    """The service no longer knows a deleted generation, and deleting it again raises GenerationNotFound."""
    handle = await luma.submit("cat dance")
    await luma.library.delete(handle.id)
    for ask in (lambda: luma.library.delete(handle.id), handle.refresh):
        with pytest.raises(GenerationNotFound):
            await ask()
    assert gateway.generations[handle.id].deleted


async def test_delete_is_repeated(luma, gateway):
    """A deletion without an answer is sent again, and then GenerationNotFound is raised."""
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="delete")
    await luma.library.delete(handle.id)
    assert gateway.counts["delete"] == 2
    handle = await luma.submit("dog dance")
    gateway.inject(drop_after_reading(), on="delete")
    with pytest.raises(GenerationNotFound):
        await luma.library.delete(handle.id)
    assert gateway.generations[handle.id].deleted


async def test_concepts_and_camera_motions(luma):
    """Concepts and camera motions are lists of names."""
    assert "dolly_zoom" in await luma.library.concepts()
    assert "Push In" in await luma.library.camera_motions()


async def test_ping(luma, gateway):
    """A ping returns None, and raises in different classes for a wrong key and a dead service."""
    assert await luma.ping() is None
    async with session(gateway, retry=RetryPolicy(attempts=1)) as other:
        gateway.inject(drop_after_reading(), on="ping", times=ALWAYS)
        with pytest.raises(NoResponse):
            await other.ping()
    async with LumaSession("luma-wrong", base_url=gateway.base_url, dialect=DreamMachine()) as other:
        gateway.clear_faults()
        with pytest.raises(Unauthorized):
            await other.ping()


async def test_credits(luma):
    """The balance at Luma is in cents."""
    await luma.submit("cat dance")
    assert (await luma.account.credits()).balance_cents == 99_990.0


@pytest.mark.parametrize("what", ["list", "all", "delete", "concepts", "camera_motions", "ping", "reconcile"])
async def test_library_of_relay(gateway, what):
    """A relay in its own format has no library: the error comes before any request, and `supports` is False."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url) as luma:
        calls = {
            "list": luma.library.list,
            "all": lambda: anext(luma.library.all()),
            "delete": lambda: luma.library.delete("some-id"),
            "concepts": luma.library.concepts,
            "camera_motions": luma.library.camera_motions,
            "ping": luma.ping,
            "reconcile": luma.doubts.reconcile,
        }
        assert not luma.supports({"all": "list", "reconcile": "list"}.get(what, what))
        with pytest.raises(UnsupportedOperation) as caught:
            await calls[what]()
    assert caught.value.service == "rixapi"
    assert gateway.requests == ()


async def test_malformed_arguments(luma, gateway):
    """A malformed page or id is refused by name, without a request."""
    for call, field in (
        (lambda: luma.library.list(101), "limit"),
        (lambda: luma.library.list(offset=-1), "offset"),
        (lambda: luma.library.delete("../admin"), "id"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await call()
        assert caught.value.field == field
    assert gateway.requests == ()


async def test_closed_session(gateway):
    """The library of a closed session raises SessionClosed."""
    luma = session(gateway)
    with pytest.raises(SessionClosed):
        _ = luma.library
    with pytest.raises(SessionClosed):
        await luma.ping()
    async with luma:
        library = luma.library
    for ask in (library.list, library.concepts, lambda: library.delete("some-id")):
        with pytest.raises(SessionClosed):
            await ask()
    with pytest.raises(SessionClosed):
        library.all()


async def test_answer_without_list(luma, gateway):
    """A success without a list of generations is unreadable; the error names the field."""
    gateway.inject(reshapes(lambda _: {"data": []}), on="list")
    with pytest.raises(UnreadableResponse, match="generations"):
        await luma.library.list()


@pytest.mark.parametrize("gateway_options", [{"dream_machine": DreamMachineBehaviour(relay=True), "script": stalls()}])
async def test_library_of_relay_in_luma_format(luma, gateway):
    """A relay that offers Luma's format refuses all but two calls, free of charge."""
    handle = await luma.submit("cat dance")
    assert (await handle.refresh()).state is State.PENDING
    for ask in (luma.library.list, luma.library.concepts, lambda: luma.library.delete(handle.id), luma.ping):
        with pytest.raises(Refused) as caught:
            await ask()
        assert caught.value.status == 404
    assert len(gateway.charges) == 1
