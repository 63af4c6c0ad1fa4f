"""`luma-async upscale`: buy a completed video in a higher resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import UpscaleRequest
from luma_async.cli.buying import add_purchase, buy

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Buy a completed video of Luma's in a higher resolution, wait, and download it."
    parser.add_argument("source", metavar="GENERATION", help="the id of the completed video")
    parser.add_argument("--resolution", metavar="1080p|4k|…")
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    return await buy(arguments, UpscaleRequest(arguments.source, resolution=arguments.resolution))
