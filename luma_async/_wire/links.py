"""Where answers hold the links to a result, in all formats.

Relays pass on the answers of many makers. So a result is looked for in every place where one of them has it, but only
where the documented fields hold no link. A link may be relative to the service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import attrs

from luma_async._wire.answer import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luma_async.values.models import Generation, Image, Output, Video

_WEB = ("http://", "https://")
_RELATIVE = re.compile(
    r"/[^/\s][^\s]*|(?:\./)?[\w.~%+-]+(?:/[\w.~%+-]+)*\.(?:mp4|mov|webm|m4v|gif|jpe?g|png|webp)(?:\?\S*)?"
)
_MARKED = re.compile(r"(?<!un)(?<!non[-_])(?<!not[-_])watermarked", re.IGNORECASE)
_PICTURE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)(?:\?|#|$)", re.IGNORECASE)
# Source: new-api (result_url; fail_reason of older rows), Kling (task_result.videos), Replicate and Runway (output),
# Volcengine (content.video_url), Luma Agents (output[].url), AceDataCloud (video_url), fal (video.url).
_LINK_NAMES = ("download_url", "result_url", "video_url", "videoUrl", "url", "uri", "href", "link", "resource")
_HOLDERS = (
    *("video", "videos", "output", "outputs", "content", "result", "results", "task_result", "response", "artifact"),
    *("artifacts", "assets", "works", "generations", "data", "file", "files"),
)
_MAX_DEPTH = 4


def read_link(value: Any) -> str | None:
    """Return a link: a string, or an object with a `url`. A link to http(s), or relative to the service."""
    if is_object(value):
        value = value.get("url")
    if not isinstance(value, str):
        return None
    if value.startswith(_WEB):
        return value
    if value.startswith("//") and len(value) > 2 and not value[2:].startswith("/"):
        return f"https:{value}"
    return value if _RELATIVE.fullmatch(value) else None


def clean_video(link: Any) -> dict[str, str] | None:
    """Return the video of a link that is the only one to the result, so it is also the one to download.

    A link that calls itself watermarked stays the link to play.
    """
    url = read_link(link)
    if url is None:
        return None
    return {"url": url} if _MARKED.search(url) else {"url": url, "download_url": url}


def find_result(*holders: Mapping[str, Any]) -> str | None:
    """Find the link to the result of a completed generation, outside of the documented fields."""
    for holder in holders:
        for link in _links(holder, 0):
            if not _PICTURE.search(link):
                return link
    return None


def _links(value: Any, depth: int) -> Iterator[str]:
    """Yield the links in a place: its own before those of the places in it."""
    if is_list(value):
        for item in value:
            yield from _links(item, depth)
    elif is_object(value):
        for name in _LINK_NAMES:
            if (link := read_link(value.get(name))) is not None:
                yield link
        if depth < _MAX_DEPTH:
            for name in _HOLDERS:
                yield from _links(value.get(name), depth + 1)
    elif depth and (link := read_link(value)) is not None:
        yield link


def with_absolute_links(generation: Generation, base_url: str) -> Generation:
    """Return the generation with the links that are relative to the service resolved against its address."""
    changes: dict[str, Any] = {}
    for name in ("video", "video_raw", "image", "thumbnail", "last_frame"):
        file: Video | Image | None = getattr(generation, name)
        if file is not None and (links := _resolve(file, base_url)):
            changes[name] = attrs.evolve(file, **links)
    if any(_resolve(output, base_url) for output in generation.outputs):
        changes["outputs"] = tuple(attrs.evolve(output, **_resolve(output, base_url)) for output in generation.outputs)
    return attrs.evolve(generation, **changes) if changes else generation


def _resolve(file: Output, base_url: str) -> dict[str, Any]:
    """Return the links of a file that are relative, as absolute links."""
    changes: dict[str, Any] = {}
    for name in ("url", "download_url", "thumbnail_url"):
        link = getattr(file, name, None)
        if link and not link.startswith(_WEB):
            changes[name] = absolute(link, base_url)
    return changes


def absolute(link: str, base_url: str) -> str:
    """Resolve a link against the address of the service; an absolute link stays as it is."""
    return urljoin(f"{base_url}/", link)
