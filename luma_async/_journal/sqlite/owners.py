"""Which owners are alive: a file for each owner, which its process keeps locked as long as it lives.

The lock belongs to the open file description, so the kernel releases it however the process ends. Two owners in one
process hold a lock each, and opening a file again to test its lock affects neither. Clocks and process ids are not
used: clocks can be set, and process ids are reused.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from luma_async._journal.sqlite.forks import fork_lock, open_things
from luma_async.values.errors import JournalError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{16}")


class OwnerLocks:
    """The locks of one journal's owners, in a folder next to the journal's file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def acquire(self, name: str) -> None:
        """Register an owner, and remove the files of dead owners.

        Raises:
            JournalError: this system has no such locks.
            OSError: the folder cannot be written, or its file system has no locks.
        """
        self._sweep()
        while name not in self._held:
            # A child that is forked between open() and the note in _held would hold the lock without knowing.
            with fork_lock:
                self._try(name)

    def _try(self, name: str) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            held = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            # The last owner that left has just removed the folder.
            return
        _lock(held)
        if os.fstat(held).st_nlink:
            self._held[name] = held
            open_things.add(self)
        else:
            # Another process removed the file before it was locked, as that of a dead owner.
            os.close(held)

    def release(self, name: str) -> None:
        """Unregister an owner."""
        held = self._held.pop(name, None)
        if held is None:
            return
        with suppress(OSError):
            (self._folder / name).unlink()
        os.close(held)
        if not self._held:
            open_things.discard(self)
        with suppress(OSError):
            self._folder.rmdir()

    def release_all(self) -> None:
        """Unregister all owners of this process."""
        for name in list(self._held):
            self.release(name)

    def holds(self, name: str) -> bool:
        """Whether an owner is registered here."""
        return name in self._held

    def alive(self, name: str) -> bool:
        """Whether an owner is alive, in this process or another. The file of a dead owner is removed.

        Raises:
            OSError: the lock cannot be tested.
        """
        if not _NAME.fullmatch(name):
            return False
        path = self._folder / name
        try:
            opened = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            # A shared lock, so that two processes that test at once do not take each other for the owner.
            _lock(opened, shared=True)
        except BlockingIOError:
            return True
        else:
            with suppress(OSError):
                path.unlink()
            return False
        finally:
            os.close(opened)

    def abandon(self) -> None:
        """Close the copies of a parent's locks in its forked child. An open copy would keep the owner alive."""
        held, self._held = self._held, {}
        for file in held.values():
            with suppress(OSError):
                os.close(file)

    def _sweep(self) -> None:
        with suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                self.alive(path.name)


def _lock(file: int, *, shared: bool = False) -> None:
    """Lock an open file; a shared lock does not wait.

    Raises:
        BlockingIOError: another process or owner holds it.
    """
    if sys.platform == "win32":
        raise JournalError(message="A journal file needs the file locks of a Unix system; use MemoryJournal here.")
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB if shared else fcntl.LOCK_EX)
