"""`luma-async image`: buy one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import ImageReference, ImageRequest
from luma_async.cli.purchase import add_purchase, buy

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Buy one picture from Luma, wait for it, and download it."
    parser.add_argument("prompt", help="what the picture shows; - reads standard input")
    parser.add_argument("--aspect-ratio", default="16:9", metavar="W:H", help="default: %(default)s")
    parser.add_argument("--model", metavar="NAME", help="default: the service's")
    parser.add_argument("--format", choices=("jpg", "png"), help="the file format")
    for name, what in (
        ("image-ref", "whose content to follow"),
        ("style-ref", "whose style to follow"),
        ("character-ref", "of the person to show"),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="URL", help=f"a picture {what}")
    parser.add_argument("--modify", metavar="URL", help="the picture to change")
    add_purchase(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit, wait, download."""
    request = ImageRequest(
        arguments.prompt,
        aspect_ratio=arguments.aspect_ratio,
        model=arguments.model,
        format=arguments.format,
        image_refs=[ImageReference(url) for url in arguments.image_ref],
        style_refs=[ImageReference(url) for url in arguments.style_ref],
        character_refs={"identity0": arguments.character_ref} if arguments.character_ref else {},
        modify_image_ref=ImageReference(arguments.modify) if arguments.modify is not None else None,
    )
    return await buy(arguments, request)
