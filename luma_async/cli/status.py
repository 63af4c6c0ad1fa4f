"""`luma-async status`: what the journal knows, without asking anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import Phase
from luma_async.cli.console import print_status, put_json, put_table, shorten
from luma_async.cli.options import add_journal, add_json
from luma_async.cli.shapes import entry_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from luma_async import Entry


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "List the paid generations that the journal remembers. No request is made."
    parser.add_argument(
        "--phase",
        action="append",
        type=lambda text: text.replace(" ", "_"),
        choices=[str(phase) for phase in Phase],
        help="only these phases",
    )
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print the entries."""
    entries = await read_entries(arguments)
    wanted = {Phase(name) for name in arguments.phase or Phase}
    put_entries([entry for entry in entries if entry.phase in wanted], as_json=arguments.json)
    return 0


async def read_entries(arguments: argparse.Namespace) -> list[Entry]:
    """Return everything in the journal; a file that does not exist yet holds nothing, and is not made."""
    from luma_async import SqliteJournal  # noqa: PLC0415 - sqlite3 is loaded when it is wanted

    if not arguments.journal.exists():
        print_status(f"There is no journal at {arguments.journal} yet.")
        return []
    journal = SqliteJournal(arguments.journal)
    try:
        return await journal.entries()
    finally:
        await journal.aclose()


def put_entries(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Print entries: a table for people, a line of JSON each for programs."""
    if as_json:
        for entry in entries:
            put_json(entry_json(entry))
        return
    put_table(("PHASE", "KEY", "GENERATION", "UPDATED", "PROMPT"), map(_row, entries))


def _row(entry: Entry) -> tuple[str, ...]:
    updated = f"{entry.updated_at:%Y-%m-%d %H:%M}" if entry.updated_at else ""
    return (
        entry.phase.replace("_", " "),
        entry.key,
        entry.generation_id or "",
        updated,
        shorten(str(entry.request.get("prompt", ""))),
    )
