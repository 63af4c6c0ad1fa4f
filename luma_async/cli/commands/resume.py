"""`luma-async resume`: wait for everything that is paid and unfinished, and download it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import Phase
from luma_async.cli.journal import count_elsewhere, read_entries, shared_service
from luma_async.cli.options import add_common, open_session, resume_command
from luma_async.cli.output import print_status
from luma_async.cli.progress import progress
from luma_async.cli.purchase import add_file, download_all

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Wait for every generation that is paid and unfinished in the journal, and download it."
    parser.add_argument(
        "--not-downloaded", action="store_true", help="also download what is completed and was never downloaded"
    )
    parser.add_argument("-o", "--output", default=".", metavar="DIR", help="the folder for the files (default: .)")
    add_file(parser)
    add_common(parser)
    parser.set_defaults(run=run, what="video")


async def run(arguments: argparse.Namespace) -> int:
    """Wait and download; print the commands for what this one leaves."""
    entries = await read_entries(arguments)
    with progress(quiet=arguments.json) as display:
        async with open_session(arguments, service=shared_service(entries), on_event=display.observe) as luma:
            unfinished, all_handles = await luma.resume(), await luma.resume(not_downloaded=True)
            print_status(f"{len(unfinished)} paid and unfinished.")
            elsewhere = count_elsewhere(entries, {Phase.ACCEPTED}, {handle.key for handle in unfinished})
            for flags, number in elsewhere.items():
                command = resume_command(arguments, "resume", with_service=False)
                print_status(f"{number} more at another service. With the key for that service: {command} {flags}")
            if not_downloaded := len(all_handles) - len(unfinished):
                command = resume_command(arguments, "resume", "--not-downloaded")
                how = "." if arguments.not_downloaded else f". To download them: {command}"
                print_status(f"{not_downloaded} completed and never downloaded{how}")
            handles = all_handles if arguments.not_downloaded else unfinished
            code = await download_all(luma, handles, arguments, display)
            doubts = await luma.doubts.list()
    if doubts:
        print_status(f"{len(doubts)} in doubt. To list them: {resume_command(arguments, 'in-doubt')}")
    return code
