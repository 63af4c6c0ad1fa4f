"""A validating proxy: every request and every answer that passes is held against the document."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import aiohttp
import attrs

_LAST = "/that-was-all"
"""A path that no document has: what the proxy says about it is the last that is read."""


@attrs.define
class Proxy:
    """A proxy that runs, and what it has said once it has ended."""

    base_url: str
    said: list[str] = attrs.field(factory=list, repr=False)

    @property
    def passed(self):
        """How many requests arrived."""
        return sum("Request received" in line for line in self.said)

    @property
    def violations(self):
        """What it found: errors about requests, about answers, and about paths that the document does not have."""
        return [line for line in self.said if "error" in line or "warn" in line]


@contextlib.asynccontextmanager
async def prism(document, upstream):
    """Stand between a client and a service until the block ends; then everything it said is known."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    proxy = Proxy(f"http://127.0.0.1:{port}")
    log = document.with_name(f"prism-{port}.log")
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *("prism", "proxy", "--errors", "-p", str(port), str(document), upstream), stdout=file, stderr=file
        )
    try:
        await _lines_until(log, "is listening")
        yield proxy
        async with aiohttp.ClientSession() as http:
            await http.get(proxy.base_url + _LAST)
        *said, _ = await _lines_until(log, _LAST, "error")
        proxy.said += [line for line in said if _LAST not in line]
    finally:
        process.terminate()
        await process.wait()


async def _lines_until(log, *words):
    """Wait for a line with these words, and return everything up to it."""
    while True:
        lines = log.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if all(word in line for word in words):
                return lines[:number]
        await asyncio.sleep(0.05)
