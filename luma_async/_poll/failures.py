"""What a look that failed means for those who wait: go on, or give up, and with which error."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async.values.errors import GenerationNotFound, LumaError, OutOfCredit, Unauthorized

if TYPE_CHECKING:
    from luma_async.values.settings import PollPolicy

KEPT_FAILURES = 5
"""How many failures an error tells of: the newest, enough to see a pattern."""


@attrs.frozen(kw_only=True)
class FailureRun:
    """An unbroken run of looks that failed."""

    since_s: float
    """When it began, on the loop's clock."""
    failures: tuple[LumaError, ...]
    """The newest, oldest first."""
    count: int
    """How many."""


@attrs.frozen
class KeepLooking:
    """Look again later."""

    failing: FailureRun | None
    """The run of failures so far; None when this one does not count."""
    unknown_since_s: float | None = None
    """When the service was first asked and did not know the id; None when it was not asked, or knew it since."""


@attrs.frozen
class KeptFailing:
    """Polling failed for longer than the policy's `max_outage`."""

    failures: tuple[LumaError, ...]
    """The newest failures, oldest first."""


@attrs.frozen
class StopWaiting:
    """Tell those who wait."""

    reason: LumaError | KeptFailing
    """What the waiters get."""
    lost: bool = False
    """Whether the service no longer knows an id that it knew."""


Consequence: TypeAlias = KeepLooking | StopWaiting


def after_failure(
    error: LumaError,
    failing: FailureRun | None,
    *,
    known: bool,
    unknown_since_s: float | None,
    asked_at_s: float,
    now_s: float,
    policy: PollPolicy,
) -> Consequence:
    """Decide what a failed look means.

    A refused key ends a wait at once, and so does an unknown id that nobody here bought or ever saw. One that is
    `known` has to stay unknown for the policy's grace: replicas of a relay lag behind each other, and one that knows
    nothing says nothing of the others. A failure between says nothing at all, and the grace begins anew. Everything
    else is waited out, as long as the policy's patience lasts; an unknown id in between is no good look either.
    """
    if isinstance(error, Unauthorized | OutOfCredit):
        return StopWaiting(error)
    if isinstance(error, GenerationNotFound):
        since_s = asked_at_s if unknown_since_s is None else unknown_since_s
        if not known or asked_at_s - since_s >= policy.not_found_grace:
            return StopWaiting(error, lost=known)
        return KeepLooking(failing, unknown_since_s=since_s)
    failing = _with(failing, error, now_s)
    if now_s - failing.since_s >= policy.max_outage:
        return StopWaiting(KeptFailing(failing.failures))
    return KeepLooking(failing)


def _with(failing: FailureRun | None, error: LumaError, now_s: float) -> FailureRun:
    if failing is None:
        return FailureRun(since_s=now_s, failures=(error,), count=1)
    failures = (*failing.failures, error)[-KEPT_FAILURES:]
    return attrs.evolve(failing, failures=failures, count=failing.count + 1)
