"""`luma-async link`: the watermark-free link of a completed generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.console import put_json
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.services import service_of

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Print the link to a completed video without a watermark. It may expire within the hour. Some relays bill the "
        "question, which is asked only when the generation carries no such link."
    )
    parser.add_argument("id", metavar="GENERATION", help="its id")
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Ask, and print."""
    async with open_session(arguments, service=await service_of(arguments, [arguments.id])) as luma:
        url = await luma.video_url(arguments.id)
    if arguments.json:
        put_json({"id": arguments.id, "url": url})
    else:
        print(url)
    return 0
