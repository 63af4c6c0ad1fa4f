"""What a batch decides: how its purchases are called, and when it stops buying."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._http.retry import LONGEST_NAMED_DELAY_S, delay_before
from luma_async.values.errors import JournalError, LumaError, OutOfCredit, SessionClosed, SubmitInDoubt, Unauthorized
from luma_async.values.validators import LONGEST_KEY

if TYPE_CHECKING:
    from luma_async.values.errors import RateLimited
    from luma_async.values.settings import RetryPolicy

KEY_VERSION = 1
"""Changing how keys are derived would buy every batch of yesterday again: a golden test holds it."""

LEAST_PAUSE_S = 0.1
"""How long a 429 keeps all submits back at least: ten a second find out soon enough, and flood nobody."""
MOST_DOUBTS = 5
"""Fresh doubts in a row that a batch puts up with. One is bad luck; five are a relay that drops its answers."""

_MARK_BYTES = 8
"""What is remembered of each key: 64 bits coincide in one of forty million batches of a million."""


def derive_key(name: str, form: dict[str, Any]) -> str:
    """Return the key of a request in a batch: the same name and request give the same key, in any run.

    Args:
        name: the batch's name.
        form: the request's canonical form.
    """
    text = json.dumps([KEY_VERSION, name, form], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def retry_key(key: str, number: int) -> str:
    """Return the key under which a purchase is made for the `number`-th time, counted from 1."""
    if number == 1:
        return key
    again = f"{key}~{number}"
    return again if len(again) <= LONGEST_KEY else f"{hashlib.sha256(key.encode()).hexdigest()}~{number}"


class KeyCounter:
    """Tells equal items of one batch apart: each is a purchase of its own.

    It keeps some eighty bytes for each distinct key, which is what a batch of a million needs memory for.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._again: dict[int, int] = {}
        self.duplicates = 0
        """How many items were equal to an earlier one."""

    def number(self, key: str) -> str:
        """Return the key, with a counter if it came before."""
        mark = int(key[: 2 * _MARK_BYTES], 16)
        if mark not in self._seen:
            self._seen.add(mark)
            return key
        self.duplicates += 1
        self._again[mark] = number = self._again.get(mark, 1) + 1
        return f"{key}.{number}"


def stops_batch(error: LumaError) -> bool:
    """Whether an error would meet every further item as well, so that a batch stops at it."""
    return isinstance(error, Unauthorized | OutOfCredit | JournalError | SessionClosed)


def count_doubts(in_a_row: int, error: LumaError | None) -> int:
    """Return how many submits in a row have ended in doubt, after one more.

    A doubt that an earlier run left behind says nothing about the service of today.
    """
    if not isinstance(error, SubmitInDoubt):
        return 0
    return in_a_row + 1 if error.fresh else in_a_row


def pause_after_refusal(number: int, error: RateLimited, *, policy: RetryPolicy, jitter: float) -> float:
    """Return the seconds for which a 429 keeps all submits back: never none, for no count of attempts ends it.

    Args:
        number: how many came since the last accepted submit.
        error: the 429. A delay that it names is obeyed up to a minute: asking again costs nothing.
        policy: the bounds.
        jitter: a random number from 0 to 1.
    """
    named_s = None if error.retry_after_s is None else min(error.retry_after_s, LONGEST_NAMED_DELAY_S)
    return max(LEAST_PAUSE_S, delay_before(number, policy, jitter, named_s) or 0.0)


@attrs.frozen(kw_only=True)
class Durations:
    """How long a batch's generations take."""

    ended: int = 0
    """How many are counted."""
    total_s: float = 0.0
    """Seconds they took from acceptance to their outcome, together."""

    def after(self, took_s: float) -> Durations:
        """Count one more."""
        return Durations(ended=self.ended + 1, total_s=self.total_s + took_s)

    def left_s(self, *, waiting: int | None, running: int, width: float) -> float | None:
        """Estimate the seconds until everything has ended.

        Args:
            waiting: how many are still to be submitted; None when nobody knows.
            running: how many are under way.
            width: how many run at once.

        Returns:
            Seconds; None while there is nothing to go by.
        """
        if waiting is None:
            return None
        if not waiting and not running:
            return 0.0
        if not self.ended:
            return None
        # Those under way are half done on average, and the rest follows as wide as it may.
        rounds = max(1.0, waiting / width) if waiting else 0.0
        return self.total_s / self.ended * (rounds + (0.5 if running else 0.0))
