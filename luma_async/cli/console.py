"""What people see while they wait: one live line with rich on a terminal, a plain line a change elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luma_async import Changed, Finished, Submitted
from luma_async.cli.shapes import generation_json

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from luma_async import Event, Generation

_PROMPT_CHARS = 40


class Progress:
    """Shows how one generation comes along; this one shows nothing."""

    def observe(self, event: Event) -> None:
        """Take note of what happened in the session."""
        if isinstance(event, Submitted | Changed | Finished):
            self.show(event.generation)

    def show(self, generation: Generation) -> None:
        """Show the newest state."""


def say(text: str) -> None:
    """Tell people something, beside the data."""
    print(text, file=sys.stderr, flush=True)


def put_json(document: dict[str, Any]) -> None:
    """Print one JSON document on a line of its own."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def put_generation(generation: Generation, **more: Any) -> None:
    """Print a generation as JSON."""
    put_json({**generation_json(generation), **more})


def put_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table for people; its last column is as wide as it is."""
    lines = [head, *rows]
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
def progress(label: str, *, quiet: bool = False) -> Generator[Progress]:
    """Show one generation until the block ends."""
    if quiet:
        yield Progress()
    elif on_terminal():
        with _live(label) as live:
            yield live
    else:
        yield _Lines(label)


class _Lines(Progress):
    def __init__(self, label: str) -> None:
        self._label = label
        self._began_at_s = time.monotonic()
        self._shown = ""

    def show(self, generation: Generation) -> None:
        """Print a line when the state has changed."""
        state = describe(generation)
        if state != self._shown:
            self._shown = state
            say(f"{time.monotonic() - self._began_at_s:6.1f} s  {self._label}: {state}")


class _Live(Progress):
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar = bar
        self._task = task

    def show(self, generation: Generation) -> None:
        """Change the live line."""
        self._bar.update(self._task, state=describe(generation))


@contextmanager
def _live(label: str) -> Generator[_Live]:
    from rich.console import Console  # noqa: PLC0415 - rich is an extra
    from rich.progress import Progress as Bar  # noqa: PLC0415 - the same
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    columns = (
        SpinnerColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}: {task.fields[state]}", markup=False),
    )
    with Bar(*columns, console=Console(stderr=True), transient=False) as bar:
        yield _Live(bar, bar.add_task(Text(label).plain, total=None, state="submitting"))


def describe(generation: Generation) -> str:
    """Say in a few words where a generation is."""
    words = [generation.raw_state or str(generation.state)]
    if generation.progress is not None and not generation.final:
        words.append(f"{generation.progress:.0%}")
    if generation.estimate_wait_s is not None and not generation.final:
        words.append(f"about {generation.estimate_wait_s:.0f} s left")
    if generation.failure_reason:
        words.append(f"({generation.failure_reason})")
    return " ".join(words)
