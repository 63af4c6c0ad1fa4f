"""Print statuses for people on stderr, and tables, paths or JSON on stdout.

Everything that the command line prints passes through `printable()` or is JSON in ASCII.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import attrs

    from luma_async import Entry, Generation

_MAX_PROMPT_CHARS = 40
"""How much of a prompt a table shows."""


class Volume:
    """How much goes to stderr: `-q` leaves errors, and what a person has to decide; `-v` adds the log."""

    quiet = False
    verbose = False


def never_fail_to_encode() -> None:
    """Print what the locale cannot encode with escapes: no text may end a command that has paid."""
    codecs.register_error("luma_async", _encode_anyway)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="luma_async")


def _encode_anyway(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode a file name as the file system has it, and anything else with escapes."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def print_status(text: str) -> None:
    """Print a line for people, on stderr, unless `-q` was typed."""
    if not Volume.quiet:
        print_always(text)


def print_error(text: str) -> None:
    """Print what went wrong, on stderr."""
    print_always(f"luma-async: {text}")


def print_always(text: str) -> None:
    """Print a line for people, on stderr, also after `-q`. If nothing can be written to it, the command goes on."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except OSError:  # its reader has ended, or the disk of its file is full
        drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """Drop what was and will be written to a stream that takes no more, so that Python does not print an error."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def print_line(text: str) -> None:
    """Print a line on stdout."""
    print(printable(text), flush=True)


def print_path(path: Path | None) -> None:
    """Print a path on stdout; a program that reads it gets it exactly."""
    print(printable(str(path)) if sys.stdout.isatty() else path, flush=True)


def as_typed(path: Path, typed: str | Path) -> Path:
    """Return a path in the form of the typed file or folder: absolute, or relative to the working directory.

    The journal has absolute paths, so that the same file would otherwise be printed in two forms.
    """
    if Path(typed).is_absolute():
        return path.absolute()
    return Path(os.path.relpath(path)) if path.is_absolute() else path


def printable(text: str) -> str:
    """Replace control characters, which a terminal would obey: parts of the text come from services and files."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def one_line(text: str) -> str:
    """Return a text as one printable line."""
    return printable(" ".join(text.split()))


def shorten(text: str, max_chars: int = _MAX_PROMPT_CHARS) -> str:
    """Return a text as one printable line of at most so many characters."""
    line = one_line(text)
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def local_time(moment: datetime) -> str:
    """Return a time in the zone of this machine, with the zone's difference from UTC."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %z}"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout; each column is as wide as its widest cell."""
    lines = [head, *([printable(cell).replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on a line of stdout, in ASCII, which every locale can encode."""
    print(json.dumps(document), flush=True)


def print_generation(generation: Generation, **more: Any) -> None:
    """Print a generation as JSON, without the response that it was read from."""
    print_json({**generation.to_dict(), **more})


def print_entry(entry: Entry) -> None:
    """Print an entry of the journal as JSON."""
    print_json(entry_document(entry))


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return an entry of the journal as JSON can hold it, and its generation as `print_generation()` prints it."""
    generation = entry.generation and entry.generation.to_dict()
    return as_json(entry, without={"generation", "owner"}) | {"generation": generation}


def as_json(value: attrs.AttrsInstance, *, without: set[str]) -> dict[str, Any]:
    """Return a value with its fields as JSON can hold them, those of nested values included."""
    import attrs  # noqa: PLC0415 - `--help` does not need it

    return cast("dict[str, Any]", _plain(attrs.asdict(value, filter=lambda field, _: field.name not in without)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Enum | Decimal) else value
