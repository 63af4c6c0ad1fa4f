"""Whatever bytes an answer has, there is a shape for them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._wire.answer import Answer, Shape, parse, read_request_id, read_retry_after_s
from luma_async.values.redaction import without_images

BODIES = {
    "an object": (b'{"a": 1}', Shape.JSON, {"a": 1}),
    "a list": (b"[1]", Shape.JSON, [1]),
    "a scalar": (b"null", Shape.JSON, None),
    "with blanks around": (b' \r\n{"a": 1}\n', Shape.JSON, {"a": 1}),
    "with a byte order mark": (b'\xef\xbb\xbf{"a": 1}', Shape.JSON, {"a": 1}),
    "two objects": (b'{"a": 1}{"b": 2}', Shape.SEVERAL, {"a": 1}),
    "two objects on two lines": (b'{"a": 1}\n\n{"b": 2}', Shape.SEVERAL, {"a": 1}),
    "an object and a list": (b'{"a": 1}[2]', Shape.SEVERAL, {"a": 1}),
    "an object and something": (b'{"a": 1} bye', Shape.GARBAGE, {"a": 1}),
    "a page": (b"<html><body>502</body></html>", Shape.HTML, None),
    "a page after blanks": (b"\n  <!DOCTYPE html>", Shape.HTML, None),
    "nothing": (b"", Shape.EMPTY, None),
    "blanks": (b" \n\t", Shape.EMPTY, None),
    "half an object": (b'{"a": ', Shape.GARBAGE, None),
    "words": (b"upstream timed out", Shape.GARBAGE, None),
    "no text at all": (b"\xff\xfe\x00\x01", Shape.GARBAGE, None),
    "more than is read": (None, Shape.TOO_LARGE, None),
    "nested beyond reason": (b"[" * 100_000, Shape.GARBAGE, None),
    "nested beyond reason, and closed": (b"[" * 100_000 + b"]" * 100_000, Shape.GARBAGE, None),
    "a number beyond reason": (b"9" * 5_000, Shape.GARBAGE, None),
}


@pytest.mark.parametrize(("body", "shape", "payload"), BODIES.values(), ids=BODIES.keys())
def test_every_body_has_a_shape(body, shape, payload):
    """A body is JSON, several documents, a page, empty, too large, or garbage; the first document is the payload."""
    document = parse(Answer(status=200, body=body))
    assert (document.shape, document.payload) == (shape, payload)


@pytest.mark.parametrize(("status", "ok"), [(199, False), (200, True), (201, True), (299, True), (300, False)])
def test_a_success_is_a_2xx(status, ok):
    """Statuses from 200 to 299 are successes, whatever the body."""
    assert parse(Answer(status=status, body=b"")).ok is ok


def test_what_the_headers_said_stays_with_the_document():
    """Status, the named delay and the request's id go from the answer to the document."""
    document = parse(Answer(status=429, body=b"{}", retry_after_s=7.0, request_id="r-1"))
    assert (document.status, document.retry_after_s, document.request_id) == (429, 7.0, "r-1")


def test_an_excerpt_is_one_short_line():
    """An excerpt has at most 200 characters on one line, and says so when it was cut."""
    document = parse(Answer(status=502, body=("<p>\n" + "ü" * 1_000).encode()))
    assert document.excerpt.startswith("<p> ü")
    assert document.excerpt.endswith("…")
    assert len(document.excerpt) == 200
    assert parse(Answer(status=502, body=None)).excerpt == ""


@given(st.binary())
def test_no_bytes_are_an_exception(body):
    """Any bytes at all are parsed into a document."""
    assert isinstance(parse(Answer(status=200, body=body)).shape, Shape)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=9))
def test_json_is_read_as_it_was_written(payload):
    """What a service encodes is what is read."""
    document = parse(Answer(status=200, body=json.dumps(payload).encode()))
    assert (document.shape, document.payload) == (Shape.JSON, payload)


PICTURE = "data:image/png;base64,iVBORw0KGgo="
HOLDERS = {
    "in a field": {"image_url": PICTURE},
    "in the request": {"request": {"keyframes": {"frame0": {"type": "image", "url": PICTURE}}}},
    "in lists": [[{"deep": [PICTURE]}]],
    "of half a surrogate pair": {"image_url": "data:image/\ud800"},
}
ENCODINGS = {
    "plain": lambda text: text.encode(),
    "an escaped letter": lambda text: text.replace("data:", "d\\u0061ta:").encode(),
    "an escaped colon": lambda text: text.replace("data:", "data\\u003A").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
}


@pytest.mark.parametrize("payload", HOLDERS.values(), ids=HOLDERS.keys())
@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_an_inline_image_is_kept_as_its_digest(payload, encode):
    """A service that repeats an inline image fills no memory and no journal with it, however it is spelled."""
    read = parse(Answer(status=200, body=encode(json.dumps(payload)))).payload
    assert read == without_images(payload) != payload
    assert "data:sha256," in json.dumps(read)


def test_json_without_an_image_is_kept_as_it_is():
    """What only resembles an inline image stays, even if it made us look closer."""
    payload = {"a": [{"b": [None, 1.5, "data", "a data: b"]}]}
    assert parse(Answer(status=200, body=json.dumps(payload).encode())).payload == payload


def test_a_picture_is_found_however_deep_it_lies():
    """What is nested as deep as json reads costs no id: an answer that names a purchase still names it."""
    payload = {"id": "g1", "nested": [PICTURE]}
    for _ in range(450):
        payload["nested"] = [payload["nested"]]
    document = parse(Answer(status=201, body=json.dumps(payload).encode()))
    assert (document.shape, document.payload["id"]) == (Shape.JSON, "g1")
    assert "iVBORw0KGgo" not in json.dumps(document.payload)


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
