"""What a batch decides: when it stops, how long it pauses, how long it will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luma_async._http.retry import MAX_NAMED_DELAY_S, delay_before
from luma_async.values.budget import BudgetExceeded
from luma_async.values.errors import (
    JournalError,
    LumaError,
    NotSent,
    OutOfCredit,
    SessionClosed,
    SubmitInDoubt,
    Unauthorized,
    WrongPrompt,
)

if TYPE_CHECKING:
    from luma_async.values.errors import RateLimited
    from luma_async.values.settings import RetryPolicy

MIN_PAUSE_S = 0.1
"""The shortest pause after a 429: at most ten submits a second that are refused."""
MAX_DOUBTS_IN_A_ROW = 5
"""How many submits in a row may end in doubt. One happens; five mean a relay that drops its responses."""


MAX_UNSENT_IN_A_ROW = 5
"""How many submits in a row may not be sent, in a run in which none was accepted: the service cannot be reached."""


def stops_batch(error: LumaError) -> bool:
    """Whether every further item would fail with this error too, so that the batch stops."""
    return isinstance(error, Unauthorized | OutOfCredit | BudgetExceeded | JournalError | SessionClosed)


def count_doubts(in_a_row: int, error: LumaError | None) -> int:
    """Return how many submits in a row have ended in doubt, after one more item.

    A doubt of an earlier run does not count: it says nothing about the service now.
    """
    if not isinstance(error, SubmitInDoubt):
        return 0
    return in_a_row + 1 if error.fresh else in_a_row


def stop_note(error: LumaError, name: str, progress: BatchProgress, *, total: int | None) -> str:
    """Say that an error stopped a batch, how far it came, and how to go on.

    Args:
        error: the error.
        name: the name of the batch.
        progress: its counts.
        total: the length of its input; None if unknown.
    """
    of_all = "" if total is None else f" of {total}"
    doubts = f", {progress.in_doubt} in doubt" if progress.in_doubt else ""
    steps: list[str] = []
    if progress.in_doubt:
        steps.append("Settle the doubts with session.doubts (or `luma-async in-doubt`).")
    if isinstance(error, WrongPrompt):
        steps.append("What was submitted with the wrong prompt is paid: submit it again under another name or key.")
    else:
        steps.append(
            "To go on, fix that and run the batch again with the same name or keys: it submits only what is missing."
        )
    count = f"{progress.submitted}{of_all} submitted in this run{doubts}"
    return f"This stopped the batch {name!r}: {count}. {' '.join(steps)}"


def pause_after_rate_limit(number: int, error: RateLimited, *, policy: RetryPolicy, jitter: float) -> float:
    """Return for how many seconds a 429 pauses all submits. A batch repeats a 429 without a limit of attempts.

    Args:
        number: how many 429s came since the last accepted submit.
        error: the 429. Its `Retry-After` is obeyed up to a minute, since another 429 costs nothing.
        policy: the bounds.
        jitter: a random number from 0 to 1.
    """
    named_s = None if error.retry_after_s is None else min(error.retry_after_s, MAX_NAMED_DELAY_S)
    return max(MIN_PAUSE_S, delay_before(number, policy, jitter, named_s) or 0.0)


@attrs.frozen(kw_only=True)
class Durations:
    """How long the generations of a batch take."""

    ended: int = 0
    """How many have ended."""
    total_s: float = 0.0
    """The sum of their durations from acceptance to outcome, seconds."""

    def after(self, took_s: float) -> Durations:
        """Count one more."""
        return Durations(ended=self.ended + 1, total_s=self.total_s + took_s)

    def left_s(self, *, waiting: int | None, running: int, width: float) -> float | None:
        """Estimate the seconds until everything has ended.

        Args:
            waiting: how many are still to be submitted; None when the length of the input is unknown.
            running: how many are submitted and not ended.
            width: how many may run at once.

        Returns:
            Seconds; None before the first has ended.
        """
        if waiting is None:
            return None
        if not waiting and not running:
            return 0.0
        if not self.ended:
            return None
        # The running ones are half done on average; the rest runs as many at once as the window allows.
        rounds = max(1.0, waiting / width) if waiting else 0.0
        return self.total_s / self.ended * (rounds + (0.5 if running else 0.0))


@attrs.define(kw_only=True)
class BatchProgress:
    """The counts of one batch."""

    started: int = 0
    """Items taken from the input."""
    submitted: int = 0
    """Generations that this run has purchased."""
    running: int = 0
    """Purchased and not ended."""
    done: int = 0
    """Ended with a generation."""
    failed: int = 0
    """Ended with another error than a doubt."""
    in_doubt: int = 0
    """Ended in doubt."""
    doubts_in_a_row: int = 0
    """Fresh doubts since the last accepted submit."""
    unsent_in_a_row: int = 0
    """Submits in a row that could not be sent."""
    durations: Durations = attrs.field(factory=Durations)
    """How long the generations took."""

    def purchased(self, *, now: bool) -> None:
        """Count a purchase; `now` is False for one of an earlier run."""
        self.running += 1
        if now:
            self.submitted += 1
            self.doubts_in_a_row = 0

    def ended(self, error: LumaError | None, *, purchased: bool, took_s: float | None) -> bool:
        """Count an outcome, and return whether the batch has to stop.

        Args:
            error: why there is no generation; None for a completed one.
            purchased: whether its submit was accepted, now or earlier.
            took_s: seconds since this run submitted it; None for one of an earlier run.
        """
        if error is None:
            self.done += 1
            if took_s is not None:
                self.durations = self.durations.after(took_s)
            return False
        if isinstance(error, SubmitInDoubt):
            self.in_doubt += 1
        else:
            self.failed += 1
        if not purchased:
            self.doubts_in_a_row = count_doubts(self.doubts_in_a_row, error)
            self.unsent_in_a_row = self.unsent_in_a_row + 1 if isinstance(error, NotSent) else 0
        unreachable = self.unsent_in_a_row >= MAX_UNSENT_IN_A_ROW and not self.submitted
        return stops_batch(error) or unreachable or self.doubts_in_a_row >= MAX_DOUBTS_IN_A_ROW
