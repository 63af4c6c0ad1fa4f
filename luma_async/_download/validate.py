"""Whether a finished file is the whole thing: its first bytes, and for an mp4 its boxes up to the last one.

A file server can lie about the length, so the length alone proves nothing. An mp4 is a row of boxes, each of which
tells its size: one that reaches beyond the end, or a missing index, gives a cut away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Medium: TypeAlias = Literal["mp4", "picture"]
"""What a file must be."""

BOX_HEAD_BYTES = 16
"""A box's size and type, and its size again when it takes more than 32 bits."""

_SHORTEST_BOX_BYTES = 8
_MOST_BOXES = 10_000
"""A fragmented clip has some hundreds; a hostile file could have a hundred million."""
_PICTURES: tuple[tuple[int, bytes], ...] = (
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG\r\n\x1a\n"),
    (8, b"WEBP"),
    (0, b"GIF8"),
)


def validate(medium: Medium, size_bytes: int, peek: Callable[[int], bytes]) -> str | None:
    """Say what is wrong with a finished file; None when it is whole as far as one can tell.

    Args:
        medium: what it must be.
        size_bytes: its size.
        peek: returns the `BOX_HEAD_BYTES` at an offset, or fewer at the end.
    """
    if size_bytes == 0:
        return "The file is empty."
    if medium == "picture":
        head = peek(0)
        known = any(head[at : at + len(magic)] == magic for at, magic in _PICTURES)
        return None if known else "What came is not a JPEG, PNG, WebP or GIF picture."
    return _mp4_fault(size_bytes, peek)


def _mp4_fault(size_bytes: int, peek: Callable[[int], bytes]) -> str | None:
    at = 0
    seen: set[bytes] = set()
    for _ in range(_MOST_BOXES):
        head = peek(at)
        kind, box_bytes = head[4:8], _box_bytes(head, size_bytes - at)
        if at == 0 and (kind != b"ftyp" or box_bytes is None):
            return "What came is not an mp4 video."
        if box_bytes is None:
            # Padding after the last box harms nobody; what lacks a box because of it is found below.
            break
        if at + box_bytes > size_bytes:
            return f"The video ends too early: its {kind.decode('latin-1')} box goes on beyond the end."
        seen.add(kind)
        at += box_bytes
        if at == size_bytes:
            break
    missing = {b"moov", b"mdat"} - seen
    return f"The video ends too early: it lacks its {min(missing).decode()} box." if missing else None


def _box_bytes(head: bytes, left_bytes: int) -> int | None:
    """Return how long the box is that begins so; None when none does."""
    if len(head) < _SHORTEST_BOX_BYTES or not head[4:8].isascii():
        return None
    size_bytes = int.from_bytes(head[:4])
    if size_bytes == 0:
        # A size of zero means "to the end", but zeros throughout are padding.
        return left_bytes if any(head[4:8]) else None
    if size_bytes == 1:
        size_bytes = int.from_bytes(head[8:16])
    return size_bytes if size_bytes >= _SHORTEST_BOX_BYTES else None
