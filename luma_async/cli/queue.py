"""The queue of the commands `worker` and `enqueue`, in the database of the journal."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from luma_async.cli.places import Address
from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from procrastinate import App


@asynccontextmanager
async def opened_queue(arguments: argparse.Namespace) -> AsyncGenerator[App]:
    """Open the queue, and close it.

    Raises:
        ConfigurationError: the journal is not in PostgreSQL, or the extra is not installed.
        JournalError: the database cannot be used.
    """
    if not isinstance(arguments.journal, Address):
        message = "A queue needs a journal in PostgreSQL: --journal postgresql://… or LUMA_JOURNAL."
        raise ConfigurationError(message=message)
    from luma_async.contrib.procrastinate import open_queue  # noqa: PLC0415 - it needs an extra

    app = await open_queue(arguments.journal.dsn)
    try:
        yield app
    finally:
        await app.close_async()
