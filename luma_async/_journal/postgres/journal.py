"""The journal in PostgreSQL: programs on several machines share it."""

from __future__ import annotations

import re
from contextlib import aclosing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._journal.postgres.batch import Change, CountedChange
from luma_async._journal.postgres.statements import (
    ALIVE,
    BY_GENERATION,
    BY_KEY,
    DROP_HINTS,
    GIVE_BACK,
    HINTS,
    KEEP_HINT,
    LEAD,
    PAGE,
    PAUSE,
    RESIGN,
    SPENT,
    TAKE_TURN,
    lock_id,
    read_entry,
    read_notice,
    read_spent,
    spent_row,
)
from luma_async._journal.protocol import new_owner
from luma_async.values.errors import ConfigurationError
from luma_async.values.public import public

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from luma_async._journal.postgres.link import Links
    from luma_async._journal.protocol import Notice, SharedBounds
    from luma_async.values.budget import Spent
    from luma_async.values.entries import Entry, Phase

_OWNER = re.compile(r"[0-9a-f]{16}")


@public
class PostgresJournal:
    """Records paid intents in a PostgreSQL database, so that programs on several machines share them.

    A session that is given an address `postgresql://…` makes a journal for itself. Make one yourself to share it
    between sessions, or to read it. It needs the extra: `pip install luma-async[postgres]`. The tables are created in
    the first schema of the search path when the journal is first used; their names begin with `luma_`.

    Each event loop has one connection, which is open while an owner is registered; any other call opens it too, until
    `aclose()` or until the last owner leaves. That connection holds an advisory lock for each owner, so a pooler
    between this program and the server must give it a server connection of its own (PgBouncer: `pool_mode = session`).

    If the server restarts, fails over or does not answer, calls raise JournalError after about ten seconds, nothing is
    sent without a claim, and the connection is opened again by itself. Meanwhile other programs take the owners here
    for dead, and their requests that are being sent for *in doubt*; an answer that comes later still settles them.

    Args:
        dsn: the address, as a URL or as libpq's keywords and values. What it does not say, such as a password, comes
            from libpq's environment variables and password file.

    Raises:
        ConfigurationError: the address cannot be read, or the extra is not installed.
    """

    def __init__(self, dsn: str) -> None:
        self._links = _links(dsn)

    def __repr__(self) -> str:
        return f"<PostgresJournal {self._links.name}>"

    async def enter(self) -> str:
        """Register a living owner, connecting first if need be.

        Raises:
            JournalTooNew: a newer version of this library uses the tables.
            JournalError: the server cannot be used; the message says why.
        """
        owner = new_owner()
        await self._links.here().enter(owner)
        return owner

    async def leave(self, owner: str) -> None:
        """Unregister an owner. When the last owner leaves, the connection is closed."""
        await self._links.here().leave(owner)

    async def alive(self, owner: str) -> bool:
        """Whether an owner is alive, in this program or another: whether any connection holds its lock."""
        if not _OWNER.fullmatch(owner):
            return False
        link = self._links.here()
        return owner in link.owners or bool(await link.look_up(ALIVE, id=lock_id(owner)))

    async def get(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        return await self._links.here().find(BY_KEY, key=key)

    async def find(self, service: str, generation_id: str) -> Entry | None:
        """Return the entry that bought a generation."""
        return await self._links.here().find(BY_GENERATION, service=service, generation_id=generation_id)

    async def change(self, key: str, step: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Replace the entry of `key` by `step(entry)`, in one transaction. The step may be called more than once.

        Raises:
            KeyConflict: another entry of the same service holds the generation id.
            JournalError: it could not be written; nothing changed. If the connection was lost while a claim was being
                written, the entry may be *sending* until the connection is open again; then it is withdrawn.
            Whatever `step` raises: nothing changed.

        Cancellation:
            Returns at once; the change is made completely or not at all.
        """
        change = Change(key=key, step=step)
        await self._links.here().ask(change)
        return change.result

    async def spent(self, service: str, since: Sequence[datetime | None]) -> list[Spent]:
        """Return for each moment what was spent at a service after it; None means all that was ever spent."""
        link = self._links.here()
        return [read_spent(await link.look_up(SPENT, **spent_row(service, moment))) for moment in since]

    async def change_within(
        self,
        key: str,
        step: Callable[[Entry | None, Sequence[Spent]], Entry | None],
        *,
        service: str,
        since: Sequence[datetime | None],
    ) -> Entry | None:
        """Replace the entry of `key` by `step(entry, spent)`, as `change()` does, in one transaction."""
        change = CountedChange(
            key=key, service=service, since=since, step=lambda standing: step(standing, change.spent)
        )
        await self._links.here().ask(change)
        return change.result

    async def hints(self, service: str) -> dict[str, str]:
        """Return what sessions have learned of a service."""
        return dict(await self._links.here().look_up(HINTS, service=service))

    async def keep_hints(self, service: str, texts: Mapping[str, str]) -> None:
        """Keep what a session has learned of a service, for the next one. The oldest of many hints are removed."""
        link = self._links.here()
        for name, value in texts.items():
            await link.look_up(KEEP_HINT, service=service, name=name, value=value)
        await link.look_up(DROP_HINTS, service=service)

    async def lead(self, service: str, owner: str) -> bool:
        """Become the leader of a service, if no other program leads, and tell the others; return whether this leads.

        The lock of the leader belongs to the connection, and is released with it.
        """
        link = self._links.here()
        if link.leaders.get(service, owner) != owner and link.leaders[service] in link.owners:
            return False
        rows = await link.look_up(LEAD, service=service)
        if rows and rows[0][0] and link.leaders.setdefault(service, owner) not in link.owners:
            link.leaders[service] = owner
        return bool(rows and rows[0][0]) and link.leaders[service] == owner

    async def resign(self, service: str, owner: str) -> None:
        """Be the leader no longer."""
        link = self._links.here()
        if link.leaders.get(service) == owner:
            del link.leaders[service]
            await link.look_up(RESIGN, service=service)

    async def notices(self, service: str) -> AsyncGenerator[Notice]:
        """Yield what all programs do at a service from now on."""
        async with aclosing(self._links.here().notices()) as told:
            async for where, what, value, delay_s in told:
                if where in {service, None}:
                    yield read_notice(what, value, delay_s)

    async def take_turn(self, service: str, key: str, owner: str, bounds: SharedBounds) -> float | None:
        """Count a submit that is about to start; return after how many seconds it may, or None if there is no room."""
        row = {"service": service, "key": key, "owner": lock_id(owner), **attrs.asdict(bounds)}
        [(wait_s,)] = await self._links.here().look_up(TAKE_TURN, **row)
        return None if wait_s is None else float(wait_s)

    async def give_back(self, key: str, owner: str) -> None:
        """Give back the room of a submit that was not sent."""
        await self._links.here().look_up(GIVE_BACK, key=key, owner=lock_id(owner))

    async def pause(self, service: str, delay_s: float) -> None:
        """Let no submit of any program start for some seconds."""
        await self._links.here().look_up(PAUSE, service=service, delay_s=delay_s)

    async def entries(self, *, service: str | None = None, phases: Collection[Phase] | None = None) -> list[Entry]:
        """Return the entries of a service in the given phases, oldest first; None means all."""
        link = self._links.here()
        found: list[Entry] = []
        wanted: dict[str, Any] = {"service": service, "phases": None if phases is None else list(phases), "after": 0}
        while rows := await link.look_up(PAGE, **wanted):
            found.extend(read_entry(row[1:]) for row in rows)
            wanted["after"] = rows[-1][0]
        return found

    async def aclose(self) -> None:
        """Unregister the owners of this event loop that are left, and close its connection. Closing twice is fine."""
        await self._links.here().aclose()


def _links(dsn: str) -> Links:
    """Return the connections to a server, none of which is open yet."""
    if find_spec("psycopg") is None:
        message = "A journal in PostgreSQL needs psycopg. Install it with `pip install luma-async[postgres]`."
        raise ConfigurationError(message=message)
    from luma_async._journal.postgres.link import Links  # noqa: PLC0415 - imports psycopg, which is an extra

    return Links(dsn)
