"""The table of entries, and its SQL."""

from __future__ import annotations

import json
import sqlite3
from copy import copy
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING

from luma_async._journal.rows import COLUMNS, RowFormat
from luma_async._journal.tally import Tally
from luma_async.values.budget import Spent
from luma_async.values.entries import Phase
from luma_async.values.errors import KeyConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from luma_async._journal.sqlite.open_files import OpenFiles
    from luma_async.values.entries import Entry
    from luma_async.values.errors import JournalError

TABLE = """
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    phase TEXT NOT NULL,
    service TEXT NOT NULL,
    generation_id TEXT,
    digest TEXT NOT NULL,
    owner TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    sent_at TEXT,
    updated_at TEXT,
    reason TEXT NOT NULL,
    path TEXT,
    request TEXT NOT NULL,
    generation TEXT
)
"""
HINTS = """
CREATE TABLE hints (
    number INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    UNIQUE (service, name)
)
"""
MAX_HINTS = 64
"""How many hints of a service are kept."""
INDEX = "CREATE UNIQUE INDEX bought ON entries (service, generation_id) WHERE generation_id IS NOT NULL"
_IS_SPENT = "phase NOT IN ('not_sent', 'refused')"
PRICES = (
    "ALTER TABLE entries ADD COLUMN price TEXT",
    "ALTER TABLE entries ADD COLUMN charges INTEGER NOT NULL DEFAULT 1",
    # It has all that a budget counts, so that no entry has to be read.
    f"CREATE INDEX spent ON entries (service, sent_at, price, charges) WHERE {_IS_SPENT}",
)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _read_moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(text: str | None) -> str | bytes | None:
    """Encode a text from outside: a service's message or a file name may contain what UTF-8 cannot encode."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _read_text(text: str | bytes | None) -> str | None:
    return text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text


_ROWS = RowFormat(
    encoders={"sent_at": _moment, "updated_at": _moment, "reason": _text, "path": _text},
    decoders={"sent_at": _read_moment, "updated_at": _read_moment, "reason": _read_text, "path": _read_text},
)

# Only the names of our columns are inserted; all values are bound.
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM entries"  # noqa: S608
_BY_KEY = f"{_SELECT} WHERE key = ?"
_BY_GENERATION = f"{_SELECT} WHERE service = ? AND generation_id = ?"
_IN_ORDER = (
    f"{_SELECT} WHERE (:service IS NULL OR service = :service) "  # noqa: S608
    "AND (:phases IS NULL OR phase IN (SELECT value FROM json_each(:phases))) ORDER BY number"
)
# Moments are texts in ISO 8601, all in UTC, so they are in order. The empty text is before all of them.
_SPENT = (
    f"SELECT price, COUNT(*), SUM(charges) FROM entries INDEXED BY spent WHERE {_IS_SPENT} "  # noqa: S608
    "AND service = ? AND sent_at > ? GROUP BY price"
)
_INSERT = f"INSERT INTO entries ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608

_HINTS = "SELECT name, value FROM hints WHERE service = ? ORDER BY number DESC LIMIT ?"
_KEEP_HINT = "INSERT OR REPLACE INTO hints (service, name, value) VALUES (?, ?, ?)"
_DROP_HINTS = (
    "DELETE FROM hints WHERE service = :service AND number NOT IN "
    "(SELECT number FROM hints WHERE service = :service ORDER BY number DESC LIMIT :limit)"
)


@cache
def _update(columns: tuple[str, ...]) -> str:
    return f"UPDATE entries SET {', '.join(f'{name} = ?' for name in columns)} WHERE key = ?"  # noqa: S608


class EntryTable:
    """The entries in an open database.

    It caches the claims that it wrote itself, because they change soon, and what is spent. Within a transaction the
    caches are right: no other connection can write, and SQLite says whether one has written since the last transaction.
    """

    def __init__(self, connection: sqlite3.Connection, files: OpenFiles) -> None:
        self._connection = connection
        self._files = files
        self.fault: JournalError | None = None
        """Why the present transaction may not claim: the files are no longer at their paths."""
        self._claims: dict[str, Entry] = {}
        self._tally = Tally()
        self._version = 0

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open. SQLite ends it by itself when the disk is full or fails."""
        return self._connection.in_transaction

    def begin(self) -> None:
        """Begin a transaction, lock out other writers, and check that the files are at their paths."""
        self._connection.execute("BEGIN IMMEDIATE")
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._claims.clear()
            self._tally.clear()
            self._version = version
        self.fault = self._files.fault(self._connection)

    def commit(self) -> None:
        """Make the changes durable."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the changes."""
        self._claims.clear()
        self._tally.clear()
        if self.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def by_key(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        return _read(self._connection.execute(_BY_KEY, (key,)).fetchone())

    def by_generation(self, service: str, generation_id: str | None) -> Entry | None:
        """Return the entry that bought a generation."""
        return _read(self._connection.execute(_BY_GENERATION, (service, generation_id)).fetchone())

    def in_order(self, service: str | None, phases: Collection[Phase] | None) -> list[Entry]:
        """Return the entries of a service in the given phases, oldest first; None means all."""
        wanted = None if phases is None else json.dumps(list(phases))
        rows = self._connection.execute(_IN_ORDER, {"service": service, "phases": wanted})
        return [entry for entry in map(_read, rows) if entry is not None]

    def spent(self, service: str, since: Sequence[datetime | None]) -> list[Spent]:
        """Return for each moment what was spent at a service after it; None means all that was ever spent."""
        return [self._count_spent(service, moment) for moment in since]

    def change_within(
        self,
        key: str,
        step: Callable[[Entry | None, Sequence[Spent]], Entry | None],
        service: str,
        since: Sequence[datetime | None],
    ) -> Entry | None:
        """Replace an entry by the result of a step that is given what is spent; otherwise like `change()`."""
        # Within a transaction the tally is right, as the cache of claims is.
        spent = [self._tally.get(service, moment, partial(self._count_spent, service, moment)) for moment in since]
        return self.change(key, lambda standing: step(standing, spent))

    def _count_spent(self, service: str, since: datetime | None) -> Spent:
        spent = Spent()
        values = (service, "" if since is None else since.isoformat())
        for price, entries, charges in self._connection.execute(_SPENT, values):
            spent = spent.plus(None if price is None else Decimal(price) * entries, charges)
        return spent

    def change(self, key: str, step: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Replace an entry by the result of a step, with a single statement within a transaction.

        Raises:
            KeyConflict: another entry of the same service holds the generation id.
            JournalError: it is a claim, and the files are no longer at their paths.
        """
        standing = self._claims.get(key) or self.by_key(key)
        entry = step(standing)
        if entry is None or entry is standing:
            return entry
        if entry.phase is Phase.SENDING and self.fault is not None:
            raise copy(self.fault)
        try:
            self._put(standing, entry)
        except sqlite3.IntegrityError:
            holder = self.by_generation(entry.service, entry.generation_id)
            if holder is None:
                raise
        else:
            self._remember(entry)
            self._tally.change(standing, entry)
            return entry
        raise KeyConflict(entry=holder, reason=f"it holds generation {entry.generation_id}.")

    def hints(self, service: str) -> dict[str, str]:
        """Return the hints of a service."""
        return dict(self._connection.execute(_HINTS, (service, MAX_HINTS)).fetchall())

    def keep_hints(self, service: str, texts: Mapping[str, str]) -> None:
        """Replace hints of a service, within a transaction. If one fails, those before it stand."""
        for name, text in texts.items():
            self._connection.execute(_KEEP_HINT, (service, name, text))
        self._connection.execute(_DROP_HINTS, {"service": service, "limit": MAX_HINTS})

    def compact(self) -> None:
        """Write the database again without its free pages, outside a transaction."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _put(self, standing: Entry | None, entry: Entry) -> None:
        if standing is None:
            self._connection.execute(_INSERT, _ROWS.to_row(entry))
        elif changes := _ROWS.to_changes(standing, entry):
            self._connection.execute(_update(tuple(changes)), (*changes.values(), standing.key))

    def _remember(self, entry: Entry) -> None:
        if entry.phase is Phase.SENDING:
            self._claims[entry.key] = entry
        else:
            self._claims.pop(entry.key, None)


def _read(row: Sequence[Any] | None) -> Entry | None:
    if row is None:
        return None
    try:
        return _ROWS.from_row(row)
    except (ValueError, KeyError, TypeError) as error:
        damage = sqlite3.DatabaseError(f"the entry {row[0]!r} cannot be read: {error}")
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise damage
