"""Where a service lists what it has made, a lost answer is found again, but only where nothing else can be true."""

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
    """Let the client's time of day follow virtual time, as the gateway's does."""
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
    """Lose an answer."""
    gateway.inject(fault or drop_after_reading(), on=on)
    with pytest.raises(SubmitInDoubt):
        await luma.submit(request, key=key)


async def left(luma):
    """Reconcile; nothing is adopted. Return the reasons by key."""
    came = await luma.doubts.reconcile()
    assert came.adopted == ()
    return {one.entry.key: one.reason for one in came.unresolved}


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
async def test_a_lost_answer_is_found_again(gateway, journal, fault):
    """However it was lost, the one generation that can be it is adopted, and its key buys nothing more."""
    async with session(gateway, journal, timeouts=Timeouts(submit=5)) as luma:
        await doubted(luma, gateway, fault=fault)
        came = await luma.doubts.reconcile()
        [handle] = came.adopted
        assert (handle.key, handle.id, came.unresolved) == ("cat", gateway.charges[0].generation_id, ())
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
async def test_what_was_never_made_stays_in_doubt(gateway, journal, fault):
    """A list without it proves nothing, since it may come later: the doubt stays."""
    async with session(gateway, journal, timeouts=Timeouts(submit=5)) as luma:
        await doubted(luma, gateway, fault=fault)
        assert await left(luma) == {"cat": "the service lists no generation that matches."}
    assert await balance(gateway, journal) == (0, 0, 1)


@pytest.mark.looptime
async def test_two_candidates_leave_it_in_doubt(luma, gateway, journal):
    """Another program bought the same a moment later: which is whose nobody knows, and the reason names both."""
    await doubted(luma, gateway)
    async with session(gateway) as elsewhere:
        other = await elsewhere.submit(VIDEO)
    reason = (await left(luma))["cat"]
    assert other.id in reason
    assert gateway.charges[0].generation_id in reason
    assert (await journal.get("cat")).phase is Phase.IN_DOUBT


@pytest.mark.looptime
async def test_two_doubts_of_one_request_stay_until_a_person_settles_one(luma, gateway, journal):
    """Twins are not told apart; once a person has given one its generation, the other is certain."""
    for key in ("one", "two"):
        await doubted(luma, gateway, key)
    assert set(await left(luma)) == {"one", "two"}
    first, second = (charge.generation_id for charge in gateway.charges)
    await luma.doubts.resolve("one", generation_id=first)
    came = await luma.doubts.reconcile()
    assert [(handle.key, handle.id) for handle in came.adopted] == [("two", second)]
    assert len({entry.generation_id for entry in await journal.entries()}) == 2


@pytest.mark.looptime
async def test_many_doubts_of_different_requests_settle_at_once(luma, gateway):
    """Each finds its own among all that was bought, whatever its kind."""
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
        await luma.submit(f"something beside {key}")
    bought = {charge.generation_id: charge for charge in gateway.charges}
    came = await luma.doubts.reconcile()
    assert {handle.key for handle in came.adopted} == set(requests)
    for handle in came.adopted:
        assert bought[handle.id].prompt == requests[handle.key][0].prompt
        assert bought[handle.id].body.get("aspect_ratio") == getattr(requests[handle.key][0], "aspect_ratio", None)
    assert came.unresolved == ()


@pytest.mark.looptime
async def test_what_was_made_before_it_was_sent_is_not_adopted(luma, gateway):
    """The same request, bought elsewhere ten minutes before, is not what a submit of now has bought."""
    async with session(gateway) as elsewhere:
        await elsewhere.submit(VIDEO)
    await asyncio.sleep(600)
    await doubted(luma, gateway, fault=drop_before_reading())
    assert await left(luma) == {"cat": "the service lists no generation that matches."}


@pytest.mark.looptime
async def test_what_was_made_long_after_it_was_sent_is_not_adopted(luma, gateway):
    """The same request, bought elsewhere an hour later, is named and not adopted."""
    await doubted(luma, gateway, fault=drop_before_reading())
    await asyncio.sleep(3600)
    async with session(gateway) as elsewhere:
        later = await elsewhere.submit(VIDEO)
    assert f"{later.id} matches, but" in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_what_another_key_has_bought_is_never_adopted(luma, gateway):
    """A generation that an entry holds is out of the question, so the one that is left is certain."""
    await luma.submit(VIDEO, key="known")
    await doubted(luma, gateway)
    await luma.submit(VIDEO, key="known too")
    [handle] = (await luma.doubts.reconcile()).adopted
    assert handle.id == gateway.charges[1].generation_id


@pytest.mark.looptime
async def test_what_is_being_sent_elsewhere_is_a_rival(gateway, journal):
    """While another session waits for the answer to the same request, its generation is not taken for the doubt's."""
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
async def test_who_begins_to_send_before_the_list_is_read_is_a_rival(gateway, journal):
    """A submit that was claimed after the doubts were looked up, and is in the list, keeps its generation."""
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
async def test_what_a_person_has_closed_is_a_rival(luma, gateway, journal):
    """An abandoned doubt of the same request may have made it, so it is not adopted; the abandoned one stays closed."""
    await doubted(luma, gateway, "closed")
    await luma.doubts.abandon("closed")
    await doubted(luma, gateway, "open", fault=drop_before_reading())
    assert "another submit" in (await left(luma))["open"]
    assert (await journal.get("closed")).phase is Phase.ABANDONED


@pytest.mark.looptime
async def test_a_picture_that_no_journal_keeps_cannot_be_compared(luma, gateway):
    """An inline picture is kept as a digest only: a generation of the same prompt is named, and left to a person."""
    inline = Keyframes(ImageKeyframe.from_bytes(b"\x89PNG\r\n\x1a\n"))
    await doubted(luma, gateway, request=VideoRequest("cat dance", keyframes=inline))
    assert gateway.charges[0].generation_id in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_what_this_version_would_not_send_cannot_be_compared(luma, gateway, journal):
    """A doubt with a field that the format no longer carries is compared by its prompt alone, which proves nothing."""
    form = canonical_form(VideoRequest("cat dance", expand_prompt=True))
    entry = Entry(
        key="old",
        phase=Phase.SENDING,
        service=f"dream-machine {gateway.base_url}",
        digest=digest(form),
        request=form,
        owner="somebody who died",
    )
    await journal.change("old", lifecycle.claim(entry, at=gateway._clock.wall()))
    async with session(gateway) as elsewhere:
        await elsewhere.submit("dog dance")
        assert await left(luma) == {"old": "the service lists no generation that matches."}
        other = await elsewhere.submit(VIDEO)
    assert other.id in (await left(luma))["old"]


@pytest.mark.looptime
async def test_more_pixels_of_nobody_knows_what_stay_in_doubt(luma, gateway):
    """The service does not repeat which video was enlarged, so that is left to a person."""
    source = await luma.run("a source")
    await doubted(luma, gateway, request=UpscaleRequest(source.id, resolution="4k"), on="upscale")
    assert gateway.charges[1].generation_id in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_a_request_that_is_not_repeated_whole_is_left(luma, gateway):
    """Where the service does not say what a generation was made from, nothing is certain."""
    await doubted(luma, gateway)

    def silent(body):
        return {**body, "generations": [{**row, "request": None} for row in body["generations"]]}

    gateway.inject(reshapes(silent), on="list")
    assert gateway.charges[0].generation_id in (await left(luma))["cat"]


@pytest.mark.looptime
async def test_it_is_found_pages_behind(luma, gateway):
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
async def test_without_doubts_nothing_is_asked(luma, gateway):
    """There is nothing to look for, so nobody is asked."""
    came = await luma.doubts.reconcile()
    assert (came.adopted, came.unresolved, gateway.requests) == ((), (), ())


@pytest.mark.looptime
async def test_a_list_that_cannot_be_read_changes_nothing(gateway, journal):
    """When the service is down the error comes out, and the doubt is where it was; later it is found."""
    async with session(gateway, journal, retry=RetryPolicy(attempts=1)) as luma:
        await doubted(luma, gateway)
        gateway.inject(server_error(500), on="list", times=ALWAYS)
        with pytest.raises(ServiceUnavailable):
            await luma.doubts.reconcile()
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]
        gateway.clear_faults()
        assert len((await luma.doubts.reconcile()).adopted) == 1


async def test_what_another_spelling_of_the_address_holds_is_never_adopted(gateway, journal):
    """One account under two names: what one has bought is not what the other one's submit has lost."""
    other = gateway.base_url.replace("127.0.0.1", "localhost")
    async with (
        session(gateway, journal) as luma,
        LumaSession(gateway.api_key, base_url=other, dialect=DreamMachine(), journal=journal, limits=UNBOUND) as second,
    ):
        await doubted(luma, gateway, fault=drop_before_reading())
        bought = await second.submit(VIDEO, key="another")
        assert await left(luma) == {"cat": "the service lists no generation that matches."}
        await doubted(second, gateway, key="lost")
        assert (await left(luma)).keys() == {"cat"}
        assert "another submit could have made" in (await left(luma))["cat"]
        assert len(gateway.charges) == 2
        assert bought.id == gateway.charges[0].generation_id


@pytest.mark.looptime
async def test_several_programs_may_reconcile_at_once(gateway, journal):
    """However many look at the same time, one of them adopts, and the others leave it at that."""
    async with session(gateway, journal) as one, session(gateway, journal) as two:
        await doubted(one, gateway)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(luma.doubts.reconcile()) for luma in (one, two, one, two)]
        came = [call.result() for call in calls]
        assert sum(len(each.adopted) for each in came) == 1
        assert [each.unresolved for each in came] == [()] * 4
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_what_is_settled_while_the_list_is_read_is_left_alone(luma, gateway, journal):
    """A person who decides first is right, and so is an id that somebody else takes in the meantime."""
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
    came = await luma.doubts.reconcile()
    assert (came.adopted, came.unresolved) == ((), ())
    assert [(await journal.get(key)).generation_id for key in ("person", "thief")] == [cat, dog]


@pytest.mark.looptime
async def test_an_id_that_is_taken_meanwhile_leaves_the_doubt(luma, gateway, journal):
    """A doubt whose generation goes to another key at the last moment stays one, and says so."""
    await doubted(luma, gateway, "cat")
    await doubted(luma, gateway, "dog", VideoRequest("dog dance"), fault=drop_before_reading())
    [charge] = gateway.charges
    change = journal.change

    async def meanwhile(key, step):
        journal.change = change
        await luma.doubts.resolve("dog", generation_id=charge.generation_id)
        return await journal.change(key, step)

    journal.change = meanwhile
    came = await luma.doubts.reconcile()
    assert came.adopted == ()
    assert "meanwhile" in next(one.reason for one in came.unresolved if one.entry.key == "cat")


@pytest.mark.looptime
async def test_cancelled_at_any_moment_it_can_be_done_again(gateway):
    """A cancelled look settles a doubt or not, never by halves, and the next one finds what is left."""
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


async def test_a_program_that_died_while_sending_finds_it_again(gateway, tmp_path):
    """What a closed session left unanswered in a journal file is found by the next one."""
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
