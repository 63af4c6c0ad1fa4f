"""The session as a program uses it: open, submit, wait, look, close."""

from __future__ import annotations

import asyncio
import pickle
from datetime import UTC

import pytest

from luma_async import (
    ConfigurationError,
    GenerationFailed,
    GenerationNotFound,
    InvalidInput,
    InvalidRequest,
    JournalBusy,
    KeyConflict,
    LinkGone,
    LumaSession,
    MemoryJournal,
    Phase,
    PollPolicy,
    Refused,
    RixAPI,
    SessionClosed,
    State,
    Unauthorized,
    UnsupportedOperation,
    UpscaleRequest,
    VideoRequest,
    WaitTimeout,
)
from luma_async.testing import (
    ALWAYS,
    completes_without_link,
    fails,
    new_state,
    rejects,
    server_error,
    stalls,
    succeeds,
)

pytestmark = pytest.mark.looptime


@pytest.fixture
def session_options():
    """Poll once a second, in virtual time."""
    return {"poll": PollPolicy.fixed(1)}


async def test_submit_wait_download(luma, gateway, tmp_path):
    """A generation is pending at first, completed in the end, and its file is complete on disk."""
    handle = await luma.submit("cat dance")
    assert handle.last.state is State.PENDING
    assert handle.last.created_at.tzinfo is UTC
    generation = await handle.wait(timeout=900)
    assert generation.state is State.COMPLETED
    path = await handle.download(tmp_path / "cat.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"
    assert [found.name for found in tmp_path.iterdir()] == ["cat.mp4"]
    assert gateway.leaks == ()


async def test_await_handle(luma):
    """`await handle` is `await handle.wait()`."""
    assert (await (await luma.submit("cat dance"))).state is State.COMPLETED


async def test_run(luma):
    """`run()` submits and waits."""
    assert (await luma.run("cat dance", aspect_ratio="9:16")).state is State.COMPLETED


async def test_request_and_fields(luma, gateway):
    """A request together with fields is a TypeError, and nothing is sent."""
    with pytest.raises(TypeError):
        await luma.submit(VideoRequest("cat dance"), aspect_ratio="1:1")
    assert gateway.counts.total() == 0


async def test_extend_and_add_audio(luma, gateway):
    """`extend` and `add_audio` accept an id, a handle or a generation; each is a purchase."""
    handle = await luma.submit("cat dance")
    generation = await handle
    more = [
        await luma.extend(handle.id, "it sits down"),
        await luma.extend(handle, "it stands up"),
        await luma.add_audio(generation, "purring"),
        await handle.extend("it sleeps"),
        await handle.add_audio("snoring"),
    ]
    assert [charge.kind for charge in gateway.charges] == ["video", "extend", "extend", "audio", "extend", "audio"]
    assert len({one.id for one in more} | {handle.id}) == 6


async def test_failed_generation(luma, gateway):
    """`wait` raises with the reason; `get`, `refresh` and `updates` return the failed generation."""
    gateway.scripts["cat dance"] = fails("Frame moderation failed", after=3)
    handle = await luma.submit("cat dance")
    with pytest.raises(GenerationFailed, match="Frame moderation failed") as caught:
        await handle
    assert caught.value.generation.state is State.FAILED
    assert (await handle.refresh()).state is State.FAILED
    assert (await luma.get(handle.id)).failure_reason == "Frame moderation failed"
    assert [one.state async for one in handle.updates()] == [State.FAILED]


async def test_wait_ends_on_401(luma, gateway):
    """A 401 ends a wait at once."""
    handle = await luma.submit("cat dance")
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    with pytest.raises(Unauthorized):
        await handle
    assert gateway.counts["query"] == 1


async def test_wait_in_unknown_state(luma, gateway):
    """An unknown state is UNKNOWN, keeps its raw word, and is not final."""
    gateway.scripts["cat dance"] = new_state("rendering_4d", then=succeeds(after=20))
    handle = await luma.submit("cat dance")
    seen = [(one.state, one.raw_state) async for one in handle.updates()]
    assert (State.UNKNOWN, "rendering_4d") in seen
    assert seen[-1][0] is State.COMPLETED


async def test_wait_timeout(luma, gateway):
    """`WaitTimeout` is a TimeoutError and says that the video keeps running; its handle still completes."""
    handle = await luma.submit("cat dance")
    with pytest.raises(TimeoutError) as caught:
        await handle.wait(timeout=5)
    assert isinstance(caught.value, WaitTimeout)
    assert caught.value.handle is handle
    assert "paid" in str(caught.value)
    assert (await caught.value.handle.wait()).state is State.COMPLETED


async def test_wait_timeout_of_zero(luma, gateway):
    """A timeout of zero seconds ends at once."""
    gateway.scripts["cat dance"] = stalls()
    handle = await luma.submit("cat dance")
    with pytest.raises(WaitTimeout):
        await handle.wait(timeout=0)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "10", True])
async def test_invalid_timeout(luma, timeout):
    """A negative timeout, or one that is not a number, is refused before any I/O."""
    with pytest.raises(InvalidInput, match="timeout"):
        await luma.handle("some-id").wait(timeout=timeout)


async def test_cancel_one_of_two_waits(luma):
    """Of two waits for one generation, one is cancelled and the other completes."""
    handle = await luma.submit("cat dance")
    first, second = asyncio.ensure_future(handle.wait()), asyncio.ensure_future(luma.handle(handle.id).wait())
    await asyncio.sleep(2)
    first.cancel()
    assert (await second).state is State.COMPLETED
    assert first.cancelled()


async def test_get_many(luma):
    """`get_many` returns generations in the order of the ids; unknown ids are absent."""
    handles = [await luma.submit(f"cat {number}") for number in range(3)]
    found = await luma.get_many([handles[2].id, "unknown", handles[0].id])
    assert list(found) == [handles[2].id, handles[0].id]


async def test_get_unknown_id(luma):
    """`get` of an unknown id raises GenerationNotFound."""
    with pytest.raises(GenerationNotFound):
        await luma.get("unknown")


@pytest.mark.parametrize("generation_id", ["", "../../admin", "a/b", "a?b", "ü", "x" * 129, None])
async def test_malformed_id(luma, gateway, generation_id):
    """An id that is unsafe in a URL is refused before any I/O."""
    with pytest.raises(InvalidInput):
        luma.handle(generation_id)
    with pytest.raises(InvalidInput):
        await luma.get(generation_id)
    assert gateway.counts.total() == 0


async def test_same_key_is_one_purchase(luma, gateway):
    """The same key returns the same generation; a different request with it is a conflict."""
    first = await luma.submit("cat dance", key="cat")
    again = await luma.submit("cat dance", key="cat")
    assert first.id == again.id
    with pytest.raises(KeyConflict, match="different request"):
        await luma.submit("dog dance", key="cat")
    assert len(gateway.charges) == 1


async def test_entries_of_the_journal(luma, journal):
    """A program lists the entries of its service with the journal and the name that the session has."""
    await luma.submit("cat", key="cat")
    assert luma.journal is journal
    assert [entry.key for entry in await luma.journal.entries(service=luma.service)] == ["cat"]
    await luma.aclose()
    with pytest.raises(SessionClosed):
        _ = luma.journal


async def test_submit_without_key(luma, gateway):
    """Two submits of one prompt without a key are two purchases."""
    await luma.submit("cat dance")
    await luma.submit("cat dance")
    assert len(gateway.charges) == 2


async def test_finished_key_needs_no_request(luma, gateway, journal):
    """Submitting a finished key again returns the generation without any request; a failed one raises again."""
    gateway.scripts["bad cat"] = fails("Job failed", after=1)
    await luma.run("cat dance", key="cat")
    with pytest.raises(GenerationFailed):
        await luma.run("bad cat", key="bad")
    await asyncio.sleep(0.1)
    asked = gateway.counts.total()
    assert (await luma.run("cat dance", key="cat")).state is State.COMPLETED
    with pytest.raises(GenerationFailed):
        await luma.run("bad cat", key="bad")
    assert gateway.counts.total() == asked
    assert {entry.phase for entry in await journal.entries()} == {Phase.COMPLETED, Phase.FAILED}


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", 7])
async def test_invalid_key(luma, gateway, key):
    """A key has 1 to 200 printable characters."""
    with pytest.raises(InvalidInput, match="key"):
        await luma.submit("cat dance", key=key)
    assert gateway.counts.total() == 0


async def test_unsupported_operation(luma, gateway):
    """`supports` tells beforehand, and the call raises UnsupportedOperation without a request."""
    assert luma.supports("extend")
    assert not luma.supports("upscale")
    with pytest.raises(UnsupportedOperation, match="upscale"):
        await luma.submit(UpscaleRequest("some-id"))
    assert gateway.counts.total() == 0


async def test_resume(open_session):
    """A later session with the same journal resumes what is accepted and not finished."""
    async with open_session() as luma:
        await luma.run("done before", key="done")
        await luma.submit("cat dance", key="cat")
    async with open_session() as luma:
        handles = await luma.resume()
        assert [handle.key for handle in handles] == ["cat"]
        assert [outcome.generation.state async for outcome in luma.as_completed(handles)] == [State.COMPLETED]
        assert await luma.resume() == []


async def test_as_completed(luma, gateway):
    """`as_completed` yields outcomes in completion order; a failure is a value."""
    gateway.scripts["slow"] = succeeds(after=30)
    gateway.scripts["bad"] = fails("Job failed", after=5)
    handles = [await luma.submit(prompt) for prompt in ("slow", "bad", "cat dance")]
    outcomes = [outcome async for outcome in luma.as_completed(handles)]
    assert [outcome.index for outcome in outcomes] == [1, 2, 0]
    assert isinstance(outcomes[0].error, GenerationFailed)
    assert outcomes[1].generation.state is State.COMPLETED


async def test_as_completed_of_ids(luma, gateway):
    """`as_completed` refuses an id at once."""
    handle = await luma.submit("cat dance")
    with pytest.raises(InvalidInput, match=r"session\.handle\(id\)"):
        luma.as_completed([handle, handle.id])


async def test_close_during_wait(open_session):
    """A wait raises SessionClosed when the session closes."""
    luma = open_session()
    await luma.open()
    waiting = asyncio.ensure_future((await luma.submit("cat dance")).wait())
    await asyncio.sleep(1)
    await luma.aclose()
    await luma.aclose()
    with pytest.raises(SessionClosed):
        await waiting


async def test_session_not_open(open_session):
    """Calls before opening and after closing raise SessionClosed; a session can be opened again."""
    luma = open_session()
    with pytest.raises(SessionClosed, match="async with"):
        await luma.submit("cat dance")
    for _ in range(2):
        async with luma:
            await luma.submit("cat dance")
            with pytest.raises(ConfigurationError, match="open already"):
                await luma.open()
    with pytest.raises(SessionClosed):
        luma.handle("some-id")


@pytest.mark.looptime(False)
def test_session_in_another_loop():
    """A session raises in another event loop than its own; closed and opened there, it works."""
    luma = LumaSession("sk-loops", base_url="https://relay.example")
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first.run_until_complete(luma.open())
        with pytest.raises(ConfigurationError, match=r"another event loop. Close it there, then open it in this one"):
            second.run_until_complete(luma.submit("cat dance"))
        first.run_until_complete(luma.aclose())
        second.run_until_complete(luma.open())
        second.run_until_complete(luma.resume())
        second.run_until_complete(luma.aclose())
    finally:
        first.close()
        second.close()


async def _first(updates):
    return await anext(updates)


USES = {
    "wait": lambda handle: handle.wait(),
    "refresh": lambda handle: handle.refresh(),
    "download": lambda handle: handle.download("cat.mp4"),
    "updates": lambda handle: _first(handle.updates()),
    "video_url": lambda handle: handle.video_url(),
    "extend": lambda handle: handle.extend("run"),
    "add_audio": lambda handle: handle.add_audio("meow"),
}


@pytest.mark.looptime(False)
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_handle_in_another_loop(use):
    """A handle raises at once in another event loop than its session's."""
    luma = LumaSession("sk-loops", base_url="https://relay.example")

    async def make():
        await luma.open()
        return luma.handle("some-id")

    with asyncio.Runner() as first, asyncio.Runner() as second:
        handle = first.run(make())
        with pytest.raises(ConfigurationError, match=r"another event loop\. Await the handle there"):
            second.run(use(handle))
        first.run(luma.aclose())


@pytest.mark.parametrize("timeout", [-1, float("nan"), "10"])
async def test_run_with_invalid_timeout(luma, gateway, timeout):
    """`run` refuses an invalid timeout before the submit."""
    with pytest.raises(InvalidInput, match="timeout"):
        await luma.run("cat dance", timeout=timeout)
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("source", [None, 7, "", "../x", VideoRequest("cat dance")])
async def test_invalid_source(luma, gateway, source):
    """A source is an id, a handle or a generation; anything else is refused."""
    for buy in (luma.extend, luma.add_audio):
        with pytest.raises(InvalidInput, match="source"):
            await buy(source, "it sits")
    assert gateway.counts.total() == 0


async def test_handle_repr_and_pickle(luma):
    """The repr of a handle has the id and the state; pickling it raises."""
    handle = luma.handle("some-id")
    assert repr(handle) == "<GenerationHandle some-id not seen yet>"
    assert (handle.key, handle.last) == (None, None)
    handle = await luma.submit("cat dance", key="cat")
    assert repr(handle) == f"<GenerationHandle {handle.id} pending>"
    assert handle.key == "cat"
    with pytest.raises(TypeError, match=r"pickle handle\.id"):
        pickle.dumps(handle)


async def test_journal_fails_after_result(open_session, caplog):
    """If the journal cannot record the end, the generation is still returned, and a warning is logged."""

    class Full(MemoryJournal):
        async def find(self, service, generation_id):
            raise OSError(28, "No space left on device")

    journal = Full()
    async with open_session(journal=journal) as luma:
        assert (await luma.run("cat dance", key="cat")).state is State.COMPLETED
    assert "could not be updated" in caplog.text
    assert (await journal.get("cat")).phase is Phase.ACCEPTED


async def test_open_fails(open_session):
    """If the journal cannot be opened, its error is raised, and the session can be opened later."""

    class Locked(MemoryJournal):
        locked = True

        async def enter(self):
            if self.locked:
                raise JournalBusy(message="locked")
            return await super().enter()

    journal = Locked()
    luma = open_session(journal=journal)
    with pytest.raises(JournalBusy):
        await luma.open()
    assert "closed" in repr(luma)
    journal.locked = False
    async with luma:
        assert "open" in repr(luma)


async def test_download_without_link(open_session, gateway, tmp_path):
    """If a completed generation has no link, the link is requested once."""
    gateway.scripts["cat dance"] = completes_without_link(after=3)
    async with open_session() as luma:
        handle = await luma.submit("cat dance")
        assert (await handle).state is State.COMPLETED
        assert (await handle.download(tmp_path / "cat.mp4")).exists()
    assert gateway.counts["link"] == 1


async def test_handle_after_close(open_session, gateway):
    """After closing, `refresh` and `video_url` raise SessionClosed at once."""
    async with open_session() as luma:
        handle = await luma.submit("cat dance")
    asked = sum(gateway.counts.values())
    for call in (handle.refresh, handle.video_url, handle.wait):
        with pytest.raises(SessionClosed):
            await call()
    assert sum(gateway.counts.values()) == asked


async def test_no_link_request_before_end(luma, gateway):
    """No link is requested for a generation that is running or failed, since some relays charge for it."""
    gateway.scripts["bad"] = fails("out of frames", after=0)
    running, failed = await luma.submit("cat dance"), await luma.submit("bad")
    with pytest.raises(LinkGone, match=r"await handle.wait\(\) first"):
        await running.video_url()
    with pytest.raises(GenerationFailed):
        await failed.video_url()
    assert gateway.counts["link"] == 0


@pytest.mark.parametrize("wrong", [{"what": "gif"}, {"watermark": True}], ids=["what", "watermark"])
async def test_download_invalid_choice(luma, gateway, tmp_path, wrong):
    """An invalid `what` or `watermark` is refused before waiting, and the error lists the choices."""
    handle = await luma.submit("cat dance")
    with pytest.raises(InvalidInput, match=f"^{next(iter(wrong))}: must be one of"):
        await handle.download(tmp_path / "cat.mp4", **wrong)
    assert gateway.counts["query"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"dialect": "rixapi"},
        {"dialect": RixAPI},
        {"poll": 5},
        {"retry": 3},
        {"limits": 8},
        {"timeouts": 30},
        {"proxy": "proxy.example:3128"},
        {"proxy": "http://"},
    ],
    ids=str,
)
def test_setting_of_wrong_type(wrong):
    """A setting of a wrong type is refused by the constructor."""
    with pytest.raises(ConfigurationError, match=f"^{next(iter(wrong))} must be"):
        LumaSession("sk-any", base_url="https://relay.example", **wrong)


async def test_known_link_after_close(open_session, tmp_path):
    """After closing, a known link is returned; a download raises SessionClosed and leaves no file."""
    async with open_session() as luma:
        handle = await luma.submit("cat dance")
        generation = await handle.wait()
    assert await handle.video_url() == generation.video.download_url
    with pytest.raises(SessionClosed):
        await handle.download(tmp_path / "cat.mp4")
    assert list(tmp_path.iterdir()) == []


async def test_balances(gateway):
    """The key's quota is fetched with the API key, the account's with the access token."""
    dialect = RixAPI(access_token="at-secret", user_id=1)
    gateway_with_account = gateway.__class__(access_token="at-secret", user_id=1)
    async with gateway_with_account as running:
        async with LumaSession(running.api_key, base_url=running.base_url, dialect=dialect) as luma:
            assert (await luma.account.user()).username
            assert (await luma.account.key()).available is not None
            with pytest.raises(UnsupportedOperation):
                await luma.account.credits()
        assert running.leaks == ()


async def test_on_event(open_session, caplog):
    """`on_event` is called for submit, change and end; its exceptions are logged."""
    seen = []

    def listen(event):
        seen.append(type(event).__name__)
        raise RuntimeError("a listener's own trouble")

    async with open_session(on_event=listen) as luma:
        await luma.run("cat dance")
    assert seen[0] == "Submitted"
    assert {"Polled", "Changed", "Finished"} <= set(seen)
    assert "a listener's own trouble" in caplog.text


async def test_prompt_by_keyword(luma, gateway):
    """`submit(prompt="…")` and `run(prompt="…")` work like a positional prompt; a call with no prompt is refused."""
    await luma.submit(prompt="a cat", aspect_ratio="9:16")
    await luma.run(prompt="a dog")
    assert [charge.body["prompt"] for charge in gateway.charges] == ["a cat", "a dog"]
    with pytest.raises(InvalidInput, match="request: must be a prompt or a request"):
        await luma.submit(key="cat")
    assert len(gateway.charges) == 2


async def test_refused_edition(luma, gateway):
    """A relay that does not take the fields of the chosen edition refuses, and the error says which fields they are."""
    await luma.submit("cat dance", model="ray-v2", duration="5s")
    assert gateway.charges[0].body["model_name"] == "ray-v2"
    gateway.behaviour.edition = "2025"
    with pytest.raises(InvalidRequest, match="the fields of edition 2024, because it has model and duration"):
        await luma.submit("cat dance", model="ray-v2", duration="5s")
    await luma.submit("cat dance")
    assert len(gateway.charges) == 2


@pytest.mark.parametrize("call", ["submit", "run", "extend", "add_audio"])
async def test_unknown_field(luma, gateway, call):
    """A field that no request has is refused before anything is sent, and the error says how to send it."""
    arguments = ("g-1", "cat dance") if call in {"extend", "add_audio"} else ("cat dance",)
    with pytest.raises(InvalidInput, match=r'pass extra=\{"seed": 7\}'):
        await getattr(luma, call)(*arguments, seed=7)
    assert gateway.counts.total() == 0


async def test_find_by_key(luma, gateway, open_session, journal):
    """`find()` returns the entry of a key with the id of its generation; None for a key of another service."""
    assert await luma.find("cat-1") is None
    handle = await luma.submit("cat dance", key="cat-1")
    entry = await luma.find("cat-1")
    assert (entry.phase, entry.generation_id) == (Phase.ACCEPTED, handle.id)
    await luma.handle(entry.generation_id).wait()
    entry = await luma.find("cat-1")
    assert (entry.phase, entry.generation.state) == (Phase.COMPLETED, State.COMPLETED)
    async with open_session(base_url=gateway.base_url.replace("127.0.0.1", "localhost")) as other:
        assert await other.find("cat-1") is None
    with pytest.raises(InvalidInput, match="key"):
        await luma.find("")


async def test_find_refused(luma, gateway):
    """`find()` returns the entry of a submit that was refused, which has no id."""
    gateway.scripts["cat dance"] = rejects()
    with pytest.raises(Refused):
        await luma.submit("cat dance", key="cat-1")
    entry = await luma.find("cat-1")
    assert (entry.phase, entry.generation_id) == (Phase.REFUSED, None)
