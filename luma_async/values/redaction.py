"""What a repr shows of an address: where it leads, but nothing that opens a door."""

from __future__ import annotations

from luma_async.values.error_form import clip

_SHOWN_CHARS = 80


def show_url(url: str | None) -> str:
    """Show an address without its query, which may hold a signature, and an inline image by its beginning."""
    if url is None:
        return "None"
    place, mark, _ = url.partition("?")
    return repr(clip(place, _SHOWN_CHARS) + ("?…" if mark else ""))
