"""From bytes to JSON: what an answer is before anybody asks what it means.

Relays answer with HTML pages of their proxies, with nothing at all, with two JSON documents back to back, and with
bodies that no parser should be fed. None of that is an exception here: it is a shape, and the shapes are few.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

import attrs

from luma_async._wire.json_shapes import is_list, is_object
from luma_async.values.redaction import EXCERPT_CHARS, clip, without_image

_HEAD_BYTES = 4 * EXCERPT_CHARS
"""A character takes four bytes at most."""

_ESCAPED_MARK = re.compile(rb"\\u00(?:64|61|74|3[aA])")
"""A letter of `data:` that is written as an escape."""


@attrs.frozen(kw_only=True)
class Answer:
    """A complete HTTP answer, as bytes."""

    status: int
    """The HTTP status."""
    body: bytes | None = attrs.field(repr=False)
    """The body; None when it is larger than we read."""
    retry_after_s: float | None = None
    """Seconds, when the service names them."""
    request_id: str | None = None
    """What the service calls this exchange."""


class Shape(StrEnum):
    """What a body is, before anybody asks what it means."""

    JSON = "json"
    """One JSON document."""
    SEVERAL = "several documents"
    """JSON documents back to back; the first one is the payload."""
    HTML = "html"
    """A page meant for people."""
    EMPTY = "empty"
    """Nothing."""
    TOO_LARGE = "too large"
    """More than we read."""
    GARBAGE = "garbage"
    """None of these."""


@attrs.frozen(kw_only=True)
class Document:
    """An answer whose body was parsed once."""

    status: int
    """The HTTP status."""
    shape: Shape
    """What the body is."""
    payload: Any = attrs.field(default=None, repr=False, hash=False)
    """The JSON: an object, a list, or a scalar. Inline images in it, which relays repeat, are replaced by their
    digest, so that no memory and no journal is filled with them."""
    head: bytes = attrs.field(default=b"", repr=False)
    """The beginning of the body."""
    retry_after_s: float | None = None
    """Seconds, when the service names them."""
    request_id: str | None = None
    """What the service calls this exchange."""

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for errors."""
        return clip(self.head.decode("utf-8", "replace"))


def parse(answer: Answer) -> Document:
    """Parse an answer's body; whatever it is, there is a shape for it."""
    shape, payload = _parse_body(answer.body)
    return Document(
        status=answer.status,
        shape=shape,
        payload=payload,
        head=(answer.body or b"")[:_HEAD_BYTES],
        retry_after_s=answer.retry_after_s,
        request_id=answer.request_id,
    )


def _parse_body(body: bytes | None) -> tuple[Shape, Any]:
    if body is None:
        return Shape.TOO_LARGE, None
    try:
        payload = json.loads(body)
        if _may_hold_picture(body):
            _shorten_pictures(payload)
    except (ValueError, RecursionError):
        return _parse_odd_body(body)
    return Shape.JSON, payload


def _may_hold_picture(body: bytes) -> bool:
    """Look for an inline image in the bytes, which is cheap: nearly no answer holds one. UTF-16 is full of zeros."""
    return b"data:" in body or (b"\\" in body and _ESCAPED_MARK.search(body) is not None) or b"\0" in body


def _shorten_pictures(payload: Any) -> None:
    """Replace inline images in a payload that is nobody else's yet, however deep they lie."""
    holders = [payload]
    # The list grows while it is read.
    for holder in holders:
        if is_object(holder):
            places: list[tuple[Any, Any]] = list(holder.items())
        elif is_list(holder):
            places = list(enumerate(holder))
        else:
            continue
        for place, inner in places:
            if isinstance(inner, str):
                holder[place] = without_image(inner)
            else:
                holders.append(inner)


def _parse_odd_body(body: bytes) -> tuple[Shape, Any]:
    text = body.decode("utf-8", "replace").lstrip("\ufeff").strip()
    if not text:
        return Shape.EMPTY, None
    if text[0] == "<":
        return Shape.HTML, None
    try:
        first, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return Shape.GARBAGE, None
    return (Shape.SEVERAL if text[end:].lstrip()[:1] in {"{", "["} else Shape.GARBAGE), first
