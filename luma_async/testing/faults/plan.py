"""A fault, and the plan that says which requests meet one."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import attrs
from aiohttp import web

from luma_async.testing.exchange import Exchange, Seen

ALWAYS = math.inf
"""Pass it as `times` to apply a fault until it is cleared."""


@attrs.frozen
class Fault:
    """Something that goes wrong with a request; build it with the functions of `luma_async.testing`."""

    name: str
    """The function that built it."""
    charged: bool
    """Whether a submit that meets it is charged."""
    act: Callable[[Exchange], Awaitable[web.StreamResponse]] = attrs.field(repr=False)
    """Answers the request, or does not."""
    before_reading: bool = False
    """Whether it applies before the body is read."""
    loses_answer: bool = False
    """Whether the client cannot know if its submit was charged, so that the submit is in doubt."""


@attrs.define
class _Planned:
    """A fault and how often it still applies."""

    fault: Fault
    left: float
    when: Callable[[Seen], bool] | None


class FaultPlan:
    """The planned faults of each kind of request, in order."""

    def __init__(self) -> None:
        self._planned: dict[str, list[_Planned]] = {}

    def add(self, fault: Fault, kind: str, times: float, when: Callable[[Seen], bool] | None) -> None:
        """Apply a fault to the next `times` requests of this kind."""
        self._planned.setdefault(kind, []).append(_Planned(fault, times, when))

    def clear(self, kind: str | None) -> None:
        """Drop the faults planned for a kind; None drops all."""
        if kind is None:
            self._planned.clear()
        else:
            self._planned.pop(kind, None)

    def take_before_reading(self, kind: str) -> Fault | None:
        """Take the next fault if it applies before the body is read and has no condition."""
        planned = self._planned.get(kind)
        if planned and planned[0].when is None and planned[0].fault.before_reading:
            return self._use(kind, planned[0])
        return None

    def take(self, seen: Seen) -> Fault | None:
        """Take the first fault whose condition this request meets."""
        for planned in self._planned.get(seen.kind, ()):
            if planned.when is None or planned.when(seen):
                return self._use(seen.kind, planned)
        return None

    def _use(self, kind: str, planned: _Planned) -> Fault:
        """Count one use, and drop the fault after the last one."""
        planned.left -= 1
        if planned.left <= 0:
            self._planned[kind].remove(planned)
        return planned.fault
