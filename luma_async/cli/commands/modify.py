"""`luma-async modify`: buy a video that is restyled with a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import ModifyRequest
from luma_async.cli.purchase import add_purchase, buy

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy a video that Luma restyles with a prompt, wait for it, and download it."
    parser.add_argument("media", metavar="URL", help="the address of the original")
    parser.add_argument(
        "--mode",
        required=True,
        help="how much may change: adhere_1 to adhere_3, flex_1 to flex_3, reimagine_1 to reimagine_3",
    )
    parser.add_argument("--prompt", metavar="TEXT", help="what the result shows")
    parser.add_argument("--model", metavar="NAME", help="default: the service's")
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
