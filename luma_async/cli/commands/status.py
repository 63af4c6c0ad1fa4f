"""`luma-async status`: list the journal, without a network request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import Phase
from luma_async.cli.journal import read_entries
from luma_async.cli.options import add_journal, add_json
from luma_async.cli.output import print_entry, print_table, shorten

if TYPE_CHECKING:
    import argparse

    from luma_async import Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "List the generations in the journal, oldest first. This makes no network request."
    parser.add_argument(
        "--phase",
        action="append",
        type=lambda text: text.replace(" ", "_"),
        choices=[str(phase) for phase in Phase],
        help="list only this phase (may be repeated)",
    )
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print the entries: a table for people, one line of JSON each for programs."""
    phases = {Phase(name) for name in arguments.phase or Phase}
    entries = [entry for entry in await read_entries(arguments) if entry.phase in phases]
    if arguments.json:
        for entry in entries:
            print_entry(entry)
    else:
        print_table(("PHASE", "KEY", "GENERATION", "UPDATED", "PROMPT"), map(_row, entries))
    return 0


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.phase.replace("_", " "),
        entry.key,
        entry.generation_id or "",
        f"{entry.updated_at:%Y-%m-%d %H:%M}" if entry.updated_at else "",
        shorten(str(entry.request.get("prompt", ""))),
    )
