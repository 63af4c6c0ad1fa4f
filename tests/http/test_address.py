"""Where the service is and which key it gets: no key ever reaches the other service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import ConfigurationError, DreamMachine, RixAPI
from luma_async._http.address import check_api_key, check_base_url, resolve
from luma_async.values.redaction import Secret

RELAY = "https://relay.example"
OFFICIAL = "https://api.lumalabs.ai"
ENVIRONMENT = {"LUMA_API_KEY": "sk-relay", "LUMAAI_API_KEY": "luma-official", "LUMA_BASE_URL": RELAY}


def find(environment, *, api_key=None, base_url=None, default=None, allow_insecure=False):
    address = resolve(
        api_key=Secret(api_key) if api_key else None,
        base_url=base_url,
        dialect=DreamMachine() if default else RixAPI(),
        variable=environment.get,
        allow_insecure=allow_insecure,
    )
    return address.base_url, address.api_key.reveal()


def test_environment_variables():
    """Without arguments, LUMA_BASE_URL and LUMA_API_KEY are used."""
    assert find(ENVIRONMENT) == (RELAY, "sk-relay")


def test_argument_before_environment():
    """An argument is used instead of the variable."""
    assert find(ENVIRONMENT, api_key="sk-mine", base_url="https://other.example") == (
        "https://other.example",
        "sk-mine",
    )


def test_variable_with_spaces():
    """Spaces and line breaks around a variable are ignored."""
    assert find({"LUMA_API_KEY": " sk-relay\n", "LUMA_BASE_URL": f" {RELAY}\n"}) == (RELAY, "sk-relay")


@pytest.mark.parametrize(
    "url",
    [
        OFFICIAL,
        f"{OFFICIAL}/",
        f"{OFFICIAL}/dream-machine/v1",
        f"{OFFICIAL}:443",
        f"{OFFICIAL}.",
        "HTTPS://API.LumaLabs.AI/dream-machine/v1/",
    ],
)
def test_key_for_luma(url):
    """LUMAAI_API_KEY is sent to api.lumalabs.ai in any notation of the host, and a relay's key is not."""
    assert find(ENVIRONMENT, base_url=url, default=OFFICIAL) == (OFFICIAL, "luma-official")
    with pytest.raises(ConfigurationError, match="LUMAAI_API_KEY"):
        find({"LUMA_API_KEY": "sk-relay"}, base_url=url, default=OFFICIAL)


@pytest.mark.parametrize(
    "url",
    [
        RELAY,
        "https://api.lumalabs.ai.evil.example",
        "https://lumalabs.ai.example",
        "https://evil.example/api.lumalabs.ai",
        "https://relay.example:8443/pro",
    ],
)
def test_key_for_relay(url):
    """LUMA_API_KEY is sent to every other host, and Luma's key is not."""
    assert find(ENVIRONMENT, base_url=url)[1] == "sk-relay"
    with pytest.raises(ConfigurationError, match=r"No API key for https://.*: set LUMA_API_KEY"):
        find({"LUMAAI_API_KEY": "luma-official"}, base_url=url)


def test_default_base_url():
    """Without a base URL the dialect's own is used, with the key that belongs to it."""
    assert find({"LUMAAI_API_KEY": "luma-official"}, default=OFFICIAL) == (OFFICIAL, "luma-official")
    assert find(ENVIRONMENT, default=OFFICIAL) == (RELAY, "sk-relay")


def test_luma_key_with_base_url_variable():
    """A key in Luma's form is sent to a relay only if base_url is an argument too."""
    with pytest.raises(ConfigurationError, match="LUMA_BASE_URL is https://relay") as caught:
        find(ENVIRONMENT, api_key="luma-mine", default=OFFICIAL)
    assert "luma-mine" not in str(caught.value)
    assert find(ENVIRONMENT, api_key="luma-mine", base_url=RELAY) == (RELAY, "luma-mine")
    assert find(ENVIRONMENT, api_key="sk-luma-mine", default=OFFICIAL) == (RELAY, "sk-luma-mine")
    assert find({"LUMA_BASE_URL": OFFICIAL}, api_key="luma-mine", default=OFFICIAL) == (OFFICIAL, "luma-mine")
    assert find({}, api_key="luma-mine", default=OFFICIAL) == (OFFICIAL, "luma-mine")


def test_luma_address_in_relay_format():
    """For api.lumalabs.ai the relay format is refused; the message names the right dialect."""
    with pytest.raises(ConfigurationError, match=r"dialect=DreamMachine\(\)"):
        find({"LUMAAI_API_KEY": "luma-official"}, base_url=OFFICIAL)


def test_missing_base_url():
    """Every relay has its own address, so the message says how to set it."""
    with pytest.raises(ConfigurationError, match=r"LUMA_BASE_URL.*base_url"):
        find({"LUMA_API_KEY": "sk-relay"})


@pytest.mark.parametrize("environment", [{}, {"LUMA_API_KEY": ""}, {"LUMA_API_KEY": "  "}])
def test_missing_key(environment):
    """An empty variable counts as missing; the message says how to set the key."""
    with pytest.raises(ConfigurationError, match=r"LUMA_API_KEY.*api_key"):
        find(environment, base_url=RELAY)


@pytest.mark.parametrize("key", ["", " ", "sk abc", "sk-\n", "sk-ü", "Bearer sk-abc", "sk-\x00", "sk-\x7f", 7, b"sk"])
def test_malformed_key(key):
    """A key is printable ASCII without spaces; the message holds no part of it."""
    with pytest.raises(ConfigurationError, match="api_key must be the bare key") as caught:
        check_api_key(Secret(key))
    assert "abc" not in str(caught.value)


def test_malformed_key_in_variable():
    """The message names the variable."""
    with pytest.raises(ConfigurationError, match="LUMA_API_KEY must be the bare key"):
        find({"LUMA_API_KEY": "sk abc"}, base_url=RELAY)
    check_api_key(Secret("sk-abc"))


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://relay.example", RELAY),
        ("https://relay.example/", RELAY),
        ("https://relay.example///", RELAY),
        ("https://relay.example:443", RELAY),
        ("HTTPS://Relay.Example", RELAY),
        ("https://relay.example.", RELAY),
        ("https://relay.example:8443", "https://relay.example:8443"),
        ("https://relay.example/vip/", "https://relay.example/vip"),
        ("https://relay.example/Vip", "https://relay.example/Vip"),
        ("https://relay.example/dream-machine/v1/", RELAY),
        ("https://relay.example?", RELAY),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://127.0.0.1:8080/luma", "http://127.0.0.1:8080/luma"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost", "http://localhost"),
        ("http://relay.localhost:1", "http://relay.localhost:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
    ],
)
def test_base_url_normal_form(url, normal):
    """Different notations of one service give the same base URL, by which a journal finds submits."""
    assert check_base_url(url, allow_insecure=False) == normal
    assert check_base_url(normal, allow_insecure=False) == normal


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "with its scheme"),
        ("relay.example", "with its scheme"),
        ("//relay.example", "with its scheme"),
        ("ftp://relay.example", "with its scheme"),
        ("https://", "with its scheme"),
        ("https:///luma", "with its scheme"),
        ("https://.", "with its scheme"),
        ("HTTPS://..", "with its scheme"),
        ("https://relay.example..", "with its scheme"),
        ("https://relay.example:port", "with its scheme"),
        ("https://relay.example:99999", "with its scheme"),
        ("https://[::1", "with its scheme"),
        ("https://relay .example", "with its scheme"),
        ("https://relay.example\n", "with its scheme"),
        (None, "with its scheme"),
        (b"https://relay.example", "with its scheme"),
        ("https://sk-abc@relay.example", "not have a user, query or fragment"),
        ("https://:sk-abc@relay.example", "not have a user, query or fragment"),
        ("https://relay.example?key=sk-abc", "not have a user, query or fragment"),
        ("https://relay.example#top", "not have a user, query or fragment"),
        ("http://relay.example", "unencrypted"),
        ("http://127.0.0.1.evil.example", "unencrypted"),
        ("http://notlocalhost", "unencrypted"),
        ("http://10.0.0.1", "unencrypted"),
        ("http://[2001:db8::1]", "unencrypted"),
    ],
)
def test_malformed_base_url(url, words):
    """Without scheme or host, with a key in it, or unencrypted: the message says what to do and holds no key."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        check_base_url(url, allow_insecure=False)
    assert "sk-abc" not in str(caught.value)


def test_allow_insecure():
    """Only `allow_insecure=True` allows http:// to another machine."""
    assert check_base_url("http://10.0.0.1:3000", allow_insecure=True) == "http://10.0.0.1:3000"
    assert find(ENVIRONMENT, base_url="http://10.0.0.1", allow_insecure=True)[0] == "http://10.0.0.1"


@given(st.text(max_size=40) | st.from_regex(r"https?://[a-z.:@/?#\[\]0-9 ]{0,30}", fullmatch=True))
def test_any_base_url(text):
    """Any string is accepted or raises ConfigurationError; an accepted one stays the same."""
    try:
        normal = check_base_url(text, allow_insecure=True)
    except ConfigurationError:
        return
    assert check_base_url(normal, allow_insecure=True) == normal


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quoted_key_and_address(quote):
    """Quotes around a key or an address, as docker's env files keep them, are removed with a warning."""
    environment = {"LUMA_API_KEY": f"{quote}sk-relay{quote}", "LUMA_BASE_URL": f"{quote}{RELAY}{quote}"}
    with pytest.warns(UserWarning, match="has quotes around its value") as warned:
        assert find(environment) == (RELAY, "sk-relay")
    assert len(warned) == 2
    assert not any("sk-relay" in str(warning.message) for warning in warned)
