"""`luma-async extend`: buy a continuation of a completed video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import ExtendRequest, Keyframes
from luma_async.cli.commands.generate import add_video_options
from luma_async.cli.purchase import add_purchase, buy
from luma_async.prompts import read_keyframe

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy a continuation of a completed video, wait for it, and download it."
    parser.add_argument("source", metavar="GENERATION", help="the id of the completed video")
    parser.add_argument("prompt", help="what happens next; - reads standard input")
    parser.add_argument("--frame1", metavar="WHAT", help="the last frame: a URL, an image file, or id:GENERATION")
    parser.add_argument(
        "--backward", dest="direction", action="store_const", const="backward", help="make what comes before the video"
    )
    add_video_options(parser)
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    request = ExtendRequest(
        arguments.source,
        arguments.prompt,
        keyframes=Keyframes(frame1=read_keyframe(arguments.frame1, "--frame1"))
        if arguments.frame1 is not None
        else None,
        loop=arguments.loop,
        expand_prompt=arguments.expand_prompt,
        model=arguments.model,
        resolution=arguments.resolution,
        duration=arguments.duration,
        direction=arguments.direction or "forward",
    )
    return await buy(arguments, request)
