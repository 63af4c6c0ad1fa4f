"""The official key goes to Luma alone and a relay's key to relays alone, whatever the settings and the answers say."""

from __future__ import annotations

import itertools

import pytest
from yarl import URL

from luma_async import ConfigurationError, DreamMachine, LumaError, LumaSession, Refused, RixAPI, SubmitInDoubt
from luma_async.testing import ALWAYS, FakeGateway, redirect

OFFICIAL_KEY, RELAY_KEY = "luma-official-0123456789", "sk-relay-9876543210"
LUMA = "https://api.lumalabs.ai/dream-machine/v1"
DIALECTS = {"official format": DreamMachine(), "relay format": RixAPI()}


@pytest.fixture
def gateway_options():
    return {"api_key": RELAY_KEY}


@pytest.fixture(autouse=True)
def both_keys(monkeypatch):
    monkeypatch.setenv("LUMAAI_API_KEY", OFFICIAL_KEY)
    monkeypatch.setenv("LUMA_API_KEY", RELAY_KEY)
    monkeypatch.delenv("LUMA_BASE_URL", raising=False)


async def use(luma, *, ends_well):
    """Buy and look, and let no error be a surprise."""
    asked = [lambda: luma.submit("cat dance"), lambda: luma.get("some-id")]
    if luma.supports("list"):
        asked += [luma.library.list, luma.account.credits, luma.ping]
    for ask in asked:
        try:
            await ask()
        except LumaError:
            assert not ends_well or ask is asked[1]


@pytest.mark.looptime
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
async def test_relay_gets_its_own_key(gateway, dialect):
    """With both keys in the environment, a relay gets its own key, with either dialect."""
    async with LumaSession(base_url=gateway.base_url, dialect=dialect) as luma:
        await use(luma, ends_well=True)
    assert gateway.requests
    for seen in gateway.requests:
        assert seen.headers["Authorization"] == f"Bearer {RELAY_KEY}"
        assert OFFICIAL_KEY not in str(dict(seen.headers)) + str(seen.path) + str(seen.body)


@pytest.mark.looptime
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
async def test_relay_without_key(gateway, dialect, monkeypatch):
    """Without the relay's key nothing is sent, and the error names the variable."""
    monkeypatch.delenv("LUMA_API_KEY")
    monkeypatch.setenv("LUMA_BASE_URL", gateway.base_url)
    with pytest.raises(ConfigurationError, match="LUMA_API_KEY"):
        await LumaSession(dialect=dialect).open()
    assert gateway.requests == ()


@pytest.mark.parametrize("base_url", [None, "https://api.lumalabs.ai", f"{LUMA}/", "https://API.lumalabs.AI.:443"])
async def test_luma_gets_official_key(mocked_http, base_url):
    """However its address is written, Luma gets the official key."""
    mocked_http.post(f"{LUMA}/generations", status=201, payload={"id": "g1", "state": "queued"})
    mocked_http.get(f"{LUMA}/generations/some-id", payload={"id": "some-id", "state": "queued"})
    mocked_http.get(URL(f"{LUMA}/generations?limit=100&offset=0"), payload={"generations": []})
    mocked_http.get(f"{LUMA}/credits", payload={"credit_balance": 1})
    mocked_http.get(f"{LUMA}/ping", payload={"message": "pong"})
    async with LumaSession(base_url=base_url, dialect=DreamMachine()) as luma:
        await use(luma, ends_well=True)
    calls = list(itertools.chain.from_iterable(mocked_http.requests.values()))
    assert len(calls) == 5
    assert {url.host for _, url in mocked_http.requests} == {"api.lumalabs.ai"}
    for call in calls:
        assert call.kwargs["headers"]["Authorization"] == f"Bearer {OFFICIAL_KEY}"
        assert RELAY_KEY not in str(call.kwargs)


async def test_luma_without_key(mocked_http, monkeypatch):
    """Without the official key nothing is sent to Luma, even if there is a relay's key."""
    monkeypatch.delenv("LUMAAI_API_KEY")
    with pytest.raises(ConfigurationError, match="LUMAAI_API_KEY"):
        await LumaSession(dialect=DreamMachine()).open()
    assert mocked_http.requests == {}


@pytest.mark.looptime
async def test_official_key_for_relay_url(gateway, monkeypatch):
    """An official key together with LUMA_BASE_URL of a relay is refused before anything is sent."""
    monkeypatch.setenv("LUMA_BASE_URL", gateway.base_url)
    with pytest.raises(ConfigurationError, match="LUMA_BASE_URL") as caught:
        await LumaSession(OFFICIAL_KEY, dialect=DreamMachine()).open()
    assert OFFICIAL_KEY not in str(caught.value)
    assert gateway.requests == ()


@pytest.mark.looptime
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
async def test_redirect_is_not_followed(gateway, dialect, status):
    """A redirect is not followed: a submit is in doubt, a query raises, and the other host gets nothing."""
    async with FakeGateway() as elsewhere:
        fault = redirect(status, f"{elsewhere.base_url}/dream-machine/v1/generations")
        for kind in ("submit", "query", "list", "credits", "ping"):
            gateway.inject(fault, on=kind, times=ALWAYS)
        async with LumaSession(base_url=gateway.base_url, dialect=dialect) as luma:
            with pytest.raises(SubmitInDoubt, match="redirect"):
                await luma.submit("cat dance")
            with pytest.raises(Refused, match="never followed"):
                await luma.get("some-id")
            await use(luma, ends_well=False)
        assert elsewhere.requests == ()
    assert gateway.counts["submit"] == 2
