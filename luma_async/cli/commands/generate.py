"""`luma-async generate`: buy one video, wait for it, and download it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from luma_async import Keyframes, VideoRequest
from luma_async.cli.purchase import add_purchase, buy
from luma_async.prompts import read_keyframe
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    import argparse

    from luma_async.values.keyframes import Keyframe

_FRAME_NUMBER = re.compile(r"[0-9]{1,9}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy one video, wait for it, and download it."
    parser.add_argument("prompt", help="what the video shows; - reads standard input")
    parser.add_argument("--aspect-ratio", default="16:9", metavar="W:H", help="default: %(default)s")
    for name, end in (("frame0", "first"), ("frame1", "last")):
        parser.add_argument(
            f"--{name}", metavar="WHAT", help=f"the {end} frame: a URL, an image file, or id:GENERATION"
        )
    parser.add_argument(
        "--keyframe",
        action="append",
        default=[],
        metavar="FRAME:WHAT",
        help="a frame at a place in the video, such as 120:end.png; 24 frames are a second",
    )
    parser.add_argument(
        "--concepts", type=_names, default=(), metavar="NAME,…", help="names of concepts, such as dolly_zoom"
    )
    add_video_options(parser)
    add_hdr(parser)
    add_purchase(parser)
    parser.set_defaults(run=run)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every video."""
    parser.add_argument(
        "--loop", action="store_true", default=None, help="make the end of the video match its beginning"
    )
    parser.add_argument("--expand-prompt", action="store_true", default=None, help="let the service improve the prompt")
    parser.add_argument("--model", metavar="NAME", help="default: the service's")
    parser.add_argument("--resolution", metavar="540p|720p|1080p|…", help="default: the service's")
    parser.add_argument("--duration", metavar="5s|9s|…", help="default: the service's")


def add_hdr(parser: argparse.ArgumentParser) -> None:
    """Add the options of videos with a high dynamic range."""
    parser.add_argument("--hdr", action="store_true", default=None, help="make a video with a high dynamic range")
    parser.add_argument(
        "--exr-export", action="store_true", default=None, help="deliver EXR files as well; needs --hdr"
    )
    parser.add_argument("--user-id", metavar="NAME", help="your own mark for the person for whom this is made")


def read_frames_at(values: list[str]) -> dict[int, Keyframe]:
    """Read the values of `--keyframe`.

    Raises:
        InvalidInput: one has not the form FRAME:WHAT, or its file cannot be read.
    """
    frames: dict[int, Keyframe] = {}
    for value in values:
        number, mark, what = value.partition(":")
        if not mark or not _FRAME_NUMBER.fullmatch(number):
            raise InvalidInput(field="--keyframe", message="must have the form FRAME:WHAT, such as 120:end.png.")
        frames[int(number)] = read_keyframe(what, "--keyframe")
    return frames


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    frame0, frame1 = [
        read_keyframe(where, field) if where is not None else None
        for where, field in ((arguments.frame0, "--frame0"), (arguments.frame1, "--frame1"))
    ]
    at = read_frames_at(arguments.keyframe)
    request = VideoRequest(
        arguments.prompt,
        aspect_ratio=arguments.aspect_ratio,
        keyframes=Keyframes(frame0=frame0, frame1=frame1, at=at) if frame0 or frame1 or at else None,
        loop=arguments.loop,
        expand_prompt=arguments.expand_prompt,
        model=arguments.model,
        resolution=arguments.resolution,
        duration=arguments.duration,
        hdr=arguments.hdr,
        exr_export=arguments.exr_export,
        user_id=arguments.user_id,
        concepts=arguments.concepts,
    )
    return await buy(arguments, request)
