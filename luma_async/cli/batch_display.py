"""What people see of a batch: a bar and a few active rows on a terminal, a line an outcome elsewhere."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luma_async import Changed, Finished, Submitted
from luma_async.cli.console import describe, on_terminal, print_status, printable

if TYPE_CHECKING:
    from collections.abc import Generator

    from luma_async import Batch, Event, Outcome

_MOST_ROWS = 10
"""A refresh of ten rows takes milliseconds, of five hundred a tenth of a second."""
_PROMPT_CHARS = 50
_BEAT_S = 0.5


class Display:
    """Shows how a batch comes along; this one shows nothing."""

    def follow(self, batch: Batch) -> None:
        """Show this batch from now on."""

    def observe(self, event: Event) -> None:
        """Take note of what happened in the session."""

    def ended(self, outcome: Outcome) -> None:
        """Show how an item ended."""


@contextmanager
def display(total: int, *, quiet: bool = False) -> Generator[Display]:
    """Show a batch of so many items until the block ends."""
    if quiet:
        yield Display()
    elif on_terminal():
        with _live(total) as live:
            yield live
    else:
        yield _Lines(total)


class _Lines(Display):
    def __init__(self, total: int) -> None:
        self._total = total
        self._ended = 0
        self._began_at_s = time.monotonic()

    def ended(self, outcome: Outcome) -> None:
        """Print a line."""
        self._ended += 1
        became = outcome.error if outcome.error is not None else outcome.path
        elapsed_s = time.monotonic() - self._began_at_s
        print_status(f"{elapsed_s:6.1f} s  {self._ended}/{self._total}  {_prompt(outcome)}: {became}")


class _Live(Display):
    def __init__(self, bar: Any, total: Any) -> None:
        self._bar = bar
        self._total = total
        self._rows: dict[str, Any] = {}
        self._batch: Batch | None = None
        self._beat: asyncio.TimerHandle | None = None

    def follow(self, batch: Batch) -> None:
        """Count from this batch, now and again: it counts a submit a little after the event tells of it."""
        self._batch = batch
        self._count()
        self._beat = asyncio.get_running_loop().call_later(_BEAT_S, self.follow, batch)

    def leave(self) -> None:
        """Count no more."""
        if self._beat is not None:
            self._beat.cancel()

    def observe(self, event: Event) -> None:
        """Move the row of a generation, while there are rows to spare."""
        if isinstance(event, Finished):
            row = self._rows.pop(event.generation.id, None)
            if row is not None:
                self._bar.remove_task(row)
        elif isinstance(event, Submitted | Changed) and not event.generation.final:
            generation = event.generation
            if generation.id not in self._rows:
                if len(self._rows) >= _MOST_ROWS:
                    return
                label = _clip(generation.prompt or generation.id)
                self._rows[generation.id] = self._bar.add_task(label, total=1.0, state="")
            self._bar.update(
                self._rows[generation.id], completed=generation.progress or 0.0, state=describe(generation)
            )
        self._count()

    def ended(self, outcome: Outcome) -> None:
        """Move the bar, and leave a line where something went wrong."""
        if outcome.error is not None:
            line = printable(f"{_prompt(outcome)}: {outcome.error}")
            self._bar.console.print(line, markup=False, highlight=False)
        self._count()

    def _count(self) -> None:
        if self._batch is None:
            return
        stats = self._batch.stats
        words = [f"{stats.done} done", f"{stats.running} running"]
        words += [f"{stats.failed} failed"] if stats.failed else []
        words += [f"{stats.in_doubt} in doubt"] if stats.in_doubt else []
        words += [f"about {_span(stats.seconds_left)} left"] if stats.seconds_left else []
        self._bar.update(self._total, completed=stats.ended, state=", ".join(words))


@contextmanager
def _live(total: int) -> Generator[_Live]:
    from rich.console import Console  # noqa: PLC0415 - rich is an extra
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415 - the same
    from rich.progress import Progress as Bar  # noqa: PLC0415 - the same

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        live = _Live(bar, bar.add_task("all", total=total, state="reading the journal"))
        try:
            yield live
        finally:
            live.leave()


def _prompt(outcome: Outcome) -> str:
    return _clip(getattr(outcome.request, "prompt", None) or f"item {outcome.index}")


def _clip(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _PROMPT_CHARS else line[: _PROMPT_CHARS - 1] + "…"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
