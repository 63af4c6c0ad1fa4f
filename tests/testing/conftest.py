"""An HTTP client for the fake gateway that does not use luma_async."""

from __future__ import annotations

import json

import aiohttp
import attrs
import pytest

VIDEO = {"prompt": "cat dance", "aspect_ratio": "16:9"}


@attrs.frozen
class Answer:
    """An answer of the gateway."""

    status: int
    headers: object
    raw: bytes

    @property
    def body(self):
        return json.loads(self.raw)


class Client:
    """Send requests as a program without this library would."""

    def __init__(self, gateway, http):
        self.gateway = gateway
        self.http = http

    async def ask(self, method, path, *, key=None, **more):
        headers = {"Authorization": f"Bearer {key or self.gateway.api_key}"} | more.pop("headers", {})
        url = path if path.startswith("http") else self.gateway.base_url + path
        async with self.http.request(method, url, headers=headers, allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def submit(self, prompt="cat dance", **fields):
        return await self.ask("POST", "/luma/generations", json=VIDEO | {"prompt": prompt} | fields)

    async def submit_id(self, prompt="cat dance"):
        """Submit and return the id."""
        return (await self.submit(prompt)).body["id"]

    async def query(self, generation_id):
        return await self.ask("GET", f"/luma/generations/{generation_id}")

    async def state(self, generation_id):
        return (await self.query(generation_id)).body["state"]

    async def tasks(self, *ids):
        return await self.ask("POST", "/luma/tasks", json={"ids": ids})

    async def link(self, generation_id):
        return await self.ask("GET", f"/luma/generations/{generation_id}/download_video_url")

    async def luma(self, method, path, body=None, **more):
        """Send a request to the Dream Machine API."""
        return await self.ask(method, f"/dream-machine/v1{path}", **({} if body is None else {"json": body}), **more)

    async def luma_submit_id(self, prompt="cat dance", **fields):
        """Submit to the Dream Machine API and return the id."""
        body = {"model": "ray-2", "prompt": prompt} | fields
        return (await self.luma("POST", "/generations/video", body)).body["id"]

    async def file(self, url, *, method="GET", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, url, headers=headers, allow_redirects=False) as response:
            return Answer(response.status, response.headers, await response.read())


@pytest.fixture
async def client(gateway):
    async with aiohttp.ClientSession() as http:
        yield Client(gateway, http)
