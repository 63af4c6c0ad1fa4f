"""`luma-async download`: download generations by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.journal import service_of
from luma_async.cli.options import add_common, open_session
from luma_async.cli.progress import progress
from luma_async.cli.purchase import add_file, download_all

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Download generations, after waiting for those that still run. This buys nothing."
    parser.add_argument("ids", nargs="+", metavar="GENERATION", help="the ids of the generations")
    parser.add_argument(
        "-o",
        "--output",
        default=".",
        metavar="DIR",
        help="the folder for the files (default: .); for one generation, a name with an extension is a file",
    )
    parser.add_argument(
        "--what", choices=("video", "thumbnail", "last_frame"), default="video", help="which file (default: video)"
    )
    add_file(parser)
    add_common(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Download each when it is completed."""
    ids = list(dict.fromkeys(arguments.ids))
    with progress(quiet=arguments.json) as display:
        service = await service_of(arguments, ids)
        async with open_session(arguments, service=service, on_event=display.observe) as luma:
            return await download_all(luma, [luma.handle(generation_id) for generation_id in ids], arguments, display)
