"""`luma-async gallery`: a page with every clip of a journal, to look at in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luma_async.cli.batch import JOURNAL
from luma_async.cli.console import print_status, put_json
from luma_async.cli.options import add_json, default_journal
from luma_async.cli.status import read_entries
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Write gallery.html, which shows every generation of a journal and plays the clips on this disk. No "
        "request is made."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="where the page goes (default: here)"
    )
    parser.add_argument(
        "--journal",
        metavar="FILE",
        type=Path,
        help=f"what to show (default: {JOURNAL} in DIR, else $LUMA_JOURNAL, else the command line's own)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    from luma_async.gallery import write_gallery  # noqa: PLC0415 - only this command needs a page

    arguments.journal = arguments.journal or _journal_of(arguments.folder)
    if not arguments.journal.exists():
        raise InvalidInput(field="journal", message=f"there is none at {arguments.journal}; name one with --journal.")
    entries = await read_entries(arguments)
    page = write_gallery(arguments.folder, entries)
    if arguments.json:
        put_json({"path": str(page), "entries": len(entries)})
    else:
        print(page)
    if arguments.open and not _show(page):
        print_status("No browser could be opened.")
    return 0


def _journal_of(folder: Path) -> Path:
    beside = folder / JOURNAL
    return beside if beside.exists() else default_journal()


def _show(page: Path) -> bool:
    import webbrowser  # noqa: PLC0415 - only `--open` needs it

    return webbrowser.open(page.as_uri())
