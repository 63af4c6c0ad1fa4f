"""How many submits may start: a rate with an explicit burst (GCRA), and a window for what is in flight (AIMD).

The generic cell rate algorithm keeps one number, the theoretical arrival time: the moment at which the bucket would
be empty again. A submit may start once that moment is no further away than the burst allows.

The window follows a cap that nobody tells. With L its size: each accepted submit that used it up adds 1/L, so that it
grows by about one for each windowful; a 429 sets L to 0.9 · min(L, n + 1), n being what is paid and unfinished, since
one more than that is what the service has just refused. So at a cap of c it stays between 0.9 (c + 1) and c + 1, full
all the time, at the price of one 429 in about 0.1 (c + 1)² accepted submits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from luma_async.values.settings import KnownLimits, Limits

FIRST_SIZE = 4.0
"""Where "auto" begins. Below every cap that is documented anywhere, and a smaller one shows itself for nothing."""

_SHRINK = 0.9


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


@attrs.frozen(kw_only=True)
class Window:
    """How many jobs may be in flight, as far as is known now."""

    size: float
    """The number; its fraction is on the way to the next whole one."""
    ceiling: float = math.inf
    """What it never exceeds."""

    def admits(self, used: int) -> bool:
        """Whether there is room for one more beside `used`."""
        return used + 1 <= self.size

    def accepted(self, used: int) -> Window:
        """Return the window after an accepted submit; one that was not used up has proved nothing."""
        if self.admits(used) or self.size >= self.ceiling:
            return self
        return attrs.evolve(self, size=min(self.ceiling, self.size + 1 / self.size))

    def refused(self, in_flight: int) -> Window:
        """Return the window after a 429 that came while so many were paid and unfinished."""
        return attrs.evolve(self, size=max(1.0, _SHRINK * min(self.size, in_flight + 1)))


def window(wanted: float | Literal["auto"] | None, known: KnownLimits) -> Window:
    """Return the window to begin with: "auto" starts low and has no ceiling, a number is where it starts and ends."""
    bound = known.max_in_flight if wanted is None else wanted
    return Window(size=FIRST_SIZE) if bound == "auto" else Window(size=bound, ceiling=bound)


def rate(limits: Limits, known: KnownLimits) -> Rate | None:
    """Return the bound on submits per time; None for none."""
    per_minute = known.submits_per_minute if limits.submits_per_minute is None else limits.submits_per_minute
    if math.isinf(per_minute):
        return None
    return Rate(per_second=per_minute / 60, burst=known.burst if limits.burst is None else limits.burst)
