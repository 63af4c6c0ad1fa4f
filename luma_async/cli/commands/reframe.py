"""`luma-async reframe`: buy a video or a picture in another aspect ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import ReframeRequest, SourcePosition
from luma_async.cli.media import MEDIA_HELP, read_media
from luma_async.cli.numbers import whole
from luma_async.cli.purchase import add_purchase, buy
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    import argparse

_PIXELS = {
    "grid_position_x": "distance of the original from the left edge of the result",
    "grid_position_y": "distance of the original from the top edge of the result",
    "resized_width": "the width of the original in the result",
    "resized_height": "the height of the original in the result",
    "x_start": "left edge of the crop",
    "x_end": "right edge of the crop",
    "y_start": "top edge of the crop",
    "y_end": "bottom edge of the crop",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy a video or a picture in another aspect ratio from Luma, wait for it, and download it."
    parser.add_argument("media", metavar="WHAT", help=MEDIA_HELP)
    parser.add_argument(
        "--aspect-ratio", default="16:9", metavar="W:H", help="the aspect ratio of the result (default: %(default)s)"
    )
    parser.add_argument("--image", dest="kind", action="store_const", const="image", help="the original is a picture")
    parser.add_argument("--prompt", metavar="TEXT", help="what to show in the new areas")
    parser.add_argument("--model", metavar="NAME", help="default: the service's")
    parser.add_argument("--first-frame", metavar="URL", help="the first frame of the result (videos only)")
    parser.add_argument("--format", choices=("jpg", "png"), help="the file format (pictures only)")
    for name, what in _PIXELS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=whole(0), metavar="PIXELS", help=what)
    parser.add_argument(
        "--source-position",
        metavar="X,Y,W,H",
        help="where the original is in the result, as fractions of its width and height",
    )
    parser.add_argument("--resolution", metavar="540p|720p|…", help="default: the service's")
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    request = ReframeRequest(
        read_media(arguments.media, "WHAT"),
        aspect_ratio=arguments.aspect_ratio,
        kind=arguments.kind or "video",
        prompt=arguments.prompt,
        model=arguments.model,
        first_frame=arguments.first_frame,
        format=arguments.format,
        source_position=_position(arguments.source_position),
        resolution=arguments.resolution,
        **{name: getattr(arguments, name) for name in _PIXELS},
    )
    return await buy(arguments, request)


def _position(text: str | None) -> SourcePosition | None:
    if text is None:
        return None
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        wrong = InvalidInput(field="--source-position", message="must be four numbers, such as 0,0.34,1,0.32.")
    else:
        return SourcePosition(x, y, width, height)
    raise wrong
