"""A proxy that validates every request and every answer against the document."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import aiohttp
import attrs

_LAST = "/end-of-test"
"""A path that the document does not have; the output of the proxy is read up to the line about it."""


@attrs.define
class Proxy:
    """A running proxy, and its output once it has ended."""

    base_url: str
    output: list[str] = attrs.field(factory=list, repr=False)

    @property
    def passed(self):
        """The number of requests that it received."""
        return sum("Request received" in line for line in self.output)

    @property
    def violations(self):
        """Its errors and warnings about requests, answers and unknown paths."""
        return [line for line in self.output if "error" in line or "warn" in line]


@contextlib.asynccontextmanager
async def prism(document, upstream):
    """Run a proxy between a client and a service until the block ends; then its output is complete."""
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
        *lines, _ = await _lines_until(log, _LAST, "error")
        proxy.output += [line for line in lines if _LAST not in line]
    finally:
        process.terminate()
        await process.wait()


async def _lines_until(log, *words):
    """Wait for a line with these words, and return the lines up to it."""
    while True:
        lines = log.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if all(word in line for word in words):
                return lines[:number]
        await asyncio.sleep(0.05)
