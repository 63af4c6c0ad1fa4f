"""The thread that a database belongs to: it runs commands in order and commits all that wait in one transaction.

A disk takes as long for a commit of one change as for a commit of a hundred. So the thread takes all commands that
gathered while it was writing, commits their changes together, and wakes each event loop once. A caller may be
cancelled in the meantime. However the thread ends, each caller that waits gets a result or an error.
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

from luma_async._journal.sqlite.forks import open_things
from luma_async._journal.sqlite.open_files import OpenFiles
from luma_async._journal.sqlite.schema import explain, open_file
from luma_async._journal.sqlite.table import EntryTable
from luma_async.values.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path


@attrs.define(kw_only=True, eq=False)
class Command:
    """What the thread shall do, and the future of the caller."""

    work: Callable[[EntryTable], Any]
    """Called in the thread."""
    writes: bool
    """Whether it changes entries. Such commands share a transaction; the others see what was committed."""
    future: asyncio.Future[Any]
    """Awaited by the caller; it may be cancelled at any time."""
    result: Any = None
    """What `work` returned."""
    error: Exception | None = None
    """Why there is no result."""

    def resolve(self) -> None:
        """Set the future, in the caller's event loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class WriterThread:
    """Opens a database at once, and closes it on `stop()`.

    Args:
        path: the database; if it cannot be opened, all commands fail.
        given: the path that the user passed, which may lead there through symbolic links.
        first: the first command. Handed over later, it could come after a thread that could not open its database.
    """

    def __init__(self, path: Path, given: Path, first: Command) -> None:
        self.path = path
        self._given = given
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._commands.put(first)
        self._taken: list[Command] = []
        self._close_command: Command | None = None
        # Guards _open: a command is put before the None that ends the thread, or refused.
        self._lock = threading.Lock()
        self._open = True
        # Before the thread starts, so that no child is forked with a connection that it does not know of.
        open_things.add(self)
        # A daemon: a program that ends without closing must not hang. To the file that is like being killed.
        self._thread = threading.Thread(target=self._run, name="luma_async journal", daemon=True)
        self._thread.start()

    def ask(self, command: Command) -> bool:
        """Queue a command; return False when the thread takes no more."""
        with self._lock:
            if self._open:
                self._commands.put(command)
            return self._open

    def stop(self, close_command: Command) -> bool:
        """Run what is queued, close the database, then resolve `close_command`; return False when already ended."""
        with self._lock:
            if not self._open:
                return False
            self._open = False
            self._close_command = close_command
            self._commands.put(None)
            return True

    def abandon(self) -> None:
        """Mark the file as unusable in a forked child. Keeping self keeps the connection, which must not be closed."""
        inherited_files[self.path] = self

    def _run(self) -> None:
        fault: Exception = JournalError(message="The thread that writes the journal has ended; open the session again.")
        try:
            with self._open_table_for_run() as table:
                while self._take():
                    self._execute(table)
                    _resolve(self._taken)
                    self._taken = []
        except Exception as error:
            fault = error
        finally:
            self._end(fault)

    @contextmanager
    def _open_table_for_run(self) -> Generator[EntryTable]:
        try:
            files = OpenFiles(self.path, self._given)
            connection = open_file(self.path)
            with closing(EntryTable(connection, files)) as self._table:
                files.opened(connection)
                yield self._table
        finally:
            # Only now, after closing: a child that is forked earlier must not open the file.
            open_things.discard(self)

    def _take(self) -> bool:
        """Take all queued commands, waiting for the first; return False at the end."""
        # Commands and the final None are put under the lock, so an empty queue stays empty once _open is False.
        if not self._open and self._commands.empty():
            return False
        taken = [self._commands.get()]
        while not self._commands.empty():
            taken.append(self._commands.get())
        self._taken = [command for command in taken if command is not None]
        return True

    def _execute(self, table: EntryTable) -> None:
        """Run the taken commands: first all changes in one transaction, then the reads, which see them."""
        changes = [command for command in self._taken if command.writes]
        if changes and (fault := self._commit(table, changes)) is not None:
            # Nothing was committed, so each change fails, also those whose own statement succeeded.
            table.rollback()
            for command in changes:
                command.error = copy(explain(fault, self.path))
        for command in self._taken:
            if not command.writes:
                self._call(table, command)

    def _commit(self, table: EntryTable, changes: list[Command]) -> Exception | None:
        """Make the changes durable together; return the error if that failed for all of them.

        Each change is a single statement, which SQLite undoes by itself when it fails; the other changes stand. When
        SQLite has ended the transaction (a full disk, a broken file), all of them are lost.
        """
        try:
            table.begin()
            for command in changes:
                self._call(table, command)
                if not table.in_transaction:
                    return command.error
            table.commit()
        except sqlite3.Error as error:
            return error
        for command in changes:
            # Written, in case the files are put back, but other programs cannot see it now.
            command.error = command.error or copy(table.fault)
        return None

    def _call(self, table: EntryTable, command: Command) -> None:
        try:
            command.result = command.work(table)
        except (sqlite3.Error, OSError) as error:
            command.error = explain(error, self.path)
        except Exception as error:
            command.error = error

    def _end(self, fault: Exception) -> None:
        """Take no more commands, and resolve those that are left, so that no caller waits forever."""
        with self._lock:
            self._open = False
        while not self._commands.empty():
            command = self._commands.get()
            if command is not None:
                self._taken.append(command)
        for command in self._taken:
            # A copy for each caller: an exception that is raised twice collects both tracebacks.
            command.error = copy(explain(fault, self.path))
        _resolve(self._taken if self._close_command is None else [*self._taken, self._close_command])


inherited_files: dict[Path, WriterThread] = {}
"""Files that were open when this process was forked."""


def _resolve(commands: Iterable[Command]) -> None:
    """Resolve commands in the event loops of their callers, waking each loop once."""
    groups: dict[asyncio.AbstractEventLoop, list[Command]] = {}
    for command in commands:
        groups.setdefault(command.future.get_loop(), []).append(command)
    for loop, group in groups.items():
        # RuntimeError: the loop is closed, so no caller waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve_here, group)


def _resolve_here(commands: list[Command]) -> None:
    for command in commands:
        command.resolve()
