"""A thread that a table belongs to: it takes what it is asked in turn, and commits all that waits at once.

A disk takes as long for one commit as for one with a hundred changes. So the thread takes everything that gathered
while it was at the disk, commits once, and wakes each event loop once. Whoever asked may go away meanwhile; whatever
becomes of the thread, everybody who waits for it is told.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._journal.sqlite.forks import disown_in_children, fork_lock, rest_before_forks
from luma_async._journal.sqlite.table import EntryTable
from luma_async.values.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable


@attrs.define(kw_only=True, eq=False)
class Command:
    """What is to be done, and who waits for it."""

    work: Callable[[EntryTable], Any]
    """What to do in the thread."""
    writes: bool
    """Whether it changes entries: such work shares a transaction, and the rest sees what was committed."""
    future: asyncio.Future[Any]
    """Where the answer is waited for; it may be cancelled at any time."""
    result: Any = None
    """What came of it."""
    error: Exception | None = None
    """Why nothing came of it."""

    def tell(self) -> None:
        """Give the answer, in the loop of who waits."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class WriterThread:
    """Opens a database at once, and closes it when it is told to.

    Args:
        open_table: opens the database; should it fail, so does everything that was asked.
        explain: says what a failure of the database means.
        first: the first question; asked later, it could come too late for a database that does not open.
    """

    def __init__(
        self,
        open_table: Callable[[], EntryTable],
        explain: Callable[[Exception], JournalError],
        first: Command,
    ) -> None:
        self._open_table = open_table
        self._explain = explain
        self._table: EntryTable | None = None
        self._questions: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._questions.put(first)
        self._taken: list[Command] = []
        self._farewell: Command | None = None
        self._lock = threading.Lock()
        self._open = True
        self._closed = threading.Event()
        self._closed.set()
        disown_in_children(self)
        rest_before_forks(self)
        # A program that ends without closing must not hang; to the file that is one more sudden death.
        self._thread = threading.Thread(target=self._run, name="luma_async journal", daemon=True)
        self._thread.start()

    def ask(self, question: Command) -> bool:
        """Hand over a question; False when the thread takes none any more."""
        with self._lock:
            if self._open:
                self._questions.put(question)
            return self._open

    def stop(self, close_command: Command) -> bool:
        """Answer what was asked so far, close the database, then this; False when the thread has ended already."""
        with self._lock:
            if not self._open:
                return False
            self._open = False
            self._farewell = close_command
            self._questions.put(None)
            return True

    def rest(self) -> None:
        """Answer what was asked so far and close the database; the next question starts another thread."""
        if threading.current_thread() is self._thread:
            return
        with self._lock:
            if self._open:
                self._open = False
                self._questions.put(None)
        # One that has not opened it yet waits until the fork is over.
        self._closed.wait()

    def forget_after_fork(self) -> None:
        """Never be used in a forked child, where there is no such thread; its connection must not even be closed."""
        self._lock = threading.Lock()
        self._open = False
        _disowned.append(self)

    def _run(self) -> None:
        fault: Exception = JournalError(message="The thread that writes the journal has ended; open the session again.")
        try:
            with self._at_the_table() as table:
                while self._take():
                    self._carry_out(table)
                    _tell(self._taken)
                    self._taken = []
        except Exception as error:
            fault = error
        finally:
            self._end(fault)

    @contextmanager
    def _at_the_table(self) -> Generator[EntryTable]:
        with fork_lock:
            # From here on a fork waits until it is closed again.
            self._closed.clear()
        try:
            with closing(self._open_table()) as self._table:
                yield self._table
        finally:
            self._closed.set()

    def _take(self) -> bool:
        """Take all that waits, or wait for something; False when that was the end."""
        if not self._open and self._questions.empty():
            return False
        taken = [self._questions.get()]
        while not self._questions.empty():
            taken.append(self._questions.get())
        self._taken = [question for question in taken if question is not None]
        return True

    def _carry_out(self, table: EntryTable) -> None:
        changes = [question for question in self._taken if question.writes]
        if changes and (fault := self._commit(table, changes)) is not None:
            table.rollback()
            for question in changes:
                question.error = copy(self._explain(fault))
        for question in self._taken:
            if not question.writes:
                self._answer(table, question)

    def _commit(self, table: EntryTable, changes: list[Command]) -> Exception | None:
        """Make the changes durable together.

        Each is one statement, which SQLite takes back by itself when it fails; the others stand. Only what is wrong
        with the file is returned, and takes all of them back.
        """
        try:
            table.begin()
            for question in changes:
                self._answer(table, question)
                if not table.in_transaction:
                    return question.error
            table.commit()
        except sqlite3.Error as error:
            return error
        return None

    def _answer(self, table: EntryTable, question: Command) -> None:
        try:
            question.result = question.work(table)
        except (sqlite3.Error, OSError) as error:
            question.error = self._explain(error)
        except Exception as error:
            question.error = error

    def _end(self, fault: Exception) -> None:
        """Let nobody wait for ever."""
        with self._lock:
            self._open = False
        while not self._questions.empty():
            question = self._questions.get()
            if question is not None:
                self._taken.append(question)
        for question in self._taken:
            question.error = copy(self._explain(fault))
        _tell(self._taken if self._farewell is None else [*self._taken, self._farewell])


_disowned: list[WriterThread] = []


def _tell(questions: Iterable[Command]) -> None:
    """Wake each loop once."""
    groups: dict[asyncio.AbstractEventLoop, list[Command]] = {}
    for question in questions:
        groups.setdefault(question.future.get_loop(), []).append(question)
    for loop, group in groups.items():
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell_all, group)


def _tell_all(questions: list[Command]) -> None:
    for question in questions:
        question.tell()
