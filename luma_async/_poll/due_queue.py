"""When each generation is looked at next: a queue of few distinct moments, each with its generations."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from luma_async._poll.schedule import before_deadline, joins, slot_of

if TYPE_CHECKING:
    from luma_async._poll.tracked import Tracked


class DueQueue:
    """A heap of moments, and for each moment a slot: the list of generations that are due then.

    A generation is due at its `due_at_s`. Changing that is enough to move it or to take it out: the entries that it
    leaves behind in other slots are skipped when they come up.
    """

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._slots: dict[float, list[Tracked]] = {}

    @property
    def next_at_s(self) -> float | None:
        """The first moment at which something may be due; None if the queue is empty."""
        return self._moments[0] if self._moments else None

    def put(self, tracked: Tracked, due_at_s: float, now_s: float) -> None:
        """Move a generation to the slot at or after a moment, or to one before its next deadline."""
        due_at_s = before_deadline(due_at_s, now_s, tracked.deadline_at_s)
        moment_s = slot_of(due_at_s, tracked.interval_s)
        if tracked.deadline_at_s is not None and due_at_s < tracked.deadline_at_s <= moment_s:
            # Rounded up to the slot, the last look would come too late.
            moment_s = due_at_s
        tracked.due_at_s = moment_s
        slot = self._slots.get(moment_s)
        if slot is not None:
            slot.append(tracked)
            return
        self._slots[moment_s] = [tracked]
        heapq.heappush(self._moments, moment_s)

    def take_due(self, now_s: float) -> list[Tracked]:
        """Take out everything that is due, the earliest first."""
        due: list[Tracked] = []
        while self._moments and self._moments[0] <= now_s:
            moment_s = heapq.heappop(self._moments)
            for tracked in self._slots.pop(moment_s):
                # A generation that was moved away and back is in the slot twice; the first entry takes it out.
                if tracked.due_at_s == moment_s:
                    tracked.due_at_s = None
                    due.append(tracked)
        return due

    def take_nearby(self, now_s: float, room: int) -> list[Tracked]:
        """Take out up to `room` generations that are due soon enough to be looked at now."""
        nearby: list[Tracked] = []
        for moment_s in sorted(self._moments) if room else ():
            found = False
            for tracked in self._slots[moment_s]:
                if tracked.due_at_s == moment_s and joins(moment_s, tracked.interval_s, tracked.shared_by, now_s):
                    found = True
                    tracked.due_at_s = None
                    nearby.append(tracked)
                    if len(nearby) == room:
                        return nearby
            # Later slots may hold longer intervals, but where this slot has none near enough they rarely do.
            if not found:
                break
        return nearby
