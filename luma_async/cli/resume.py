"""`luma-async resume`: wait for everything that is paid and unfinished, and put it on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import Phase
from luma_async.cli.buying import add_file
from luma_async.cli.console import print_status, progress
from luma_async.cli.fetching import fetch_all
from luma_async.cli.options import add_journal, add_json, add_service, again, open_session
from luma_async.cli.services import others_of, shared_service
from luma_async.cli.status import read_entries

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Wait for every generation that the journal knows as paid and unfinished, and download it."
    parser.add_argument(
        "--not-downloaded", action="store_true", help="fetch also what is completed and was never put on disk"
    )
    parser.add_argument("-o", "--output", default=".", metavar="DIR", help="where the files go")
    add_file(parser)
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run, what="video")


async def run(arguments: argparse.Namespace) -> int:
    """Wait and download, and point at what is in doubt."""
    entries = await read_entries(arguments)
    with progress(quiet=arguments.json) as display:
        async with open_session(arguments, service=shared_service(entries), on_event=display.observe) as luma:
            unfinished, all_of_them = await luma.resume(), await luma.resume(not_downloaded=True)
            print_status(f"{len(unfinished)} paid and unfinished.")
            for where, number in others_of(entries, {Phase.ACCEPTED}, {handle.key for handle in unfinished}).items():
                print_status(
                    f"{number} more at another service, with its key: {again(arguments, 'resume', asks=False)} {where}"
                )
            not_downloaded = len(all_of_them) - len(unfinished)
            handles = all_of_them if arguments.not_downloaded else unfinished
            if not_downloaded:
                how = "." if arguments.not_downloaded else f": {again(arguments, 'resume', '--not-downloaded')}"
                print_status(f"{not_downloaded} completed and never put on disk{how}")
            code = await fetch_all(luma, handles, arguments, display)
            doubts = await luma.doubts.list()
    if doubts:
        print_status(f"{len(doubts)} in doubt: see {again(arguments, 'in-doubt')}")
    return code
