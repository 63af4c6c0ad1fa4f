"""The HTML that notebooks show for a generation: a figure with escaped text. It loads only the media file."""

from __future__ import annotations

from html import escape

_BOX = (
    "display:inline-block;width:20rem;max-width:100%;margin:4px 8px 4px 0;vertical-align:top;overflow:hidden;"
    "border:1px solid color-mix(in srgb,currentColor 20%,transparent);border-radius:10px;"
    "font:14px/1.45 system-ui,sans-serif"
)
_MEDIA = "display:block;width:100%;max-height:20rem;object-fit:contain;background:#111"
_SOFT = "opacity:.7;font-size:12px"


def figure(
    *, state: str, prompt: str = "", reason: str = "", link: str = "", poster: str = "", picture: bool = False
) -> str:
    """Return a figure with a video or an image, and a caption.

    Args:
        state: the state, in a word.
        prompt: the prompt.
        reason: why there is no video.
        link: the address of the file; anything but an http(s) address is left out, since it comes from the service.
        poster: the address of a still image of the video.
        picture: whether the file is an image.
    """
    words = [f"<strong>{escape(state)}</strong>"]
    if prompt:
        words.append(f'<div dir="auto" style="white-space:pre-line;overflow-wrap:anywhere">{escape(prompt)}</div>')
    if reason:
        words.append(f'<div dir="auto" style="{_SOFT};overflow-wrap:anywhere">{escape(reason)}</div>')
    if _web(link):
        words.append(f'<a href="{escape(link)}" target="_blank" rel="noreferrer" style="{_SOFT}">Open</a>')
    caption = f'<figcaption style="padding:8px 12px">{"".join(words)}</figcaption>'
    return f'<figure style="{_BOX}">{_media(link, poster, picture=picture)}{caption}</figure>'


def _media(link: str, poster: str, *, picture: bool) -> str:
    if not _web(link):
        return ""
    if picture:
        return f'<img src="{escape(link)}" alt="" loading="lazy" referrerpolicy="no-referrer" style="{_MEDIA}">'
    still = f' poster="{escape(poster)}" preload="none"' if _web(poster) else ' preload="metadata"'
    return f'<video src="{escape(link)}"{still} controls muted loop playsinline style="{_MEDIA}"></video>'


def _web(link: str) -> bool:
    return link.startswith(("https://", "http://"))
