"""Entries as rows of a table: plain columns for what is searched, JSON for what is only stored."""

from __future__ import annotations

import json
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from luma_async.values.entries import Entry, Phase
from luma_async.values.models import Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Long values come last: a search for a phase does not read that far.
COLUMNS = (
    "key",
    "phase",
    "service",
    "generation_id",
    "digest",
    "owner",
    "attempts",
    "sent_at",
    "updated_at",
    "reason",
    "path",
    "request",
    "generation",
)

_values: Callable[[Entry], tuple[Any, ...]] = attrgetter(*COLUMNS)


def to_row(entry: Entry) -> list[Any]:
    """Encode an entry in all columns."""
    return [_encode(name, value) for name, value in zip(COLUMNS, _values(entry), strict=True)]


def to_changes(before: Entry, after: Entry) -> dict[str, Any]:
    """Encode the columns that differ between two entries."""
    values = zip(COLUMNS, _values(before), _values(after), strict=True)
    return {name: _encode(name, new) for name, old, new in values if new is not old}


def _encode(name: str, value: Any) -> Any:
    return _ENCODERS[name](value) if name in _ENCODERS else value


def from_row(row: Sequence[Any]) -> Entry:
    """Decode an entry from all columns.

    Raises:
        ValueError, KeyError, TypeError: the row is damaged.
    """
    named = zip(COLUMNS, row, strict=True)
    return Entry(**{name: _DECODERS[name](value) if name in _DECODERS else value for name, value in named})


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _read_moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(text: str | None) -> str | bytes | None:
    """Encode a text from outside: a service's message or a file name may contain what UTF-8 cannot encode."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _read_text(text: str | bytes | None) -> str | None:
    return text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text


def _generation(generation: Generation | None) -> str | None:
    """Encode the fields that are not None."""
    if generation is None:
        return None
    form = generation.to_dict(raw=True)
    if list(generation.outputs) == [each for each in (generation.video, generation.image) if each is not None]:
        # They are the default, and would double the links.
        del form["outputs"]
    return json.dumps({name: value for name, value in form.items() if value is not None})


def _read_generation(text: str | None) -> Generation | None:
    return None if text is None else Generation.from_dict(json.loads(text))


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "phase": str,
    "sent_at": _moment,
    "updated_at": _moment,
    "reason": _text,
    "path": _text,
    "request": json.dumps,
    "generation": _generation,
}
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "phase": Phase,
    "sent_at": _read_moment,
    "updated_at": _read_moment,
    "reason": _read_text,
    "path": _read_text,
    "request": json.loads,
    "generation": _read_generation,
}
