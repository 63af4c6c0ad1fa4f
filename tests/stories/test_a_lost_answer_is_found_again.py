"""A lost response is matched with the service's list of generations, if the match is unambiguous."""

from __future__ import annotations

import asyncio
import math

import pytest
from ledger import balance

from luma_async import (
    DreamMachine,
    Entry,
    ExtendRequest,
    ImageKeyframe,
    ImageRequest,
    Keyframes,
    Limits,
    LumaSession,
    MemoryJournal,
    Phase,
    PollPolicy,
    RetryPolicy,
    ServiceUnavailable,
    SqliteJournal,
    State,
    SubmitInDoubt,
    Timeouts,
    UpscaleRequest,
    VideoRequest,
)
from luma_async._journal import lifecycle
from luma_async._journal.fingerprint import canonical_form, digest
from luma_async.testing import (
    ALWAYS,
    cut_body,
    drop_after_reading,
    drop_before_reading,
    garbage,
    hang,
    html_page,
    id_and_error,
    late,
    no_id,
    reshapes,
    server_error,
    succeeds,
)

VIDEO = VideoRequest("cat dance")
UNBOUND = Limits(submits_per_minute=math.inf)


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=5)}


@pytest.fixture(autouse=True)
def one_clock(request, gateway, monkeypatch):
    """Make the client's time of day follow virtual time, like the gateway's."""
    if "looptime" in request.keywords:
        monkeypatch.setattr("luma_async._submit.attempt.wall_now", gateway._clock.wall)


def session(gateway, journal=None, **settings):
    settings = {"poll": PollPolicy.fixed(1), "limits": UNBOUND, **settings}
    return LumaSession(gateway.api_key, base_url=gateway.base_url, dialect=DreamMachine(), journal=journal, **settings)


@pytest.fixture
async def luma(gateway, journal):
    async with session(gateway, journal) as opened:
        yield opened


async def doubted(luma, gateway, key="cat", request=VIDEO, fault=None, on="submit"):
    """Submit, and lose the response."""
    gateway.inject(fault or drop_after_reading(), on=on)
    with pytest.raises(SubmitInDoubt):
        await luma.submit(request, key=key)


async def left(luma):
    """Reconcile without adopting anything; return the reasons by key."""
    result = await luma.doubts.reconcile()
    assert result.adopted == ()
    return {doubt.entry.key: doubt.reason for doubt in result.unresolved}


CHARGED = {
    "closed": drop_after_reading(),
    "reset": drop_after_reading("rst"),
    "silent": hang(charged=True),
    "cut": cut_body(),
    "garbage": garbage(),
    "a web page": html_page(charged=True),
    "without an id": no_id(),
    "an id and an error": id_and_error(),
    "502": server_error(502, html=True, charged=True),
}


@pytest.mark.looptime
@pytest.mark.parametrize("fault", CHARGED.values(), ids=CHARGED.keys())
async def test_lost_response_is_matched(gateway, journal, fault):
    """However the response was lost, the only matching generation is adopted, and the key submits no more."""
    async with session(gateway, journal, timeouts=Timeouts(submit=5)) as luma:
        await doubted(luma, gateway, fault=fault)
        result = await luma.doubts.reconcile()
        [handle] = result.adopted
        assert (handle.key, handle.id, result.unresolved) == ("cat", gateway.charges[0].generation_id, ())
        assert (await handle).state is State.COMPLETED
        assert (await luma.submit(VIDEO, key="cat")).id == handle.id
        assert await luma.doubts.list() == []
    assert (await journal.get("cat")).phase is Phase.COMPLETED
    assert await balance(gateway, journal) == (1, 1, 0)


NOT_CHARGED = {
    "closed before it was read": drop_before_reading(),
    "silent": hang(),
    "502": server_error(502, html=True),
}


@pytest.mark.looptime
@pytest.mark.parametrize("fault", NOT_CHARGED.values(), ids=NOT_CHARGED.keys())
async def test_generation_was_never_made(gateway, journal, fault):
    """A list without a match proves nothing, so the submit stays in doubt."""
    async with session(gateway, journal, timeouts=Timeouts(submit=5)) as luma:
        await doubted(luma, gateway, fault=fault)
        assert await left(luma) == {"cat": "the service lists no generation that matches."}
    assert await balance(gateway, journal) == (0, 0, 1)


@pytest.mark.looptime
async def test_two_candidates(luma, gateway, journal):
    """Two matching generations leave the submit in doubt, and the reason names both."""
    await doubted(luma, gateway)
    async with session(gateway) as elsewhere:
        other = await elsewhere.submit(VIDEO)
    reason = (await left(luma))["cat"]
    assert other.id in reason
    assert gateway.charges[0].generation_id in reason
    assert (await journal.get("cat")).phase is Phase.IN_DOUBT


@pytest.mark.looptime
async def test_two_doubts_of_same_request(luma, gateway, journal):
    """Two doubts of the same request stay until the user resolves one; then the other is matched."""
    for key in ("one", "two"):
        await doubted(luma, gateway, key)
    assert set(await left(luma)) == {"one", "two"}
    first, second = (charge.generation_id for charge in gateway.charges)
    await luma.doubts.resolve("one", generation_id=first)
    result = await luma.doubts.reconcile()
    assert [(handle.key, handle.id) for handle in result.adopted] == [("two", second)]
    assert len({entry.generation_id for entry in await journal.entries()}) == 2


@pytest.mark.looptime
async def test_many_doubts(luma, gateway):
    """Doubts of different requests are all matched in one call."""
    source = await luma.run("a source")
    requests = {
        "video": (VideoRequest("cat dance", aspect_ratio="1:1"), "submit"),
        "another ratio": (VideoRequest("cat dance", aspect_ratio="9:16"), "submit"),
        "frames": (VideoRequest("a tiger", keyframes=Keyframes(ImageKeyframe("https://e.example/a.jpg"))), "submit"),
        "more": (ExtendRequest(source.id, "it sits"), "submit"),
        "picture": (ImageRequest("cat dance", aspect_ratio="1:1"), "image"),
    }
    for key, (request, on) in requests.items():
        await doubted(luma, gateway, key, request, on=on)
        await luma.submit(f"something next to {key}")
    charges = {charge.generation_id: charge for charge in gateway.charges}
    result = await luma.doubts.reconcile()
    assert {handle.key for handle in result.adopted} == set(requests)
    for handle in result.adopted:
        assert charges[handle.id].prompt == requests[handle.key][0].prompt
        assert charges[handle.id].body.get("aspect_ratio") == getattr(requests[handle.key][0], "aspect_ratio", None)
    assert result.unresolved == ()


@pytest.mark.looptime
async def test_generation_older_than_submit(luma, gateway):
    """The same request made elsewhere ten minutes before is not adopted."""
    async with session(gateway) as elsewhere:
        await elsewhere.submit(VIDEO)
    await asyncio.sleep(600)
    await doubted(luma, gateway, fault=drop_before_reading())
    assert await left(luma) == {"cat": "the service lists no generation that matches."}


@pytest.mark.looptime
async def test_generation_an_hour_later(luma, gateway):
    """The same request made elsewhere an hour later is named and not adopted."""
    await doubted(luma, gateway, fault=drop_before_reading())
    await asyncio.sleep(3600)
    async with session(gateway) as elsewhere:
        later = await elsewhere.submit(VIDEO)
    assert f"{later.id} matches, but" in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_generation_of_another_key(luma, gateway):
    """A generation of another entry is no candidate, so the other generation is adopted."""
    await luma.submit(VIDEO, key="known")
    await doubted(luma, gateway)
    await luma.submit(VIDEO, key="known too")
    [handle] = (await luma.doubts.reconcile()).adopted
    assert handle.id == gateway.charges[1].generation_id


@pytest.mark.looptime
async def test_rival_being_sent(gateway, journal):
    """While another session sends the same request, its generation is not adopted."""
    async with session(gateway, journal) as luma, session(gateway, journal) as other:
        await doubted(luma, gateway, fault=drop_before_reading())
        gateway.inject(late(10))
        sending = asyncio.ensure_future(other.submit(VIDEO, key="other"))
        await asyncio.sleep(1)
        assert "another submit" in (await left(luma))["cat"]
        handle = await sending
        assert await left(luma) == {"cat": "the service lists no generation that matches."}
    assert (await journal.get("other")).generation_id == handle.id


@pytest.mark.looptime
async def test_rival_sent_before_list(gateway, journal):
    """A submit that was claimed after the doubts were read, and is in the list, keeps its generation."""
    async with session(gateway, journal) as luma, session(gateway, journal) as other:
        await doubted(luma, gateway, fault=drop_before_reading())
        gateway.inject(late(10))
        entries, sending = journal.entries, []

        async def meanwhile(**wanted):
            found = await entries(**wanted)
            if not sending:
                sending.append(asyncio.ensure_future(other.submit(VIDEO, key="other")))
                await asyncio.sleep(1)
            return found

        journal.entries = meanwhile
        assert "another submit" in (await left(luma))["cat"]
        assert (await sending[0]).id == gateway.charges[0].generation_id


@pytest.mark.looptime
async def test_abandoned_rival(luma, gateway, journal):
    """An abandoned doubt of the same request prevents adoption, and stays abandoned."""
    await doubted(luma, gateway, "closed")
    await luma.doubts.abandon("closed")
    await doubted(luma, gateway, "open", fault=drop_before_reading())
    assert "another submit" in (await left(luma))["open"]
    assert (await journal.get("closed")).phase is Phase.ABANDONED


@pytest.mark.looptime
async def test_inline_image_is_undecided(luma, gateway):
    """Only the digest of an inline image is stored, so a generation with the same prompt is only named."""
    inline = Keyframes(ImageKeyframe.from_bytes(b"\x89PNG\r\n\x1a\n"))
    await doubted(luma, gateway, request=VideoRequest("cat dance", keyframes=inline))
    assert gateway.charges[0].generation_id in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_invalid_old_request(luma, gateway, journal):
    """A doubt that this version could not send is compared by its prompt only."""
    form = canonical_form(VideoRequest("cat dance", expand_prompt=True))
    entry = Entry(
        key="old",
        phase=Phase.SENDING,
        service=f"dream-machine {gateway.base_url}",
        digest=digest(form),
        request=form,
        owner="a dead process",
    )
    await journal.change("old", lifecycle.claim(entry, at=gateway._clock.wall()))
    async with session(gateway) as elsewhere:
        await elsewhere.submit("dog dance")
        assert await left(luma) == {"old": "the service lists no generation that matches."}
        other = await elsewhere.submit(VIDEO)
    assert other.id in (await left(luma))["old"]


@pytest.mark.looptime
async def test_upscale_is_undecided(luma, gateway):
    """The service does not repeat which video was upscaled, so the submit stays in doubt."""
    source = await luma.run("a source")
    await doubted(luma, gateway, request=UpscaleRequest(source.id, resolution="4k"), on="upscale")
    assert gateway.charges[1].generation_id in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_incomplete_request_in_list(luma, gateway):
    """If the list does not show the request, the submit stays in doubt."""
    await doubted(luma, gateway)

    def silent(body):
        return {**body, "generations": [{**row, "request": None} for row in body["generations"]]}

    gateway.inject(reshapes(silent), on="list")
    assert gateway.charges[0].generation_id in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_match_on_later_page(luma, gateway):
    """The list is read back to the oldest doubt, and no further."""
    for number in range(120):
        await luma.submit(f"before {number}")
    await asyncio.sleep(400)
    await doubted(luma, gateway)
    for number in range(150):
        await luma.submit(f"after {number}")
    gateway.counts.clear()
    [handle] = (await luma.doubts.reconcile()).adopted
    assert handle.id == next(charge.generation_id for charge in gateway.charges if charge.prompt == "cat dance")
    assert gateway.counts["list"] == 2


@pytest.mark.looptime
async def test_no_doubts_no_request(luma, gateway):
    """Without doubts no request is sent."""
    result = await luma.doubts.reconcile()
    assert (result.adopted, result.unresolved, gateway.requests) == ((), (), ())


@pytest.mark.looptime
async def test_list_fails(gateway, journal):
    """If the list cannot be read, the error is raised and nothing changes; a later call finds the match."""
    async with session(gateway, journal, retry=RetryPolicy(attempts=1)) as luma:
        await doubted(luma, gateway)
        gateway.inject(server_error(500), on="list", times=ALWAYS)
        with pytest.raises(ServiceUnavailable):
            await luma.doubts.reconcile()
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]
        gateway.clear_faults()
        assert len((await luma.doubts.reconcile()).adopted) == 1


async def test_same_account_two_addresses(gateway, journal):
    """A generation that was purchased at another address of the same account is not adopted."""
    other = gateway.base_url.replace("127.0.0.1", "localhost")
    async with (
        session(gateway, journal) as luma,
        LumaSession(gateway.api_key, base_url=other, dialect=DreamMachine(), journal=journal, limits=UNBOUND) as second,
    ):
        await doubted(luma, gateway, fault=drop_before_reading())
        handle = await second.submit(VIDEO, key="another")
        assert await left(luma) == {"cat": "the service lists no generation that matches."}
        await doubted(second, gateway, key="lost")
        assert (await left(luma)).keys() == {"cat"}
        assert "another submit could have made" in (await left(luma))["cat"]
        assert len(gateway.charges) == 2
        assert handle.id == gateway.charges[0].generation_id


@pytest.mark.looptime
async def test_concurrent_reconcile(gateway, journal):
    """Of several concurrent calls one adopts the generation."""
    async with session(gateway, journal) as one, session(gateway, journal) as two:
        await doubted(one, gateway)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(luma.doubts.reconcile()) for luma in (one, two, one, two)]
        came = [call.result() for call in calls]
        assert sum(len(each.adopted) for each in came) == 1
        assert [each.unresolved for each in came] == [()] * 4
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_resolved_while_reading(luma, gateway, journal):
    """A decision made while the list is read is kept."""
    await doubted(luma, gateway, "person")
    await doubted(luma, gateway, "thief", VideoRequest("dog dance"))
    cat, dog = (charge.generation_id for charge in gateway.charges)
    entries = journal.entries

    async def meanwhile(**which):
        found = await entries(**which)
        if not which:
            journal.entries = entries
            await luma.doubts.resolve("person", generation_id=cat)
            await luma.doubts.abandon("thief")
            await luma.doubts.resolve("thief", generation_id=dog)
        return found

    journal.entries = meanwhile
    result = await luma.doubts.reconcile()
    assert (result.adopted, result.unresolved) == ((), ())
    assert [(await journal.get(key)).generation_id for key in ("person", "thief")] == [cat, dog]


@pytest.mark.looptime
async def test_id_taken_meanwhile(luma, gateway, journal):
    """If the generation goes to another key at the last moment, the submit stays in doubt."""
    await doubted(luma, gateway, "cat")
    await doubted(luma, gateway, "dog", VideoRequest("dog dance"), fault=drop_before_reading())
    [charge] = gateway.charges
    change = journal.change

    async def meanwhile(key, step):
        journal.change = change
        await luma.doubts.resolve("dog", generation_id=charge.generation_id)
        return await journal.change(key, step)

    journal.change = meanwhile
    result = await luma.doubts.reconcile()
    assert result.adopted == ()
    assert "meanwhile" in next(one.reason for one in result.unresolved if one.entry.key == "cat")


@pytest.mark.looptime
async def test_reconcile_cancelled_anywhere(gateway):
    """A cancelled call resolves each doubt or not, and the next call finds the rest."""
    turns, finished = 0, False
    async with session(gateway) as other:
        await other.submit("something else")
    while not finished:
        turns += 1
        journal = MemoryJournal()
        async with session(gateway, journal) as luma:
            request = VideoRequest(f"cat {turns}")
            await doubted(luma, gateway, request=request)
            looking = asyncio.ensure_future(luma.doubts.reconcile())
            for _ in range(turns):
                await asyncio.sleep(0)
            finished = looking.done()
            looking.cancel()
            await asyncio.wait([looking])
            await luma.doubts.reconcile()
        [entry] = await journal.entries()
        assert (entry.phase, entry.generation_id) == (Phase.ACCEPTED, gateway.charges[-1].generation_id)
    assert turns > 5


async def test_match_after_crash(gateway, tmp_path):
    """The next session finds what a closed session left without a response in a journal file."""
    async with session(gateway, tmp_path / "jobs.db", timeouts=Timeouts(close=0.1)) as luma:
        gateway.inject(hang(charged=True))
        sending = asyncio.ensure_future(luma.submit(VIDEO, key="cat"))
        while not gateway.charges:
            await asyncio.sleep(0.01)
    with pytest.raises(SubmitInDoubt):
        await sending
    async with session(gateway, tmp_path / "jobs.db") as luma:
        [handle] = (await luma.doubts.reconcile()).adopted
        assert [one.id for one in await luma.resume()] == [handle.id]
    journal = SqliteJournal(tmp_path / "jobs.db")
    assert (await journal.get("cat")).generation_id == gateway.charges[0].generation_id
    assert await balance(gateway, journal) == (1, 1, 0)
    await journal.aclose()
