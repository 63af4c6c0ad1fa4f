"""What a forked child must not touch: connections and locks stay the parent's, though the child has copies."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that a child gets and may not use."""

    def disown(self) -> None:
        """Forget, in the child, without a trace for the parent."""
        ...


_inherited: WeakSet[Inherited] = WeakSet()


def disown_in_children(thing: Inherited) -> None:
    """Let forked children disown it."""
    _inherited.add(thing)


def _disown_all() -> None:
    for thing in list(_inherited):
        thing.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
