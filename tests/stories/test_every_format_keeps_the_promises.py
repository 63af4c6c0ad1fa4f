"""One library, whatever format the service speaks: the same handles, the same journal, the same promises."""

from __future__ import annotations

import asyncio
import itertools

import attrs
import pytest
from ledger import balance

from luma_async import (
    Agents,
    DreamMachine,
    ExtendRequest,
    GenerationFailed,
    ImageKeyframe,
    InvalidInput,
    Keyframes,
    LumaSession,
    OutOfCredit,
    Phase,
    PollPolicy,
    PromptRejected,
    Refused,
    RixAPI,
    SqliteJournal,
    State,
    SubmitInDoubt,
    Unauthorized,
    VideoRequest,
    WaitTimeout,
)
from luma_async.testing import (
    DreamMachineBehaviour,
    FakeGateway,
    Fault,
    answer,
    drop_after_reading,
    fails,
    file_bytes,
    garbage,
    out_of_credit,
    rate_limited,
    rejects,
    server_error,
    stalls,
    succeeds,
)


@attrs.frozen
class Format:
    """A way to speak, and a service that understands it."""

    dialect: object
    prefix: str = ""
    relay: bool = False
    shared_looks: bool = True
    """Whether one request can look at many."""
    repeats_prompt: bool = True
    """Whether answers have the prompt."""
    no_credit: Fault = attrs.field(factory=out_of_credit)
    """The answer to a submit that the account cannot pay."""


FORMATS = {
    "RixAPI 2025": Format(RixAPI()),
    "RixAPI 2024": Format(RixAPI(edition="2024")),
    "Dream Machine on a relay": Format(DreamMachine(), prefix="/vip", relay=True, shared_looks=False),
    "Dream Machine at a root": Format(DreamMachine()),
    "Agents": Format(
        Agents(),
        prefix="/vip",
        shared_looks=False,
        repeats_prompt=False,
        no_credit=answer(402, {"detail": "Insufficient credits"}),
    ),
}
TIGER = Keyframes(frame0=ImageKeyframe("https://pictures.example/tiger.jpg"))


@pytest.fixture(params=FORMATS.values(), ids=FORMATS.keys())
def spoken(request):
    return request.param


@pytest.fixture
async def gateway(spoken):
    behaviour = DreamMachineBehaviour(relay=spoken.relay)
    async with FakeGateway(script=succeeds(after=20), prefix=spoken.prefix, dream_machine=behaviour) as running:
        yield running


@pytest.fixture
def session(spoken, gateway, journal):
    def make(**settings):
        settings = {"journal": journal, "poll": PollPolicy.fixed(1), **settings}
        api_key = settings.pop("api_key", gateway.api_key)
        return LumaSession(api_key, base_url=gateway.base_url, dialect=spoken.dialect, **settings)

    return make


@pytest.mark.looptime
async def test_prompt_to_file(spoken, session, gateway, journal, tmp_path):
    """A generation is submitted, awaited and downloaded: one charge, the right file, a completed entry."""
    async with session() as luma:
        handle = await luma.submit("cat dance", aspect_ratio="9:16", keyframes=TIGER, loop=True, key="cat")
        prompt = "cat dance" if spoken.repeats_prompt else None
        assert (handle.last.state, handle.last.prompt) == (State.PENDING, prompt)
        generation = await handle.wait(timeout=60)
        path = await handle.download(tmp_path)
        assert path.read_bytes() == file_bytes()
        assert await handle.video_url() == (generation.video.download_url)
        again = await luma.submit("cat dance", aspect_ratio="9:16", keyframes=TIGER, loop=True, key="cat")
    assert (generation.id, generation.state, generation.prompt) == (again.id, State.COMPLETED, prompt)
    assert path.name == f"{handle.id}.mp4"
    entry = await journal.get("cat")
    assert (entry.phase, entry.path) == (Phase.COMPLETED, str(path))
    assert gateway.unknown_fields == set()
    assert gateway.leaks == ()
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_states_in_order(session):
    """`updates()` yields pending, processing and completed."""
    async with session() as luma:
        handle = await luma.submit("cat dance")
        states = [generation.state async for generation in handle.updates()]
    # A relay tells the moment of a submit more precisely than any look, which is a change as well.
    assert [state for state, _ in itertools.groupby(states)] == [State.PENDING, State.PROCESSING, State.COMPLETED]


@pytest.mark.looptime
async def test_extend(session, gateway):
    """An extension is a purchase and a generation of its own."""
    async with session() as luma:
        first = await luma.submit("cat dance")
        await first
        more = await first.extend("it sits")
        assert (await more).id != first.id
        with pytest.raises(Refused):
            await luma.submit(ExtendRequest("749d328e-4fd0-43a8-8c89-32394d60da69", "of nothing"))
    assert [charge.kind for charge in gateway.charges] == ["video", "extend"]
    assert gateway.generations[more.id].source == first.id


@pytest.mark.looptime
async def test_failed_generation(session, gateway, journal):
    """A failed generation raises with its reason, and is paid and failed in the journal."""
    gateway.scripts["bad cat"] = fails("Advanced prompt moderation failed", after=5)
    async with session() as luma:
        handle = await luma.submit("bad cat", key="bad")
        with pytest.raises(GenerationFailed, match="Advanced prompt moderation failed"):
            await handle
        assert (await handle.refresh()).state is State.FAILED
    assert (await journal.get("bad")).phase is Phase.FAILED
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_wait_again_after_timeout(session, gateway):
    """After a timeout the generation keeps running, and another wait returns it."""
    async with session() as luma:
        handle = await luma.submit("cat dance")
        with pytest.raises(WaitTimeout):
            await handle.wait(timeout=3)
        assert (await handle).state is State.COMPLETED
    assert len(gateway.charges) == 1


@pytest.mark.looptime
async def test_lost_response_is_in_doubt(session, gateway, journal):
    """A lost response is in doubt: one POST is sent, the key does not send again, and the user resolves it."""
    gateway.inject(drop_after_reading())
    async with session() as luma:
        for _ in range(2):
            with pytest.raises(SubmitInDoubt):
                await luma.submit("cat dance", key="cat")
        [doubt] = await luma.doubts.list()
        assert (doubt.key, gateway.counts["submit"]) == ("cat", 1)
        handle = await luma.doubts.resolve("cat", generation_id=gateway.charges[0].generation_id)
        assert (await handle).state is State.COMPLETED
    assert await balance(gateway, journal) == (1, 1, 0)


NOT_PAID = {
    "a wrong key": (None, {"api_key": "wrong"}, Unauthorized),
    "no money": (None, {}, OutOfCredit),
    "a bad prompt": (rejects("prompt_blocked", message="sensitive words detected"), {}, PromptRejected),
}


@pytest.mark.looptime
@pytest.mark.parametrize(("trouble", "settings", "error"), NOT_PAID.values(), ids=NOT_PAID.keys())
async def test_refused_submit(spoken, session, gateway, journal, trouble, settings, error):
    """A refused submit raises its error, is not charged, and its key may be sent again."""
    if error is PromptRejected:
        gateway.scripts["cat dance"] = trouble
    elif error is OutOfCredit:
        gateway.inject(spoken.no_credit)
    async with session(**settings) as luma:
        with pytest.raises(error):
            await luma.submit("cat dance", key="cat")
    assert (await journal.get("cat")).phase is Phase.REFUSED
    gateway.scripts.clear()
    async with session() as luma:
        await luma.submit("cat dance", key="cat")
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_429_is_retried(session, gateway, journal):
    """A submit that meets a 429 waits and is sent again."""
    gateway.inject(rate_limited(2), times=2)
    async with session() as luma:
        await luma.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 3
    assert await balance(gateway, journal) == (1, 1, 0)


@pytest.mark.looptime
async def test_wait_during_errors(session, gateway):
    """A wait continues during server errors, broken connections and unreadable responses."""
    async with session() as luma:
        handle = await luma.submit("cat dance")
        for fault in (server_error(502, html=True), drop_after_reading(), server_error(500), garbage()):
            gateway.inject(fault, on="query")
        assert (await handle).state is State.COMPLETED


@pytest.mark.looptime
async def test_waits_share_requests(session, spoken, gateway):
    """Twenty waits complete, and share their requests if the service can answer for many."""
    async with session() as luma:
        handles = [await luma.submit(f"cat {number}") for number in range(20)]
        begun = sum(gateway.counts.values())
        states = [outcome.generation.state async for outcome in luma.as_completed(handles)]
    assert states == [State.COMPLETED] * 20
    if spoken.shared_looks:
        assert sum(gateway.counts.values()) - begun < 60


@pytest.mark.looptime
async def test_unsupported_field(session, spoken, gateway, journal):
    """A field that the dialect does not support is refused before anything is sent or recorded."""
    field = {
        "RixAPI": {"concepts": ("static",)},
        "DreamMachine": {"expand_prompt": True},
        "Agents": {"concepts": ("static",)},
    }
    [name] = field[type(spoken.dialect).__name__]
    async with session() as luma:
        with pytest.raises(InvalidInput) as caught:
            await luma.submit(VideoRequest("cat dance", **field[type(spoken.dialect).__name__]))
    assert caught.value.field == name
    assert (gateway.requests, await journal.entries()) == ((), [])


@pytest.mark.looptime
async def test_batch(session, gateway, journal, tmp_path):
    """Of twelve prompts, four at once and one failing, each is charged once, and the others are on disk."""
    prompts = [f"cat {number}" for number in range(11)] + ["bad cat"]
    gateway.scripts["bad cat"] = fails(after=3)
    gateway.free_slots = 4
    async with session() as luma:
        batch = luma.batch(prompts, name="cats", max_in_flight=4, download_to=tmp_path)
        outcomes = await batch.results()
    assert [outcome.error is None for outcome in outcomes] == [True] * 11 + [False]
    assert len({outcome.path for outcome in outcomes[:11]}) == 11
    assert all(outcome.path.read_bytes() == file_bytes() for outcome in outcomes[:11])
    assert await balance(gateway, journal) == (12, 12, 0)


@pytest.mark.looptime
async def test_batch_resumes_by_name(session, gateway, journal):
    """A batch that was closed midway and opened again pays only for what is missing."""
    prompts = [f"cat {number}" for number in range(6)]
    async with session() as luma:
        async for _ in luma.batch(prompts, name="cats", max_in_flight=2):
            break
    half = len(gateway.charges)
    assert 0 < half < 6
    async with session() as luma:
        outcomes = await luma.batch(prompts, name="cats", max_in_flight=2).results()
    assert all(outcome.error is None for outcome in outcomes)
    assert await balance(gateway, journal) == (6, 6, 0)


@pytest.mark.looptime
async def test_resume_after_close(session, gateway, journal):
    """What runs when a session closes is resumed by the next session, and nothing is paid again."""
    gateway.scripts["endless cat"] = stalls()
    async with session() as luma:
        handles = [await luma.submit(prompt) for prompt in ("cat dance", "endless cat")]
        waiting = asyncio.ensure_future(handles[0].wait(timeout=3))
        with pytest.raises(WaitTimeout):
            await waiting
    async with session() as luma:
        found = await luma.resume()
        assert [handle.id for handle in found] == [handle.id for handle in handles]
        assert (await found[0]).state is State.COMPLETED
    assert await balance(gateway, journal) == (2, 2, 0)


async def test_resume_from_file(session, gateway, tmp_path):
    """With a journal file another session resumes by dialect and address, and finds its files."""
    gateway.scripts["cat dance"] = succeeds(after=0.2)
    path = tmp_path / "jobs.db"
    async with session(journal=path, poll=PollPolicy.fixed(0.05)) as luma:
        submitted = await luma.submit("cat dance", key="cat")
    async with session(journal=path, poll=PollPolicy.fixed(0.05)) as luma:
        [handle] = await luma.resume()
        assert (handle.id, handle.key) == (submitted.id, "cat")
        await handle.download(tmp_path / "cat.mp4")
    other = SqliteJournal(path)
    entry = await other.get("cat")
    assert (entry.phase, entry.path) == (Phase.COMPLETED, str(tmp_path / "cat.mp4"))
    assert await balance(gateway, other) == (1, 1, 0)
    await other.aclose()


@pytest.mark.looptime
async def test_key_per_dialect(spoken, session, gateway, journal):
    """A key belongs to the dialect it was used with."""
    others = [each.dialect for each in FORMATS.values() if each.dialect.name != spoken.dialect.name]
    async with session() as luma:
        await luma.submit("cat dance", key="cat")
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, dialect=others[0], journal=journal) as luma:
        assert await luma.resume() == []
    async with session() as luma:
        assert [handle.key for handle in await luma.resume()] == ["cat"]
