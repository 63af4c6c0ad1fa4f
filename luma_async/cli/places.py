"""Where a journal is: in a file, or at the address of a PostgreSQL database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from luma_async._journal.protocol import is_address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from luma_async import Journal


@attrs.frozen
class Address:
    """An address, which is shown without its password."""

    dsn: str = attrs.field(repr=False)
    """The address."""

    def exists(self) -> bool:
        """Return True: only connecting can tell."""
        return True

    def __str__(self) -> str:
        parts = urlsplit(self.dsn)
        login, at, hosts = parts.netloc.rpartition("@")
        settings = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name]
        query = f"?{urlencode(settings)}" if settings else ""
        return f"{parts.scheme}://{login.partition(':')[0]}{at}{hosts}{parts.path}{query}"


Place: TypeAlias = Path | Address


def place(text: str) -> Place:
    """Return what a flag or a setting names."""
    return Address(text) if is_address(text) else Path(text)


@asynccontextmanager
async def opened(where: Place) -> AsyncGenerator[Journal]:
    """Open a journal, and close it. A file that does not exist is created when it is written."""
    from luma_async import PostgresJournal, SqliteJournal  # noqa: PLC0415 - not every command needs sqlite3

    journal = PostgresJournal(where.dsn) if isinstance(where, Address) else SqliteJournal(where)
    try:
        yield journal
    finally:
        await journal.aclose()
