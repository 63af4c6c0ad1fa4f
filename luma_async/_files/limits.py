"""What a file is, and whether the service takes it, by its first bytes. Pure."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import image_format

if TYPE_CHECKING:
    from luma_async._wire.dialect import UploadLimits

HEAD_BYTES = 256 * 1024
"""How much is read to find the type and the pixels: the dimensions of a JPEG come after its thumbnail."""

_VIDEO_SUFFIXES = {".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska", ".mp4": "video/mp4"}
_SIZED_JPEG_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def media_type_of(head: bytes, name: str | None) -> str | None:
    """Return the media type of a file by its first bytes, else by the suffix of its name; None if neither tells."""
    if (kind := image_format(head)) is not None:
        return f"image/{kind}"
    suffix = PurePath(name or "").suffix.lower()
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:10] == b"qt" else "video/mp4"
    return _VIDEO_SUFFIXES.get(suffix)


def check_limits(head: bytes, size_bytes: int, media_type: str, limits: UploadLimits) -> None:
    """Refuse a file that the service would not take.

    Raises:
        InvalidInput: it is too large, or a side of the image is too long.
    """
    most = next(most for kind, most in limits.max_bytes.items() if media_type.startswith(kind))
    if size_bytes > most:
        raise InvalidInput(
            field="source", message=f"has {size_bytes:,} bytes; the service takes {most:,} of type {media_type}."
        )
    sides = image_sides(head) if media_type.startswith("image/") else None
    if sides is not None and max(sides) > limits.max_pixels:
        raise InvalidInput(
            field="source",
            message=f"is {sides[0]} x {sides[1]} pixels; no side may be longer than {limits.max_pixels} pixels.",
        )


def image_sides(head: bytes) -> tuple[int, int] | None:
    """Return the width and the height of an image in pixels; None if its first bytes do not tell."""
    match image_format(head):
        case "png" if len(head) >= 24:
            return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        case "gif" if len(head) >= 10:
            return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
        case "jpeg":
            return _jpeg_sides(head)
        case _:
            return None


def _jpeg_sides(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in _SIZED_JPEG_MARKERS:
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
