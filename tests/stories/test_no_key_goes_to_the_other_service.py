"""Each key goes to its own host alone, whatever the settings and the answers say."""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings

import pytest
from yarl import URL

from luma_async import (
    Agents,
    ConfigurationError,
    DreamMachine,
    LumaError,
    LumaSession,
    MemoryJournal,
    Refused,
    RixAPI,
    SubmitInDoubt,
)
from luma_async._wire import registry
from luma_async.testing import ALWAYS, FakeGateway, redirect

OFFICIAL_KEY, RELAY_KEY = "luma-official-0123456789", "sk-relay-9876543210"
AGENTS_KEY = "luma-api-5566778899"
LUMA = "https://api.lumalabs.ai/dream-machine/v1"
DIALECTS = {"official format": DreamMachine(), "relay format": RixAPI()}


@pytest.fixture
def gateway_options():
    return {"api_key": RELAY_KEY}


@pytest.fixture(autouse=True)
def both_keys(monkeypatch):
    monkeypatch.setenv("LUMAAI_API_KEY", OFFICIAL_KEY)
    monkeypatch.setenv("LUMA_API_KEY", RELAY_KEY)
    monkeypatch.setenv("LUMA_AGENTS_API_KEY", AGENTS_KEY)
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
    with pytest.warns(DeprecationWarning, match="2026-10-04"):
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


RELAY, LEGACY, PRESENT = "https://relay.example", "https://api.lumalabs.ai", "https://agents.lumalabs.ai"
OTHER, LOCAL = "https://other.lumalabs.ai", "http://127.0.0.1:8399"
OWN_KEY = {RELAY: RELAY_KEY, LOCAL: RELAY_KEY, LEGACY: OFFICIAL_KEY, PRESENT: AGENTS_KEY}
SPOKEN = (*(registry.load(name) for name in registry.DIALECTS), None)
PAIRINGS = {
    # address, given by, dialect: the address that is used; None for an error before anything is sent
    **{(RELAY, by, dialect): RELAY for by in ("argument", "variable") for dialect in (RixAPI, DreamMachine, None)},
    **{(LOCAL, by, dialect): LOCAL for by in ("argument", "variable") for dialect in SPOKEN},
    (RELAY, "argument", Agents): RELAY,
    (RELAY, "variable", Agents): PRESENT,
    **{(LEGACY, by, dialect): LEGACY for by in ("argument", "variable") for dialect in (DreamMachine, None)},
    **{(LEGACY, by, dialect): None for by in ("argument", "variable") for dialect in (RixAPI, Agents)},
    **{(f"{PRESENT}/v1", by, dialect): PRESENT for by in ("argument", "variable") for dialect in (Agents, None)},
    **{(PRESENT, by, dialect): None for by in ("argument", "variable") for dialect in (RixAPI, DreamMachine)},
    **{(OTHER, by, dialect): None for by in ("argument", "variable") for dialect in SPOKEN},
    (None, "argument", RixAPI): None,
    (None, "argument", None): None,
    (None, "argument", DreamMachine): LEGACY,
    (None, "argument", Agents): PRESENT,
}


@pytest.mark.parametrize(("pairing", "used"), PAIRINGS.items(), ids=map(str, PAIRINGS))
async def test_each_key_at_its_own_host(mocked_http, monkeypatch, pairing, used):
    """With all three keys set, every pairing of address and dialect sends a key to its own host, or sends nothing."""
    address, by, dialect = pairing
    if by == "variable":
        monkeypatch.setenv("LUMA_BASE_URL", address)
    for method in ("get", "post"):
        getattr(mocked_http, method)(re.compile(".*"), payload={"id": "g1", "state": "queued"}, repeat=True)
    session = LumaSession(base_url=address if by == "argument" else None, dialect=dialect and dialect())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        expected = pytest.raises(ConfigurationError) if used is None else contextlib.nullcontext()
        with expected:
            async with session as luma:
                await use(luma, ends_well=False)
    calls = list(itertools.chain.from_iterable(mocked_http.requests.values()))
    assert {str(url.origin()) for _, url in mocked_http.requests} == ({used} if used else set())
    for call in calls:
        assert call.kwargs["headers"]["Authorization"] == f"Bearer {OWN_KEY[used]}"
        assert not any(key in str(call.kwargs) for key in set(OWN_KEY.values()) - {OWN_KEY[used]})
    kinds = {warning.category for warning in warned}
    ignored = (address, by, dialect) == (RELAY, "variable", Agents)
    assert kinds == ({DeprecationWarning} if used == LEGACY else {UserWarning} if ignored else set())


def test_pairings_are_complete():
    """The table has every kind of address, given in both ways, with every dialect and with none."""
    every = set(itertools.product((RELAY, LOCAL, LEGACY, PRESENT, OTHER), ("argument", "variable"), SPOKEN))
    every |= {(None, "argument", dialect) for dialect in SPOKEN}
    assert {(address and address.removesuffix("/v1"), by, dialect) for address, by, dialect in PAIRINGS} == every


def test_hosts_of_the_dialects():
    """The registry has the host of each dialect that has an address, and its name."""
    found = {name: registry.load(name)() for name in registry.DIALECTS}
    assert all(dialect.name == name for name, dialect in found.items())
    own = {registry.host_of(dialect.default_base_url): name for name, dialect in found.items()}
    assert {host: name for host, name in own.items() if host} == registry.HOSTS


async def test_dialect_by_host(mocked_http):
    """The service is recognised by its host, and the journal files entries under its dialect, with or without /v1."""
    mocked_http.post(f"{PRESENT}/v1/generations", payload={"id": "g1", "state": "queued"})
    journal = MemoryJournal()
    async with LumaSession(base_url=f"{PRESENT}/v1", journal=journal) as luma:
        assert luma.supports("layers")
        await luma.submit("cat dance", key="cat")
    assert (await journal.get("cat")).service == f"agents {PRESENT}"
    async with LumaSession(dialect=Agents(), journal=journal) as luma:
        assert [handle.id for handle in await luma.resume()] == ["g1"]
