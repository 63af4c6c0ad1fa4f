"""What a notebook shows of a value: one figure, all of its text escaped, with nothing to load but the clip itself."""

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
    """Return a clip or a picture by its link, with what there is to say about it, as HTML.

    Args:
        state: how it stands, in a word.
        prompt: what was to be shown.
        reason: why there is none.
        link: where it is; what is no web address is not shown, for a service may send anything.
        poster: where a still picture of a clip is.
        picture: whether it is a picture rather than a clip.
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
