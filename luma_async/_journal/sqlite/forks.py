"""What must not cross a fork: connections and locks stay the parent's, though the child has copies.

SQLite keeps notes in the process of which locks it holds. A child would inherit them, take itself for an owner of locks
that only its parent has, and write to a log that the parent removes. So no connection is open while a process forks,
whichever of its threads does it.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that a child gets and may not use."""

    def forget_after_fork(self) -> None:
        """Forget, in the child, without a trace for the parent."""
        ...


class Resting(Protocol):
    """Something that is put down before a fork, and taken up again afterwards by whoever needs it."""

    def rest(self) -> None:
        """Let nothing be open. It must not wait for what waits for `fork_lock`."""
        ...


fork_lock = threading.RLock()
"""Held while the process forks, and for a moment by whoever is about to open what must not be open then."""

_inherited: WeakSet[Inherited] = WeakSet()
_resting: WeakSet[Resting] = WeakSet()


def disown_in_children(thing: Inherited) -> None:
    """Let forked children disown it."""
    with fork_lock:
        _inherited.add(thing)


def rest_before_forks(thing: Resting) -> None:
    """Let it rest before this process forks."""
    with fork_lock:
        _resting.add(thing)


def _rest_all() -> None:
    """Put all down: first without the lock, for that may take long, and then what was taken up meanwhile."""
    with fork_lock:
        first = list(_resting)
    for thing in first:
        thing.rest()
    fork_lock.acquire()
    for thing in list(_resting):
        thing.rest()


def _disown_all() -> None:
    try:
        for thing in list(_inherited):
            thing.forget_after_fork()
    finally:
        fork_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_rest_all, after_in_parent=fork_lock.release, after_in_child=_disown_all)
