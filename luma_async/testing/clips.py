"""The files of the fake gateway: a real video and two real images, under links that can expire."""

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

    from luma_async.testing.scripts import Scene
    from luma_async.testing.store import FakeGeneration

WIDTH, HEIGHT, DURATION_S = 64, 36, 2.0
"""The frame size and the duration of the tiny video."""
_SCENE_SIZES: dict[str, tuple[int, int]] = {"cat": (640, 360), "boat": (640, 360), "lighthouse": (360, 640)}
_SCENE_S = 5.0

CLEAN, RAW, WATERMARKED = "video.mp4", "raw.mp4", "watermarked.mp4"
THUMBNAIL, LAST_FRAME = "thumb.jpg", "last_frame.jpg"
IMAGE = "image.jpg"
"""The file of an image generation, whichever format was requested."""
EXR = "frames.exr"
"""The export of an HDR video: one frame of one pixel."""

_DATA_FILES = {
    CLEAN: "clip.mp4",
    RAW: "clip.mp4",
    WATERMARKED: "clip.mp4",
    THUMBNAIL: "thumb.jpg",
    LAST_FRAME: "frame.jpg",
    IMAGE: "frame.jpg",
    EXR: "frames.exr",
}
_SCENE_FILES = {"clip.mp4": "{}.mp4", "thumb.jpg": "{}-thumb.jpg", "frame.jpg": "{}-last.jpg"}
_SIGNED = frozenset({CLEAN, RAW, IMAGE, EXR})
"""The files whose links can expire."""
_TYPES = {"mp4": "video/mp4", "jpg": "image/jpeg", "exr": "image/x-exr"}
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"


@functools.cache
def file_bytes(name: str = CLEAN, version: int = 0, scene: Scene | None = None) -> bytes:
    """Return the bytes that are served under a file name.

    The names are `video.mp4`, `raw.mp4`, `watermarked.mp4`, `thumb.jpg`, `last_frame.jpg`, `image.jpg` and
    `frames.exr`. The watermarked video and later versions end in a `free` box, which players skip, so that a test can
    tell them apart. All videos without a scene show the same.
    """
    data = (resources.files("luma_async.testing") / "data" / _data_file(name, scene)).read_bytes()
    mark = (b"watermark" if name == WATERMARKED else b"") + (b"version %d" % version if version else b"")
    return data + (struct.pack(">I", 8 + len(mark)) + b"free" + mark if mark else b"")


def _data_file(name: str, scene: Scene | None) -> str:
    plain = _DATA_FILES[name]
    return plain if scene is None else _SCENE_FILES.get(plain, plain).format(scene)


def size_of(generation: FakeGeneration) -> dict[str, int]:
    """The size of the frames of a generation."""
    scene = generation.script.scene
    width, height = (WIDTH, HEIGHT) if scene is None else _SCENE_SIZES[scene]
    return {"width": width, "height": height}


def duration_of(generation: FakeGeneration) -> float:
    """How long the video of a generation is, seconds."""
    return DURATION_S if generation.script.scene is None else _SCENE_S


def link(origin: str, generation: FakeGeneration, name: str, live_s: int | None = None) -> str:
    """A link to a file of this generation, valid from now on, for `live_s` unless its script says another time."""
    query: dict[str, str] = {}
    live_s = live_s if generation.links_live_s is None else generation.links_live_s
    if live_s is not None and name in _SIGNED:
        query |= {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Date": generation.clock.wall().strftime(_DATE_FORMAT),
            "X-Amz-Expires": str(live_s),
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": "0000",
        }
    if generation.links_revoked:
        query["revision"] = str(generation.links_revoked)
    address = f"{origin}/files/{generation.id}/{name}"
    return f"{address}?{urlencode(query)}" if query else address


def routes() -> list[Route]:
    """The routes of the files, where clients may send no secret."""
    return [
        Route(method=method, path="/files/{id}/{name}", kind="file", secret=None, handle=_serve)
        for method in ("GET", "HEAD")
    ]


def _serve(exchange: Exchange) -> web.Response:
    """Answer with the file, a range of it, or an object store's error."""
    generation = exchange.store.generations.get(exchange.generation_id)
    name = exchange.request.match_info["name"]
    if generation is None or name not in _DATA_FILES:
        return refuse(404, "NoSuchKey", "The specified key does not exist.")
    if problem := _link_problem(generation, exchange.seen.query):
        return refuse(403, "AccessDenied", problem)
    return _send_range(exchange, file_bytes(name, generation.object_version, generation.script.scene), name)


def _link_problem(generation: FakeGeneration, query: Mapping[str, str]) -> str | None:
    """Why this link does not work; None if it does."""
    if int(query.get("revision", "0")) < generation.links_revoked:
        return "Access Denied"
    if "X-Amz-Date" not in query:
        return None
    issued = datetime.strptime(query["X-Amz-Date"], _DATE_FORMAT).replace(tzinfo=UTC)
    expires = issued + timedelta(seconds=int(query["X-Amz-Expires"]))
    return "Request has expired" if generation.clock.wall() >= expires else None


def _send_range(exchange: Exchange, data: bytes, name: str) -> web.Response:
    """The requested range if the object has not changed, else the whole file."""
    requested = exchange.request.headers
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    headers = {
        "Content-Type": _TYPES[name.rpartition(".")[2]],
        "Accept-Ranges": "bytes",
        "ETag": etag,
    }
    if exchange.ignore_range or "Range" not in requested or requested.get("If-Range", etag) != etag:
        return web.Response(body=data, headers=headers)
    try:
        wanted = range(len(data))[exchange.request.http_range]
    except ValueError:
        return web.Response(body=data, headers=headers)
    if not wanted:
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{len(data)}"
    return web.Response(status=206, body=data[wanted.start : wanted.stop], headers=headers)


def refuse(status: int, code: str, message: str) -> web.Response:
    """An error in the form of an S3-like object store."""
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")
