"""Settings: their bounds, their errors, and secrets."""

from __future__ import annotations

import copy
import html
import json
import math
import pickle
from urllib.parse import quote

import attrs
import pytest

from luma_async import InvalidInput, Limits, PollPolicy, RetryPolicy, Timeouts
from luma_async.values.redaction import Secret
from luma_async.values.settings import UNSET, check_timeout

NOT_NUMBERS = [None, "10", True, math.nan, [1]]


@pytest.mark.parametrize(
    ("build", "field", "bad"),
    [
        (Timeouts, "connect", [0, -1, math.inf, *NOT_NUMBERS]),
        (Timeouts, "request", [0, -1, math.inf, *NOT_NUMBERS]),
        (Timeouts, "submit", [0, -1, math.inf, *NOT_NUMBERS]),
        (Timeouts, "submit_keepalive", [-1, math.inf, *NOT_NUMBERS]),
        (Timeouts, "download_stall", [0, -1, math.inf, *NOT_NUMBERS]),
        (Timeouts, "close", [-1, math.inf, *NOT_NUMBERS]),
        (RetryPolicy, "attempts", [0, -1, 2.5, math.inf, *NOT_NUMBERS]),
        (RetryPolicy, "first_delay", [-1, math.inf, *NOT_NUMBERS]),
        (RetryPolicy, "max_delay", [-1, math.inf, *NOT_NUMBERS]),
        (RetryPolicy, "connect_retry_for", [-1, math.inf, *NOT_NUMBERS]),
        (Limits, "requests", [0, -1, 2.5, math.inf, *NOT_NUMBERS]),
        (Limits, "max_in_flight", [0, -1, 10**400, 0.5, "many", True, math.nan]),
        (Limits, "submits_per_minute", [0, -1, "10", True, math.nan]),
        (Limits, "burst", [0, 0.5, "10", True, math.nan]),
        (PollPolicy, "request_cost", [0, -1, math.inf, *NOT_NUMBERS]),
        (PollPolicy, "first", [0, -1, math.inf, *NOT_NUMBERS]),
        (PollPolicy, "last", [0, -1, math.inf, *NOT_NUMBERS]),
        (PollPolicy, "factor", [0, 0.9, math.inf, *NOT_NUMBERS]),
        (PollPolicy, "max_wait", [-1, "10", True, math.nan]),
        (PollPolicy, "max_outage", [-1, *NOT_NUMBERS]),
        (PollPolicy, "not_found_grace", [-1, 10**400, *NOT_NUMBERS]),
    ],
)
def test_invalid_setting(build, field, bad):
    """The error about an invalid setting names its field and its bound."""
    for value in bad:
        with pytest.raises(InvalidInput, match=r"must be .*>") as caught:
            build(**{field: value})
        assert caught.value.field == field, value


@pytest.mark.parametrize(
    "value",
    [
        Limits(max_in_flight=math.inf, submits_per_minute=math.inf, burst=math.inf),
        Limits(max_in_flight="auto", submits_per_minute=0.5, burst=1),
        Timeouts(submit_keepalive=0, close=0),
        RetryPolicy(attempts=1, first_delay=0, max_delay=0, connect_retry_for=0),
        PollPolicy.adaptive(0.125, max_wait=None, max_outage=0, not_found_grace=0),
        PollPolicy.fixed(5, max_wait=60),
        PollPolicy.exponential(1, 60, 2),
    ],
)
def test_bounds_are_allowed(value):
    """Zero and infinity are accepted where they have a meaning."""
    assert attrs.evolve(value) == value


def test_poll_policies():
    """The policies differ in kind and interval, and have the same budgets."""
    fixed, growing = PollPolicy.fixed(5), PollPolicy.exponential(1, 30, 1.5)
    assert (fixed.kind, fixed.first, fixed.last, fixed.factor) == ("fixed", 5, 5, 1)
    assert (growing.kind, growing.first, growing.last, growing.factor) == ("exponential", 1, 30, 1.5)
    assert {
        (one.max_wait, one.max_outage, one.not_found_grace)
        for one in (PollPolicy(), PollPolicy.adaptive(), fixed, growing)
    } == {(86_400, 300, 30)}


@pytest.mark.parametrize("timeout", [0, 0.5, 10**9, math.inf, None, UNSET])
def test_valid_timeout(timeout):
    """A timeout is a number of seconds from 0 on, None for no limit, or not given."""
    check_timeout(timeout)


@pytest.mark.parametrize("timeout", [-1, -0.1, math.nan, -math.inf, 10**400, "10", True, [1]])
def test_invalid_timeout(timeout):
    """A negative timeout and a value that is not a number are refused."""
    with pytest.raises(InvalidInput, match="timeout: must be seconds >= 0, or None"):
        check_timeout(timeout)


class TestSecret:
    """A string that is shown only by `reveal()`."""

    secret = Secret("sk-abcdef")

    def test_repr_and_str(self):
        """A secret is shown in no string."""
        shown = [repr(self.secret), str(self.secret), f"{self.secret}", f"{[self.secret]}", f"{self.secret!s:>20}"]
        assert not any("abc" in text for text in shown)

    def test_pickle_and_copy(self):
        """A secret cannot be pickled or copied."""
        for action in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                action(self.secret)

    def test_no_dictionary(self):
        """A secret has no `__dict__`."""
        assert not hasattr(self.secret, "__dict__")
        assert self.secret.reveal() == "sk-abcdef"

    def test_scrub(self):
        """Every occurrence of a secret is replaced, unless the secret is too short."""
        assert self.secret.scrub(b"key sk-abcdef, again sk-abcdef") == b"key [secret], again [secret]"
        assert Secret("a").scrub(b"a cat") == b"a cat"

    @pytest.mark.parametrize(
        "encode",
        [
            lambda key: json.dumps(json.dumps(key)),
            lambda key: key.replace("/", "\\/"),
            lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
            lambda key: "".join(f"\\u{ord(char):04X}" for char in key),
            lambda key: json.dumps("".join(f"\\u{ord(char):04x}" for char in key)),
            lambda key: quote(key, safe=""),
            lambda key: quote(quote(key, safe=""), safe=""),
            lambda key: "".join(f"%{ord(char):02x}" for char in key),
            lambda key: html.escape(key),
            lambda key: "".join(f"&#{ord(char)};" for char in key),
            lambda key: "".join(f"&#x{ord(char):X};" for char in key),
        ],
        ids=range(11),
    )
    def test_scrub_encoded(self, encode):
        """A key is replaced where a service repeats it escaped, URL-encoded, or as HTML."""
        text = f"your key {encode('sk-Canary/12+x')} is wrong".encode()
        scrubbed = Secret("sk-Canary/12+x").scrub(text)
        assert b"[secret]" in scrubbed
        assert (scrubbed.startswith(b"your key "), scrubbed.endswith(b" is wrong")) == (True, True)
        assert len(scrubbed) < len("your key [secret] is wrong") + 8

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_scrub_wide(self, encoding):
        """A key is replaced in a text of another encoding."""
        assert b"[secret]" in Secret("sk-Canary/12+x").scrub("x sk-Canary/12+x y".encode(encoding))
