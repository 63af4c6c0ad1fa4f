"""Which link a file is downloaded from, and what to do when the generation carries no usable link.

The order is: a watermark-free link that has not expired; a fresh look at the generation; the request for a link,
which some relays charge and which is therefore sent only when every carried link is missing or expired; a link that
has expired by its own date, since the local clock may be wrong; and a watermarked link, if that is allowed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qs, urlsplit

import attrs

from luma_async.values.keyframes import IMAGE_SUFFIXES
from luma_async.values.models import Image, OtherOutput, Video

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from luma_async._download.validate import Medium
    from luma_async.values.models import Generation, Output

FileKind: TypeAlias = Literal["video", "thumbnail", "last_frame"]
"""Which file of a generation: its result (a video, or the picture of an image generation), or a still picture of it."""

FileChoice: TypeAlias = FileKind | int
"""A kind of file, or the place of a result in `Generation.outputs`."""

Watermark: TypeAlias = Literal["forbid", "allow"]
"""Whether a clip with a watermark is accepted when there is no other."""

MIN_LIFETIME_S = 5.0
"""A link that expires sooner is not worth a connection. Storage checks the date when a request arrives, not later."""

_PLAIN_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_NO_VIDEO, _NO_IMAGE = Video(), Image()
_AMZ_EXPIRES = "X-Amz-Expires="
_AMZ_DATE = "%Y%m%dT%H%M%SZ"


@attrs.frozen(kw_only=True)
class Link:
    """The address of a file."""

    url: str = attrs.field(repr=False)
    """The address; it may contain a signature."""
    name: str
    """Which of the generation's links it is, such as `video.download_url`."""


class Action(Enum):
    """What to do when there is no link to try."""

    REFRESH = auto()
    """Fetch the generation again."""
    ASK = auto()
    """Request a link from the service, once."""
    NONE = auto()
    """There is nothing left to do."""


def expires_at(url: str) -> datetime | None:
    """Return when a presigned link expires, aware UTC; None for a plain link, and for dates that cannot be read."""
    if _AMZ_EXPIRES not in url:
        return None
    try:
        query = parse_qs(urlsplit(url).query)
        signed_at = datetime.strptime(query["X-Amz-Date"][0], _AMZ_DATE).replace(tzinfo=UTC)
        return signed_at + timedelta(seconds=int(query["X-Amz-Expires"][0]))
    except (KeyError, ValueError, OverflowError):
        return None


def is_fresh(url: str, at: datetime) -> bool:
    """Whether a link lives long enough to be worth a connection."""
    end = expires_at(url)
    return end is None or end - at >= timedelta(seconds=MIN_LIFETIME_S)


def output_of(generation: Generation, kind: FileChoice) -> Output | None:
    """Return the result that was chosen by its place; None if there is none, or another file was chosen."""
    if isinstance(kind, int) and 0 <= kind < len(generation.outputs):
        return generation.outputs[kind]
    return None


def medium_of(generation: Generation, kind: FileChoice) -> Medium:
    """Return the format that a file must have."""
    if isinstance(output_of(generation, kind), OtherOutput):
        return "other"
    return "picture" if is_picture(generation, kind) else "mp4"


def watermark_free_links(generation: Generation, kind: FileChoice) -> tuple[Link, ...]:
    """Return the links to a file without a watermark, the best first."""
    video, raw = generation.video or _NO_VIDEO, generation.video_raw or _NO_VIDEO
    if isinstance(kind, int):
        output = output_of(generation, kind)
        clean = None
        if output is not None:
            clean = output.download_url if isinstance(output, Video) else output.url
        return _web_links((f"outputs[{kind}]", clean))
    if kind == "thumbnail":
        thumbnail = generation.thumbnail or _NO_IMAGE
        return _web_links(("thumbnail.url", thumbnail.url), ("video.thumbnail_url", video.thumbnail_url))
    if kind == "last_frame":
        return _web_links(("last_frame.url", (generation.last_frame or _NO_IMAGE).url))
    return _web_links(
        ("video.download_url", video.download_url),
        ("video_raw.url", raw.download_url or raw.url),
        ("image.url", (generation.image or _NO_IMAGE).url),
    )


def is_picture(generation: Generation, kind: FileChoice) -> bool:
    """Whether a file is a picture, and not a video."""
    if isinstance(kind, int):
        return not isinstance(output_of(generation, kind), Video)
    return kind != "video" or (generation.image is not None and generation.video is None)


def suffix_of(generation: Generation, kind: FileChoice) -> str:
    """Return the suffix of a file's name: that of its link if it is a picture's, else a default."""
    if not is_picture(generation, kind):
        return ".mp4"
    links = watermark_free_links(generation, kind)
    suffix = PurePosixPath(urlsplit(links[0].url).path).suffix.lower() if links else ""
    if isinstance(output_of(generation, kind), OtherOutput):
        return suffix if _PLAIN_SUFFIX.fullmatch(suffix) else ".bin"
    return suffix if suffix in IMAGE_SUFFIXES else ".jpg"


def next_action(
    generation: Generation,
    *,
    kind: FileChoice,
    watermark: Watermark,
    requested_url: str | None,
    rejected_urls: Collection[str],
    refreshed: bool,
    may_ask: bool,
    at: datetime,
) -> Link | Action:
    """Choose the link to try next, or how to get one.

    Args:
        generation: as last seen.
        kind: which file.
        watermark: whether a watermarked clip is accepted.
        requested_url: the link that the service returned when it was asked for one.
        rejected_urls: the addresses that the file server refused since the last look.
        refreshed: whether the generation was fetched again already.
        may_ask: whether the service may still be asked for a link.
        at: the time of day.
    """
    carried = watermark_free_links(generation, kind)
    requested = _web_links(("link", requested_url)) if kind == "video" else ()
    left = [link for link in (*requested, *carried) if link.url not in rejected_urls]
    for link in left:
        if is_fresh(link.url, at):
            return link
    if not refreshed:
        return Action.REFRESH
    if may_ask and not is_picture(generation, kind) and not any(is_fresh(link.url, at) for link in carried):
        return Action.ASK
    marked = (generation.video or _NO_VIDEO).url if watermark == "allow" and kind == "video" else None
    for link in (*left, *_web_links(("video.url", marked))):
        if link.url not in rejected_urls:
            return link
    return Action.NONE


def _web_links(*links: tuple[str, str | None]) -> tuple[Link, ...]:
    """Drop what is not an http(s) address."""
    return tuple(Link(url=url, name=name) for name, url in links if url and is_web_address(url))


def is_web_address(url: str) -> bool:
    """Whether a text is an http(s) address with a host, and fits into a request line."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable()
    except ValueError:
        return False


def earliest_expiry(links: Iterable[Link]) -> float:
    """Return when the first of the links expires, in Unix seconds; infinity when none does."""
    ends = [end.timestamp() for link in links if (end := expires_at(link.url)) is not None]
    return min(ends, default=float("inf"))
