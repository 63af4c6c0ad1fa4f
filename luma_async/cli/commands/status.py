"""`luma-async status`: list the journal, without a network request."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from luma_async import Phase
from luma_async.cli.journal import read_entries
from luma_async.cli.numbers import whole
from luma_async.cli.options import add_journal, add_json
from luma_async.cli.output import local_time, print_entry, print_status, print_table, shorten

if TYPE_CHECKING:
    import argparse

    from luma_async import Entry


_OLDEST = datetime.min.replace(tzinfo=UTC)
_SORT = ("bought", "updated", "key", "phase")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "List the generations in the journal. This makes no network request."
    parser.add_argument("what", nargs="?", metavar="KEY|ID", help="list only the entry with this key or generation id")
    parser.add_argument(
        "--phase",
        action="append",
        type=lambda text: re.sub("[ -]", "_", text.lower()),
        choices=[str(phase) for phase in Phase],
        metavar="PHASE",
        help="list only this phase: %(choices)s (may be repeated); spaces and hyphens count as underscores",
    )
    parser.add_argument("--sort", choices=_SORT, default="bought", help="the order, last is newest (default: bought)")
    parser.add_argument("--limit", type=whole(1), metavar="N", help="list only the last N")
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print the entries: a table for people, one line of JSON each for programs."""
    phases = {Phase(name) for name in arguments.phase or Phase}
    everything = await read_entries(arguments)
    entries = [entry for entry in everything if entry.phase in phases]
    if arguments.what is not None:
        entries = [entry for entry in entries if arguments.what in {entry.key, entry.generation_id}]
        if not entries:
            print_status(f"The journal has no entry with the key or id {arguments.what}: nothing was sent with it.")
            return 1
    entries = _sorted(entries, arguments.sort)[-(arguments.limit or 0) :]
    if arguments.json:
        for entry in entries:
            print_entry(entry)
    elif not everything:
        if arguments.journal.exists():
            print_status("The journal holds no purchases.")
    elif not entries:
        print_status("The journal has no entry in this phase.")
    else:
        print_table(("PHASE", "KEY", "GENERATION", "UPDATED", "PROMPT"), map(_row, entries))
    return 0


def _sorted(entries: list[Entry], order: str) -> list[Entry]:
    """Sort entries, which are in the order in which they were bought."""
    match order:
        case "updated":
            return sorted(entries, key=lambda entry: entry.updated_at or _OLDEST)
        case "key":
            return sorted(entries, key=lambda entry: entry.key)
        case "phase":
            return sorted(entries, key=lambda entry: list(Phase).index(entry.phase))
        case _:
            return entries


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.phase.replace("_", " "),
        entry.key,
        entry.generation_id or "",
        local_time(entry.updated_at) if entry.updated_at else "",
        shorten(str(entry.request.get("prompt", ""))),
    )
