"""The throttle of paid submits: how many at once, how many a minute, and a pause for all after a 429.

The rate is bounded by the generic cell rate algorithm (GCRA). It keeps a single number, the theoretical arrival time:
the moment at which the bucket is empty again. A submit may start when that moment is no further away than the burst
allows.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import loop_now
from luma_async._http.pause import Pause
from luma_async._journal.protocol import SharedBounds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from luma_async._submit.shared import SharedLimits
    from luma_async._submit.unfinished import UnfinishedPlaces
    from luma_async._submit.window import SlidingWindow
    from luma_async._wire.answer import RateWindow
    from luma_async.values.errors import RateLimited
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


def shared_bounds(rate: Rate | None, window: SlidingWindow | None, limits: Limits, known: KnownLimits) -> SharedBounds:
    """Return what all programs together may do. A window that is found out is found by each program for itself."""
    in_flight = known.max_in_flight if limits.max_in_flight is None else limits.max_in_flight
    counted = in_flight != "auto" and not math.isinf(in_flight)
    if window is not None:
        rate = None
    return SharedBounds(
        interval_s=0.0 if rate is None else 1 / rate.per_second,
        burst=1.0 if rate is None else rate.burst,
        per_minute=None if window is None else int(window.limit),
        room=int(in_flight) if counted else None,
    )


class Throttle:
    """Lets submits through in the order in which they came: `async with throttle.turn(key)`.

    Entering waits for one of `concurrency` places, then for the pauses, for a place among the unfinished generations,
    and for the rate; the place is held until the exit. There are as many places as the connector has connections, so
    that no submit waits there, where it has no order. Cancelling a submit that waits has no effect on the others.

    Args:
        concurrency: how many are inside at once.
        rate: the bound on starts, if there is one.
        window: the submits of the last minute, where the service counts those.
        unfinished: the unfinished generations, where the service bounds those.
        session_pause: a pause of the whole session.
        shared: the limits that all programs share.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        rate: Rate | None,
        window: SlidingWindow | None = None,
        unfinished: UnfinishedPlaces | None = None,
        session_pause: Pause | None = None,
        shared: SharedLimits | None = None,
    ) -> None:
        self.concurrency: int = concurrency
        """How many are inside at once."""
        self._places = asyncio.Semaphore(concurrency)
        # Held by the submit whose turn is next. Without it, those behind would overtake it while it sleeps.
        self._order = asyncio.Lock()
        self._waiting = 0
        self._rate = None if window else rate
        self._window = window
        self._answered = asyncio.Event()
        self._unfinished = unfinished
        self._arrival_at_s = 0.0
        self._pauses = (Pause(), session_pause or Pause())
        self._shared = shared

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncGenerator[None]:
        """Wait for the turn of a submit, and hold its place for the length of the `async with` block.

        Raises:
            JournalError: the limits are shared, and the journal cannot be used.
        """
        await self._enter(key)
        try:
            yield
        finally:
            self._places.release()

    async def _enter(self, key: str) -> None:
        await self._places.acquire()
        # The usual case: no bound, no pause, and no submit that still waits for the end of a pause.
        local = self._rate is not None or self._window is not None or self._unfinished is not None
        bounded = local or (self._shared is not None and self._shared.bounded)
        if not bounded and not self._waiting and not any(pause.active for pause in self._pauses):
            return
        self._count_waiting(1)
        try:
            async with self._order:
                await self._wait_turn(key)
        except BaseException:  # also if cancelled: the next submit needs the place
            self._places.release()
            if self._shared is not None:
                self._shared.give_back(key)
            raise
        finally:
            self._count_waiting(-1)

    def _count_waiting(self, change: int) -> None:
        self._waiting += change
        if self._unfinished is not None:
            self._unfinished.hold(self, self._waiting)

    def ended(self, key: str, *, sent: bool, rate: RateWindow | None = None, generation_id: str | None = None) -> None:
        """Tell how a submit that was let through has ended.

        Args:
            key: its key.
            sent: whether the service may have seen it.
            rate: what its answer says about the limit of submits.
            generation_id: the generation that it made.
        """
        if self._window is not None:
            self._window.end(loop_now(), sent=sent, rate=rate)
            self._answered.set()
        if self._unfinished is not None:
            self._unfinished.end(generation_id)
        if self._shared is not None and not sent:
            self._shared.give_back(key)

    def slow_down(self, error: RateLimited, delay_s: float) -> bool:
        """Use a 429; return whether all submits pause for the delay, rather than until a generation has ended."""
        if error.scope == "unfinished" and self._unfinished is not None:
            self._unfinished.refused()
            return False
        self._pauses[error.scope == "session"].begin(delay_s)
        if self._shared is not None:
            self._shared.pause(delay_s)
        return True

    def pause(self, delay_s: float) -> None:
        """Let no submit through for `delay_s` seconds from now."""
        self._pauses[0].begin(delay_s)

    async def _wait_turn(self, key: str) -> None:
        await self._wait_for_pauses()
        if self._unfinished is not None:
            await self._unfinished.wait()
        if self._shared is not None and self._shared.bounded:
            await self._shared.take(key)
            # A pause may have begun meanwhile.
            await self._wait_for_pauses()
        if self._rate is not None:
            await self._wait_for_rate(self._rate)
        elif self._window is not None:
            await self._wait_for_window(self._window)
        # Counted only now: a submit that is cancelled above uses up nothing.
        if self._unfinished is not None:
            self._unfinished.start()

    async def _wait_for_rate(self, rate: Rate) -> None:
        wait_s, _ = next_start(self._arrival_at_s, loop_now(), rate)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
            # A pause may have begun during the sleep.
            await self._wait_for_pauses()
        _, self._arrival_at_s = next_start(self._arrival_at_s, loop_now(), rate)

    async def _wait_for_window(self, window: SlidingWindow) -> None:
        while (wait_s := window.wait_s(loop_now())) > 0:
            self._answered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(wait_s) else wait_s):
                    await self._answered.wait()
            await self._wait_for_pauses()
        window.start()

    async def _wait_for_pauses(self) -> None:
        for pause in self._pauses:
            await pause.wait()
