"""Print statuses for people on stderr, and tables or JSON on stdout."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luma_async import Entry, Generation

_MAX_PROMPT_CHARS = 40
"""How much of a prompt a table shows."""


def print_status(text: str) -> None:
    """Print a line for people, on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Replace control characters, which a terminal would obey: parts of the text come from the service."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def shorten(text: str, max_chars: int = _MAX_PROMPT_CHARS) -> str:
    """Return a text as one printable line of at most so many characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout; each column is as wide as its widest cell."""
    lines = [head, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on a line of stdout, in ASCII, which every locale can encode."""
    print(json.dumps(document), flush=True)


def print_generation(generation: Generation, **more: Any) -> None:
    """Print a generation as JSON, without the response that it was read from."""
    print_json({**as_json(generation, without={"raw"}), **more})


def print_entry(entry: Entry) -> None:
    """Print an entry of the journal as JSON."""
    print_json(as_json(entry, without={"raw", "owner"}))


def as_json(value: attrs.AttrsInstance, *, without: set[str]) -> dict[str, Any]:
    """Return a value with its fields as JSON can hold them, those of nested values included."""
    return cast("dict[str, Any]", _plain(attrs.asdict(value, filter=lambda field, _: field.name not in without)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Enum) else value
