"""The few answer headers that mean something to us."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Source: relays of the one-api family name theirs; the others are what gateways commonly add.
_REQUEST_ID_NAMES = ("X-Oneapi-Request-Id", "X-Request-Id", "X-Rixapi-Request-Id", "CF-Ray")
_LONGEST_REQUEST_ID = 128


def read_request_id(headers: Mapping[str, str]) -> str | None:
    """Return what the service calls this exchange, if it says so."""
    for name in _REQUEST_ID_NAMES:
        value = headers.get(name)
        if value and len(value) <= _LONGEST_REQUEST_ID:
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
    until, sent = _date(value), _date(headers.get("Date", ""))
    if until is None or sent is None:
        return None
    return max(0.0, (until - sent).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None
