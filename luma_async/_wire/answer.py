"""From bytes to JSON: the form of an answer, before its meaning is read.

Relays answer with HTML pages of their proxies, with empty bodies, with two JSON documents back to back, and with
bodies too large to parse. None of these raises here: each is one of a few shapes.
"""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs

from luma_async.values.errors import UnreadableResponse
from luma_async.values.redaction import EXCERPT_CHARS, clip, without_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_HEAD_BYTES = 4 * EXCERPT_CHARS
"""A character takes at most four bytes."""
_ESCAPED_MARK = re.compile(rb"\\u00(?:64|61|74|3[aA])")
"""A letter of `data:` that is written as an escape."""
# Source: relays of the one-api family name theirs; the others are what gateways commonly add.
_REQUEST_ID_NAMES = ("X-Oneapi-Request-Id", "X-Request-Id", "X-Rixapi-Request-Id", "CF-Ray")
_MAX_REQUEST_ID_CHARS = 128
_NAMED_ID = re.compile(rb'"(?:id|task_id)"\s*:\s*"([A-Za-z0-9_-]{1,128})"')


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a JSON list."""
    return isinstance(value, list)


@attrs.frozen(kw_only=True)
class RateWindow:
    """What an answer says about the limit of submits."""

    limit: int
    """How many the service takes in its window."""
    remaining: int
    """How many are left."""
    resets_in_s: float
    """Seconds until there are more."""


@attrs.frozen(kw_only=True)
class Answer:
    """A complete HTTP answer, as bytes."""

    status: int
    """The HTTP status."""
    body: bytes | None = attrs.field(repr=False)
    """The body; None when it is larger than is read."""
    retry_after_s: float | None = None
    """Seconds, when the service names them."""
    request_id: str | None = None
    """The service's id of this exchange."""
    base_url: str = ""
    """The address of the service, for links that are relative to it."""
    rate: RateWindow | None = None
    """What it says about the limit of submits."""


class Shape(StrEnum):
    """What a body is."""

    JSON = "json"
    """One JSON document."""
    SEVERAL = "several documents"
    """JSON documents back to back; the first is the payload."""
    HTML = "html"
    """A web page."""
    EMPTY = "empty"
    """Nothing."""
    TOO_LARGE = "too large"
    """More than is read."""
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
    digests, so that they fill neither memory nor a journal."""
    head: bytes = attrs.field(default=b"", repr=False)
    """The beginning of the body."""
    retry_after_s: float | None = None
    """Seconds, when the service names them."""
    request_id: str | None = None
    """The service's id of this exchange."""
    base_url: str = ""
    """The address of the service, for links that are relative to it."""
    rate: RateWindow | None = None
    """What it says about the limit of submits."""

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for errors."""
        return clip(self.head.decode("utf-8", "replace"))

    def unreadable(self, message: str, *paths: str) -> UnreadableResponse:
        """Build the error about an answer that does not hold what was asked for.

        Args:
            message: what is wrong.
            paths: the fields that are missing or malformed.
        """
        return UnreadableResponse(
            message=message,
            status=self.status,
            paths=paths,
            body_excerpt=self.excerpt,
            html=self.shape is Shape.HTML,
        )


def parse(answer: Answer) -> Document:
    """Parse an answer's body; every body has one of the shapes."""
    shape, payload = _parse_body(answer.body)
    return Document(
        status=answer.status,
        shape=shape,
        payload=payload,
        head=(answer.body or b"")[:_HEAD_BYTES],
        retry_after_s=answer.retry_after_s,
        request_id=answer.request_id,
        base_url=answer.base_url,
        rate=answer.rate,
    )


def find_id(part: bytes) -> str | None:
    """Return the first id of a generation in a part of a JSON body; None if there is none."""
    found = _NAMED_ID.search(part)
    return found and found[1].decode()


def _parse_body(body: bytes | None) -> tuple[Shape, Any]:
    if body is None:
        return Shape.TOO_LARGE, None
    try:
        payload = json.loads(body)
        if _may_hold_image(body):
            _replace_images(payload)
    except (ValueError, RecursionError):
        return _parse_odd_body(body)
    return Shape.JSON, payload


def _may_hold_image(body: bytes) -> bool:
    """Look for an inline image in the bytes, which is cheap: hardly any answer holds one. UTF-16 is full of zeros."""
    return b"data:" in body or (b"\\" in body and _ESCAPED_MARK.search(body) is not None) or b"\0" in body


def _replace_images(payload: Any) -> None:
    """Replace inline images at any depth by their digests, in place."""
    holders = [payload]
    # The list grows while it is read, instead of a recursion that a deep body could exhaust.
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


def read_request_id(headers: Mapping[str, str]) -> str | None:
    """Return the service's id of an exchange, if there is one."""
    for name in _REQUEST_ID_NAMES:
        value = headers.get(name)
        if value and len(value) <= _MAX_REQUEST_ID_CHARS:
            return value
    return None


def read_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which the service wants to be asked again.

    A date counts from the answer's own `Date`, so that a wrong clock on either side does not matter.
    """
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until, sent = _parse_date(value), _parse_date(headers.get("Date", ""))
    if until is None or sent is None:
        return None
    return max(0.0, (until - sent).total_seconds())


def read_rate(headers: Mapping[str, str], names: tuple[str, str, str] | None, *, unix_now: float) -> RateWindow | None:
    """Return what an answer says about the limit of submits; None if it says nothing.

    Args:
        headers: of the answer.
        names: the headers of the limit, of what is left, and of the moment at which that changes, in Unix seconds.
        unix_now: the time of day, for an answer without a `Date`.
    """
    values = [headers.get(name, "") for name in names or ()]
    if len(values) != 3 or not all(value.isascii() and value.isdigit() for value in values):
        return None
    limit, remaining, reset = (int(value[:12]) for value in values)
    sent = _parse_date(headers.get("Date", ""))
    since = unix_now if sent is None else sent.timestamp()
    return RateWindow(limit=limit, remaining=remaining, resets_in_s=max(0.0, reset - since))


def _parse_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None
