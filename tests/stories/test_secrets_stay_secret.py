"""The API key and the access token are sent to the service only: no log, error or file host gets them."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import re
import traceback
from contextlib import suppress

import aiohttp
import attrs
import pytest
from raw_server import RawServer, answers, closes, closes_after_request, response, stalls

from luma_async import (
    ConfigurationError,
    JournalError,
    LumaError,
    LumaSession,
    MemoryJournal,
    PollPolicy,
    RetryPolicy,
    RixAPI,
    SubmitInDoubt,
    Timeouts,
)
from luma_async.testing import (
    FakeGateway,
    drop_after_reading,
    fails,
    garbage,
    rate_limited,
    redirects_to,
    reshapes,
    server_error,
    succeeds,
)
from luma_async.values.redaction import Secret

KEY = "sk-do-not-tell-anybody-0123456789"
TOKEN = "at-neither-tell-this-one-9876543210"
SECRETS = (KEY, TOKEN)
IMPATIENT = RetryPolicy(attempts=1, connect_retry_for=0)


def leaked(*texts):
    """Which secrets stand in these texts."""
    return [(secret, text) for secret in SECRETS for text in map(str, texts) if secret in text]


def everything_about(error):
    """Return all that a reporter of errors could print: the chain, the arguments, the frames and their locals."""
    texts, chain, seen = [], [error], set()
    while chain:
        one = chain.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        chain += [one.__cause__, one.__context__]
        texts += [repr(one), str(one), repr(one.args), repr(vars(one)), *frames_of(one)]
        if isinstance(one, LumaError):
            texts += [repr(attrs.asdict(one, recurse=False)), repr(pickle.dumps(one))]
    return texts


def frames_of(error):
    """Return what the locals of all frames but this file's own would show; the caller has the key, after all."""
    stack = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), capture_locals=True)
    theirs = [frame for frame in stack if frame.filename != __file__]
    return [f"{frame.filename}: {name}={text}" for frame in theirs for name, text in frame.locals.items()]


@pytest.fixture
def every_log(caplog):
    """Let every logger talk, at its most talkative, asyncio in its debug mode among them."""
    caplog.set_level(logging.DEBUG)
    names = ["luma_async", "asyncio", "aiohttp", *(f"aiohttp.{one}" for one in ("client", "internal", "access"))]
    for name in names:
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def logged(caplog):
    """Return what was logged, with the arguments and the exceptions of each record."""
    texts = [caplog.text]
    for record in caplog.records:
        texts += [record.getMessage(), repr(record.args), repr(record.__dict__)]
        if record.exc_info and record.exc_info[1] is not None:
            texts += everything_about(record.exc_info[1])
    return texts


@pytest.fixture
def gateway_options():
    return {"api_key": KEY, "access_token": TOKEN, "script": succeeds(after=3)}


def session(service, **settings):
    return LumaSession(
        KEY,
        base_url=service.base_url,
        dialect=RixAPI(access_token=TOKEN, user_id=1),
        **{"poll": PollPolicy.fixed(1), "retry": IMPATIENT, **settings},
    )


@pytest.mark.looptime
async def test_full_life_cycle(gateway, tmp_path, every_log):
    """After submit, failure, wait, download and close no secret is in logs, events, values or the journal."""
    asyncio.get_running_loop().set_debug(True)
    journal, events = MemoryJournal(), []
    gateway.scripts["bad cat"] = fails("moderated", after=2)
    async with session(gateway, journal=journal, on_event=events.append) as luma:
        handle = await luma.submit("cat dance", key="cat")
        bad = await luma.submit("bad cat", key="bad")
        for fault in (server_error(500), drop_after_reading(), garbage(), rate_limited()):
            gateway.inject(fault, on="query")
        generation = await handle
        outcomes = [outcome async for outcome in luma.as_completed([bad])]
        await handle.download(tmp_path / "cat.mp4")
        values = [await luma.account.user(), await luma.account.key(), generation, handle, outcomes, luma]
        values += [luma._engine, vars(luma), vars(luma._engine), luma._config]
        assert leaked(*map(repr, values)) == []
    assert leaked(*map(repr, events), *map(repr, await journal.entries())) == []
    assert leaked(*logged(every_log)) == []
    assert gateway.leaks == ()
    files = [seen for seen in gateway.requests if seen.kind == "file"]
    assert files
    assert leaked(*(dict(seen.headers) for seen in files), *(seen.path for seen in gateway.requests)) == []


FAULTS = {
    "no server": None,
    "closed at once": closes(),
    "closed after the request": closes_after_request(),
    "garbage": closes_after_request(b"this is no HTTP\r\n\r\n"),
    "silent": stalls(),
    "cut": closes_after_request(response(201, {"id": "g1"})[:-3]),
    "a page": answers(response(502, b"<html>")),
    "a refusal": answers(response(400, {"error": {"message": "no"}})),
    "a redirect with the key in its address": answers(response(302, b"", f"Location: https://x.example/?key={KEY}")),
}


@pytest.mark.looptime
@pytest.mark.parametrize("fault", FAULTS)
async def test_errors_hold_no_secret(fault, every_log):
    """No error, chained exception or traceback frame holds a secret, whatever the fault."""
    asyncio.get_running_loop().set_debug(True)
    act = FAULTS[fault]
    async with RawServer(act or closes()) as server:
        url = server.base_url
        if act is None:
            await server.__aexit__()
        dialect = RixAPI(access_token=TOKEN, user_id=1)
        async with LumaSession(KEY, base_url=url, dialect=dialect, retry=IMPATIENT) as luma:
            for ask in (lambda: luma.submit("cat dance"), lambda: luma.get("g1"), luma.account.user, luma.account.key):
                with pytest.raises(LumaError) as caught:
                    await ask()
                assert leaked(*everything_about(caught.value)) == []
    gc.collect()
    assert leaked(*logged(every_log)) == []


@pytest.mark.looptime
@pytest.mark.parametrize("moment", ["while the answer is awaited", "while its body is read"])
async def test_cancelled_call(moment):
    """The frames of a TimeoutError from the caller's deadline hold no secret."""
    part = b"" if moment == "while the answer is awaited" else response(200, {"id": "g1"})[:-3]
    async with RawServer(stalls(part)) as server, session(server, timeouts=Timeouts(close=1)) as luma:
        for call in (luma.get, luma.submit):
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(5):
                    await call("g1")
            assert leaked(*everything_about(caught.value)) == []


@pytest.mark.looptime
@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("form", ["a message", "a page", "a code", "a header"])
async def test_echoed_secrets_are_redacted(status, form, every_log):
    """A response that echoes the secrets puts them into no error, value or journal."""
    journal, events, repeated = MemoryJournal(), [], set()

    async def echo(connection):
        while (request := await connection.read_request()) is not None:
            secret = request[0].partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()
            repeated.add(secret)
            body = {
                "a message": {"error": {"message": f"Invalid token {secret}", "code": ""}},
                "a code": {"code": f"bad-{secret}", "message": "no", "data": None},
                "a page": f"<html>Authorization: Bearer {secret}</html>".encode(),
                "a header": {"error": {"message": "no", "code": ""}},
            }[form]
            headers = [f"X-Request-Id: {secret}"] if form == "a header" else []
            await connection.send(response(status, body, *headers))

    async with RawServer(echo) as server, session(server, journal=journal, on_event=events.append) as luma:
        for ask in (
            lambda: luma.submit("cat dance"),
            lambda: luma.get("g1"),
            lambda: luma.get_many(["g1", "g2"]),
            luma.account.key,
            luma.account.user,
        ):
            with pytest.raises(LumaError) as caught:
                await ask()
            assert leaked(*everything_about(caught.value)) == []
    assert leaked(*logged(every_log), *map(repr, events), *map(repr, await journal.entries())) == []
    assert repeated == set(SECRETS)


@pytest.mark.looptime
async def test_raw_is_redacted(gateway):
    """The raw JSON of a generation is redacted too."""
    gateway.inject(reshapes(lambda body: {**body, "prompt": f"cat {KEY}", "debug": [KEY]}), on="query")
    async with session(gateway) as luma:
        handle = await luma.submit("cat dance")
        generation = await handle.refresh()
    assert leaked(repr(generation), repr(generation.raw), generation.prompt) == []
    assert generation.prompt == "cat [secret]"


async def test_session_repr_and_pickle(monkeypatch):
    """A session's repr and dictionary hold no secret, and it cannot be pickled."""
    monkeypatch.setenv("LUMA_API_KEY", KEY)
    dialect = RixAPI(access_token=TOKEN, user_id=1)
    given = LumaSession(KEY, base_url="https://relay.example", dialect=dialect)
    found = LumaSession(base_url="https://relay.example", dialect=dialect)
    for luma in (given, found):
        assert leaked(repr(luma), repr(vars(luma)), repr(dialect), repr(attrs.asdict(dialect))) == []
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(luma)
        async with luma:
            assert leaked(repr(luma), repr(vars(luma)), repr(vars(luma._engine))) == []
            with pytest.raises(TypeError):
                pickle.dumps(luma)
        assert leaked(repr(luma), repr(vars(luma))) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "relay.example"},
        {"base_url": "http://relay.example"},
        {"base_url": f"https://{KEY}@relay.example"},
        {"base_url": f"https://relay.example?key={KEY}"},
        {},
    ],
)
async def test_setting_error_hides_key(settings, monkeypatch):
    """Errors about settings and their frames hold no secret."""
    monkeypatch.delenv("LUMA_BASE_URL", raising=False)
    monkeypatch.setenv("LUMA_API_KEY", KEY)
    with pytest.raises(ConfigurationError) as caught:
        await LumaSession(**settings).open()
    # An address with a key in it shows as it was given; nothing else does.
    shown = [text for text in frames_of(caught.value) if not re.search(r": (url|base_url|parts|value)=", text)]
    assert leaked(str(caught.value), repr(caught.value), *shown) == []


async def test_invalid_key_is_not_shown():
    """The error about an invalid key does not show the key."""
    with pytest.raises(ConfigurationError) as caught:
        LumaSession(f"Bearer {KEY}", base_url="https://relay.example")
    assert leaked(*everything_about(caught.value)) == []


@pytest.mark.looptime
async def test_journal_error_hides_secrets(every_log):
    """The exception of a journal during a request holds no frames of aiohttp."""

    class Full(MemoryJournal):
        async def change(self, key, step):
            raise OSError(28, "No space left on device")

    async with FakeGateway(api_key=KEY) as gateway, session(gateway, journal=Full()) as luma:
        with pytest.raises(JournalError, match="No space left") as caught:
            await luma.submit("cat dance")
        assert gateway.counts["submit"] == 0
    assert leaked(*everything_about(caught.value), *logged(every_log)) == []


@pytest.mark.looptime
async def test_file_host_gets_no_key(gateway, tmp_path):
    """A link to another host, also by a redirect, is fetched without the secrets."""
    async with FakeGateway(api_key="another") as host:
        gateway.inject(redirects_to(f"{host.base_url}/files/x/clean.mp4"), on="file")
        async with session(gateway) as luma:
            handle = await luma.submit("cat dance")
            await handle
            with suppress(LumaError):
                await handle.download(tmp_path / "cat.mp4")
        assert host.requests
        assert leaked(*(dict(seen.headers) for seen in host.requests)) == []
        assert not any("Authorization" in seen.headers for seen in host.requests)
        assert host.leaks == ()


@pytest.mark.looptime
async def test_trace_config_context(gateway):
    """The context of the user's trace configuration holds no secret."""
    contexts = []

    async def keep(_session, context, _params):
        contexts.append(repr(vars(context)))

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(keep)
    async with session(gateway, trace_configs=[trace]) as luma:
        await luma.submit("cat dance")
    assert contexts
    assert leaked(*contexts) == []


@pytest.mark.looptime
async def test_redaction_is_needed(monkeypatch):
    """Without redaction the echoed secret would be in the error."""
    monkeypatch.setattr(Secret, "scrub", lambda _, text: text)
    async with RawServer(answers(response(500, {"error": {"message": KEY}}))) as server, session(server) as luma:
        with pytest.raises(SubmitInDoubt) as caught:
            await luma.submit("cat dance")
    assert leaked(*everything_about(caught.value)) != []
