"""Looking at files that were finished earlier: somebody may have moved or spoiled them since."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async._download.validate import BOX_HEAD_BYTES, validate

if TYPE_CHECKING:
    from pathlib import Path

    from luma_async._download.validate import Medium


async def is_intact(path: Path, medium: Medium) -> bool:
    """Whether there is a file, and all of it, as far as one can tell from its form."""
    return await asyncio.to_thread(_is_whole, path, medium)


def _is_whole(path: Path, medium: Medium) -> bool:
    def peek(at_bytes: int) -> bytes:
        file.seek(at_bytes)
        return file.read(BOX_HEAD_BYTES)

    try:
        with path.open("rb") as file:
            return validate(medium, path.stat().st_size, peek) is None
    except OSError:
        return False
