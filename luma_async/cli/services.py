"""Finding the service that a journal's entries belong to, so that nobody has to repeat its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.status import read_entries

if TYPE_CHECKING:
    import argparse

    from luma_async import Entry


async def only_service(arguments: argparse.Namespace) -> str | None:
    """Return the base URL that all entries share; None when there are several, or none."""
    addresses = {base_url_of(entry) for entry in await read_entries(arguments)}
    return addresses.pop() if len(addresses) == 1 else None


def base_url_of(entry: Entry) -> str:
    """Return where an entry was bought."""
    return entry.service.partition(" ")[2]
