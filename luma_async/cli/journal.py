"""Read the journal for a command, and find the service that its entries belong to."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from luma_async.cli.output import print_status

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable

    from luma_async import Entry, Phase

BATCH_JOURNAL = "jobs.db"
"""The name of the journal in the folder of a batch."""


async def read_entries(arguments: argparse.Namespace) -> list[Entry]:
    """Return all entries of the journal. A file that does not exist has none, and is not created."""
    from luma_async import SqliteJournal  # noqa: PLC0415 - not every command needs sqlite3

    if not arguments.journal.exists():
        print_status(f"There is no journal at {arguments.journal} yet.")
        return []
    journal = SqliteJournal(arguments.journal)
    try:
        return await journal.entries()
    finally:
        await journal.aclose()


async def service_of(arguments: argparse.Namespace, ids: Collection[str]) -> str | None:
    """Return the service that made these generations; None if the journal knows none of them or several services."""
    if not arguments.journal.exists():
        return None
    return shared_service(entry for entry in await read_entries(arguments) if entry.generation_id in ids)


def shared_service(entries: Iterable[Entry]) -> str | None:
    """Return the service that all of these entries share; None when there are several, or none."""
    services = {entry.service for entry in entries}
    return services.pop() if len(services) == 1 else None


def count_elsewhere(
    entries: Iterable[Entry], phases: Collection[Phase], known: Collection[str | None]
) -> dict[str, int]:
    """Count the entries in these phases whose key is not known, by the flags that select their service."""
    found = Counter(entry.service for entry in entries if entry.phase in phases and entry.key not in known)
    return {_service_flags(service): number for service, number in found.items()}


def _service_flags(service: str) -> str:
    dialect, _, base_url = service.partition(" ")
    return shlex.join(["--dialect", dialect, "--base-url", base_url])
