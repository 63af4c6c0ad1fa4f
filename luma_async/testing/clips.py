"""The files that a fake service gives out: one real video and two real pictures, under links that can expire."""

from __future__ import annotations

import functools
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import web

from luma_async.testing.exchange import Exchange, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async.testing.store import FakeGeneration

WIDTH, HEIGHT, DURATION_S = 64, 36, 2.0
"""The picture size and the length of the video."""

CLEAN, RAW, WATERMARKED = "video.mp4", "raw.mp4", "watermarked.mp4"
THUMBNAIL, LAST_FRAME = "thumb.jpg", "last_frame.jpg"
PICTURE = "image.jpg"
"""What an image generation gives, in whatever format it was asked for."""

_DATA_FILES = {
    CLEAN: "clip.mp4",
    RAW: "clip.mp4",
    WATERMARKED: "clip.mp4",
    THUMBNAIL: "thumb.jpg",
    LAST_FRAME: "frame.jpg",
    PICTURE: "frame.jpg",
}
_SIGNED = frozenset({CLEAN, RAW, PICTURE})
"""The files whose links can expire."""
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"


@functools.cache
def file_bytes(name: str = CLEAN, version: int = 0) -> bytes:
    """The bytes served under a file's name.

    The names are `video.mp4`, `raw.mp4`, `watermarked.mp4`, `thumb.jpg`, `last_frame.jpg` and `image.jpg`. All videos
    play alike. The watermarked one and later versions end in a `free` box, which players skip, so that a test can tell
    them apart.
    """
    data = (resources.files("luma_async.testing") / "data" / _DATA_FILES[name]).read_bytes()
    mark = (b"watermark" if name == WATERMARKED else b"") + (b"version %d" % version if version else b"")
    return data + (struct.pack(">I", 8 + len(mark)) + b"free" + mark if mark else b"")


def link(origin: str, generation: FakeGeneration, name: str) -> str:
    """The address of a file of this generation, as good as it is given out at this moment."""
    query: dict[str, str] = {}
    if generation.links_live_s is not None and name in _SIGNED:
        query |= {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Date": generation.clock.wall().strftime(_DATE_FORMAT),
            "X-Amz-Expires": str(generation.links_live_s),
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": "0000",
        }
    if generation.links_revoked:
        query["revision"] = str(generation.links_revoked)
    address = f"{origin}/files/{generation.id}/{name}"
    return f"{address}?{urlencode(query)}" if query else address


def routes() -> list[Route]:
    """The routes of the files. No secret belongs there."""
    return [
        Route(method=method, path="/files/{id}/{name}", kind="file", secret=None, handle=_serve)
        for method in ("GET", "HEAD")
    ]


def _serve(exchange: Exchange) -> web.Response:
    """Answer with the file, a part of it, or the refusal of an object store."""
    generation = exchange.store.generations.get(exchange.generation_id)
    name = exchange.request.match_info["name"]
    if generation is None or name not in _DATA_FILES:
        return _refuse(404, "NoSuchKey", "The specified key does not exist.")
    if complaint := _link_complaint(generation, exchange.seen.query):
        return _refuse(403, "AccessDenied", complaint)
    return _part(exchange, file_bytes(name, generation.object_version), name)


def _link_complaint(generation: FakeGeneration, query: Mapping[str, str]) -> str | None:
    """Why this link does not open the file; None if it does."""
    if int(query.get("revision", "0")) < generation.links_revoked:
        return "Access Denied"
    if "X-Amz-Date" not in query:
        return None
    given_out = datetime.strptime(query["X-Amz-Date"], _DATE_FORMAT).replace(tzinfo=UTC)
    expires = given_out + timedelta(seconds=int(query["X-Amz-Expires"]))
    return "Request has expired" if generation.clock.wall() >= expires else None


def _part(exchange: Exchange, data: bytes, name: str) -> web.Response:
    """The whole file, or the range that was asked for if the object is still the same one."""
    asked = exchange.request.headers
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    headers = {
        "Content-Type": "video/mp4" if name.endswith(".mp4") else "image/jpeg",
        "Accept-Ranges": "bytes",
        "ETag": etag,
    }
    if exchange.ignore_range or "Range" not in asked or asked.get("If-Range", etag) != etag:
        return web.Response(body=data, headers=headers)
    try:
        wanted = range(len(data))[exchange.request.http_range]
    except ValueError:
        return web.Response(body=data, headers=headers)
    if not wanted:
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{len(data)}"
    return web.Response(status=206, body=data[wanted.start : wanted.stop], headers=headers)


def _refuse(status: int, code: str, message: str) -> web.Response:
    """Answer as an S3-like object store does."""
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")
