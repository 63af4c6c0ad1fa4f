"""Doubts, decisions and resumption with a journal file, in one session and in several.

The journal writes in a thread, so these tests run in real time.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

import pytest
from holding import held
from ledger import phase_of

from luma_async import (
    Entry,
    GenerationNotFound,
    ImageKeyframe,
    InvalidInput,
    KeyConflict,
    Keyframes,
    LumaSession,
    MemoryJournal,
    NotSent,
    Phase,
    PollPolicy,
    Refused,
    RetryPolicy,
    SessionClosed,
    SqliteJournal,
    State,
    SubmitInDoubt,
    Timeouts,
    UnsupportedOperation,
    VideoRequest,
)
from luma_async._journal import lifecycle
from luma_async._journal.fingerprint import canonical_form, digest
from luma_async.testing import (
    FakeGateway,
    drop_after_reading,
    drop_before_reading,
    fails,
    forgets,
    server_error,
    succeeds,
)

NOW = datetime(2025, 1, 1, tzinfo=UTC)
IMAGE = Keyframes(frame0=ImageKeyframe.from_bytes(b"\xff\xd8\xff image"))


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=0.1)}


@pytest.fixture
async def journal(tmp_path):
    made = SqliteJournal(tmp_path / "jobs.db")
    yield made
    await made.aclose()


def session(gateway, journal, **settings):
    """Make another session with the journal."""
    settings = {"poll": PollPolicy.fixed(0.05, not_found_grace=0.1), **settings}
    return LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal, **settings)


@pytest.fixture
async def luma(gateway, journal):
    async with session(gateway, journal) as opened:
        yield opened


async def doubted(luma, gateway, key="cat", request=None, fault=None):
    """Submit, and lose the response."""
    gateway.inject(fault or drop_after_reading())
    with pytest.raises(SubmitInDoubt):
        await luma.submit(request or VideoRequest(f"{key} dance"), key=key)


async def claimed_by_dead_process(gateway, journal, key, service=None):
    """Write the claim of a process that has died."""
    form = canonical_form(VideoRequest(f"{key} dance"))
    entry = Entry(
        key=key,
        phase=Phase.SENDING,
        service=service or f"rixapi {gateway.base_url}",
        digest=digest(form),
        request=form,
        owner="0" * 16,
    )
    return await journal.change(key, lifecycle.claim(entry, at=NOW))


async def test_list(luma, gateway, journal, tmp_path):
    """`list` has lost responses and claims of dead processes, oldest first, and no other entries."""
    await claimed_by_dead_process(gateway, journal, "dead")
    await doubted(luma, gateway, "lost")
    await luma.submit("accepted", key="accepted")
    gateway.inject(server_error(403))
    with pytest.raises(Refused):
        await luma.submit("refused", key="refused")
    await claimed_by_dead_process(gateway, journal, "elsewhere", service="rixapi https://elsewhere.example")
    go_on, accepted = asyncio.Event(), asyncio.Event()
    gateway.inject(held(go_on, accepted))
    async with session(gateway, tmp_path / "jobs.db") as other:
        sending = asyncio.ensure_future(other.submit("being sent", key="being sent"))
        await accepted.wait()
        doubts = await luma.doubts.list()
        go_on.set()
        await sending
    assert [doubt.key for doubt in doubts] == ["dead", "lost"]
    assert [doubt.phase for doubt in doubts] == [Phase.SENDING, Phase.IN_DOUBT]
    assert doubts[0].request["prompt"] == "dead dance"
    assert all(doubt.sent_at for doubt in doubts)


@pytest.mark.parametrize("abandoned_before", [False, True])
async def test_resolve(luma, gateway, journal, abandoned_before):
    """After `resolve`, the same submit returns the generation without another POST."""
    await doubted(luma, gateway)
    (generation_id,) = gateway.generations
    if abandoned_before:
        await luma.doubts.abandon("cat")
    handle = await luma.doubts.resolve("cat", generation_id=generation_id)
    assert (handle.id, handle.key) == (generation_id, "cat")
    assert await luma.doubts.list() == []
    again = await luma.submit("cat dance", key="cat")
    assert again.id == generation_id
    assert (await again).state is State.COMPLETED
    assert len(gateway.charges) == gateway.counts["submit"] == 1


async def test_resolve_with_wrong_id(luma, gateway, journal):
    """A malformed or unknown id, or the id of another key, changes nothing."""
    other = await luma.submit("a dog", key="dog")
    await doubted(luma, gateway)
    with pytest.raises(InvalidInput):
        await luma.doubts.resolve("cat", generation_id="../admin")
    with pytest.raises(GenerationNotFound):
        await luma.doubts.resolve("cat", generation_id="unknown")
    with pytest.raises(KeyConflict, match="dog"):
        await luma.doubts.resolve("cat", generation_id=other.id)
    assert [doubt.key for doubt in await luma.doubts.list()] == ["cat"]


async def test_resubmit(luma, gateway, journal):
    """`resubmit` sends nothing without the flag; with it the request is sent once more and counted."""
    await doubted(luma, gateway)
    with pytest.raises(InvalidInput, match="accept_duplicate_risk"):
        await luma.doubts.resubmit("cat")
    with pytest.raises(InvalidInput, match="accept_duplicate_risk"):
        await luma.doubts.resubmit("cat", accept_duplicate_risk="yes")
    assert len(gateway.charges) == 1
    handle = await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert [charge.prompt for charge in gateway.charges] == ["cat dance"] * 2
    assert handle.id == gateway.charges[1].generation_id
    entry = await journal.get("cat")
    assert (entry.phase, entry.attempts) == (Phase.ACCEPTED, 2)
    with pytest.raises(KeyConflict):
        await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert gateway.counts["submit"] == 2


@pytest.mark.parametrize(
    "fault", [drop_after_reading(), drop_before_reading(), server_error(403)], ids=["lost", "lost unread", "refused"]
)
async def test_resubmit_fails(luma, gateway, journal, fault):
    """Whatever happens to the second send, the key stays in doubt, and nothing more is sent."""
    await doubted(luma, gateway)
    gateway.inject(fault)
    with pytest.raises((SubmitInDoubt, Refused)):
        await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    assert [doubt.key for doubt in await luma.doubts.list()] == ["cat"]
    with pytest.raises(SubmitInDoubt):
        await luma.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 2


async def test_resubmit_with_inline_image(luma, gateway, journal):
    """Journals do not store inline images, so `resubmit` needs the same request."""
    request = VideoRequest("cat dance", keyframes=IMAGE)
    await doubted(luma, gateway, request=request)
    with pytest.raises(InvalidInput, match="pass the request again"):
        await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
    with pytest.raises(KeyConflict, match="different request"):
        await luma.doubts.resubmit("cat", accept_duplicate_risk=True, request=VideoRequest("dog dance"))
    assert gateway.counts["submit"] == 1
    await luma.doubts.resubmit("cat", accept_duplicate_risk=True, request=request)
    assert gateway.charges[1].body["keyframes"]["frame0"]["url"] == IMAGE.frame0.url


async def test_abandon(luma, gateway, journal):
    """An abandoned key is never submitted again, in later sessions too."""
    await claimed_by_dead_process(gateway, journal, "cat")
    entry = await luma.doubts.abandon("cat")
    assert (entry.phase, entry.reason) == (Phase.ABANDONED, "abandoned by the user")
    for again in (luma.submit("cat dance", key="cat"), luma.doubts.resubmit("cat", accept_duplicate_risk=True)):
        with pytest.raises(KeyConflict):
            await again
    async with session(gateway, journal) as later:
        with pytest.raises(KeyConflict, match="abandoned"):
            await later.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 0


async def test_decision_without_doubt(luma, gateway, journal, tmp_path):
    """A key that is unknown, accepted, being sent or of another service is refused with the reason."""
    await luma.submit("accepted", key="accepted")
    await claimed_by_dead_process(gateway, journal, "elsewhere", service="rixapi https://elsewhere.example")
    go_on, accepted = asyncio.Event(), asyncio.Event()
    gateway.inject(held(go_on, accepted))
    async with session(gateway, tmp_path / "jobs.db") as other:
        sending = asyncio.ensure_future(other.submit("being sent", key="being sent"))
        await accepted.wait()
        for key, error, reason in (
            ("unknown", InvalidInput, "no entry"),
            ("accepted", KeyConflict, "it is accepted"),
            ("elsewhere", KeyConflict, "elsewhere"),
            ("being sent", KeyConflict, "being sent"),
        ):
            for decision in (
                luma.doubts.resolve(key, generation_id="some-id"),
                luma.doubts.resubmit(key, accept_duplicate_risk=True),
                luma.doubts.abandon(key),
            ):
                with pytest.raises(error, match=reason):
                    await decision
        go_on.set()
        await sending
    assert gateway.counts["submit"] == 2


async def test_two_decisions_at_once(luma, gateway, journal, tmp_path, monkeypatch):
    """Of two concurrent decisions about a key one is recorded; the other raises KeyConflict."""
    await doubted(luma, gateway)
    (generation_id,) = gateway.generations
    read, all_read, get = [], asyncio.Event(), SqliteJournal.get

    async def get_together(self, key):
        read.append(await get(self, key))
        if len(read) == 4:
            all_read.set()
        await all_read.wait()
        return read[-1]

    monkeypatch.setattr(SqliteJournal, "get", get_together)
    async with session(gateway, tmp_path / "jobs.db") as other:
        decisions = [
            asyncio.ensure_future(luma.doubts.resubmit("cat", accept_duplicate_risk=True)),
            asyncio.ensure_future(other.doubts.resubmit("cat", accept_duplicate_risk=True)),
            asyncio.ensure_future(luma.doubts.abandon("cat")),
            asyncio.ensure_future(other.doubts.resolve("cat", generation_id=generation_id)),
        ]
        await asyncio.wait(decisions)
    errors = [decision.exception() for decision in decisions]
    assert errors.count(None) == 1
    assert all(isinstance(error, KeyConflict) for error in errors if error is not None)
    assert gateway.counts["submit"] <= 2


async def test_resume_after_crash(gateway, journal, tmp_path):
    """Each accepted, unfinished entry of this service is returned as a handle and completes."""
    async with session(gateway, journal) as first:
        await first.run("done", key="done")
        for key in ("cat", "dog"):
            await first.submit(f"{key} dance", key=key)
        await doubted(first, gateway, "lost")
    async with FakeGateway(script=succeeds(after=0.1)) as elsewhere:
        async with session(elsewhere, journal) as other:
            await other.submit("elsewhere", key="elsewhere")
        async with session(gateway, tmp_path / "jobs.db") as later:
            handles = await later.resume()
            assert [handle.key for handle in handles] == ["cat", "dog"]
            outcomes = [outcome async for outcome in later.as_completed(handles)]
            assert {outcome.generation.state for outcome in outcomes} == {State.COMPLETED}
    phases = {entry.key: entry.phase for entry in await journal.entries()}
    assert phases == {
        "done": Phase.COMPLETED,
        "cat": Phase.COMPLETED,
        "dog": Phase.COMPLETED,
        "lost": Phase.IN_DOUBT,
        "elsewhere": Phase.ACCEPTED,
    }


async def test_second_run_reads_journal(gateway, journal, tmp_path):
    """A finished key needs no request in a second run, and its result has every field."""
    gateway.scripts["bad"] = fails("moderated", after=0.1)
    async with session(gateway, journal) as first:
        seen = await first.run("cat dance", key="cat")
        with pytest.raises(Exception, match="moderated"):
            await first.run("bad", key="bad")
    asked = gateway.counts.total()
    async with session(gateway, tmp_path / "jobs.db") as second:
        assert await second.run("cat dance", key="cat") == seen
        with pytest.raises(Exception, match="moderated"):
            await second.run("bad", key="bad")
    assert seen.raw
    assert gateway.counts.total() == asked


async def test_key_of_other_request_or_service(luma, gateway, journal):
    """A key that is in use sends nothing for another request or at another service."""
    await luma.submit("cat dance", key="cat")
    with pytest.raises(KeyConflict, match="different request"):
        await luma.submit("cat dance", key="cat", aspect_ratio="9:16")
    async with FakeGateway() as elsewhere, session(elsewhere, journal) as other:
        with pytest.raises(KeyConflict, match=r"stands for a purchase at .* was accepted and is paid"):
            await other.submit("cat dance", key="cat")
        assert elsewhere.counts["submit"] == 0
    assert gateway.counts["submit"] == 1


async def test_lost_generation(luma, gateway, journal):
    """An id that stays unknown beyond the grace ends the wait, and its key is not submitted again."""
    gateway.scripts["cat dance"] = forgets(0.0, then=succeeds(after=60))
    handle = await luma.submit("cat dance", key="cat")
    with pytest.raises(GenerationNotFound):
        await handle.wait()
    assert (await luma.submit("cat dance", key="cat")).id == handle.id
    await luma.aclose()
    assert await phase_of(journal, "cat") is Phase.LOST
    async with session(gateway, journal) as later:
        assert await later.resume() == []
        assert (await later.submit("cat dance", key="cat")).id == handle.id
    assert gateway.counts["submit"] == 1


async def test_lost_generation_reappears(luma, gateway, journal):
    """A lost generation that the relay finds again completes its entry."""
    await claimed_by_dead_process(gateway, journal, "cat")
    handle = await luma.submit("dog dance", key="dog")
    await journal.change("dog", lifecycle.lose(at=NOW))
    assert (await handle.wait()).state is State.COMPLETED
    await luma.aclose()
    assert await phase_of(journal, "dog") is Phase.COMPLETED


@pytest.mark.looptime
async def test_resubmit_claim_times_out(gateway):
    """If the claim of a resubmit times out, nothing is sent, and the key stays in doubt."""

    class Slow(MemoryJournal):
        slow = False

        async def change(self, key, step):
            if self.slow:
                self.slow = False
                await asyncio.sleep(60)
            return await super().change(key, step)

    journal = Slow()
    retry = RetryPolicy(connect_retry_for=0)
    async with session(gateway, journal, timeouts=Timeouts(submit=0.2), retry=retry) as luma:
        gateway.inject(drop_after_reading())
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        journal.slow = True
        with pytest.raises(NotSent):
            await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
        assert [doubt.key for doubt in await luma.doubts.list()] == ["cat"]
        assert (await luma.submit("dog dance")).id
    assert [charge.prompt for charge in gateway.charges] == ["cat dance", "dog dance"]


async def test_doubts_after_close(gateway, tmp_path):
    """`doubts` of a closed session raises and does not reopen the journal."""
    path = tmp_path / "own.db"
    async with session(gateway, path) as luma:
        doubts = luma.doubts
    path.unlink()
    for call in (doubts.list, doubts.reconcile, partial(doubts.abandon, "cat")):
        with pytest.raises((SessionClosed, UnsupportedOperation)):
            await call()
    assert not path.exists()
