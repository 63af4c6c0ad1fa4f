"""How many submits may start: a rate with an explicit burst (GCRA).

The generic cell rate algorithm keeps one number, the theoretical arrival time: the moment at which the bucket would
be empty again. A submit may start once that moment is no further away than the burst allows.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Rate:
    """At most so many per second on average, and so many at once."""

    per_second: float
    """Starts per second in the long run."""
    burst: float = 1.0
    """Starts at once after a pause."""


def next_start(arrival_at: float, now: float, rate: Rate) -> tuple[float, float]:
    """Say when the next start may be.

    Args:
        arrival_at: the theoretical arrival time after the last start; anything in the past for none.
        now: seconds on the same clock.
        rate: the bound.

    Returns:
        Seconds to wait from now (0 or more), and the arrival time once it has started then.
    """
    interval_s = 1 / rate.per_second
    # The tolerance is what `burst` starts in a row use up.
    wait_s = max(0.0, arrival_at - (rate.burst - 1) * interval_s - now)
    return wait_s, max(arrival_at, now + wait_s) + interval_s
