"""Who is alive: a file for each owner, which its process keeps locked as long as it lives.

The lock belongs to the open file, so the kernel releases it however the process ends; two owners in one process hold
one each, and opening a file once more to look at it disturbs neither. Neither clocks nor process numbers come into
it: the ones can be set, the others are used again.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from luma_async._journal.sqlite.forks import disown_in_children, fork_lock
from luma_async.values.errors import JournalError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{16}")


class OwnerLocks:
    """The owners of one journal, in a folder beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        disown_in_children(self)

    def __len__(self) -> int:
        return len(self._held)

    def acquire(self, name: str) -> None:
        """Let an owner live, and remove what dead ones left.

        Raises:
            JournalError: this system has no such locks.
            OSError: the folder cannot be written, or its file system has no locks.
        """
        self._sweep()
        while name not in self._held:
            # A child that is forked half-way would hold a lock that it does not know of.
            with fork_lock:
                self._try(name)

    def _try(self, name: str) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            held = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            # Whoever left last took the folder away in this very moment.
            return
        _lock(held)
        if os.fstat(held).st_nlink:
            self._held[name] = held
        else:
            # Another process took it for a dead one's, between its making and its locking.
            os.close(held)

    def release(self, name: str) -> None:
        """Let an owner go."""
        held = self._held.pop(name, None)
        if held is None:
            return
        with suppress(OSError):
            (self._folder / name).unlink()
        os.close(held)
        with suppress(OSError):
            self._folder.rmdir()

    def release_all(self) -> None:
        """Let all owners go that are ours."""
        for name in list(self._held):
            self.release(name)

    def holds(self, name: str) -> bool:
        """Whether an owner is one of ours."""
        return name in self._held

    def alive(self, name: str) -> bool:
        """Whether an owner lives, in this process or another; what a dead one left is removed.

        Raises:
            OSError: it cannot be told.
        """
        if not _NAME.fullmatch(name):
            return False
        path = self._folder / name
        try:
            looked = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look at once do not take each other for the owner.
            _lock(looked, shared=True)
        except BlockingIOError:
            return True
        else:
            with suppress(OSError):
                path.unlink()
            return False
        finally:
            os.close(looked)

    def forget_after_fork(self) -> None:
        """Drop a parent's locks in its child, or an owner would live as long as the last child."""
        held, self._held = self._held, {}
        for one in held.values():
            with suppress(OSError):
                os.close(one)

    def _sweep(self) -> None:
        with suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                self.alive(path.name)


def _lock(file: int, *, shared: bool = False) -> None:
    """Lock an open file; a shared lock does not wait.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    if sys.platform == "win32":
        raise JournalError(message="A journal file needs the file locks of a Unix system; use MemoryJournal here.")
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB if shared else fcntl.LOCK_EX)
