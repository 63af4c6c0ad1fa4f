"""The throttle of paid submits: how many at once, how many a minute, and a pause for all after a 429.

The rate is bounded by the generic cell rate algorithm (GCRA). It keeps a single number, the theoretical arrival time:
the moment at which the bucket is empty again. A submit may start when that moment is no further away than the burst
allows.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import loop_now

if TYPE_CHECKING:
    from luma_async.values.settings import KnownLimits, Limits


@attrs.frozen(kw_only=True)
class Rate:
    """A bound on starts: an average, and a burst."""

    per_second: float
    """Starts per second on average."""
    burst: float = 1.0
    """Starts at once after a pause."""

    @classmethod
    def from_limits(cls, limits: Limits, known: KnownLimits) -> Rate | None:
        """Return the bound that a session's limits, or else the known limits of the service, set; None for none."""
        per_minute = known.submits_per_minute if limits.submits_per_minute is None else limits.submits_per_minute
        if math.isinf(per_minute):
            return None
        return cls(per_second=per_minute / 60, burst=known.burst if limits.burst is None else limits.burst)


def next_start(arrival_at_s: float, now_s: float, rate: Rate) -> tuple[float, float]:
    """Return when the next start may be.

    Args:
        arrival_at_s: the theoretical arrival time after the last start; any past moment if there was none.
        now_s: seconds on the same clock.
        rate: the bound.

    Returns:
        Seconds to wait from now (0 or more), and the theoretical arrival time after that start.
    """
    interval_s = 1 / rate.per_second
    # As many starts as the burst may come that much earlier than the average allows.
    wait_s = max(0.0, arrival_at_s - (rate.burst - 1) * interval_s - now_s)
    return wait_s, max(arrival_at_s, now_s + wait_s) + interval_s


class Throttle:
    """Lets submits through in the order in which they came: `async with throttle`.

    Entering waits for one of `concurrency` places, then for the pause and the rate; the place is held until the exit.
    There are as many places as the connector has connections, so that no submit waits there, where it has no order.
    Cancelling a submit that waits has no effect on the others.
    """

    def __init__(self, *, concurrency: int, rate: Rate | None) -> None:
        self.concurrency: int = concurrency
        """How many are inside at once."""
        self._places = asyncio.Semaphore(concurrency)
        # Held by the submit whose turn is next. Without it, those behind would overtake it while it sleeps.
        self._order = asyncio.Lock()
        self._waiting = 0
        self._rate = rate
        self._arrival_at_s = 0.0
        self._paused_until_s = 0.0

    async def __aenter__(self) -> None:
        await self._places.acquire()
        # The usual case: no rate, no pause, and no submit that still waits for the end of a pause.
        if self._rate is None and not self._waiting and self._paused_until_s <= loop_now():
            return
        self._waiting += 1
        try:
            async with self._order:
                await self._wait_turn()
        except asyncio.CancelledError:
            self._places.release()
            raise
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._places.release()

    def pause(self, delay_s: float) -> None:
        """Let no submit through for `delay_s` seconds from now."""
        self._paused_until_s = max(self._paused_until_s, loop_now() + delay_s)

    async def _wait_turn(self) -> None:
        await self._wait_for_pause()
        if self._rate is None:
            return
        wait_s, _ = next_start(self._arrival_at_s, loop_now(), self._rate)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
            # A pause may have begun during the sleep.
            await self._wait_for_pause()
        # The start is counted only now: a submit that is cancelled above uses up nothing.
        _, self._arrival_at_s = next_start(self._arrival_at_s, loop_now(), self._rate)

    async def _wait_for_pause(self) -> None:
        # A loop, because pause() may move the end while this sleeps.
        while (until_s := self._paused_until_s) > (now_s := loop_now()):
            await asyncio.sleep(until_s - now_s)
            if self._paused_until_s == until_s:
                # Over, even if a coarse clock shows a moment just before the end.
                return
