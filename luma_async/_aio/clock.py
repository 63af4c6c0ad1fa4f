"""Time, as the running loop and the wall tell it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


def loop_now() -> float:
    """Seconds on the running loop's clock: monotonic, and virtual in tests."""
    return asyncio.get_running_loop().time()


def wall_now() -> datetime:
    """The time of day, aware UTC: for people and other programs, never for measuring."""
    return datetime.now(UTC)
