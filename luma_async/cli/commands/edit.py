"""`luma-async edit`: buy a video or a picture that is changed with a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async import (
    DepthControl,
    EditControls,
    FaceControl,
    ImageEditRequest,
    Keyframes,
    ModifyRequest,
    NormalsControl,
    PoseControl,
    TrajectoryControl,
)
from luma_async.cli.commands.generate import add_hdr, read_frames_at
from luma_async.cli.media import MEDIA_HELP, read_media
from luma_async.cli.purchase import add_purchase, buy
from luma_async.prompts import read_keyframe

if TYPE_CHECKING:
    import argparse

_CONTROLS = {
    "depth": DepthControl,
    "face": FaceControl,
    "normals": NormalsControl,
    "pose": PoseControl,
    "trajectory": TrajectoryControl,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy a video or a picture that Luma changes with a prompt, wait for it, and download it."
    parser.add_argument("media", metavar="WHAT", help=MEDIA_HELP)
    parser.add_argument("prompt", help="what to change")
    parser.add_argument("--image", action="store_true", help="the original is a picture")
    parser.add_argument("--model", metavar="NAME", help="default: the service's")
    parser.add_argument("--strength", metavar="adhere_1|…|reimagine_3", help="how much may change (videos only)")
    parser.add_argument("--auto", action="store_true", default=None, help="let the model decide (videos only)")
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        choices=tuple(_CONTROLS),
        help="what to keep of the original (videos only)",
    )
    parser.add_argument(
        "--keyframe",
        action="append",
        default=[],
        metavar="FRAME:WHAT",
        help="a frame at a place in the original, such as 48:hat.png (videos only)",
    )
    parser.add_argument("--resolution", metavar="540p|720p|…", help="default: the service's (videos only)")
    parser.add_argument(
        "--image-ref", action="append", default=[], metavar="WHAT", help="a picture to follow (pictures only)"
    )
    parser.add_argument("--format", choices=("jpg", "png"), help="the file format (pictures only)")
    add_hdr(parser)
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    media = read_media(arguments.media, "WHAT")
    if arguments.image:
        references = [read_keyframe(each, "--image-ref") for each in arguments.image_ref]
        return await buy(
            arguments,
            ImageEditRequest(
                media,
                arguments.prompt,
                model=arguments.model,
                image_refs=references,
                format=arguments.format,
                user_id=arguments.user_id,
            ),
        )
    at = read_frames_at(arguments.keyframe)
    kept: dict[str, Any] = {name: _CONTROLS[name](True) for name in arguments.keep}
    request = ModifyRequest(
        media,
        mode=arguments.strength,
        prompt=arguments.prompt,
        model=arguments.model,
        auto_controls=arguments.auto,
        controls=EditControls(**kept) if kept else None,
        keyframes=Keyframes(at=at) if at else None,
        resolution=arguments.resolution,
        hdr=arguments.hdr,
        exr_export=arguments.exr_export,
        user_id=arguments.user_id,
    )
    return await buy(arguments, request)
