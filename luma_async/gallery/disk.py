"""The gallery on disk: where the clips are, and a page that appears whole or not at all."""

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
"""What the page is called in its folder."""

_SIGNED_CHARS = 4_000
"""Our signature stands in the first lines of the page."""


def write_gallery(folder: str | os.PathLike[str], entries: Iterable[Entry]) -> Path:
    """Write `gallery.html` into a folder: one card for each entry of a journal, newest first.

    The page holds no clip, it points at them: by relative paths, so that the folder can be moved or copied with
    what is in it. A picture beside a clip is shown until the clip plays: `cat.jpg` or `cat-thumbnail.jpg` beside
    `cat.mp4`, or a downloaded thumbnail. An older page of ours is replaced in one step; whoever looks at it sees the
    new one after reloading.

    Args:
        folder: where the page goes, best where the clips are. It has to exist.
        entries: of a journal, oldest first, as `journal.entries()` returns them.

    Returns:
        Where the page is.

    Raises:
        InvalidInput: there is no such folder, or its `gallery.html` is somebody else's. Nothing was written.
        OSError: the page cannot be written; the older one is untouched.
    """
    home = Path(folder).absolute()
    if not home.is_dir():
        raise InvalidInput(field="folder", message=f"there is no folder {folder}.")
    page = home / PAGE_NAME
    if page.exists() and not _is_ours(page):
        raise InvalidInput(field="folder", message=f"{page} is not a gallery of luma_async; move it away first.")
    cards = [card_of(entry, find_clip(entry, home)) for entry in entries]
    text = render(reversed(cards), title=home.resolve().name or "Gallery")
    _replace(page, text)
    return page


def find_clip(entry: Entry, home: Path) -> Clip | None:
    """Look for the file of an entry; None if it was never downloaded.

    A path that leads nowhere any more is tried in the folder too: journals keep paths as programs gave them, and
    folders are moved.
    """
    if entry.path is None:
        return None
    noted = Path(entry.path)
    places = (noted.absolute(), home / noted, home / noted.name)
    path = next(filter(_is_file, places), None)
    if path is None:
        return Clip(address=_address(places[0], home), missing=True)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Clip(address=_address(path, home), kind="picture")
    still = _still_of(path, entry.generation_id)
    return Clip(address=_address(path, home), poster=_address(still, home) if still else None)


def _still_of(path: Path, generation_id: str | None) -> Path | None:
    """Look for a picture of a clip: named like the clip, or as downloads name thumbnails."""
    names = (path.stem, f"{path.stem}-thumbnail", f"{generation_id}-thumbnail")
    places = (path.with_name(name + suffix) for name in names for suffix in IMAGE_SUFFIXES)
    return next(filter(_is_file, places), None)


def _is_file(path: Path) -> bool:
    """Whether there is one that we may look at; `Path.is_file()` raises for a folder that may not be entered."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def _address(path: Path, home: Path) -> str:
    """Spell a path as a relative address. Bytes, since a file name need not be text."""
    return quote(os.fsencode(os.path.relpath(path, home)))


def _is_ours(page: Path) -> bool:
    with page.open(encoding="utf-8", errors="replace") as file:
        return SIGNATURE in file.read(_SIGNED_CHARS)


def _replace(page: Path, text: str) -> None:
    part = page.with_name(f".{page.name}.{os.urandom(4).hex()}.part")
    try:
        # Half a surrogate pair can come out of a service's JSON, and no file can hold one.
        part.write_bytes(text.encode("utf-8", "replace"))
        part.replace(page)
    finally:
        part.unlink(missing_ok=True)
