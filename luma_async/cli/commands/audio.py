"""`luma-async audio`: buy sound for a completed video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import AudioRequest
from luma_async.cli.purchase import add_purchase, buy

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy sound for a completed video, wait for it, and download the result."
    parser.add_argument("source", metavar="GENERATION", help="the id of the completed video")
    parser.add_argument("prompt", help="what to hear in the video; - reads standard input")
    parser.add_argument("--negative-prompt", metavar="TEXT", help="what must not be heard")
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    request = AudioRequest(arguments.source, arguments.prompt, negative_prompt=arguments.negative_prompt)
    return await buy(arguments, request)
