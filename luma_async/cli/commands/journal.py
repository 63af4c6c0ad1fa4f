"""`luma-async journal`: export the journal, without a network request."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING

from luma_async.cli.journal import read_entries
from luma_async.cli.options import add_journal
from luma_async.cli.output import as_json, print_entry, printable

if TYPE_CHECKING:
    import argparse

    from luma_async import Entry

_COLUMNS = ("key", "phase", "service", "generation_id", "sent_at", "updated_at", "attempts", "reason", "path", "price")
_FORMULA = ("=", "+", "-", "@")
"""What a cell begins with that a spreadsheet would compute."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Export the journal. This makes no network request."
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    export = actions.add_parser("export", help="print every entry; no entry contains a key of the service")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: %(default)s")
    add_journal(export)
    export.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print the entries."""
    entries = await read_entries(arguments)
    if arguments.format == "jsonl":
        for entry in entries:
            print_entry(entry)
        return 0
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow((*_COLUMNS, "prompt", "request"))
    table.writerows(map(_row, entries))
    return 0


def _row(entry: Entry) -> list[str]:
    document = as_json(entry, without={"raw", "owner", "generation"})
    request = json.dumps(document["request"])
    prompt = str(document["request"].get("prompt", ""))
    cells = ["" if document[name] is None else str(document[name]) for name in _COLUMNS]
    return [_cell(text) for text in (*cells, prompt, request)]


def _cell(text: str) -> str:
    """Return a text that a spreadsheet shows and does not compute."""
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
