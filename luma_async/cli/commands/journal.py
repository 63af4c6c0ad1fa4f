"""`luma-async journal`: export the journal, copy it, and make it smaller, without a request to a service."""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._aio import wall_now
from luma_async._journal.copying import copy_entries
from luma_async._journal.lifecycle import is_prunable, prune
from luma_async.cli.journal import open_journal, read_entries
from luma_async.cli.options import add_journal, add_json
from luma_async.cli.output import entry_document, print_json, print_line, print_status, printable
from luma_async.cli.places import opened, place
from luma_async.values.errors import InvalidInput
from luma_async.values.redaction import without_queries

if TYPE_CHECKING:
    from luma_async import Entry

_COLUMNS = ("key", "phase", "service", "generation_id", "sent_at", "updated_at", "attempts", "reason", "path", "price")
_FORMULA = ("=", "+", "-", "@")
"""What a cell begins with that a spreadsheet would compute."""
_DAYS = re.compile(r"(\d{1,4})\s*d(?:ays?)?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Export the journal, copy it, or make it smaller. This makes no request to a service."
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    export = actions.add_parser("export", help="print every entry; no entry contains a key of the service")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: %(default)s")
    export.add_argument(
        "--full-urls",
        action="store_true",
        help="print whole addresses; their queries and the paths of hooks may be secret",
    )
    add_journal(export)
    export.set_defaults(run=run_export)
    pruning = actions.add_parser("prune", help="drop prompts, links and answers of purchases that ended long ago")
    pruning.add_argument("--older-than", metavar="DAYS", type=_days, required=True, help="for example 90d")
    pruning.add_argument("--dry-run", action="store_true", help="count what would be dropped, and drop nothing")
    add_journal(pruning)
    pruning.set_defaults(run=run_prune)
    copy = actions.add_parser(
        "copy",
        help="copy every entry into another journal, such as from a file to PostgreSQL",
        description="Copy every entry into another journal. Entries that are there already stay; if one differs, "
        "nothing is copied. End the programs that use the journal first.",
    )
    for name, what in (("source", "the journal to copy"), ("target", "the journal to copy to")):
        copy.add_argument(name, type=place, metavar=name.upper(), help=f"{what}: a file, or postgresql://…")
    add_json(copy)
    copy.set_defaults(run=run_copy)


async def run_copy(arguments: argparse.Namespace) -> int:
    """Copy a journal, and print how many entries."""
    if not arguments.source.exists():
        raise InvalidInput(field="source", message=f"there is no journal at {arguments.source}.")
    async with opened(arguments.source) as source, opened(arguments.target) as target:
        done = await copy_entries(source, target)
    if arguments.json:
        print_json(attrs.asdict(done))
    else:
        print_line(f"Copied {done.copied} entries to {arguments.target}; {done.present} were there already.")
    return 0


def _days(text: str) -> timedelta:
    match = _DAYS.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a number of days such as 90d, not {text!r}")
    return timedelta(days=int(match[1]))


async def run_export(arguments: argparse.Namespace) -> int:
    """Print the entries."""
    documents = [_document(entry, full=arguments.full_urls) for entry in await read_entries(arguments)]
    if arguments.format == "jsonl":
        for document in documents:
            print_json(document)
        return 0
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow((*_COLUMNS, "prompt", "request"))
    table.writerows(map(_row, documents))
    return 0


async def run_prune(arguments: argparse.Namespace) -> int:
    """Prune what ended long ago, and print how much that was."""
    from luma_async import SqliteJournal  # noqa: PLC0415 - not every command needs sqlite3

    before = wall_now() - arguments.older_than
    async with open_journal(arguments) as journal:
        if journal is None:
            return 0
        entries = await journal.entries()
        old = [entry.key for entry in entries if is_prunable(entry, before=before)]
        if arguments.dry_run:
            print_status(f"Would prune {len(old)} of {len(entries)} entries.")
            return 0
        for key in old:
            await journal.change(key, prune(before=before))
        # A database in PostgreSQL reuses the room by itself.
        if old and isinstance(journal, SqliteJournal):
            await journal.compact()
        print_status(f"Pruned {len(old)} of {len(entries)} entries. Their keys still buy nothing a second time.")
    return 0


def _document(entry: Entry, *, full: bool) -> dict[str, Any]:
    document = entry_document(entry)
    if full:
        return document
    if hook := document["request"].get("notify_hook"):
        # Chat services put the token of a hook into its path.
        document["request"]["notify_hook"] = "/".join(hook.split("/")[:3])
    shown: dict[str, Any] = without_queries(document)
    return shown


def _row(document: dict[str, Any]) -> list[str]:
    request = json.dumps(document["request"])
    prompt = str(document["request"].get("prompt", ""))
    cells = ["" if document[name] is None else str(document[name]) for name in _COLUMNS]
    return [_cell(text) for text in (*cells, prompt, request)]


def _cell(text: str) -> str:
    """Return a text that a spreadsheet shows and does not compute."""
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
