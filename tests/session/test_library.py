"""The service's own list, and the words that prompts may use; elsewhere nothing is asked at all."""

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


async def bought(luma, count):
    """Buy so many; return their ids, newest first."""
    return [(await luma.submit(f"cat {number}")).id for number in range(count)][::-1]


async def test_a_page_is_the_newest_generations(luma, gateway):
    """The list begins with the newest, and a page is as long as was asked for."""
    ids = await bought(luma, 5)
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


async def test_all_is_every_page(luma, gateway):
    """More than a page is read to its end, each once and in order, with one request for each hundred."""
    ids = await bought(luma, 205)
    assert [one.id async for one in luma.library.all()] == ids
    assert gateway.counts["list"] == 3


async def test_all_is_every_page_while_new_ones_are_made(luma):
    """What is bought while the pages are read pushes the rest on, and none comes twice or is missed."""
    ids = await bought(luma, 150)
    came = []
    async for one in luma.library.all():
        came.append(one.id)
        if len(came) % 50 == 0:
            await luma.submit("another cat")
    assert came == ids


async def test_all_can_be_deleted_as_it_comes(luma, gateway):
    """Deleting what comes moves the rest forward, and still all come, and all are gone."""
    ids = await bought(luma, 150)
    async for one in luma.library.all():
        await luma.library.delete(one.id)
        ids.remove(one.id)
    assert ids == []
    assert await luma.library.list() == []
    assert gateway.counts["delete"] == 150


async def test_leaving_the_loop_stops_the_asking(luma, gateway):
    """Nothing beyond the first page is asked for when its first generation is enough."""
    await bought(luma, 120)
    async for _ in luma.library.all():
        break
    assert gateway.counts["list"] == 1


async def test_a_row_that_has_drifted_keeps_its_id(luma, gateway):
    """One row without a state hides neither itself nor the others."""
    newer, older = await bought(luma, 2)
    gateway.inject(reshapes(lambda body: {"generations": [{"id": newer}, body["generations"][1]]}), on="list")
    listed = await luma.library.list()
    assert [(one.id, one.state) for one in listed] == [(newer, State.UNKNOWN), (older, State.PENDING)]
    assert listed[0].raw == {"id": newer}


async def test_a_deleted_one_is_gone(luma, gateway):
    """The service knows it no more, and deleting it again says so."""
    handle = await luma.submit("cat dance")
    await luma.library.delete(handle.id)
    for ask in (lambda: luma.library.delete(handle.id), handle.refresh):
        with pytest.raises(GenerationNotFound):
            await ask()
    assert gateway.generations[handle.id].deleted


async def test_a_deletion_is_repeated_until_it_is_answered(luma, gateway):
    """A deletion whose answer is lost is sent again; that it was done is then what the service says."""
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(503), on="delete")
    await luma.library.delete(handle.id)
    assert gateway.counts["delete"] == 2
    handle = await luma.submit("dog dance")
    gateway.inject(drop_after_reading(), on="delete")
    with pytest.raises(GenerationNotFound):
        await luma.library.delete(handle.id)
    assert gateway.generations[handle.id].deleted


async def test_words_for_prompts(luma):
    """Concepts and camera motions are lists of names."""
    assert "dolly_zoom" in await luma.library.concepts()
    assert "Push In" in await luma.library.camera_motions()


async def test_a_sign_of_life(luma, gateway):
    """A ping says nothing when all is well, and tells a wrong key and a dead service apart."""
    assert await luma.ping() is None
    async with session(gateway, retry=RetryPolicy(attempts=1)) as other:
        gateway.inject(drop_after_reading(), on="ping", times=ALWAYS)
        with pytest.raises(NoResponse):
            await other.ping()
    async with LumaSession("luma-wrong", base_url=gateway.base_url, dialect=DreamMachine()) as stranger:
        gateway.clear_faults()
        with pytest.raises(Unauthorized):
            await stranger.ping()


async def test_a_balance(luma):
    """The balance of the official service is in cents."""
    await luma.submit("cat dance")
    assert (await luma.account.credits()).balance_cents == 99_990.0


@pytest.mark.parametrize("what", ["list", "all", "delete", "concepts", "camera_motions", "ping", "reconcile"])
async def test_elsewhere_nothing_is_asked(gateway, what):
    """A relay in its own format has none of it: the error comes before any request, and `supports` says it before."""
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


async def test_what_cannot_be_right_is_refused_before_it_is_asked(luma, gateway):
    """A page that is none and an id that is none are refused by name, without a request."""
    for call, field in (
        (lambda: luma.library.list(101), "limit"),
        (lambda: luma.library.list(offset=-1), "offset"),
        (lambda: luma.library.delete("../admin"), "id"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await call()
        assert caught.value.field == field
    assert gateway.requests == ()


async def test_a_closed_session_lists_nothing(gateway):
    """Outside of its block a session refuses."""
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


async def test_an_answer_that_is_no_list_is_unreadable(luma, gateway):
    """A success without a list of generations is an error that names the field at fault."""
    gateway.inject(reshapes(lambda _: {"data": []}), on="list")
    with pytest.raises(UnreadableResponse, match="generations"):
        await luma.library.list()


@pytest.mark.parametrize("gateway_options", [{"dream_machine": DreamMachineBehaviour(relay=True), "script": stalls()}])
async def test_a_relay_that_passes_the_format_on_has_no_list(luma, gateway):
    """A relay knows two calls of the format; what else is asked of it is refused, and costs nothing."""
    handle = await luma.submit("cat dance")
    assert (await handle.refresh()).state is State.PENDING
    for ask in (luma.library.list, luma.library.concepts, lambda: luma.library.delete(handle.id), luma.ping):
        with pytest.raises(Refused) as caught:
            await ask()
        assert caught.value.status == 404
    assert len(gateway.charges) == 1
