"""`luma-async reframe`: buy a video or a picture in another aspect ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import ReframeRequest
from luma_async.cli.buying import add_purchase, buy

if TYPE_CHECKING:
    import argparse

_PIXELS = {
    "grid_position_x": "where the original lies in the result, from the left",
    "grid_position_y": "where the original lies in the result, from the top",
    "resized_width": "width of the original in the result",
    "resized_height": "height of the original in the result",
    "x_start": "left edge of the cut",
    "x_end": "right edge of the cut",
    "y_start": "upper edge of the cut",
    "y_end": "lower edge of the cut",
}


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Buy a video or a picture in another aspect ratio from Luma, wait, and download it."
    parser.add_argument("media", metavar="URL", help="where the original is")
    parser.add_argument("--aspect-ratio", default="16:9", metavar="W:H", help="of the result (default: %(default)s)")
    parser.add_argument("--image", dest="kind", action="store_const", const="image", help="the original is a picture")
    parser.add_argument("--prompt", metavar="TEXT", help="what to show where there was nothing")
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--first-frame", metavar="URL", help="the first frame of the result (videos only)")
    parser.add_argument("--format", choices=("jpg", "png"), help="the kind of file (pictures only)")
    for name, what in _PIXELS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="PIXELS", help=what)
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    request = ReframeRequest(
        arguments.media,
        aspect_ratio=arguments.aspect_ratio,
        kind=arguments.kind or "video",
        prompt=arguments.prompt,
        model=arguments.model,
        first_frame=arguments.first_frame,
        format=arguments.format,
        **{name: getattr(arguments, name) for name in _PIXELS},
    )
    return await buy(arguments, request)
