"""`luma-async layers`: buy the layers of a picture, and download all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import LayerRequest
from luma_async.cli.media import MEDIA_HELP, read_media
from luma_async.cli.purchase import add_purchase, buy

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy the layers of a picture from Luma, wait for them, and download each into a folder."
    parser.add_argument("media", metavar="WHAT", help=MEDIA_HELP)
    parser.add_argument("prompt", help="which layers to make")
    parser.add_argument("--model", metavar="NAME", help="default: the service's")
    parser.add_argument("--resolution", choices=("1k", "2k"), help="default: the service's")
    parser.add_argument("--user-id", metavar="NAME", help="your own mark for the person for whom this is made")
    add_purchase(parser)
    parser.set_defaults(run=run, every_output=True)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    media = read_media(arguments.media, "WHAT")
    request = LayerRequest(
        media, arguments.prompt, model=arguments.model, resolution=arguments.resolution, user_id=arguments.user_id
    )
    return await buy(arguments, request)
