"""When to repeat: free calls, and paid submits that provably were not made.

Delays are random, from 0 to a bound that doubles ("full jitter"), so that callers that failed together do not return
together. If the service names a delay of up to a minute, that is waited for first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luma_async.values.errors import LumaError, NoResponse, NotSent, RateLimited, Refused, ServiceUnavailable

if TYPE_CHECKING:
    from luma_async.values.settings import RetryPolicy

MAX_NAMED_DELAY_S = 60.0
"""Rate windows last a minute; if a service asks for more, the error is raised instead."""

_RETRY_COST = 5.0
_SUCCESS_REFUND = 1.0


@attrs.frozen
class RetryQuota:
    """How many repetitions the free calls of a session may make, so that a failing service is not flooded.

    A repetition costs 5 tokens and a success gives 1 back: in the long run at most one call in five is repeated.
    """

    tokens: float = 100.0
    """The tokens that are left. A hundred allow twenty repetitions in a row."""
    capacity: float = 100.0
    """The most tokens."""

    def spend(self) -> RetryQuota | None:
        """Return the quota after a repetition; None if there are not enough tokens."""
        return attrs.evolve(self, tokens=self.tokens - _RETRY_COST) if self.tokens >= _RETRY_COST else None

    def refund(self) -> RetryQuota:
        """Return the quota after a success."""
        if self.tokens >= self.capacity:
            return self
        return attrs.evolve(self, tokens=min(self.capacity, self.tokens + _SUCCESS_REFUND))


def delay_before(attempt: int, policy: RetryPolicy, jitter: float, named_s: float | None = None) -> float | None:
    """Return the seconds to wait before repeating the `attempt`-th send, counted from 1.

    Args:
        attempt: how many sends were made.
        policy: the bounds.
        jitter: a random number from 0 to 1.
        named_s: the delay that the service asked for.

    Returns:
        Seconds; None when the service asks for more than a minute.
    """
    # The exponent is bounded so that the float stays finite.
    drawn = jitter * min(policy.max_delay, policy.first_delay * 2.0 ** min(attempt - 1, 60))
    if named_s is None:
        return drawn
    return None if named_s > MAX_NAMED_DELAY_S else named_s + drawn


def repeat_safe_call(
    error: LumaError, *, attempt: int, elapsed_s: float, deadline_s: float, policy: RetryPolicy, jitter: float
) -> float | None:
    """Return the seconds before a free call is repeated, or None to give up.

    A call is repeated if nothing was sent, no answer came, or the service is limiting or failing. Any other refusal
    would be the same the next time.
    """
    if not isinstance(error, NotSent | NoResponse | RateLimited | ServiceUnavailable) or attempt >= policy.attempts:
        return None
    if isinstance(error, NotSent) and error.permanent:
        return None
    delay_s = delay_before(attempt, policy, jitter, error.retry_after_s if isinstance(error, Refused) else None)
    if delay_s is None or elapsed_s + delay_s >= deadline_s:
        return None
    return delay_s


def repeat_submit(
    error: LumaError, *, attempt: int, elapsed_s: float, policy: RetryPolicy, jitter: float
) -> float | None:
    """Return the seconds before a paid submit is repeated that provably was not made, or None to give up.

    If nothing was sent, repeating is bounded by time, since the restart of a gateway takes a while; if the service
    refused, it is bounded by the number of attempts.
    """
    if isinstance(error, NotSent):
        if error.permanent:
            return None
        # At least half of the bound: a refused connection fails at once, so full jitter would repeat too often.
        delay_s = delay_before(attempt, policy, 0.5 + jitter / 2)
        return delay_s if delay_s is not None and elapsed_s + delay_s <= policy.connect_retry_for else None
    if attempt >= policy.attempts or not isinstance(error, Refused):
        return None
    return delay_before(attempt, policy, jitter, error.retry_after_s)
