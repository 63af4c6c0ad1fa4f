"""From bytes to JSON: the shapes of bodies, and the two headers that are read."""

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
def test_body_shapes(body, shape, payload):
    """A body is JSON, several documents, a page, empty, too large, or garbage; the first document is the payload."""
    document = parse(Answer(status=200, body=body))
    assert (document.shape, document.payload) == (shape, payload)


@pytest.mark.parametrize(("status", "ok"), [(199, False), (200, True), (201, True), (299, True), (300, False)])
def test_document_ok(status, ok):
    """Statuses from 200 to 299 are successes, whatever the body."""
    assert parse(Answer(status=status, body=b"")).ok is ok


def test_document_fields():
    """The status, the named delay and the request id are copied from the answer to the document."""
    document = parse(Answer(status=429, body=b"{}", retry_after_s=7.0, request_id="r-1"))
    assert (document.status, document.retry_after_s, document.request_id) == (429, 7.0, "r-1")


def test_excerpt():
    """An excerpt is one line of at most 200 characters, with an ellipsis if it was cut."""
    document = parse(Answer(status=502, body=("<p>\n" + "ü" * 1_000).encode()))
    assert document.excerpt.startswith("<p> ü")
    assert document.excerpt.endswith("…")
    assert len(document.excerpt) == 200
    assert parse(Answer(status=502, body=None)).excerpt == ""


@given(st.binary())
def test_any_bytes(body):
    """Any bytes are parsed into a document."""
    assert isinstance(parse(Answer(status=200, body=body)).shape, Shape)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=9))
def test_json_round_trip(payload):
    """The payload equals the value that was encoded."""
    document = parse(Answer(status=200, body=json.dumps(payload).encode()))
    assert (document.shape, document.payload) == (Shape.JSON, payload)


IMAGE = "data:image/png;base64,iVBORw0KGgo="
HOLDERS = {
    "in a field": {"image_url": IMAGE},
    "in the request": {"request": {"keyframes": {"frame0": {"type": "image", "url": IMAGE}}}},
    "in lists": [[{"deep": [IMAGE]}]],
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
def test_inline_image(payload, encode):
    """An inline image in any encoding is replaced by its digest."""
    read = parse(Answer(status=200, body=encode(json.dumps(payload)))).payload
    assert read == without_images(payload) != payload
    assert "data:sha256," in json.dumps(read)


def test_json_without_image():
    """A value that only resembles an inline image is unchanged."""
    payload = {"a": [{"b": [None, 1.5, "data", "a data: b"]}]}
    assert parse(Answer(status=200, body=json.dumps(payload).encode())).payload == payload


def test_deeply_nested_image():
    """An image at the depth that `json` still reads is replaced, and the id next to it is found."""
    payload = {"id": "g1", "nested": [IMAGE]}
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
    "many digits": ({"Retry-After": "9" * 400}, 999_999_999.0),
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
def test_retry_after_header(headers, seconds):
    """`Retry-After` is seconds, or a date by the service's own clock; anything else names no delay."""
    assert read_retry_after_s(headers) == seconds


@given(st.text(), st.text())
def test_any_retry_after(delay, date):
    """For any values of the two headers the delay is 0 or more, or None."""
    seconds = read_retry_after_s({"Retry-After": delay, "Date": date})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("name", ["X-Oneapi-Request-Id", "X-Request-Id", "X-Rixapi-Request-Id", "CF-Ray"])
def test_request_id_headers(name):
    """Four headers may hold the request id."""
    assert read_request_id({name: "2025-abc"}) == "2025-abc"


def test_request_id_of_relay():
    """The relay's own header comes before that of a gateway."""
    assert read_request_id({"CF-Ray": "gateway", "X-Oneapi-Request-Id": "relay"}) == "relay"


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": ""}, {"X-Request-Id": "x" * 129}])
def test_malformed_request_id(headers):
    """A request id that is empty or longer than 128 characters is None."""
    assert read_request_id(headers) is None
