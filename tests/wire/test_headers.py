"""The two things that answer headers tell us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._wire.headers import read_request_id, read_retry_after_s

SENT = "Tue, 03 Jun 2025 10:00:00 GMT"

DELAYS = {
    "seconds": ({"Retry-After": "7"}, 7.0),
    "seconds with blanks": ({"Retry-After": " 7 "}, 7.0),
    "zero": ({"Retry-After": "0"}, 0.0),
    "more digits than anybody waits": ({"Retry-After": "9" * 400}, 999_999_999.0),
    "a date": ({"Retry-After": "Tue, 03 Jun 2025 10:01:30 GMT", "Date": SENT}, 90.0),
    "a date in the past": ({"Retry-After": "Tue, 03 Jun 2025 09:59:00 GMT", "Date": SENT}, 0.0),
    "a date in another zone": ({"Retry-After": "Tue, 03 Jun 2025 12:00:05 +0200", "Date": SENT}, 5.0),
    "a date without a zone": ({"Retry-After": "Tue, 03 Jun 2025 10:01:30", "Date": SENT}, None),
    "a date, and the answer has none": ({"Retry-After": "Tue, 03 Jun 2025 10:01:30 GMT"}, None),
    "a date that is none": ({"Retry-After": "Tue, 99 Jun 2025 10:01:30 GMT", "Date": SENT}, None),
    "a negative number": ({"Retry-After": "-7"}, None),
    "a broken number": ({"Retry-After": "7.5"}, None),
    "digits of another script": ({"Retry-After": "\u0667"}, None),
    "words": ({"Retry-After": "soon"}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), DELAYS.values(), ids=DELAYS.keys())
def test_the_named_delay(headers, seconds):
    """`Retry-After` is read as seconds or as a date by the service's own clock; anything else names no delay."""
    assert read_retry_after_s(headers) == seconds


@given(st.text(), st.text())
def test_no_header_is_an_exception(delay, date):
    """Whatever stands in the two headers, the delay is 0 or more, or unknown."""
    seconds = read_retry_after_s({"Retry-After": delay, "Date": date})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("name", ["X-Oneapi-Request-Id", "X-Request-Id", "X-Rixapi-Request-Id", "CF-Ray"])
def test_the_name_of_an_exchange(name):
    """Relays and gateways name an exchange in one of four headers."""
    assert read_request_id({name: "2025-abc"}) == "2025-abc"


def test_the_relays_own_name_counts_first():
    """Where the relay and the gateway before it both name an exchange, the relay's name is kept."""
    assert read_request_id({"CF-Ray": "gateway", "X-Oneapi-Request-Id": "relay"}) == "relay"


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": ""}, {"X-Request-Id": "x" * 129}])
def test_a_name_that_nobody_could_quote_is_none(headers):
    """An empty name, or one of more than 128 characters, is none."""
    assert read_request_id(headers) is None
