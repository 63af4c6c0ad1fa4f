"""Which statements a batch of changes needs, and what became of each change.

A change of an entry is a function in Python, so it takes two moves: know the present entry, write the next one. No
lock is held in between. A write says which version of the entry it follows, and PostgreSQL refuses it if the entry
has changed since. So the present entry may be guessed: a key that was not seen has no entry, and an entry that was
seen has not changed. A claim is then one INSERT, and what follows it one UPDATE. If the guess is wrong, or a step
does not lead to a write that would prove it, the entry is read first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from datetime import datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._journal.postgres.statements import (
    BY_KEY,
    INSERT,
    LOCK_SPENT,
    ROWS,
    SPENT,
    many,
    read_entry,
    read_spent,
    spent_row,
    update,
)
from luma_async._journal.rows import COLUMNS
from luma_async.values.budget import Spent
from luma_async.values.entries import Entry
from luma_async.values.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Statement = tuple[str, str]
    Rows = list[tuple[Any, ...]]

_MAX_SEEN = 1000
"""How many entries are remembered. A claim is followed by its outcome soon."""


@attrs.frozen
class Seen:
    """An entry as it was in the database."""

    entry: Entry | None = None
    """The entry; None if the key had none."""
    version: int = 0
    """How often it was written."""


ABSENT = Seen()


class SeenEntries:
    """The entries that were read or written last."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def get(self, key: str) -> Seen:
        """Return the entry of a key as it was last seen; it may have changed since."""
        return self._seen.get(key, ABSENT)

    def note(self, key: str, seen: Seen) -> None:
        """Remember an entry, and forget the one that was noted first if there are many."""
        self._seen.pop(key, None)
        self._seen[key] = seen
        if len(self._seen) > _MAX_SEEN:
            del self._seen[next(iter(self._seen))]

    def read(self, row: Sequence[Any]) -> Entry:
        """Decode a row of `BY_KEY` or `BY_GENERATION` without its number, and remember the entry.

        Raises:
            JournalError: the row is damaged.
        """
        entry = read_entry(row[:-1])
        self.note(entry.key, Seen(entry, row[-1]))
        return entry

    def clear(self) -> None:
        """Forget all."""
        self._seen.clear()


@attrs.define(kw_only=True, eq=False)
class Change:
    """A change that a caller asks for, and what became of it."""

    key: str
    """The key of the entry."""
    step: Callable[[Entry | None], Entry | None]
    """The step from the present entry to the next one."""
    result: Entry | None = None
    """The entry afterwards."""
    error: Exception | None = None
    """Why there is none."""


class _Next(Enum):
    READ = auto()
    WRITE = auto()
    DONE = auto()


@attrs.define(eq=False)
class Group:
    """The changes of one key, which are written together."""

    changes: list[Change]
    """In the order of asking."""
    before: Seen
    """The present entry, as far as known."""
    known: bool = False
    """Whether `before` was read for these changes. Otherwise it is a guess, which only a write can prove."""
    after: Entry | None = None
    """What is being written."""
    columns: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """The columns to write, encoded."""
    lost: bool = False
    """Whether `after` was sent and the connection was lost: it may have been written."""
    next: _Next = _Next.WRITE
    """What to do next."""

    @property
    def key(self) -> str:
        """The key."""
        return self.changes[0].key

    def found(self, seen: Seen) -> None:
        """Take in what the database has, and decide what follows."""
        self.before, self.known = seen, True
        if self.lost and seen.entry == self.after:
            self.lost, self.next = False, _Next.DONE
            return
        self.lost = False
        self.decide()

    def decide(self) -> None:
        """Apply the steps to the present entry, and set what to do next."""
        entry = self.before.entry
        for change in self.changes:
            change.result = change.error = None
            try:
                change.result = change.step(entry)
            except Exception as error:  # it belongs to the caller
                change.error = error
            entry = change.result or entry
        self.after, self.columns = entry, _columns(self.before.entry, entry)
        if not self.known and (not self.columns or any(change.error for change in self.changes)):
            self.next = _Next.READ
        else:
            self.next = _Next.WRITE if self.columns else _Next.DONE

    def fail(self, error: Exception) -> None:
        """End all changes with an error."""
        self.next = _Next.DONE
        for change in self.changes:
            change.result, change.error = None, copy(error)


def _columns(before: Entry | None, after: Entry | None) -> dict[str, Any]:
    if after is None or after is before:
        return {}
    if before is None:
        return dict(zip(COLUMNS, ROWS.to_row(after), strict=True))
    return ROWS.to_changes(before, after)


@attrs.define(kw_only=True, eq=False)
class CountedChange(Change):
    """A change whose step looks at what is spent."""

    service: str
    """The service."""
    since: Sequence[datetime | None]
    """The moments after which it counts."""
    spent: list[Spent] = attrs.field(factory=list[Spent])
    """What is spent after each moment."""


class Batch:
    """Changes that are written together. Send what `statements()` returns, and give the rows to `absorb()`."""

    def __init__(self, changes: Iterable[Change], seen: SeenEntries) -> None:
        self._seen = seen
        by_key: dict[str, list[Change]] = {}
        for change in changes:
            by_key.setdefault(change.key, []).append(change)
        self._groups = [Group(group, seen.get(key)) for key, group in by_key.items()]
        self._alone = False
        for group in self._groups:
            group.decide()

    def statements(self) -> list[Statement]:
        """Return the statements to send next, to run in one transaction; none when all is done."""
        writes: dict[str, list[dict[str, Any]]] = {}
        for group in self._in(_Next.WRITE):
            if group.before.entry is None:
                writes.setdefault(INSERT, []).append(group.columns)
            else:
                which = {"key": group.key, "version": group.before.version}
                writes.setdefault(update(tuple(group.columns)), []).append(which | group.columns)
        statements = [(statement, many(rows)) for statement, rows in writes.items()]
        if reads := [{"n": 0, "key": group.key} for group in self._in(_Next.READ)]:
            statements.append((BY_KEY, many(reads)))
        return statements

    def absorb(self, statements: Sequence[Statement], answers: Sequence[Rows]) -> None:
        """Take in what the statements returned."""
        written: set[str] = set()
        found: dict[str, tuple[Any, ...]] = {}
        for (statement, _), rows in zip(statements, answers, strict=True):
            if statement is BY_KEY:
                found = {row[1]: row[1:] for row in rows}
            else:
                written.update(key for (key,) in rows)
        reading, writing = self._in(_Next.READ), self._in(_Next.WRITE)
        for group in writing:
            if group.key in written:
                group.next = _Next.DONE
                self._seen.note(group.key, Seen(group.after, group.before.version + 1))
            else:
                # The guess was wrong, or another process was faster.
                group.next = _Next.READ
        for group in reading:
            row = found.get(group.key)
            try:
                group.found(ABSENT if row is None else Seen(self._seen.read(row), row[-1]))
            except JournalError as error:
                group.fail(error)

    def interrupted(self) -> None:
        """Note that the connection was lost: what was being written may have been written."""
        for group in self._groups:
            if group.next is _Next.WRITE:
                group.lost, group.next = True, _Next.READ

    def unproven(self) -> list[Group]:
        """Return the groups that may have been written."""
        return [group for group in self._groups if group.lost]

    def isolate(self) -> Group | None:
        """Write one change at a time from now on, because of an error; return the change if there was only one."""
        if self._alone:
            return self._left()[0]
        self._alone = True
        self._groups = [Group([change], group.before) for group in self._left() for change in group.changes]
        for group in self._groups:
            group.next = _Next.READ
        return None

    def fail(self, error: Exception) -> None:
        """End all changes that are not made with an error."""
        for group in self._left():
            group.fail(error)

    def _left(self) -> list[Group]:
        return [group for group in self._groups if group.next is not _Next.DONE]

    def _in(self, step: _Next) -> list[Group]:
        """Return the groups that take part in this transaction, and have to do this next."""
        left = self._left()
        return [group for group in (left[:1] if self._alone else left) if group.next is step]


_BEGIN, _COMMIT, _ROLLBACK = _AROUND = ("BEGIN", ""), ("COMMIT", ""), ("ROLLBACK", "")


class CountedBatch(Batch):
    """One change whose step looks at what is spent, in a transaction that no other such change interrupts."""

    def __init__(self, change: CountedChange, seen: SeenEntries) -> None:
        super().__init__((), seen)
        self._groups = [Group([change], ABSENT, next=_Next.READ)]
        self._alone = True
        self._change = change
        self._open = False

    def statements(self) -> list[Statement]:
        """Return the statements to send next. The first lock out others, the last end the transaction."""
        statements = super().statements()
        if self._in(_Next.READ):
            service = self._change.service
            asked = ({"n": n, **spent_row(service, since)} for n, since in enumerate(self._change.since))
            return [_BEGIN, (LOCK_SPENT, many([{"service": service}])), (SPENT, many(asked)), *statements]
        if statements:
            return [*statements, _COMMIT]
        return [_ROLLBACK] if self._open else []

    def absorb(self, statements: Sequence[Statement], answers: Sequence[Rows]) -> None:
        """Take in what the statements returned."""
        pairs = list(zip(statements, answers, strict=True))
        self._open = statements[0] == _BEGIN
        for (statement, _), rows in pairs:
            if statement is SPENT:
                self._change.spent = [
                    read_spent(row[1:] for row in rows if row[0] == n) for n in range(len(self._change.since))
                ]
        own = [pair for pair in pairs if pair[0] not in _AROUND and pair[0][0] not in {SPENT, LOCK_SPENT}]
        super().absorb([statement for statement, _ in own], [rows for _, rows in own])

    def interrupted(self) -> None:
        """Note that the connection was lost, and with it the transaction."""
        self._open = False
        super().interrupted()

    def isolate(self) -> Group | None:
        """Return the change, whose transaction was undone because of an error."""
        self._open = False
        return super().isolate()
