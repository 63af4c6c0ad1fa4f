"""Where the service is and which key it gets: no key ever reaches the other service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import ConfigurationError
from luma_async._http.address import check_api_key, check_base_url, resolve
from luma_async.values.redaction import Secret

RELAY = "https://relay.example"
OFFICIAL = "https://api.lumalabs.ai"
ENVIRONMENT = {"LUMA_API_KEY": "sk-relay", "LUMAAI_API_KEY": "luma-official", "LUMA_BASE_URL": RELAY}


def find(environment, *, api_key=None, base_url=None, default=None, allow_insecure=False):
    address = resolve(
        api_key=Secret(api_key) if api_key else None,
        base_url=base_url,
        default_base_url=default,
        variable=environment.get,
        allow_insecure=allow_insecure,
    )
    return address.base_url, address.api_key.reveal()


def test_the_environment_says_where_and_with_what():
    """Without arguments, LUMA_BASE_URL and LUMA_API_KEY count."""
    assert find(ENVIRONMENT) == (RELAY, "sk-relay")


def test_arguments_come_first():
    """What is passed wins over the environment."""
    assert find(ENVIRONMENT, api_key="sk-mine", base_url="https://other.example") == (
        "https://other.example",
        "sk-mine",
    )


def test_blanks_around_a_variable_are_nobodys_intention():
    """A variable set with a line's end or a blank works all the same."""
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
def test_the_official_service_gets_the_official_key_however_it_is_spelled(url):
    """LUMAAI_API_KEY goes to api.lumalabs.ai and the relay's key never does."""
    assert find(ENVIRONMENT, base_url=url, default=OFFICIAL) == (OFFICIAL, "luma-official")
    with pytest.raises(ConfigurationError, match="LUMAAI_API_KEY"):
        find({"LUMA_API_KEY": "sk-relay"}, base_url=url, default=OFFICIAL)


@pytest.mark.parametrize(
    "url",
    [
        RELAY,
        "https://api.lumalabs.ai.evil.example",
        "https://lumalabs.ai",
        "https://evil.example/api.lumalabs.ai",
        "https://relay.example:8443/pro",
    ],
)
def test_a_relay_never_gets_the_official_key(url):
    """LUMA_API_KEY goes to whatever is not api.lumalabs.ai, and the official key never does."""
    assert find(ENVIRONMENT, base_url=url)[1] == "sk-relay"
    with pytest.raises(ConfigurationError, match=r"No API key for https://.*: set LUMA_API_KEY"):
        find({"LUMAAI_API_KEY": "luma-official"}, base_url=url)


def test_a_dialect_that_knows_its_service_needs_no_base_url():
    """A default is used when nobody says otherwise, with the key that belongs to it."""
    assert find({"LUMAAI_API_KEY": "luma-official"}, default=OFFICIAL) == (OFFICIAL, "luma-official")
    assert find(ENVIRONMENT, default=OFFICIAL) == (RELAY, "sk-relay")


def test_a_variable_alone_sends_no_official_key_to_a_relay():
    """A key of Luma's own form that is passed goes to a relay only if the relay is named beside it."""
    with pytest.raises(ConfigurationError, match="LUMA_BASE_URL is https://relay") as caught:
        find(ENVIRONMENT, api_key="luma-mine", default=OFFICIAL)
    assert "luma-mine" not in str(caught.value)
    assert find(ENVIRONMENT, api_key="luma-mine", base_url=RELAY) == (RELAY, "luma-mine")
    assert find(ENVIRONMENT, api_key="sk-luma-mine", default=OFFICIAL) == (RELAY, "sk-luma-mine")
    assert find({"LUMA_BASE_URL": OFFICIAL}, api_key="luma-mine", default=OFFICIAL) == (OFFICIAL, "luma-mine")
    assert find({}, api_key="luma-mine", default=OFFICIAL) == (OFFICIAL, "luma-mine")


def test_the_official_address_wants_the_official_format():
    """A relay's format is not what api.lumalabs.ai speaks: the message names the one that is."""
    with pytest.raises(ConfigurationError, match=r"dialect=DreamMachine\(\)"):
        find({"LUMAAI_API_KEY": "luma-official"}, base_url=OFFICIAL)


def test_no_base_url_names_both_remedies():
    """Every relay has its own address, so there is no guess: the message says how to give it."""
    with pytest.raises(ConfigurationError, match=r"LUMA_BASE_URL.*base_url"):
        find({"LUMA_API_KEY": "sk-relay"})


@pytest.mark.parametrize("environment", [{}, {"LUMA_API_KEY": ""}, {"LUMA_API_KEY": "  "}])
def test_no_key_names_both_remedies(environment):
    """An empty variable is no key."""
    with pytest.raises(ConfigurationError, match=r"LUMA_API_KEY.*api_key"):
        find(environment, base_url=RELAY)


@pytest.mark.parametrize("key", ["", " ", "sk abc", "sk-\n", "sk-ü", "Bearer sk-abc", "sk-\x00", "sk-\x7f", 7, b"sk"])
def test_a_key_that_cannot_stand_in_a_header_is_refused(key):
    """Visible ASCII without blanks; the message holds no part of it."""
    with pytest.raises(ConfigurationError, match="api_key must be the bare key") as caught:
        check_api_key(Secret(key))
    assert "abc" not in str(caught.value)


def test_a_bad_key_in_the_environment_is_named_by_its_variable():
    """The message says which variable holds it."""
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
def test_a_base_url_has_one_form(url, normal):
    """However it is typed, one service is one address: journals find purchases by it."""
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
def test_a_base_url_that_cannot_be_right_is_refused(url, words):
    """No scheme, no host, a key in the address, or a key in the clear: refused with the remedy, without the key."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        check_base_url(url, allow_insecure=False)
    assert "sk-abc" not in str(caught.value)


def test_a_key_may_be_sent_in_the_clear_only_when_told_so():
    """`allow_insecure=True` is the one way to talk http:// to another machine."""
    assert check_base_url("http://10.0.0.1:3000", allow_insecure=True) == "http://10.0.0.1:3000"
    assert find(ENVIRONMENT, base_url="http://10.0.0.1", allow_insecure=True)[0] == "http://10.0.0.1"


@given(st.text(max_size=40) | st.from_regex(r"https?://[a-z.:@/?#\[\]0-9 ]{0,30}", fullmatch=True))
def test_any_text_is_taken_or_refused(text):
    """No text makes it stumble, and what it takes it takes again unchanged."""
    try:
        normal = check_base_url(text, allow_insecure=True)
    except ConfigurationError:
        return
    assert check_base_url(normal, allow_insecure=True) == normal
