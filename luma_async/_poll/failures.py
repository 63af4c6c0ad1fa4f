"""What a failed look means for the waiters: keep looking, or stop waiting and with which result."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async.values.errors import (
    ConfigurationError,
    GenerationNotFound,
    LumaError,
    NotSent,
    OutOfCredit,
    Unauthorized,
)

if TYPE_CHECKING:
    from luma_async.values.settings import PollPolicy

MAX_KEPT_FAILURES = 5
"""How many failures of a run are kept: the newest, enough to see a pattern."""


@attrs.frozen(kw_only=True)
class FailureRun:
    """Failed looks in a row."""

    since_s: float
    """When the first one failed, on the loop's clock."""
    failures: tuple[LumaError, ...]
    """The newest failures, oldest first."""
    count: int
    """How many failed."""


@attrs.frozen
class KeepLooking:
    """Look again later."""

    run: FailureRun | None
    """The failures in a row so far; None if this failure does not count."""
    unknown_since_s: float | None = None
    """When the first of the requests was sent that found the id unknown; None if the last answer said otherwise."""


@attrs.frozen
class KeptFailing:
    """Polling failed for longer than the policy's `max_outage`."""

    failures: tuple[LumaError, ...]
    """The newest failures, oldest first."""


@attrs.frozen
class StopWaiting:
    """Stop, and notify the waiters."""

    reason: LumaError | KeptFailing
    """What the waiters get."""
    lost: bool = False
    """Whether the service no longer knows an id that it knew before."""


Consequence: TypeAlias = KeepLooking | StopWaiting


def after_failure(
    error: LumaError,
    run: FailureRun | None,
    *,
    known: bool,
    unknown_since_s: float | None,
    asked_at_s: float,
    now_s: float,
    policy: PollPolicy,
) -> Consequence:
    """Decide what a failed look means.

    A rejected key, a wrong setting or an untrusted certificate ends a wait at once. An unknown id does so too, unless
    it is `known`: then it has to stay unknown for the policy's `not_found_grace`, because replicas of a relay lag
    behind each other. Any other failure restarts the grace. Other failures end a wait once they have lasted for
    `max_outage`; an unknown id does not interrupt them.
    """
    if isinstance(error, Unauthorized | OutOfCredit | ConfigurationError):
        return StopWaiting(error)
    if isinstance(error, NotSent) and error.permanent:
        return StopWaiting(error)
    if isinstance(error, GenerationNotFound):
        since_s = asked_at_s if unknown_since_s is None else unknown_since_s
        if not known or asked_at_s - since_s >= policy.not_found_grace:
            return StopWaiting(error, lost=known)
        return KeepLooking(run, unknown_since_s=since_s)
    run = _add_failure(run, error, now_s)
    if now_s - run.since_s >= policy.max_outage:
        return StopWaiting(KeptFailing(run.failures))
    return KeepLooking(run)


def _add_failure(run: FailureRun | None, error: LumaError, now_s: float) -> FailureRun:
    if run is None:
        return FailureRun(since_s=now_s, failures=(error,), count=1)
    failures = (*run.failures, error)[-MAX_KEPT_FAILURES:]
    return attrs.evolve(run, failures=failures, count=run.count + 1)
