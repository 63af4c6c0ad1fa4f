"""A connection to PostgreSQL that cannot hang."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

_T = TypeVar("_T")

TRIP_S = 5.0
"""How long an answer may take. A connection that is silent for longer is closed, and opened again."""
_READING_S = 1.0
"""How long an answer that has arrived meanwhile may take to be read, if the event loop stood still."""

_SETTINGS = {
    "client_min_messages": "warning",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "10s",
    "statement_timeout": "4s",
    "TimeZone": "UTC",
    # The server notices that this machine is gone, and releases the locks of its owners.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_SET = "SELECT set_config(name, value, false) FROM json_each_text(%s) AS setting(name, value)"
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
"""Without it a crash of the server may lose the last commits, and so a claim whose POST has left."""
_IDENTITY = (
    "SELECT json_build_object('pid', pid, 'at', backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
)
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN json_to_record(%s) AS earlier(pid integer, at timestamptz)
USING (pid) WHERE backend_start = at
"""


class Connection:
    """An open connection. Each call takes a few seconds at most, whatever the network does."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._identity = ""
        self._heard: Callable[[str], None] | None = None
        self._watched_fd: int | None = None

    @property
    def lost(self) -> bool:
        """Whether it can no longer be used."""
        return self._connection.closed

    async def prepare(self) -> None:
        """Set what the journal relies on."""
        *_, [(self._identity,)] = await self.trip([(_SET, json.dumps(_SETTINGS)), (_DURABLE, ""), (_IDENTITY, "")])

    async def trip(self, statements: Iterable[tuple[str, str]]) -> list[list[tuple[Any, ...]]]:
        """Run statements in one transaction, send them together, and return the rows of each.

        Raises:
            psycopg.Error: nothing was written; but if the connection is lost, all of it may have been.
        """
        return await self._bounded(self._trip(statements))

    async def run(self, script: str) -> None:
        """Run a script of several statements, which takes no values and returns no rows."""
        await self._bounded(self._connection.execute(script.encode()))

    @property
    def listening(self) -> bool:
        """Whether it receives notices."""
        return self._heard is not None

    async def listen(self, statement: str, heard: Callable[[str], None]) -> None:
        """Receive notices from now on: call `heard` with each."""
        self._connection.add_notify_handler(lambda notice: heard(notice.payload))
        await self.run(statement)
        self._heard = heard
        self._watch()

    async def end(self, other: Connection) -> None:
        """Make sure that nothing more happens on a connection that was lost, as far as this server knows of it.

        Raises:
            psycopg.OperationalError: it does not end.
        """
        for _ in range(50):
            [rows] = await self.trip([(_END, other._identity)])
            if not rows:
                return
            await asyncio.sleep(0.1)
        raise psycopg.OperationalError("an earlier connection of this program does not end")

    async def close(self) -> None:
        """Close it. Its locks are released."""
        self._stop_watching()
        await self._connection.close()

    def drop(self) -> None:
        """Close it at once, also from another event loop."""
        self._connection.pgconn.finish()

    async def _trip(self, statements: Iterable[tuple[str, str]]) -> list[list[tuple[Any, ...]]]:
        try:
            async with self._connection.pipeline():
                cursors = [
                    await self._connection.execute(statement.encode(), (values,) if values else None)
                    for statement, values in statements
                ]
        except psycopg.Error:
            if not self.lost:
                # A transaction that was begun explicitly would stay open.
                await self._connection.rollback()
            raise
        return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]

    async def _bounded(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run work on the connection. If it hangs or is cancelled, the socket is shut down, which ends the work.

        If the work itself were cancelled, psycopg would wait for the server.
        """
        self._stop_watching()
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait([task], timeout=TRIP_S)
            if not done:
                done, _ = await asyncio.wait([task], timeout=_READING_S)
        except asyncio.CancelledError:
            self._shut_down()
            await asyncio.wait([task])
            raise
        if not done:
            self._shut_down()
        try:
            return await task
        finally:
            self._watch()

    def _watch(self) -> None:
        """Read notices while nothing else is done; psycopg reads those that come meanwhile."""
        if self._heard is not None and not self.lost:
            self._watched_fd = self._connection.fileno()
            asyncio.get_running_loop().add_reader(self._watched_fd, self._on_readable)

    def _stop_watching(self) -> None:
        # The number is kept, because the socket may be closed already.
        if self._watched_fd is not None:
            asyncio.get_running_loop().remove_reader(self._watched_fd)
            self._watched_fd = None

    def _on_readable(self) -> None:
        pgconn = self._connection.pgconn
        try:
            pgconn.consume_input()
        except psycopg.Error:
            # The next call finds out that the connection is lost.
            self._stop_watching()
            return
        while self._heard is not None and (notice := pgconn.notifies()):
            self._heard(notice.extra.decode())

    def _shut_down(self) -> None:
        with (
            suppress(OSError, psycopg.Error),
            socket.fromfd(self._connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)
