"""When each generation is looked at next: few distinct moments, each with those who share it."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from luma_async._poll.grouping import joins
from luma_async._poll.schedule import before_deadline, slot_of

if TYPE_CHECKING:
    from luma_async._poll.tracked import Tracked


class DueQueue:
    """A heap of moments, and a list of generations for each.

    Leaving costs nothing: a generation is in the slot that its `due_at_s` names, whatever lists it stands in.
    """

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._slots: dict[float, list[Tracked]] = {}

    @property
    def next_at_s(self) -> float | None:
        """The first moment at which something may be due; None for never."""
        return self._moments[0] if self._moments else None

    def put(self, target: Tracked, due_at_s: float, now_s: float) -> None:
        """Move a generation to the slot at or after a moment, or before somebody stops waiting."""
        due_at_s = before_deadline(due_at_s, now_s, target.deadline_at_s)
        moment_s = slot_of(due_at_s, target.interval_s)
        if target.deadline_at_s is not None and due_at_s < target.deadline_at_s <= moment_s:
            # Rounded up, the last look would come too late.
            moment_s = due_at_s
        target.due_at_s = moment_s
        slot = self._slots.get(moment_s)
        if slot is not None:
            slot.append(target)
            return
        self._slots[moment_s] = [target]
        heapq.heappush(self._moments, moment_s)

    def take_due(self, now_s: float) -> list[Tracked]:
        """Take out everything that is due, the earliest first."""
        due: list[Tracked] = []
        while self._moments and self._moments[0] <= now_s:
            moment_s = heapq.heappop(self._moments)
            for target in self._slots.pop(moment_s):
                # One that came back to its slot stands in it twice.
                if target.due_at_s == moment_s:
                    target.due_at_s = None
                    due.append(target)
        return due

    def take_nearby(self, now_s: float, room: int) -> list[Tracked]:
        """Take out up to `room` of those that are due next and may as well be looked at now."""
        company: list[Tracked] = []
        for moment_s in sorted(self._moments) if room else ():
            near = False
            for target in self._slots[moment_s]:
                if target.due_at_s == moment_s and joins(moment_s, target.interval_s, now_s):
                    near = True
                    target.due_at_s = None
                    company.append(target)
                    if len(company) == room:
                        return company
            # Later slots hold longer intervals as well, but hardly ever where this one has none near enough.
            if not near:
                break
        return company
