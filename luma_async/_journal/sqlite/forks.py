"""What a forked child must not use: the connections and owner locks of its parent.

SQLite remembers in memory which locks the process holds. A forked child gets a copy of that memory: it believes that
it holds locks which only its parent holds, and it could write to a log file that the parent then deletes. A lost
entry would be bought again. So a file that was open in the parent raises JournalError in the child.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol


class Inherited(Protocol):
    """Something that a forked child gets a copy of and must not use."""

    def abandon(self) -> None:
        """Give it up in the child, without effect on the parent."""
        ...


open_things: set[Inherited] = set()
"""What this process has open."""
fork_lock = threading.RLock()
"""Held while the process forks, so that no step that must be seen whole is cut in two by a fork."""


def _abandon_all() -> None:
    try:
        for thing in list(open_things):
            thing.abandon()
    finally:
        fork_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=fork_lock.acquire, after_in_parent=fork_lock.release, after_in_child=_abandon_all)
