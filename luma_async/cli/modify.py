"""`luma-async modify`: buy a video restyled by a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import ModifyRequest
from luma_async.cli.buying import add_purchase, buy

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Buy a video restyled by a prompt from Luma, wait, and download it."
    parser.add_argument("media", metavar="URL", help="where the original is")
    parser.add_argument(
        "--mode", required=True, help="how far it may go: adhere_1 to adhere_3, flex_1 to flex_3, reimagine_1 to _3"
    )
    parser.add_argument("--prompt", metavar="TEXT", help="what to show")
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--first-frame", metavar="URL", help="the first frame of the result")
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    request = ModifyRequest(
        arguments.media,
        mode=arguments.mode,
        prompt=arguments.prompt,
        model=arguments.model,
        first_frame=arguments.first_frame,
    )
    return await buy(arguments, request)
