"""Many timers of few lengths, for hardly more than the price of one each.

Nearly every timer of a session is stopped long before it ends, and most have the same length: that of a request, or
of a wait. The loop keeps its timers in a heap, where each costs a dozen comparisons in Python. Those of one length
end in the order in which they began, so the loop needs to know but the first.
"""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """One timer. Stopping it twice, or after its end, is fine."""

    __slots__ = ("_lane", "at_s", "call")

    def __init__(self, lane: _Lane, at_s: float, call: Callable[[], None]) -> None:
        self._lane = lane
        self.at_s = at_s
        self.call = call

    def stop(self) -> None:
        """Let it never end."""
        self._lane.stop(self)


class _Lane:
    """The timers of one length, in the order in which they end."""

    def __init__(self, length_s: float, lanes: dict[float, _Lane]) -> None:
        self._length_s = length_s
        self._lanes = lanes
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Timer, None] = {}
        self._wake: asyncio.TimerHandle | None = None

    def start(self, call: Callable[[], None]) -> Timer:
        """Begin another one."""
        timer = Timer(self, self._loop.time() + self._length_s, call)
        self._timers[timer] = None
        if self._wake is None:
            self._wake = self._loop.call_at(timer.at_s, self._fire)
        return timer

    def stop(self, timer: Timer) -> None:
        """Forget one."""
        if self._timers.pop(timer, timer) is None and not self._timers and self._wake is not None:
            self._wake.cancel()
            self._go()

    def _fire(self) -> None:
        """End what is due. The first may have been stopped since the loop was told of it: then nothing is."""
        now_s = self._loop.time()
        try:
            for timer in [*takewhile(lambda timer: timer.at_s <= now_s, self._timers)]:
                # One that ended before may have stopped it.
                if self._timers.pop(timer, timer) is None:
                    timer.call()
        finally:
            first = next(iter(self._timers), None)
            if first is not None:
                self._wake = self._loop.call_at(first.at_s, self._fire)
            else:
                self._go()

    def _go(self) -> None:
        """Leave, empty; the next of this length gets a lane of its own."""
        if self._lanes.get(self._length_s) is self:
            del self._lanes[self._length_s]


class Timers:
    """Starts timers in the running loop."""

    def __init__(self) -> None:
        self._lanes: dict[float, _Lane] = {}

    def start(self, length_s: float, call: Callable[[], None]) -> Timer:
        """Call something in `length_s` seconds, unless it is stopped before; it must not raise."""
        lane = self._lanes.get(length_s)
        if lane is None:
            lane = self._lanes[length_s] = _Lane(length_s, self._lanes)
        return lane.start(call)


class Within:
    """Bounds what a task does in a `with` block: `TimeoutError` when the time is over, as `asyncio.timeout()` does."""

    __slots__ = ("_cancelling", "_expired", "_length_s", "_task", "_timer", "_timers")

    def __init__(self, timers: Timers, length_s: float) -> None:
        self._timers = timers
        self._length_s = length_s
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = self._timers.start(self._length_s, self._expire)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.stop()
        # Somebody else's cancellation counts more than ours.
        ours = self._expired and self._task.uncancel() <= self._cancelling
        # They hold each other, and the task its result.
        del self._timer, self._task
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError from None

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
