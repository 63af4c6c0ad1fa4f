"""Entries as rows of a table: plain columns for what is searched, JSON for what is only stored."""

from __future__ import annotations

import json
from decimal import Decimal
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
    "price",
    "charges",
    "request",
    "generation",
)

_values: Callable[[Entry], tuple[Any, ...]] = attrgetter(*COLUMNS)


class RowFormat:
    """How a database stores the values of an entry.

    Args:
        encoders: what encodes the values of a column, where it is not stored as it is.
        decoders: the reverse.
    """

    def __init__(self, *, encoders: dict[str, Callable[[Any], Any]], decoders: dict[str, Callable[[Any], Any]]) -> None:
        self._encoders = _ENCODERS | encoders
        self._decoders = _DECODERS | decoders

    def to_row(self, entry: Entry) -> list[Any]:
        """Encode an entry in all columns."""
        return [self._encode(name, value) for name, value in zip(COLUMNS, _values(entry), strict=True)]

    def to_changes(self, before: Entry, after: Entry) -> dict[str, Any]:
        """Encode the columns that differ between two entries."""
        values = zip(COLUMNS, _values(before), _values(after), strict=True)
        return {name: self._encode(name, new) for name, old, new in values if new is not old and new != old}

    def from_row(self, row: Sequence[Any]) -> Entry:
        """Decode an entry from all columns.

        Raises:
            ValueError, KeyError, TypeError: the row is damaged.
        """
        read = self._decoders
        named = zip(COLUMNS, row, strict=True)
        return Entry(**{name: read[name](value) if name in read else value for name, value in named})

    def _encode(self, name: str, value: Any) -> Any:
        return self._encoders[name](value) if name in self._encoders else value


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


def _price(price: Decimal | None) -> str | None:
    return None if price is None else str(price)


def _read_price(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "phase": str,
    "price": _price,
    "request": json.dumps,
    "generation": _generation,
}
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "phase": Phase,
    "price": _read_price,
    "request": json.loads,
    "generation": _read_generation,
}
