"""The journal's file: how it is created, recognised and opened, and what its errors mean to a person."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from luma_async._journal.sqlite.table import HINTS, INDEX, PRICES, TABLE
from luma_async.values.errors import JournalBusy, JournalError, JournalTooNew

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x6C756D61
"""The letters `luma`: they mark a file as a journal."""
STEPS = ((TABLE, INDEX), PRICES, (HINTS,))
"""The statements that lead from each version of the tables to the next one, from no tables on."""
SCHEMA_VERSION = len(STEPS)
BUSY_S = 10.0
"""How long another process may lock the file. Sessions lock it for milliseconds; other programs may not end soon."""

_RETRY_S = 0.01
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_file(path: Path) -> sqlite3.Connection:
    """Open a journal's file, and create it if there is none.

    Raises:
        JournalTooNew: a newer version wrote it.
        JournalError: it is not a journal; nothing in it was changed.
        sqlite3.Error, OSError: it cannot be used; `explain()` returns the reason.
    """
    _make_or_inspect(path)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        _recognise(connection, path)
        _write_ahead(connection)
        # Only now: the permissions of a file that is not a journal stay as they are.
        for suffix in ("", "-wal", "-shm"):
            _make_private(path.with_name(path.name + suffix))
        # Without FULL a power cut may lose the last commits, and so a claim whose POST has left.
        connection.execute("PRAGMA synchronous = FULL")
    except Exception:
        connection.close()
        raise
    return connection


def _make_or_inspect(path: Path) -> None:
    """Create an empty file that only its owner can read, or check that the existing path is a file."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        mode = path.stat().st_mode
    else:
        return
    if stat.S_ISDIR(mode):
        raise JournalError(message="this is a folder; pass the path of a file.", path=str(path))
    if not stat.S_ISREG(mode):
        raise _foreign(path)


def _make_private(path: Path) -> None:
    """Take from others the permission to read a file that holds prompts and links.

    Raises:
        JournalError: this user may not change the permissions, or the file system has none.
    """
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode) or not mode & _OTHERS:
            return
        with suppress(PermissionError):
            path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
        mode = path.lstat().st_mode
    except FileNotFoundError:
        # Another session has just closed, which removes the files next to the database.
        return
    if mode & _OTHERS:
        message = f"other users may read it, and it holds prompts; run `chmod 600 {path}` as its owner, then try again."
        raise JournalError(message=message, path=str(path))


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not a journal. Create the tables of a new file, or of an empty file that a crash left.

    Only SQLite may open the file: closing any other descriptor of it would drop all POSIX locks of this process.
    """
    try:
        known = _pragma(connection, "application_id")
    except sqlite3.DatabaseError as error:
        if _kind(error) != sqlite3.SQLITE_NOTADB:
            raise
        raise _foreign(path) from None
    if known not in {0, APPLICATION_ID}:
        raise _foreign(path)
    if not known or _pragma(connection, "user_version") < SCHEMA_VERSION:
        _make_tables(connection, path)
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise JournalTooNew(
            message=f"a newer version of luma_async wrote it (schema {version}, supported is {SCHEMA_VERSION}); "
            "update luma_async, or pass another path.",
            path=str(path),
        )


def _make_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables, or bring those of an earlier version up to date, unless another process has just done so."""
    connection.execute("BEGIN IMMEDIATE")
    known, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    if known != APPLICATION_ID and (known or connection.execute("SELECT 1 FROM sqlite_master").fetchone()):
        raise _foreign(path)
    # A file that is not a journal may have a version of its own.
    for statements in STEPS[version if known else 0 :]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {max(version, SCHEMA_VERSION) if known else SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, and retry while other processes open the file: here SQLite does not wait itself.

    Where the file system cannot share memory, SQLite keeps the rollback journal, which is as durable and slower.
    """
    give_up_at_s = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if _kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at_s:
                raise
        else:
            return
        time.sleep(_RETRY_S)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _kind(error: Exception) -> int:
    """Return SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _foreign(path: Path) -> JournalError:
    message = "this file is not a journal of luma_async; it was not changed. Pass another path."
    return JournalError(message=message, path=str(path))


_NO_ROOM = "the disk is full; make room, then try again."
_NO_PERMISSION = "it cannot be written; give this user write permission for the file and its folder."
_DAMAGED = "it is damaged ({error}); restore a copy, or pass another path."

_SQLITE_MEANINGS = {
    sqlite3.SQLITE_FULL: _NO_ROOM,
    sqlite3.SQLITE_READONLY: _NO_PERMISSION,
    sqlite3.SQLITE_PERM: _NO_PERMISSION,
    sqlite3.SQLITE_CANTOPEN: _NO_PERMISSION,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_IOERR: "the disk fails or is full ({error}); fix that, then try again.",
}
_SYSTEM_MEANINGS = {
    errno.ENOENT: "its folder does not exist; create it first.",
    errno.ENOTDIR: "its folder is a file; pass another path.",
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: _NO_PERMISSION,
}
_OTHERWISE = "it cannot be used ({error}); pass a path on a local disk that this user can write."


def explain(error: Exception, path: Path) -> JournalError:
    """Return the error that says what a failure means and what to do."""
    if isinstance(error, JournalError):
        return error
    if _kind(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        message = f"another program has locked it for {BUSY_S:g} s; end that program, then try again."
        return JournalBusy(message=message, path=str(path))
    if isinstance(error, OSError):
        meaning = _SYSTEM_MEANINGS.get(error.errno or 0, _OTHERWISE)
    else:
        meaning = _SQLITE_MEANINGS.get(_kind(error), _OTHERWISE)
    return JournalError(message=meaning.format(error=error), path=str(path))
