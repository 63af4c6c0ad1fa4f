"""Read the journal for a command, and find the service that its entries belong to."""

from __future__ import annotations

import shlex
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from luma_async import Phase
from luma_async._aio import wall_now
from luma_async._http.address import check_base_url, unquoted
from luma_async._journal import lifecycle
from luma_async._journal.lifecycle import LOOK_AGAIN, UNDECIDED, Step, next_phase
from luma_async.cli.output import print_status
from luma_async.cli.places import opened
from luma_async.values.errors import InvalidInput, KeyConflict
from luma_async.values.validators import check_key

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, Collection, Iterable

    from luma_async import Entry, Journal

BATCH_JOURNAL = "jobs.db"
"""The name of the journal in the folder of a batch."""


@asynccontextmanager
async def open_journal(arguments: argparse.Namespace) -> AsyncGenerator[Journal | None]:
    """Open the journal of a command; None if the file does not exist, which is then not created."""
    if not arguments.journal.exists():
        print_status(f"There is no journal at {arguments.journal} yet.")
        yield None
        return
    async with opened(arguments.journal) as journal:
        yield journal


async def read_entries(arguments: argparse.Namespace) -> list[Entry]:
    """Return all entries of the journal. A file that does not exist has none, and is not created."""
    async with open_journal(arguments) as journal:
        return [] if journal is None else await journal.entries()


async def read_doubts(arguments: argparse.Namespace) -> list[Entry]:
    """Return the submits whose outcome is unknown, at all services or at that of `--base-url` and `--dialect`."""
    async with open_journal(arguments) as journal:
        if journal is None:
            return []
        entries = await journal.entries(phases=UNDECIDED)
        return [entry for entry in entries if _is_at(entry, arguments) and not await _is_being_sent(entry, journal)]


async def abandon(key: str, arguments: argparse.Namespace) -> Entry:
    """Close a doubt for good.

    Raises:
        InvalidInput: the journal has no such key.
        KeyConflict: the key is not in doubt.
    """
    check_key(key)
    async with open_journal(arguments) as journal:
        doubt = None if journal is None else await journal.get(key)
        if journal is None or doubt is None:
            raise InvalidInput(field="key", message=f"the journal has no entry {key!r}. {LOOK_AGAIN}")
        if await _is_being_sent(doubt, journal):
            raise KeyConflict(entry=doubt, reason="it is being sent.", next_step="Wait for its response.")
        next_phase(doubt, Step.ABANDON)
        entry = await journal.change(key, lifecycle.abandon(doubt, "abandoned by the user", at=wall_now()))
        assert entry is not None
        return entry


async def _is_being_sent(entry: Entry, journal: Journal) -> bool:
    return entry.phase is Phase.SENDING and await journal.alive(entry.owner)


def _is_at(entry: Entry, arguments: argparse.Namespace) -> bool:
    """Whether an entry is at the service that was typed, if one was."""
    dialect, _, base_url = entry.service.partition(" ")
    typed = arguments.base_url and check_base_url(unquoted(arguments.base_url), allow_insecure=False)
    return base_url == (typed or base_url) and dialect == (arguments.dialect or dialect)


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
