"""What people see while they wait: live lines with rich on a terminal, a plain line a change elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luma_async import Changed, Downloaded, Finished, Submitted
from luma_async.cli.shapes import generation_json

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from luma_async import Event, Generation

_PROMPT_CHARS = 40
_LABEL_CHARS = 60
_MOST_ROWS = 10
"""A terminal has few lines, and each refresh draws all of them."""


class Progress:
    """Shows how generations come along; this one shows nothing."""

    def __init__(self) -> None:
        self.afterwards: list[str] = []
        """What to say when the display is gone: it breaks lines, and a command to paste must not be broken."""
        self.bought: bool = False
        """Whether anything was bought meanwhile."""
        self.on_disk: dict[str, Path] = {}
        """The files that were put on disk, by id."""

    def observe(self, event: Event) -> None:
        """Take note of what happened in the session."""
        self.bought = self.bought or isinstance(event, Submitted)
        if isinstance(event, Downloaded):
            self.on_disk[event.generation_id] = event.path
        if isinstance(event, Submitted | Changed | Finished):
            self.show(event.generation)

    def show(self, generation: Generation) -> None:
        """Show the newest state."""


def print_status(text: str) -> None:
    """Tell people something, beside the data."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return a text without what a terminal would obey: services and their errors have a say in it."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def put_json(document: dict[str, Any]) -> None:
    """Print one JSON document on a line of its own, in ASCII: no locale can spoil it."""
    print(json.dumps(document), flush=True)


def put_generation(generation: Generation, **more: Any) -> None:
    """Print a generation as JSON."""
    put_json({**generation_json(generation), **more})


def put_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table for people; its last column is as wide as it is."""
    lines = [head, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def shorten(prompt: str) -> str:
    """Return a prompt as one line that fits into a table."""
    words = " ".join(prompt.split())
    return words if len(words) <= _PROMPT_CHARS else words[: _PROMPT_CHARS - 1] + "…"


def on_terminal() -> bool:
    """Whether a live display makes sense: somebody watches, and rich is there."""
    watched = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return watched and importlib.util.find_spec("rich") is not None


@contextmanager
def progress(label: str | None = None, *, quiet: bool = False) -> Generator[Progress]:
    """Show generations until the block ends; without a label, each is called by its id."""
    called = None if label is None else printable(" ".join(label.split()))[:_LABEL_CHARS]
    shown = Progress()
    try:
        if not quiet and on_terminal():
            with _live(called) as shown:
                yield shown
        else:
            shown = Progress() if quiet else _Lines(called)
            yield shown
    finally:
        for text in shown.afterwards:
            print_status(text)


class _Lines(Progress):
    def __init__(self, label: str | None) -> None:
        super().__init__()
        self._label = label
        self._began_at_s = time.monotonic()
        self._shown: dict[str, str] = {}

    def show(self, generation: Generation) -> None:
        """Print a line when the state has changed."""
        state = describe(generation)
        if state != self._shown.get(generation.id):
            self._shown[generation.id] = state
            print_status(f"{time.monotonic() - self._began_at_s:6.1f} s  {self._label or generation.id}: {state}")


class _LiveOne(Progress):
    def __init__(self, bar: Any, label: str) -> None:
        super().__init__()
        self._bar = bar
        self._row = bar.add_task(label, total=None, state="submitting")

    def show(self, generation: Generation) -> None:
        """Change the line."""
        self._bar.update(self._row, state=describe(generation))


class _LiveMany(Progress):
    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._bar = bar
        self._rows: dict[str, Any] = {}

    def show(self, generation: Generation) -> None:
        """Change its line, while there are lines to spare; how it ended is told by whoever waited."""
        row = self._rows.get(generation.id)
        if generation.final:
            if row is not None:
                self._bar.remove_task(self._rows.pop(generation.id))
        elif row is not None:
            self._bar.update(row, state=describe(generation))
        elif len(self._rows) < _MOST_ROWS:
            self._rows[generation.id] = self._bar.add_task(generation.id, total=None, state=describe(generation))


@contextmanager
def _live(label: str | None) -> Generator[Progress]:
    from rich.console import Console  # noqa: PLC0415 - rich is an extra
    from rich.progress import Progress as Bar  # noqa: PLC0415 - the same
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - the same

    columns = (
        SpinnerColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}: {task.fields[state]}", markup=False),
    )
    # What is printed meanwhile goes above the lines if it goes to the same terminal; into a file it goes as it is.
    with Bar(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty(), transient=not label) as bar:
        yield _LiveOne(bar, label) if label else _LiveMany(bar)


def describe(generation: Generation) -> str:
    """Say in a few words where a generation is."""
    words = [printable(generation.raw_state or str(generation.state))]
    if generation.progress is not None and not generation.final:
        words.append(f"{generation.progress:.0%}")
    if generation.estimate_wait_s is not None and not generation.final:
        words.append(f"about {generation.estimate_wait_s:.0f} s left")
    if generation.failure_reason:
        words.append(f"({printable(generation.failure_reason)})")
    return " ".join(words)
