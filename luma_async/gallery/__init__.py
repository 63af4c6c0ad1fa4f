"""A page to look at what was made: one file beside the clips, which needs no server and no network.

`write_gallery()` does it in one call; `render()` is the same without a disk, for pages of your own.
"""

from __future__ import annotations

from luma_async.gallery.cards import Card, Clip, card_of
from luma_async.gallery.disk import PAGE_NAME, write_gallery
from luma_async.gallery.page import render

__all__ = ["PAGE_NAME", "Card", "Clip", "card_of", "render", "write_gallery"]
