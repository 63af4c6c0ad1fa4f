"""When to repeat: calls that cost nothing, and paid submits that provably were not made.

Delays are drawn evenly between nothing and a bound that doubles ("full jitter"), so that callers which failed
together do not come back together. A delay that the service names is obeyed instead, up to a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luma_async.values.errors import LumaError, NoResponse, NotSent, RateLimited, Refused, ServiceUnavailable

if TYPE_CHECKING:
    from luma_async.values.settings import RetryPolicy

LONGEST_NAMED_DELAY_S = 60.0
"""Rate windows last a minute; a service that wants more is better reported than waited for."""

_RETRY_COST = 5.0
_SUCCESS_REFUND = 1.0


@attrs.frozen
class RetryQuota:
    """What all safe calls of a session may spend on repeating; it keeps a failing service from being flooded.

    A repetition costs 5, a success gives 1 back: in the long run at most one call in five is repeated.
    """

    tokens: float = 100.0
    """What is left. A hundred: twenty repetitions in a row before the successes have to pay for them."""
    capacity: float = 100.0
    """What there can be."""

    def spend(self) -> RetryQuota | None:
        """Pay for a repetition; None when there is not enough."""
        return attrs.evolve(self, tokens=self.tokens - _RETRY_COST) if self.tokens >= _RETRY_COST else None

    def refund(self) -> RetryQuota:
        """Give back for a success."""
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
        Seconds; None when the service asks for longer than is worth waiting.
    """
    # 2**60 seconds are bound enough, and the float stays finite.
    drawn = jitter * min(policy.max_delay, policy.first_delay * 2.0 ** min(attempt - 1, 60))
    if named_s is None:
        return drawn
    return None if named_s > LONGEST_NAMED_DELAY_S else named_s + drawn


def repeat_safe_call(
    error: LumaError, *, attempt: int, elapsed_s: float, deadline_s: float, policy: RetryPolicy, jitter: float
) -> float | None:
    """Return the seconds before a call that costs nothing is repeated, or None to give up.

    Worth repeating: nothing was sent, no answer came, the service is limited or in trouble. An answer that says
    no in any other way will say it again.
    """
    if not isinstance(error, NotSent | NoResponse | RateLimited | ServiceUnavailable) or attempt >= policy.attempts:
        return None
    delay_s = delay_before(attempt, policy, jitter, error.retry_after_s if isinstance(error, Refused) else None)
    if delay_s is None or elapsed_s + delay_s >= deadline_s:
        return None
    return delay_s


def repeat_submit(
    error: LumaError, *, attempt: int, elapsed_s: float, policy: RetryPolicy, jitter: float
) -> float | None:
    """Return the seconds before a paid submit is repeated that provably was not made, or None to give up.

    What provably did not leave is bounded by time, since a gateway's restart takes a while whatever the number of
    attempts; what the service turned away is bounded by their number.
    """
    if isinstance(error, NotSent):
        # At least half of the bound: a refused connection answers at once, and thirty seconds hold many of them.
        delay_s = delay_before(attempt, policy, 0.5 + jitter / 2)
        return delay_s if delay_s is not None and elapsed_s + delay_s <= policy.connect_retry_for else None
    if attempt >= policy.attempts or not isinstance(error, Refused):
        return None
    return delay_before(attempt, policy, jitter, error.retry_after_s)
