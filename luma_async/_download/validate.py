"""Whether a finished file is complete: its first bytes, and for an mp4 its boxes up to the last one.

A file server can announce a wrong length, so the length proves nothing. An mp4 is a sequence of boxes, each of which
begins with its size: a box that extends past the end of the file, or a missing index, shows that the end is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from luma_async.values.keyframes import image_format

if TYPE_CHECKING:
    from collections.abc import Callable

Medium: TypeAlias = Literal["mp4", "picture", "other"]
"""The format that a file must have; "other" is any."""

BOX_HEAD_BYTES = 16
"""A box's size and type, and its size again when it takes more than 32 bits."""

_MIN_BOX_BYTES = 8
_MAX_BOXES = 10_000
"""A fragmented clip has some hundreds; a malicious file could have a hundred million."""


def validate(medium: Medium, size_bytes: int, peek: Callable[[int], bytes]) -> str | None:
    """Return what is wrong with a finished file; None when nothing is known to be.

    Args:
        medium: the format that it must have.
        size_bytes: its size.
        peek: returns the `BOX_HEAD_BYTES` at an offset, or fewer at the end.
    """
    if size_bytes == 0:
        return "The file is empty."
    if medium == "other":
        return None
    if medium == "picture":
        return None if image_format(peek(0)) else "The file is not a JPEG, PNG, WebP or GIF picture."
    return _validate_mp4(size_bytes, peek)


def _validate_mp4(size_bytes: int, peek: Callable[[int], bytes]) -> str | None:
    at = 0
    seen: set[bytes] = set()
    for _ in range(_MAX_BOXES):
        head = peek(at)
        kind, box_bytes = head[4:8], _box_bytes(head, size_bytes - at)
        if at == 0 and (kind != b"ftyp" or box_bytes is None):
            return "The file is not an mp4 video."
        if box_bytes is None:
            # Padding after the last box is harmless; if a box is missing because of it, that shows below.
            break
        if at + box_bytes > size_bytes:
            return f"The video is truncated: its {kind.decode('latin-1')} box extends past the end of the file."
        seen.add(kind)
        at += box_bytes
        if at == size_bytes:
            break
    missing = {b"moov", b"mdat"} - seen
    return f"The video is truncated: it has no {min(missing).decode()} box." if missing else None


def _box_bytes(head: bytes, left_bytes: int) -> int | None:
    """Return the size of the box that begins with these bytes; None when they are not the head of a box."""
    if len(head) < _MIN_BOX_BYTES or not head[4:8].isascii():
        return None
    size_bytes = int.from_bytes(head[:4])
    if size_bytes == 0:
        # A size of zero means "to the end of the file", but zeros throughout are padding.
        return left_bytes if any(head[4:8]) else None
    if size_bytes == 1:
        size_bytes = int.from_bytes(head[8:16])
    return size_bytes if size_bytes >= _MIN_BOX_BYTES else None
