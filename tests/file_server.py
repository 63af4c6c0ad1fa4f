"""A server of large files, for what a clip of 2 KB cannot show; each behaviour is a plain attribute."""

from __future__ import annotations

import asyncio
import hashlib

from aiohttp import web

from luma_async import Generation, State, Video

_PIECE_BYTES = 16 * 1024
_BEFORE_A_CUT_S = 0.1


def large_clip(size_bytes, seed=b"cat"):
    """Return an mp4 of that size, no part of which equals another."""
    frames = size_bytes - 8 - 16 - 16
    block = b"".join(hashlib.sha256(seed + b"%d" % number).digest() for number in range(min(frames // 32 + 1, 4096)))
    body = (block * (frames // len(block) + 1))[:frames]
    ftyp, moov = (16).to_bytes(4) + b"ftypisomisom", (16).to_bytes(4) + b"moov" + bytes(8)
    return ftyp + moov + (8 + frames).to_bytes(4) + b"mdat" + body


def completed(url, generation_id="abc"):
    """Return a completed generation with this link."""
    return Generation(id=generation_id, state=State.COMPLETED, video=Video(download_url=url))


async def written(path, size_bytes):
    """Wait until a file has so many bytes. A file has no event to wait for."""
    while not path.exists() or path.stat().st_size < size_bytes:
        await asyncio.sleep(0.005)


class FileServer:
    """Serves `data` under every path, with ranges, and fails as its attributes say."""

    def __init__(self, data=b""):
        self.data = data
        self.etag = '"v1"'
        self.cuts = []
        """Where to close the connection, for each of the next responses: bytes of the body."""
        self.part = None
        """The file that the client writes, if a cut waits until everything before it is written."""
        self.hold_after = None
        """Bytes of a body after which the rest waits for `let_go`."""
        self.let_go = asyncio.Event()
        self.trickle = None
        """Send so many bytes of a body every so many seconds."""
        self.statuses = []
        """The statuses of the next responses, which have no body; "json" for a 200 with a JSON document."""
        self.sends_length = True
        """Whether a response announces the length of its body."""
        self.redirect = None
        """The address that every response redirects to."""
        self.required_key = None
        """The Authorization header without which a request gets a 401."""
        self.max_range_bytes = None
        """Send at most so many bytes of a range, and announce that."""
        self.ignores_ranges = False
        """Whether it sends the whole file for a range."""
        self.seen = []
        """The requests."""
        self.running = 0
        self.max_running = 0
        self._changed = asyncio.Condition()

    @property
    def ranges(self):
        """The Range header of each request."""
        return [request.headers.get("Range") for request in self.seen]

    def url(self, path="clip.mp4"):
        """Return the address of a file."""
        return f"http://127.0.0.1:{self.port}/{path}"

    async def seen_requests(self, count):
        """Wait until so many requests have arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.seen) >= count)

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self._respond)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        self.let_go.set()
        await self._runner.cleanup()

    async def _respond(self, request):
        self.seen.append(request)
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        async with self._changed:
            self._changed.notify_all()
        try:
            return await self._send(request)
        except ConnectionError:
            return web.Response()
        finally:
            self.running -= 1

    async def _send(self, request):
        if self.statuses:
            status = self.statuses.pop(0)
            return web.json_response({"code": "not_ready"}) if status == "json" else web.Response(status=status)
        if self.required_key not in {None, request.headers.get("Authorization")}:
            return web.Response(status=401)
        if self.redirect is not None:
            return web.Response(status=302, headers={"Location": self.redirect})
        first = 0
        headers = {"Content-Type": "video/mp4"} | ({"ETag": self.etag} if self.etag else {})
        if not self.ignores_ranges and "Range" in request.headers and request.headers.get("If-Range") == self.etag:
            first = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if first >= len(self.data):
                return web.Response(status=416, headers={"Content-Range": f"bytes */{len(self.data)}"})
        body = self.data[first:]
        if first:
            body = body[: self.max_range_bytes]
            headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(self.data)}"
        response = web.StreamResponse(status=206 if first else 200, headers=headers)
        response.content_length = len(body) if self.sends_length else None
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        await self._write(response, body if cut is None else body[:cut])
        if cut is not None:
            # A client loses what it has not read when the connection breaks.
            if self.part is None:
                await asyncio.sleep(_BEFORE_A_CUT_S)
            else:
                await written(self.part, first + cut)
            request.transport.close()
        return response

    async def _write(self, response, body):
        size, pause_s = self.trickle or (_PIECE_BYTES, None)
        for at in range(0, len(body), size):
            if self.hold_after is not None and at >= self.hold_after:
                await self.let_go.wait()
            await response.write(body[at : at + size])
            if pause_s is not None:
                await asyncio.sleep(pause_s)
