"""A PostgreSQL server: its address, how to connect to it, and what its errors mean to a person."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import conninfo

from luma_async._journal.postgres.connection import Connection
from luma_async._journal.postgres.schema import migrate
from luma_async.values.errors import ConfigurationError, JournalBusy, JournalError
from luma_async.values.redaction import Secret, clip

CONNECT_S = 5
"""How long opening may take."""

_DEFAULTS = {
    "application_name": "luma_async",
    "connect_timeout": CONNECT_S,
    # Of several hosts, the one that can be written.
    "target_session_attrs": "read-write",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What the address does not say: how soon a dead peer is noticed."""


class Server:
    """The address of a server and a database.

    Args:
        dsn: a URL or a list of keywords and values, as `psql` takes it.

    Raises:
        ConfigurationError: it cannot be read.
    """

    def __init__(self, dsn: str) -> None:
        try:
            self._parameters: dict[str, Any] = _DEFAULTS | conninfo.conninfo_to_dict(dsn)
        except (psycopg.Error, UnicodeEncodeError):
            # The error may repeat the address, which may contain a password.
            readable = False
        else:
            readable = True
        if not readable:
            raise ConfigurationError(
                message="the address of the journal cannot be read. Write it as postgresql://user@host:5432/database, "
                "and encode special characters of a password as %XX."
            )
        self._password = Secret(str(self._parameters.get("password") or ""))
        self.name: str = self._shown()

    def _shown(self) -> str:
        """Return the address without its password and its settings."""
        known = self._parameters
        user = f"{known['user']}@" if "user" in known else ""
        port = f":{known['port']}" if "port" in known else ""
        return f"postgresql://{user}{known.get('host', '')}{port}/{known.get('dbname', '')}"

    async def connect(self) -> Connection:
        """Open a connection, and create or update the tables.

        Raises:
            JournalTooNew: a newer version of this library has changed the tables.
            psycopg.Error: the server cannot be reached, or refuses.
        """
        opened = Connection(await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True))
        try:
            await opened.prepare()
            await migrate(opened)
        except BaseException:  # also if cancelled: nothing else closes the connection
            await opened.close()
            raise
        return opened

    def explain(self, error: Exception) -> JournalError:
        """Return the error that says what a failure means and what to do."""
        if isinstance(error, JournalError):
            error.path = self.name
            return error
        why = clip(self._password.scrub(str(error).encode("utf-8", "replace")).decode(), 300).rstrip(".")
        if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
            message = "another program holds a lock in it for too long; end that program, then try again."
            return JournalBusy(message=message, path=self.name)
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            message = f"this user may not use it ({why}); grant it the rights to create and write tables."
        elif isinstance(error, psycopg.OperationalError | TimeoutError | OSError):
            message = f"it cannot be used ({why}), so nothing is sent. It is connected again as soon as it answers."
        else:
            message = f"it refuses ({why})."
        return JournalError(message=message, path=self.name)
