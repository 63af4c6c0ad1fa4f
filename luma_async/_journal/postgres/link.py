"""What one event loop has to do with the server: one connection, on which everything runs in order.

The locks of the owners are held by this connection, and claims are written on it. So a claim is written only while
its owner is alive to others. A lost connection is opened again by itself: first the locks are taken again, then what
was being written when it was lost is looked up.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import attrs
import psycopg

from luma_async._aio import OwnedTasks
from luma_async._journal.postgres.batch import Batch, Change, CountedBatch, CountedChange, Group, SeenEntries
from luma_async._journal.postgres.server import Server
from luma_async._journal.postgres.statements import (
    BY_GENERATION,
    LISTEN,
    LOCK,
    NOTHING,
    UNLOCK,
    lock_id,
    many,
    read_entry,
)
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import JournalError, KeyConflict
from luma_async.values.log import fields, logger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from luma_async._journal.postgres.connection import Connection

    Step = Callable[[Entry | None], Entry | None]


MAX_BATCH = 500
"""How many changes share a transaction."""
PING_S = 3.0
"""How often an idle connection with owners is tested, so that its loss is noticed before others take them for dead."""
_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 2.0
"""The pauses between attempts to connect."""
_CONNECTED: tuple[Any, ...] = (None, "connected", None, 0.0)


@attrs.define(kw_only=True, eq=False)
class Question:
    """Something to look up."""

    statement: str
    """The statement, which takes many rows and returns the number of a row first."""
    row: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """What is asked for."""
    rows: list[tuple[Any, ...]] = attrs.field(factory=list[tuple[Any, ...]])
    """The answer, without the number."""
    error: Exception | None = None
    """Why there is none."""


class Link:
    """The connection of one event loop, the owners that it keeps alive, and the queue of what to run on it.

    All that is asked for in one turn of the event loop, or while a transaction is under way, is run together.
    """

    def __init__(self, server: Server) -> None:
        self.owners: set[str] = set()
        """The owners whose lock this connection shall hold."""
        self._server = server
        self._connection: Connection | None = None
        self._earlier: Connection | None = None
        self._locked: set[str] = set()
        self._seen = SeenEntries()
        self._unproven: list[Group] = []
        self._waiting: deque[tuple[Change | Question, asyncio.Future[None]]] = deque()
        self._taken: list[tuple[Change | Question, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._keeper = OwnedTasks()
        self.leaders: dict[str, str] = {}
        """The owner here that leads, for each service."""
        self._listeners: set[asyncio.Queue[tuple[Any, ...]]] = set()

    async def ask(self, command: Change | Question) -> None:
        """Run a command.

        Raises:
            JournalError: the server cannot be used.
            Whatever the step of a change raises.

        Cancellation:
            The command is run all the same, or not at all.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._worker is None or self._worker.done():
            # `aclose()` awaits it. It is not cancelled: what it writes has to end.
            self._worker = asyncio.create_task(self._work(), name="luma_async journal")
            self._worker.add_done_callback(self._ended)
        if self.owners and not self._keeper:
            self._keeper.start(self._keep(), name="luma_async journal connection")
        await future
        if command.error is not None:
            raise command.error

    async def look_up(self, statement: str, **row: Any) -> list[tuple[Any, ...]]:
        """Return the rows that a statement finds.

        Raises:
            JournalError: the server cannot be used.
        """
        question = Question(statement=statement, row=row)
        await self.ask(question)
        return question.rows

    async def find(self, statement: str, **row: Any) -> Entry | None:
        """Return the entry that a statement finds.

        Raises:
            JournalError: the server cannot be used.
        """
        rows = await self.look_up(statement, **row)
        return self._seen.read(rows[0]) if rows else None

    async def enter(self, owner: str) -> None:
        """Register an owner.

        Raises:
            JournalError: the server cannot be used.
        """
        self.owners.add(owner)
        try:
            await self.look_up(NOTHING)
        except BaseException:  # also if cancelled: no session would unregister the owner
            self.owners.discard(owner)
            raise

    async def leave(self, owner: str) -> None:
        """Unregister an owner, and close the connection if it was the last."""
        if owner not in self.owners:
            return
        self.owners.discard(owner)
        if not self.owners:
            await self.aclose()
        else:
            with suppress(JournalError):
                await self.look_up(NOTHING)

    async def notices(self) -> AsyncGenerator[tuple[Any, ...]]:
        """Yield what the server tells: a service, what happened there, and its details; first that notices come now."""
        queue: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._listeners.add(queue)
        if self._connection is not None and self._connection.listening:
            queue.put_nowait(_CONNECTED)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    def _heard(self, text: str) -> None:
        notice = tuple(json.loads(text))
        for queue in self._listeners:
            queue.put_nowait(notice)

    async def aclose(self) -> None:
        """Run what was asked for, and close the connection."""
        self.owners.clear()
        await self._keeper.cancel()
        if self._unproven:
            with suppress(JournalError):
                await self.look_up(NOTHING)
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])
        if self._connection is not None:
            connection, self._connection, self._earlier = self._connection, None, None
            await connection.close()

    def abandon(self) -> None:
        """Drop the connection of an event loop that is closed."""
        if self._connection is not None:
            self._connection.drop()

    async def _keep(self) -> None:
        """Open the connection again soon after it is lost, so that the owners stay alive to others."""
        pause_s = PING_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.look_up(NOTHING)
            except JournalError as error:
                if pause_s == PING_S:
                    logger.warning("the connection to the journal is lost: %s", error, extra=fields("note"))
                    pause_s = _FIRST_PAUSE_S
                pause_s = min(pause_s * 2, _MAX_PAUSE_S)
            else:
                if pause_s != PING_S:
                    logger.warning("the journal is connected again: %s", self._server.name, extra=fields("note"))
                pause_s = PING_S

    async def _work(self) -> None:
        """Run what was asked for, until nothing is left."""
        while self._waiting:
            # The other tasks of this turn of the event loop may ask for something too.
            await asyncio.sleep(0)
            self._taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
            failed = await self._answer([command for command, _ in self._taken])
            if failed is not None and self._connection is None:
                # What was asked meanwhile has waited for the same attempt to connect.
                for command, _ in self._waiting:
                    command.error = copy(failed)
                self._taken += self._waiting
                self._waiting.clear()
            _wake(self._taken)

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """Let no caller wait without end, if the worker was cancelled, perhaps before its first step, or has a bug."""
        left = [(command, future) for command, future in self._taken if not future.done()]
        if self._worker is worker:
            left += self._waiting
            self._waiting.clear()
        why = "its task was cancelled" if worker.cancelled() else f"its task failed ({worker.exception()!r})"
        for command, _ in left:
            message = f"{why}, so it is unknown whether this was written."
            command.error = JournalError(message=message, path=self._server.name)
        _wake(left)

    async def _answer(self, commands: Sequence[Change | Question]) -> JournalError | None:
        """Run commands together, and return the error if it failed for all of them.

        If the connection is lost, it is opened again, once.
        """
        counted = [command for command in commands if isinstance(command, CountedChange)]
        plain = [command for command in commands if isinstance(command, Change) and command not in counted]
        batches = [Batch(plain, self._seen), *(CountedBatch(change, self._seen) for change in counted)]
        questions = [command for command in commands if isinstance(command, Question)]
        try:
            fault = await self._try(batches, questions)
            if fault is not None and self._connection is not None and self._connection.lost:
                fault = await self._try(batches, questions)
        finally:
            # The callers are told that nothing changed. What may have been claimed is withdrawn when that can be done.
            self._unproven += [group for batch in batches for group in batch.unproven() if _is_claim(group)]
        if fault is not None:
            for batch in batches:
                batch.fail(fault)
            for question in questions:
                question.error = copy(fault)
        return fault

    async def _try(self, batches: Sequence[Batch], questions: Sequence[Question]) -> JournalError | None:
        try:
            connection = await self._ready()
            for batch in batches:
                await self._write(connection, batch)
            await self._look_up(connection, questions)
        except (psycopg.Error, OSError, JournalError) as error:
            return self._server.explain(error)
        return None

    async def _ready(self) -> Connection:
        """Return the open connection, which holds the locks of the owners."""
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connect()
        if self.owners != self._locked:
            await self._lock(connection)
        if self._listeners and not connection.listening:
            await connection.listen(LISTEN, self._heard)
            for queue in self._listeners:
                queue.put_nowait(_CONNECTED)
        if self._unproven:
            undo = Batch((Change(key=group.key, step=_undo(group)) for group in self._unproven), self._seen)
            await self._write(connection, undo)
            self._unproven = []
        return connection

    async def _connect(self) -> Connection:
        self._earlier, self._connection = self._connection or self._earlier, None
        connection = await self._server.connect()
        try:
            if self._earlier is not None:
                # What was sent on it may not have arrived yet, and must not arrive later.
                await connection.end(self._earlier)
        except BaseException:  # also if cancelled: nothing else closes the connection
            await connection.close()
            raise
        self._locked.clear()
        self._seen.clear()
        self._connection, self._earlier = connection, None
        return connection

    async def _lock(self, connection: Connection) -> None:
        owners = set(self.owners)
        new, gone = owners - self._locked, self._locked - owners
        await connection.trip(
            (statement, many({"id": lock_id(owner)} for owner in names))
            for statement, names in ((LOCK, new), (UNLOCK, gone))
        )
        self._locked = owners

    async def _write(self, connection: Connection, batch: Batch) -> None:
        while statements := batch.statements():
            try:
                answers = await connection.trip(statements)
            except asyncio.CancelledError:
                batch.interrupted()
                raise
            except psycopg.Error as error:
                if connection.lost:
                    batch.interrupted()
                if connection.lost or not isinstance(error, _OF_ONE):
                    raise
                # One of the changes cannot be written, so all were undone.
                if (group := batch.isolate()) is not None:
                    group.fail(await self._fault(connection, group, error))
            else:
                batch.absorb(statements, answers)

    async def _fault(self, connection: Connection, group: Group, error: psycopg.Error) -> Exception:
        """Return the error of a change that cannot be written."""
        entry = group.after
        if isinstance(error, psycopg.errors.UniqueViolation) and entry is not None:
            asked = {"n": 0, "service": entry.service, "generation_id": entry.generation_id}
            [rows] = await connection.trip([(BY_GENERATION, many([asked]))])
            if rows:
                holder = read_entry(rows[0][1:-1])
                return KeyConflict(entry=holder, reason=f"it holds generation {entry.generation_id}.")
        return self._server.explain(error)

    async def _look_up(self, connection: Connection, questions: Sequence[Question]) -> None:
        statements: dict[str, list[Question]] = {}
        for question in questions:
            question.rows = []
            statements.setdefault(question.statement, []).append(question)
        if not statements:
            return
        groups = list(statements.values())
        answers = await connection.trip(
            (group[0].statement, many({"n": n, **question.row} for n, question in enumerate(group))) for group in groups
        )
        for group, rows in zip(groups, answers, strict=True):
            for row in rows:
                number: int = row[0]
                group[number].rows.append(row[1:])


_OF_ONE = (psycopg.errors.IntegrityError, psycopg.errors.DataError, psycopg.errors.DeadlockDetected)
"""The errors that are caused by one change, or by several at once."""


def _wake(taken: Iterable[tuple[Change | Question, asyncio.Future[None]]]) -> None:
    for _, future in taken:
        if not future.done():
            future.set_result(None)


def _is_claim(group: Group) -> bool:
    return group.after is not None and group.after.phase is Phase.SENDING


def _undo(claimed: Group) -> Step:
    """Return the step that withdraws a claim which was written although the caller was told that it was not."""

    def step(standing: Entry | None) -> Entry | None:
        if standing is None or standing != claimed.after:
            return standing
        return claimed.before.entry or attrs.evolve(standing, phase=Phase.NOT_SENT)

    return step


class Links:
    """The connections to a server, one for each event loop that uses it."""

    def __init__(self, dsn: str) -> None:
        self._server = Server(dsn)
        self._links: dict[asyncio.AbstractEventLoop, Link] = {}
        self._pid = os.getpid()

    @property
    def name(self) -> str:
        """The address of the server, without a password."""
        return self._server.name

    def here(self) -> Link:
        """Return the connection of the running event loop, which is opened when it is used.

        Raises:
            JournalError: this process was forked while the connections were open.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._links:
            for closed in [other for other in self._links if other.is_closed()]:
                self._links.pop(closed).abandon()
            if not self._links:
                self._pid = os.getpid()
            self._links[loop] = Link(self._server)
        if self._pid != os.getpid():
            message = "it was open in the process that forked this one. Open the journal after forking instead."
            raise JournalError(message=message, path=self.name)
        return self._links[loop]
