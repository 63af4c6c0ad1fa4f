"""`luma-async generate`: buy one video, wait for it, and put it on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import Keyframes, VideoRequest
from luma_async.cli.buying import add_purchase, buy
from luma_async.prompts import read_keyframe

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Buy one video, wait, and download it."
    parser.add_argument("prompt", help="what to show")
    parser.add_argument("--aspect-ratio", default="16:9", metavar="W:H")
    for name, end in (("frame0", "first"), ("frame1", "last")):
        parser.add_argument(
            f"--{name}", metavar="WHAT", help=f"the {end} frame: an address, an image file, or id:GENERATION"
        )
    add_wishes(parser)
    add_purchase(parser)
    parser.set_defaults(run=run)


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """Add what may be wished of any video."""
    parser.add_argument("--loop", action="store_true", default=None, help="join the end to the beginning")
    parser.add_argument("--expand-prompt", action="store_true", default=None, help="let the service improve the prompt")
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--resolution", metavar="540p|720p|1080p|…")
    parser.add_argument("--duration", metavar="5s|9s|…")


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    frame0, frame1 = [
        read_keyframe(where, field) if where is not None else None
        for where, field in ((arguments.frame0, "--frame0"), (arguments.frame1, "--frame1"))
    ]
    request = VideoRequest(
        arguments.prompt,
        aspect_ratio=arguments.aspect_ratio,
        keyframes=Keyframes(frame0=frame0, frame1=frame1) if frame0 or frame1 else None,
        loop=arguments.loop,
        expand_prompt=arguments.expand_prompt,
        model=arguments.model,
        resolution=arguments.resolution,
        duration=arguments.duration,
    )
    return await buy(arguments, request)
