"""`luma-async generate`: buy one video, wait for it, and put it on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from luma_async import Keyframes, VideoRequest
from luma_async.cli.console import progress, put_generation, say
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.downloads import Downloads
from luma_async.prompt_files import read_keyframe
from luma_async.settings import check_timeout

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Buy one video, wait, and download it."
    parser.add_argument("prompt", help="what to show")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="a file or a folder (default: ./<id>.mp4)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--watermark", action="store_true", help="take a clip with a watermark if there is no other")
    parser.add_argument("--aspect-ratio", default="16:9", metavar="W:H")
    for name, end in (("frame0", "first"), ("frame1", "last")):
        parser.add_argument(
            f"--{name}", metavar="WHAT", help=f"the {end} frame: an address, an image file, or id:GENERATION"
        )
    parser.add_argument("--loop", action="store_true", default=None, help="join the end to the beginning")
    parser.add_argument("--expand-prompt", action="store_true", default=None, help="let the service improve the prompt")
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--resolution", metavar="540p|720p|1080p|…")
    parser.add_argument("--duration", metavar="5s|9s|…")
    parser.add_argument("--key", help="a name for this purchase: the same key never buys twice")
    parser.add_argument(
        "--timeout",
        type=float,
        default=86_400,
        metavar="SECONDS",
        help="stop waiting then, exit code 3 (default: a day)",
    )
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download; what would be refused afterwards is refused before it is paid."""
    request = _request(arguments)
    check_timeout(arguments.timeout)
    Downloads.check_place(arguments.output or Path(), overwrite=arguments.overwrite)
    with progress(arguments.prompt[:60], quiet=arguments.json) as display:
        async with open_session(arguments, on_event=display.observe) as luma:
            handle = await luma.submit(request, key=arguments.key)
            say(f"Accepted: generation {handle.id}, key {handle.key}")
            try:
                generation = await handle.wait(timeout=arguments.timeout)
                path = await handle.download(
                    arguments.output or Path(),
                    overwrite=arguments.overwrite,
                    watermark="allow" if arguments.watermark else "forbid",
                )
            except asyncio.CancelledError:
                say(f"Interrupted. Generation {handle.id} is paid and runs on; `luma-async resume` fetches it.")
                raise
    if arguments.json:
        put_generation(generation, path=str(path), key=handle.key)
    else:
        print(path)
    return 0


def _request(arguments: argparse.Namespace) -> VideoRequest:
    frame0, frame1 = [where and read_keyframe(where) for where in (arguments.frame0, arguments.frame1)]
    return VideoRequest(
        arguments.prompt,
        aspect_ratio=arguments.aspect_ratio,
        keyframes=Keyframes(frame0=frame0, frame1=frame1) if frame0 or frame1 else None,
        loop=arguments.loop,
        expand_prompt=arguments.expand_prompt,
        model=arguments.model,
        resolution=arguments.resolution,
        duration=arguments.duration,
    )
