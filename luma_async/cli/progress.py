"""Show progress on stderr: drawn in place with rich on a terminal, one line for each change elsewhere."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luma_async import Changed, Downloaded, Finished, Submitted
from luma_async.cli.output import Volume, print_always, print_status, printable, shorten
from luma_async.cli.waits import Waits, duration

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from luma_async import Batch, Event, Generation, Outcome

_MAX_LABEL_CHARS = 60
_MAX_PROMPT_CHARS = 50
_MAX_ROWS = 10
"""A terminal has few lines, and every refresh draws all rows: ten take milliseconds, five hundred take 0.1 s."""
_TICK_S = 0.5


def _draws() -> bool:
    """Whether rich is installed, stderr is a terminal that can move its cursor, and neither `-q` nor `-v` was typed."""
    can_draw = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    shown_in_lines = Volume.quiet or Volume.verbose
    return can_draw and not shown_in_lines and importlib.util.find_spec("rich") is not None


def _describe(generation: Generation) -> str:
    """Return the state in a few words."""
    words = [printable(generation.raw_state or str(generation.state))]
    if generation.progress is not None and not generation.final:
        words.append(f"{generation.progress:.0%}")
    if generation.estimate_wait_s is not None and not generation.final:
        words.append(f"about {generation.estimate_wait_s:.0f} s left")
    if generation.failure_reason:
        words.append(f"({printable(generation.failure_reason)})")
    return " ".join(words)


class _Rows:
    """The rows of a live display: one for each unfinished generation, at most ten."""

    def __init__(self, bar: Any, *, total: float | None) -> None:
        self._bar = bar
        self._total = total
        self._rows: dict[str, Any] = {}

    def show(self, generation: Generation, label: str) -> None:
        """Add, update or remove the row of this generation."""
        row = self._rows.get(generation.id)
        if generation.final:
            if row is not None:
                self._bar.remove_task(self._rows.pop(generation.id))
            return
        shown = {"completed": generation.progress or 0.0, "state": _describe(generation)}
        if row is not None:
            self._bar.update(row, **shown)
        elif len(self._rows) < _MAX_ROWS:
            self._rows[generation.id] = self._bar.add_task(label, total=self._total, **shown)


class _Display:
    """Says on stderr what holds up a command, also where nothing else is shown: silence looks like a hang."""

    shows_counts = False
    """Whether the counts are on the screen all the time, so that they need no line."""

    def __init__(self) -> None:
        self._waits = Waits(time.monotonic())
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at the clock from now on."""
        self.tick()
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self.start)

    def stop(self) -> None:
        """Look at the clock no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def observe(self, event: Event) -> None:
        """Take an event of the session."""
        self._waits.observe(event, time.monotonic())
        self.tick()

    def tick(self) -> None:
        """Print a line about a wait if it is due."""
        unsubmitted, running = (0, 0) if self.shows_counts else self.counts()
        if (text := self._waits.due(time.monotonic(), unsubmitted=unsubmitted, running=running)) is not None:
            print_status(text)

    def counts(self) -> tuple[int, int]:
        """Return how many requests have no answer to their submit yet, and how many generations are running."""
        return 0, 0


# Single generations


class Progress(_Display):
    """Follow the events of a session. This base class shows nothing but waits."""

    def __init__(self) -> None:
        super().__init__()
        self.final_messages: list[str] = []
        """Printed after the display has ended: it would wrap a command that is meant to be copied."""
        self.submitted: bool = False
        """Whether this session has submitted anything."""
        self.on_disk: dict[str, Path] = {}
        """The downloaded files, by generation id."""

    def observe(self, event: Event) -> None:
        """Take an event of the session."""
        super().observe(event)
        self.submitted = self.submitted or isinstance(event, Submitted)
        if isinstance(event, Downloaded):
            self.on_disk[event.generation_id] = event.path
        if isinstance(event, Submitted | Changed | Finished):
            self.show(event.generation)

    def show(self, generation: Generation) -> None:
        """Show the newest state of a generation."""


@contextmanager
def progress(label: str | None = None, *, quiet: bool = False) -> Generator[Progress]:
    """Show generations until the block ends; without a label, each is named by its id."""
    label = None if label is None else shorten(label, _MAX_LABEL_CHARS)
    shown = Progress()
    try:
        if not quiet and _draws():
            with _live(label) as shown:
                shown.start()
                yield shown
        else:
            shown = Progress() if quiet else _Lines(label)
            shown.start()
            yield shown
    finally:
        shown.stop()
        for text in shown.final_messages:
            print_always(text)


class _Lines(Progress):
    def __init__(self, label: str | None) -> None:
        super().__init__()
        self._label = label
        self._began_at_s = time.monotonic()
        self._shown: dict[str, str] = {}

    def show(self, generation: Generation) -> None:
        """Print a line when the state has changed."""
        state = _describe(generation)
        if state != self._shown.get(generation.id):
            self._shown[generation.id] = state
            print_status(f"{time.monotonic() - self._began_at_s:6.1f} s  {self._label or generation.id}: {state}")


class _LiveOne(Progress):
    def __init__(self, bar: Any, label: str) -> None:
        super().__init__()
        self._bar = bar
        self._row = bar.add_task(label, total=None, state="submitting")

    def show(self, generation: Generation) -> None:
        """Update the only row."""
        self._bar.update(self._row, state=_describe(generation))


class _LiveMany(Progress):
    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._rows = _Rows(bar, total=None)

    def show(self, generation: Generation) -> None:
        """Update its row; the command prints how it ended."""
        self._rows.show(generation, generation.id)


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
    # If stdout is the same terminal, rich prints it above the rows; a file gets it unchanged.
    with Bar(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty(), transient=not label) as bar:
        yield _LiveOne(bar, label) if label else _LiveMany(bar)


# A batch


class BatchProgress(_Display):
    """Follow a batch. This base class shows nothing but waits."""

    def __init__(self) -> None:
        super().__init__()
        self._batch: Batch | None = None

    def follow(self, batch: Batch) -> None:
        """Show the counts of this batch from now on."""
        self._batch = batch
        self.start()

    def counts(self) -> tuple[int, int]:
        """Return the counts of the batch."""
        if self._batch is None or (total := self._batch.stats.total) is None:
            return 0, 0
        return total - self._batch.stats.ended - self._batch.stats.running, self._batch.stats.running

    def ended(self, outcome: Outcome, error: str | None) -> None:
        """Show how an item ended: its path, or the text of its error."""


@contextmanager
def batch_progress(total: int, *, quiet: bool = False) -> Generator[BatchProgress]:
    """Show a batch of `total` items until the block ends."""
    if _draws() and not quiet:
        with _live_batch(total) as live:
            try:
                yield live
            finally:
                live.stop()
    else:
        shown = BatchProgress() if quiet else _BatchLines(total)
        try:
            yield shown
        finally:
            shown.stop()


class _BatchLines(BatchProgress):
    def __init__(self, total: int) -> None:
        super().__init__()
        self._total = total
        self._ended = 0
        self._began_at_s = time.monotonic()

    def ended(self, outcome: Outcome, error: str | None) -> None:
        """Print a line."""
        self._ended += 1
        elapsed_s = time.monotonic() - self._began_at_s
        result = outcome.path if error is None else error
        show = print_status if error is None else print_always
        show(f"{elapsed_s:6.1f} s  {self._ended}/{self._total}  {_prompt(outcome)}: {result}")


class _LiveBatch(BatchProgress):
    shows_counts = True

    def __init__(self, bar: Any, total: Any) -> None:
        super().__init__()
        self._bar = bar
        self._total = total
        self._rows = _Rows(bar, total=1.0)

    def tick(self) -> None:
        """Show the counts too: the batch counts a submit shortly after its event."""
        super().tick()
        self._count()

    def observe(self, event: Event) -> None:
        """Update the row of the generation."""
        super().observe(event)
        if isinstance(event, Submitted | Changed | Finished):
            generation = event.generation
            self._rows.show(generation, shorten(generation.prompt or generation.id, _MAX_PROMPT_CHARS))

    def ended(self, outcome: Outcome, error: str | None) -> None:
        """Advance the bar; print a line above it for an error."""
        if error is not None:
            self._bar.console.print(printable(f"{_prompt(outcome)}: {error}"), markup=False, highlight=False)
        self._count()

    def _count(self) -> None:
        if self._batch is None:
            return
        stats = self._batch.stats
        words = [f"{stats.done} done", f"{stats.running} running"]
        waiting, _ = self.counts()
        words += [f"{waiting} waiting"] if waiting else []
        words += [f"{stats.failed} failed"] if stats.failed else []
        words += [f"{stats.in_doubt} in doubt"] if stats.in_doubt else []
        words += [f"about {duration(stats.seconds_left)} left"] if stats.seconds_left else []
        self._bar.update(self._total, completed=stats.ended, state=", ".join(words))


@contextmanager
def _live_batch(total: int) -> Generator[_LiveBatch]:
    from rich.console import Console  # noqa: PLC0415 - rich is an extra
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415 - the same
    from rich.progress import Progress as Bar  # noqa: PLC0415 - the same

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _LiveBatch(bar, bar.add_task("all", total=total, state="reading the journal"))


def _prompt(outcome: Outcome) -> str:
    return shorten(getattr(outcome.request, "prompt", None) or f"item {outcome.index}", _MAX_PROMPT_CHARS)
