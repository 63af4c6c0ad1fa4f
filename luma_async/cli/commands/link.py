"""`luma-async link`: print the watermark-free URL of a completed generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.journal import service_of
from luma_async.cli.options import add_common, open_session
from luma_async.cli.output import print_json, print_line

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Print the watermark-free URL of a completed video. It may expire within an hour. Some relays charge for "
        "requesting such a URL; it is requested only if the generation has none."
    )
    parser.add_argument("id", metavar="GENERATION", help="the id of the generation")
    add_common(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Fetch and print."""
    async with open_session(arguments, service=await service_of(arguments, [arguments.id])) as luma:
        url = await luma.video_url(arguments.id)
    if arguments.json:
        print_json({"id": arguments.id, "url": url})
    else:
        print_line(url)
    return 0
