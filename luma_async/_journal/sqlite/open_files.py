"""Whether the files that SQLite has open are still the ones at their paths.

On Unix an open file can be removed, moved or replaced. SQLite goes on writing to it, and no other program ever sees
what it writes: after a crash every key in it would buy again. So a claim is written only while the database and
SQLite's files next to it (`-wal`, `-shm`) are at their paths.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, TypeAlias

from luma_async.values.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

_Identity: TypeAlias = tuple[int, int]
"""The device and the inode of a file."""

_MIN_DATABASE_BYTES = 100
"""The size of the header of a database. A database with tables is never smaller."""


class OpenFiles:
    """The files of one open database. Make it before the database is opened.

    Args:
        path: the database.
        given: the path that the user passed, which may lead there through symbolic links.
    """

    def __init__(self, path: Path, given: Path) -> None:
        self._path = path
        self._given = given
        self._log = path.with_name(f"{path.name}-wal")
        self._index = path.with_name(f"{path.name}-shm")
        self._opened: dict[Path, _Identity | None] = {path: _identity(path)[0]}

    def opened(self, connection: sqlite3.Connection) -> None:
        """Note which files SQLite has opened.

        Raises:
            JournalError: the database was replaced while it was opened.
        """
        database, _ = _identity(self._path)
        if self._opened[self._path] not in {None, database}:
            raise self._error("it was replaced while it was opened")
        self._opened = {self._path: database, self._given: database}
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        # SQLite creates its other files with the first statement that reads.
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        if mode == "wal":
            self._opened |= {path: _identity(path)[0] for path in (self._log, self._index)}

    def fault(self, connection: sqlite3.Connection) -> JournalError | None:
        """Return what happened to the files; None if all are at their paths. Call it within a transaction."""
        sizes: dict[Path, int] = {}
        for path, opened in self._opened.items():
            found, sizes[path] = _identity(path)
            if found != opened:
                what = "it" if path in {self._path, self._given} else f"{path.name} next to it"
                return self._error(f"{what} was removed, moved or replaced while it was open")
        if sizes[self._path] < _MIN_DATABASE_BYTES:
            return self._error("it was truncated while it was open")
        # An empty log may be right: a checkpoint of another program truncates it too.
        if sizes.get(self._log, 1) == 0 and not _lacks_nothing(connection):
            return self._error(f"{self._log.name} next to it was truncated while it was open")
        return None

    def _error(self, what: str) -> JournalError:
        message = (
            f"{what}. What is written now would be lost, so nothing is sent. Put the files back, or close the session; "
            "before you submit the same again, look at the service for what was submitted meanwhile."
        )
        return JournalError(message=message, path=str(self._path))


def _lacks_nothing(connection: sqlite3.Connection) -> bool:
    """Whether the write-ahead log has all that SQLite knows to be in it: a checkpoint fails to read what it lacks."""
    # No checkpoint can run within a transaction.
    connection.execute("ROLLBACK")
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.execute("BEGIN IMMEDIATE")
    return True


def _identity(path: Path) -> tuple[_Identity | None, int]:
    """Return which file is at a path, if there is one, and its size."""
    try:
        found = path.stat()
    except OSError:
        return None, 0
    return (found.st_dev, found.st_ino), found.st_size
