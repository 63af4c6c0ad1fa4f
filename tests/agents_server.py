"""A small server in the format of Luma's present API, for tests of pacing and of uploads."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from aiohttp import web

from luma_async.testing import file_bytes

PICTURE = b"\x89PNG\r\n\x1a\n"
START = datetime(2026, 4, 8, 12, tzinfo=UTC)


class AgentsServer:
    """Keeps generations of a fixed duration, the limits of submits, and files."""

    def __init__(self, *, job_s=20.0, per_minute=30, slots=10, others=0):
        self.job_s, self.per_minute, self.slots, self.others = job_s, per_minute, slots, others
        self.counts, self.refusals = Counter(), Counter()
        self.jobs, self.bodies, self.seen = {}, [], []
        self.times = deque()
        self.files, self.stored = {}, {}
        self.ceiling = 0
        self.cut_puts = 0
        self.ingest_state = "ready"
        self.lose = 0
        self.failure = None

    async def __aenter__(self):
        app = web.Application(client_max_size=2**40)
        app.router.add_post("/v1/generations", self._submit)
        app.router.add_get("/v1/generations/{id}", self._query)
        app.router.add_post("/v1/files", self._create_file)
        app.router.add_get("/v1/files", self._list_files)
        app.router.add_get("/v1/files/{id}", self._get_file)
        app.router.add_delete("/v1/files/{id}", self._delete_file)
        app.router.add_post("/v1/files/{id}/complete", self._complete_file)
        app.router.add_get("/results/{name}", self._result)
        app.router.add_put("/storage/{id}", self._store)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    @staticmethod
    def _now():
        return asyncio.get_running_loop().time()

    @property
    def running(self):
        return sum(self._now() - at < self.job_s for at in self.jobs.values())

    def _answer(self, status, body, **headers):
        moment = START + timedelta(seconds=self._now())
        headers = {"X-Request-Id": "req-1", "Date": format_datetime(moment, usegmt=True), **headers}
        return web.json_response(body, status=status, headers=headers)

    def _rate(self, remaining):
        reset = int((START + timedelta(seconds=self.times[0] + 60 if self.times else self._now())).timestamp()) + 1
        headers = {"Limit": self.per_minute, "Remaining": max(0, remaining), "Reset": reset}
        return {f"X-RateLimit-{name}": str(value) for name, value in headers.items()}

    async def _submit(self, request):
        self._see(request, "submit")
        now = self._now()
        body = await request.json()
        if self.lose:
            self.lose -= 1
            request.transport.abort()
            return web.Response()
        while self.times and self.times[0] <= now - 60:
            self.times.popleft()
        used = len(self.times) + self.others
        if used >= self.per_minute:
            self.refusals["minute"] += 1
            headers = {"Retry-After": "7", **self._rate(0)}
            return self._answer(429, {"detail": "Rate limit exceeded"}, **headers)
        self.times.append(now)
        if self.running >= self.slots:
            self.refusals["jobs"] += 1
            return self._answer(429, {"detail": "Too many concurrent jobs"}, **{"Retry-After": "60"})
        generation_id = f"g{len(self.jobs)}"
        self.jobs[generation_id] = now
        self.bodies.append(body)
        return self._answer(201, self._generation(generation_id), **self._rate(self.per_minute - used - 1))

    def _generation(self, generation_id):
        done = self._now() - self.jobs[generation_id] >= self.job_s
        output = self._outputs(generation_id) if done else []
        return {
            "id": generation_id,
            "type": "video",
            "state": ("failed" if self.failure else "completed") if done else "processing",
            "model": "ray-3.2",
            "created_at": "2026-04-08T12:00:00Z",
            "output": [] if self.failure else output,
            "failure_reason": self.failure and "It did not work.",
            "failure_code": self.failure,
        }

    def _outputs(self, generation_id):
        number = int(generation_id[1:])
        kind = self.bodies[number]["type"] if number < len(self.bodies) else "video"
        url = f"{self.base_url}/results/{generation_id}"
        if kind == "layering":
            layers = [{"index": index, "label": f"layer {index}"} for index in range(3)]
            return [{"type": "image", "url": f"{url}-{layer['index']}.png", "layer": layer} for layer in layers]
        return [{"type": "image", "url": f"{url}.png"} if "image" in kind else {"type": "video", "url": f"{url}.mp4"}]

    async def _result(self, request):
        picture = request.match_info["name"].endswith(".png")
        body = PICTURE + request.match_info["name"].encode() if picture else file_bytes()
        return web.Response(body=body, content_type="image/png" if picture else "video/mp4")

    async def _query(self, request):
        self._see(request, "query")
        if self.ceiling:
            self.ceiling -= 1
            return self._answer(429, {"detail": "Too many requests"}, **{"Retry-After": "30"})
        if request.match_info["id"] not in self.jobs:
            return self._answer(404, {"detail": "Generation not found"})
        return self._answer(200, self._generation(request.match_info["id"]))

    async def _create_file(self, request):
        self._see(request, "create_file")
        fields = await request.json()
        file = {"id": f"f{len(self.files)}", "state": "pending", "created_at": "2026-06-23T10:00:00Z", **fields}
        self.files[file["id"]] = file
        headers = {"Content-Type": fields["mime_type"]}
        upload = {"method": "PUT", "url": f"{self.base_url}/storage/{file['id']}?sig=1", "headers": headers}
        return self._answer(201, {"id": file["id"], "state": "pending", "file": file, "upload": upload})

    async def _store(self, request):
        self._see(request, "put")
        digest, size = hashlib.sha256(), 0
        if self.cut_puts:
            self.cut_puts -= 1
            await request.content.readany()
            request.transport.abort()
            return web.Response()
        async for piece in request.content.iter_any():
            digest.update(piece)
            size += len(piece)
        self.stored[request.match_info["id"]] = (size, digest.hexdigest())
        return web.Response()

    async def _complete_file(self, request):
        self._see(request, "complete_file")
        file = self.files[request.match_info["id"]]
        complete = self.stored.get(file["id"], (None,))[0] == file["size_bytes"]
        file["state"] = self.ingest_state if complete else "failed"
        return self._answer(200, {**file, "state": "pending"})

    async def _get_file(self, request):
        self._see(request, "get_file")
        if request.match_info["id"] not in self.files:
            return self._answer(404, {"detail": "File not found"})
        return self._answer(200, self.files[request.match_info["id"]])

    async def _list_files(self, request):
        self._see(request, "list_files")
        limit, begin = int(request.query.get("limit", 25)), int(request.query.get("cursor", 0))
        rows = [file for file in reversed(self.files.values()) if request.query.get("state") in {None, file["state"]}]
        more = begin + limit < len(rows)
        page = {"data": rows[begin : begin + limit], "has_more": more}
        return self._answer(200, page | ({"next_cursor": str(begin + limit)} if more else {}))

    async def _delete_file(self, request):
        self._see(request, "delete_file")
        self.files[request.match_info["id"]]["state"] = "deleted"
        return web.Response(status=204)

    def _see(self, request, kind):
        self.counts[kind] += 1
        self.seen.append((kind, dict(request.headers)))
