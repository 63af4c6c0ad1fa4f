"""A page that shows the generations of a journal: one HTML file next to the clips, without a server or a network.

`write_gallery()` writes the page; `render()` returns its text.
"""

from __future__ import annotations

from luma_async.gallery.cards import Card, Clip, card_of
from luma_async.gallery.disk import PAGE_NAME, write_gallery
from luma_async.gallery.page import render

__all__ = ["PAGE_NAME", "Card", "Clip", "card_of", "render", "write_gallery"]
