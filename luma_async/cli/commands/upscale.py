"""`luma-async upscale`: buy a completed video in a higher resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import UpscaleRequest
from luma_async.cli.purchase import add_purchase, buy

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy a completed video in a higher resolution from Luma, wait for it, and download it."
    parser.add_argument("source", metavar="GENERATION", help="the id of the completed video")
    parser.add_argument("--resolution", metavar="1080p|4k|…", help="default: the service's")
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    return await buy(arguments, UpscaleRequest(arguments.source, resolution=arguments.resolution))
