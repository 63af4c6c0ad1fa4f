"""One clock for a fake service: loop seconds, and the time of day they stand for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock:
    """Read the running loop's clock, which is virtual in a test that speeds time up.

    The time of day is taken from the wall once, at the first reading, and moves with the loop from then on. Not at the
    start of the server: a fixture may start it before virtual time begins.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now
        self._origin: tuple[float, datetime] | None = None

    def now(self) -> float:
        """Seconds of the running loop."""
        at = asyncio.get_running_loop().time() if self._now is None else self._now()
        if self._origin is None:
            self._origin = at, datetime.now(UTC)
        return at

    def wall(self, at: float | None = None) -> datetime:
        """The time of day, aware UTC, at a reading of `now()`; None means at this moment."""
        now = self.now()
        assert self._origin is not None
        since_s = (now if at is None else at) - self._origin[0]
        return self._origin[1] + timedelta(seconds=since_s)
