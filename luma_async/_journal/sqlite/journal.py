"""The journal in a SQLite file: a program that was killed is resumed from it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from luma_async._journal.protocol import new_owner
from luma_async._journal.sqlite.forks import fork_lock
from luma_async._journal.sqlite.owners import OwnerLocks
from luma_async._journal.sqlite.schema import explain
from luma_async._journal.sqlite.writer import Command, WriterThread, inherited_files
from luma_async.values.errors import JournalError
from luma_async.values.public import public
from luma_async.values.validators import check_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from luma_async._journal.sqlite.table import EntryTable
    from luma_async.values.budget import Spent
    from luma_async.values.entries import Entry, Phase

_T = TypeVar("_T")


@public
class SqliteJournal:
    """Remembers paid intents in a SQLite file, so that a killed program resumes.

    A session that is given a path makes a journal for itself. Make one yourself to share it between sessions, or to
    read a file. The file is open while an owner is registered; any other call opens it too, until `aclose()` or until
    the last owner leaves. Several processes may use one file at the same time, on a local disk. A forked child cannot
    use a file that was open when it was forked: each call raises JournalError there.

    The file is readable by its user only: an existing file that others may read is made so, or refused. If the file or
    one of SQLite's files next to it is removed, moved or replaced while it is open, claims raise JournalError, and
    nothing is sent. The folder `<path>.owners` next to it holds an empty file for each open
    session.

    Args:
        path: the file. It is created when the journal is first used; its folder must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_path(path, "path")
        # Symbolic links resolved: all names of a file have the same folder of owners.
        self._path = Path(os.path.realpath(path))
        self._given = Path(path).absolute()
        self._locks = OwnerLocks(self._path.with_name(f"{self._path.name}.owners"))
        self._thread: WriterThread | None = None

    def __repr__(self) -> str:
        return f"<SqliteJournal {self._path}>"

    async def enter(self) -> str:
        """Register a living owner, opening the file first if need be.

        Raises:
            JournalTooNew: a newer version wrote the file.
            JournalBusy: another program holds a lock on the file.
            JournalError: the file cannot be used, or is not a journal; nothing in it was changed.
        """
        await self._ask(lambda _: None)
        owner = new_owner()
        try:
            self._locks.acquire(owner)
        except OSError as error:
            fault = explain(error, self._path)
        else:
            return owner
        raise fault

    async def leave(self, owner: str) -> None:
        """Unregister an owner. When the last owner leaves, the file is closed."""
        self._locks.release(owner)
        if not self._locks:
            await self._stop()

    async def alive(self, owner: str) -> bool:
        """Whether an owner is alive, in this process or another."""
        return self._locks.holds(owner) or await self._ask(lambda _: self._locks.alive(owner))

    async def get(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        return await self._ask(lambda table: table.by_key(key))

    async def find(self, service: str, generation_id: str) -> Entry | None:
        """Return the entry that bought a generation."""
        return await self._ask(lambda table: table.by_generation(service, generation_id))

    async def change(self, key: str, step: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Replace the entry of `key` by `step(entry)`, in one transaction on disk.

        Raises:
            KeyConflict: another entry of the same service holds the generation id.
            JournalError: it could not be written; nothing changed.
            Whatever `step` raises: nothing changed.

        Cancellation:
            Returns at once; the change is made completely or not at all.
        """
        return await self._ask(lambda table: table.change(key, step), writes=True)

    async def spent(self, service: str, since: Sequence[datetime | None]) -> list[Spent]:
        """Return for each moment what was spent at a service after it; None means all that was ever spent."""
        return await self._ask(lambda table: table.spent(service, since))

    async def change_within(
        self,
        key: str,
        step: Callable[[Entry | None, Sequence[Spent]], Entry | None],
        *,
        service: str,
        since: Sequence[datetime | None],
    ) -> Entry | None:
        """Replace the entry of `key` by `step(entry, spent)`, as `change()` does, in one transaction on disk."""
        return await self._ask(lambda table: table.change_within(key, step, service, since), writes=True)

    async def entries(self, *, service: str | None = None, phases: Collection[Phase] | None = None) -> list[Entry]:
        """Return the entries of a service in the given phases, oldest first; None means all."""
        return await self._ask(lambda table: table.in_order(service, phases))

    async def hints(self, service: str) -> dict[str, str]:
        """Return what sessions have learned of a service, as texts by name."""
        return await self._ask(lambda table: table.hints(service))

    async def keep_hints(self, service: str, texts: Mapping[str, str]) -> None:
        """Keep what a session has learned of a service, for the next one. The oldest of many hints are removed.

        Raises:
            JournalError: it could not be written; that does not matter to any entry.
        """
        await self._ask(lambda table: table.keep_hints(service, texts), writes=True)

    async def compact(self) -> None:
        """Give the space of what was dropped back to the file system. It takes as long as copying the file.

        Raises:
            JournalBusy: another program writes; nothing changed.
            JournalError: there is no room for a copy; nothing changed.
        """
        await self._ask(lambda table: table.compact())

    async def aclose(self) -> None:
        """Unregister the owners that are left, and close the file. Closing twice is fine."""
        self._locks.release_all()
        await self._stop()

    async def _ask(self, work: Callable[[EntryTable], _T], *, writes: bool = False) -> _T:
        answer: _T = await self._put(work, writes=writes)
        return answer

    def _put(self, work: Callable[[EntryTable], Any], *, writes: bool = False) -> asyncio.Future[Any]:
        """Hand work to the thread, starting a thread if none takes it."""
        if self._path in inherited_files:
            message = "it was open in the process that forked this one. Open the journal after forking instead."
            raise JournalError(message=message, path=str(self._path))
        command = _command(work, writes=writes)
        # Event loops of several threads may share this journal; and a forked child must not inherit the lock held.
        with fork_lock:
            if self._thread is None or not self._thread.ask(command):
                self._thread = WriterThread(self._path, self._given, command)
        return command.future

    def _stop(self) -> asyncio.Future[Any]:
        close_command = _command(lambda _: None)
        with fork_lock:
            thread, self._thread = self._thread, None
        if thread is None or not thread.stop(close_command):
            close_command.future.set_result(None)
        return close_command.future


def _command(work: Callable[[EntryTable], Any], *, writes: bool = False) -> Command:
    return Command(work=work, writes=writes, future=asyncio.get_running_loop().create_future())
