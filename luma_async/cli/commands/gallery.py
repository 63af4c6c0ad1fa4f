"""`luma-async gallery`: write an HTML page with every clip of a journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luma_async.cli.journal import BATCH_JOURNAL, read_entries
from luma_async.cli.options import add_json, default_journal
from luma_async.cli.output import as_typed, print_json, print_path, print_status
from luma_async.cli.places import place
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    import argparse

    from luma_async.cli.places import Place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Write gallery.html, a page that lists every generation of a journal and plays the clips on this disk. This "
        "makes no network request."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="the folder for the page (default: .)"
    )
    parser.add_argument(
        "--journal",
        metavar="FILE",
        type=place,
        help=f"the journal to show (default: {BATCH_JOURNAL} in DIR if it exists, or the default of `status`)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Write the page and print its path."""
    from luma_async.gallery import write_gallery  # noqa: PLC0415 - loaded only when a page is written

    arguments.journal = arguments.journal or _journal_of(arguments.folder)
    if not arguments.journal.exists():
        raise InvalidInput(
            field="--journal", message=f"{arguments.journal} does not exist. Use --journal to name another file."
        )
    entries = await read_entries(arguments)
    page = write_gallery(arguments.folder, entries)
    shown = as_typed(page, arguments.folder)
    if arguments.json:
        print_json({"path": str(shown), "entries": len(entries)})
    else:
        print_path(shown)
    if arguments.open and not _open_in_browser(page):
        print_status("No browser could be opened.")
    return 0


def _journal_of(folder: Path) -> Place:
    in_folder = folder / BATCH_JOURNAL
    return in_folder if in_folder.exists() else default_journal()


def _open_in_browser(page: Path) -> bool:
    import webbrowser  # noqa: PLC0415 - only `--open` needs it

    return webbrowser.open(page.as_uri())
