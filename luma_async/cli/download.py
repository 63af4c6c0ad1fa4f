"""`luma-async download`: put generations on disk, by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.buying import add_file
from luma_async.cli.console import progress
from luma_async.cli.fetching import fetch_all
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.services import service_of

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Wait for generations if need be, and download them. Nothing is bought."
    parser.add_argument("ids", nargs="+", metavar="GENERATION", help="their ids")
    parser.add_argument(
        "-o",
        "--output",
        default=".",
        metavar="DIR",
        help="where the files go; for one generation also a file, by its ending",
    )
    parser.add_argument(
        "--what", choices=("video", "thumbnail", "last_frame"), default="video", help="which file (default: video)"
    )
    add_file(parser)
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Download each, as it is there."""
    ids = list(dict.fromkeys(arguments.ids))
    with progress(quiet=arguments.json) as display:
        service = await service_of(arguments, ids)
        async with open_session(arguments, service=service, on_event=display.observe) as luma:
            return await fetch_all(luma, [luma.handle(one) for one in ids], arguments, display)
