"""Finding the service that a journal's entries belong to, so that nobody has to repeat its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.status import read_entries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Sequence

    from luma_async import Entry


async def only_service(arguments: argparse.Namespace) -> str | None:
    """Return the service that all entries of the journal share; None when there are several, or none."""
    return shared_service(await read_entries(arguments))


async def service_of(arguments: argparse.Namespace, ids: Collection[str]) -> str | None:
    """Return the service that made these generations, as far as the journal knows them and it is one."""
    if not arguments.journal.exists():
        return None
    return shared_service([entry for entry in await read_entries(arguments) if entry.generation_id in ids])


def shared_service(entries: Sequence[Entry]) -> str | None:
    """Return the service that all of these share; None when there are several, or none."""
    services = {entry.service for entry in entries}
    return services.pop() if len(services) == 1 else None
