"""Finding the service that a journal's entries belong to, so that nobody has to repeat its address."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from luma_async.cli.status import read_entries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Sequence

    from luma_async import Entry, Phase


async def only_service(arguments: argparse.Namespace) -> str | None:
    """Return the service that all entries of the journal share; None when there are several, or none."""
    return shared_service(await read_entries(arguments))


def others_of(entries: Sequence[Entry], phases: Collection[Phase], ours: Collection[str | None]) -> dict[str, int]:
    """Count the entries in these phases that are not ours, by the options that lead to their service."""
    found = Counter(entry.service for entry in entries if entry.phase in phases and entry.key not in ours)
    named = {service: service.partition(" ") for service in found}
    return {
        shlex.join(["--dialect", named[service][0], "--base-url", named[service][2]]): number
        for service, number in found.items()
    }


async def service_of(arguments: argparse.Namespace, ids: Collection[str]) -> str | None:
    """Return the service that made these generations, as far as the journal knows them and it is one."""
    if not arguments.journal.exists():
        return None
    return shared_service([entry for entry in await read_entries(arguments) if entry.generation_id in ids])


def shared_service(entries: Sequence[Entry]) -> str | None:
    """Return the service that all of these share; None when there are several, or none."""
    services = {entry.service for entry in entries}
    return services.pop() if len(services) == 1 else None
