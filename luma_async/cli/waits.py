"""What holds up a command apart from its videos: paused submits, failing requests, a service that does not answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from luma_async import Downloading, Paused, Polled, Refused, Retried, Submitted, UnreadableResponse
from luma_async.cli.errors import HTML_PAGE, in_flags

if TYPE_CHECKING:
    from luma_async import Event, LumaError

_NOTICE_AFTER_S = 3.0
"""What is over sooner is not worth a line: batches pause often while they look for the limit of the service."""
_REPEAT_AFTER_S = 60.0
_MAX_REPEAT_AFTER_S = 600.0
"""Lines are repeated after a minute, then after twice as long each time, up to ten minutes."""


class Waits:
    """Follows the events of a session, and decides when a line about a wait is due. Callers pass the time."""

    def __init__(self, now_s: float) -> None:
        self._paused_until_s = now_s
        self._retry_at_s = now_s
        self._submit_error: LumaError | None = None
        self._query_error: LumaError | None = None
        self._download_error: LumaError | None = None
        self._submitted_at_s = now_s
        self._kind = ""
        self._began_at_s = now_s
        # For each kind of wait: when its next line is due, and how long after it another one.
        self._next: dict[str, tuple[float, float]] = {}

    def observe(self, event: Event, now_s: float) -> None:
        """Take an event of the session."""
        match event:
            case Paused():
                self._paused_until_s = max(self._paused_until_s, now_s + event.delay_s)
            case Retried(what="submit"):
                self._submit_error, self._retry_at_s = event.error, now_s + event.delay_s
            case Retried(what="download"):
                self._download_error = event.error
            case Retried():
                self._query_error = event.error
            case Submitted():
                self._submit_error, self._submitted_at_s = None, now_s
            case Polled():
                self._query_error = event.error
            case Downloading():
                self._download_error = None
            case _:
                pass

    def due(self, now_s: float, *, unsubmitted: int = 0, running: int = 0) -> str | None:
        """Return the line that is due now, if any.

        Args:
            now_s: seconds on the clock of the events.
            unsubmitted: how many requests have no answer to their submit yet.
            running: how many generations are running.
        """
        kind, text = self._current(now_s, unsubmitted, running)
        if kind != self._kind:
            self._kind, self._began_at_s = kind, now_s
        long = now_s - self._began_at_s >= _NOTICE_AFTER_S
        pauses_long = kind == "pause" and self._paused_until_s - now_s >= _NOTICE_AFTER_S
        next_s, interval_s = self._next.get(kind, (now_s, _REPEAT_AFTER_S))
        if text is None or now_s < next_s or not (long or pauses_long):
            return None
        self._next[kind] = now_s + interval_s, min(2 * interval_s, _MAX_REPEAT_AFTER_S)
        return text

    def _current(self, now_s: float, unsubmitted: int, running: int) -> tuple[str, str | None]:
        """Return what the command waits for now, and a line about it."""
        if self._paused_until_s > now_s:
            words = f" {_words(self._submit_error)}" if self._submit_error is not None else ""
            return "pause", f"Submits are paused {_until(self._paused_until_s - now_s)}.{words}"
        if self._submit_error is not None:
            left_s = self._retry_at_s - now_s
            again = f"It is repeated in {left_s:.0f} s." if left_s >= 1 else "It is being repeated."
            return "submit", f"The last submit failed. {_words(self._submit_error)} {again}"
        if self._query_error is not None:
            return "query", f"The last status request failed. {_words(self._query_error)} Polling goes on."
        if self._download_error is not None:
            return "download", f"The last attempt of a download failed. {_words(self._download_error)} It is repeated."
        if unsubmitted and running:
            return (
                "slot",
                f"{unsubmitted} wait for a free slot or for the answer to their submit; {running} are running.",
            )
        if unsubmitted:
            waited_s = now_s - self._submitted_at_s
            return "answer", f"{unsubmitted} submitted or waiting; no answer came in the last {waited_s:.0f} s."
        return "", None


def _until(delay_s: float) -> str:
    """Return how long a delay is, and when it ends in local time."""
    now = datetime.now().astimezone()
    end = now + timedelta(seconds=delay_s)
    form = "%H:%M:%S" if end.date() == now.date() else "%Y-%m-%d %H:%M:%S"
    return f"for {duration(delay_s)}, until {end:{form}}"


def _words(error: LumaError) -> str:
    """Return the service's own words, or what went wrong on the way to it, as sentences."""
    if isinstance(error, UnreadableResponse) and error.html:
        return HTML_PAGE.format(error.status)
    if not isinstance(error, Refused):
        text = in_flags(error.message or str(error)).strip()
        return f"{text[:1].upper()}{text[1:].rstrip('.')}."
    said = error.message or error.code or error.body_excerpt or "no explanation"
    asks = "" if error.retry_after_s is None else f" It asks to wait {_until(error.retry_after_s)}."
    return f"The service says (HTTP {error.status}): {said.rstrip('.')}.{asks}"


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that shows it well."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
