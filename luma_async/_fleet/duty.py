"""What a program has to do while several share a journal: pure functions."""

from __future__ import annotations

from enum import StrEnum

TICK_S = 2.0
"""How often a program asks whether it leads. A leader that dies is replaced within this time."""
SILENT_S = 15.0
"""A leader that is silent for so long does not poll: its process was stopped, or its event loop stands still."""
RESIGNED_S = 60.0
"""How long a program that could not poll leaves the lead to others."""
READ_S = 60.0
"""How often the leader reads what is unfinished, in case a notice was lost or an end could not be written."""


class Duty(StrEnum):
    """What a program polls."""

    LEAD = "lead"
    """All that is paid and unfinished, for all programs."""
    FOLLOW = "follow"
    """Nothing that the leader polls."""
    ALONE = "alone"
    """What has waiters here, because there is no leader that can be heard."""


def duty(*, leads: bool, connected: bool, heard_at_s: float, now_s: float) -> Duty:
    """Decide what to poll.

    Args:
        leads: whether this program is the leader.
        connected: whether the journal answers.
        heard_at_s: when the leader was heard last, or the connection opened.
        now_s: seconds on the same clock.
    """
    if not connected:
        return Duty.ALONE
    if leads:
        return Duty.LEAD
    return Duty.FOLLOW if now_s - heard_at_s < SILENT_S else Duty.ALONE
