"""Writes the gallery to disk: finds the clips, and replaces the page in one step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from luma_async.gallery.cards import Clip, card_of
from luma_async.gallery.page import SIGNATURE, render
from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luma_async.values.entries import Entry

PAGE_NAME = "gallery.html"
"""The file name of the page."""

_SIGNED_CHARS = 4_000
"""The signature is in the first lines of the page."""


def write_gallery(folder: str | os.PathLike[str], entries: Iterable[Entry]) -> Path:
    """Write `gallery.html` into a folder: one card for each entry of a journal, newest first.

    The page contains no clips. It refers to them by relative paths, so that the folder can be moved or copied with its
    contents. A picture next to a clip is shown until the clip plays: `cat.jpg` or `cat-thumbnail.jpg` next to
    `cat.mp4`, or a downloaded thumbnail. An older gallery is replaced in one step; an open browser shows the new one
    after reloading.

    Args:
        folder: the folder of the page, usually that of the clips. It has to exist.
        entries: the entries of a journal, oldest first, as `journal.entries()` returns them.

    Returns:
        The path of the page.

    Raises:
        InvalidInput: the folder does not exist, or its `gallery.html` is another page. Nothing was written.
        OSError: the page cannot be written; the older page is unchanged.
    """
    home = Path(folder).absolute()
    if not home.is_dir():
        raise InvalidInput(field="folder", message=f"the folder {folder} does not exist.")
    page = home / PAGE_NAME
    if page.exists() and not _is_gallery(page):
        raise InvalidInput(field="folder", message=f"{page} is not a luma_async gallery; move it away first.")
    cards = [card_of(entry, find_clip(entry, home)) for entry in entries]
    text = render(reversed(cards), title=home.resolve().name or "Gallery")
    _replace(page, text)
    return page


def find_clip(entry: Entry, home: Path) -> Clip | None:
    """Return the file of an entry; None if it was never downloaded.

    A path that no longer exists is also looked up in the folder: a journal records paths as programs passed them, and
    folders are moved.
    """
    if entry.path is None:
        return None
    recorded = Path(entry.path)
    candidates = (recorded.absolute(), home / recorded, home / recorded.name)
    path = next(filter(_is_file, candidates), None)
    if path is None:
        return Clip(address=_address(candidates[0], home), missing=True)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Clip(address=_address(path, home), kind="picture")
    still = _still_of(path, entry.generation_id)
    return Clip(address=_address(path, home), poster=_address(still, home) if still else None)


def _still_of(path: Path, generation_id: str | None) -> Path | None:
    """Return a picture of a clip, named like the clip or like a downloaded thumbnail."""
    names = (path.stem, f"{path.stem}-thumbnail", f"{generation_id}-thumbnail")
    candidates = (path.with_name(name + suffix) for name in names for suffix in IMAGE_SUFFIXES)
    return next(filter(_is_file, candidates), None)


def _is_file(path: Path) -> bool:
    """Whether there is a readable file; `Path.is_file()` raises for a folder that may not be entered."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def _address(path: Path, home: Path) -> str:
    """Return a path as a relative URL. It is encoded from bytes, since a file name may not be valid Unicode."""
    return quote(os.fsencode(os.path.relpath(path, home)))


def _is_gallery(page: Path) -> bool:
    with page.open(encoding="utf-8", errors="replace") as file:
        return SIGNATURE in file.read(_SIGNED_CHARS)


def _replace(page: Path, text: str) -> None:
    part = page.with_name(f".{page.name}.{os.urandom(4).hex()}.part")
    try:
        # JSON may contain unpaired surrogates, which cannot be encoded.
        part.write_bytes(text.encode("utf-8", "replace"))
        part.replace(page)
    finally:
        part.unlink(missing_ok=True)
