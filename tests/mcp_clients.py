"""Real MCP clients of `luma-async mcp`: FastMCP's and the official SDK's, over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import os
import shlex
from contextlib import asynccontextmanager, suppress

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from terminal import COMMAND

CLIENTS = ("fastmcp-stdio", "fastmcp-http", "sdk-stdio", "sdk-http")


class Server:
    """`luma-async mcp` at a gateway, with a journal that survives it.

    Args:
        gateway: the service.
        place: a folder for the journal, the clips and the log.
        flags: more flags.
        command: how to run `luma-async`.
    """

    def __init__(self, gateway, place, *flags, command=COMMAND):
        self.folder, self.log, self._pid_file = place / "clips", place / "log", place / "pid"
        self.words = [*command, "mcp", str(self.folder), "--max-purchases", "20/day", *flags]
        settings = {"LUMA_API_KEY": gateway.api_key, "LUMA_BASE_URL": gateway.base_url}
        self.env = os.environ | settings | {"LUMA_JOURNAL": str(place / "jobs.db")}

    @property
    def pid(self):
        """The process of the server."""
        return int(self._pid_file.read_text())

    @asynccontextmanager
    async def connect(self, kind):
        """Start the server, and connect a client of this kind."""
        library, _, transport = kind.partition("-")
        if transport == "stdio":
            async with _OVER_STDIO[library](["/bin/sh", "-c", self._line()], self.env) as client:
                yield client
            return
        with self.log.open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *self.words, "--http", "0", env=self.env, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        self._pid_file.write_text(str(process.pid))
        try:
            address = (await process.stdout.readline()).decode().strip()
            async with _OVER_HTTP[library](address) as client:
                yield client
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.communicate()

    def _line(self):
        pid_file, log = shlex.quote(str(self._pid_file)), shlex.quote(str(self.log))
        return f"echo $$ > {pid_file}; exec {shlex.join(self.words)} 2>> {log}"


class _FastMCP:
    def __init__(self, client):
        self.client = client

    async def call(self, name, timeout=None, **arguments):
        """Call a tool, and return its structured result."""
        result = await self.client.call_tool(name, arguments, timeout=timeout, raise_on_error=False)
        return result.structured_content


class _SDK:
    def __init__(self, session):
        self.client = session

    async def call(self, name, timeout=None, **arguments):
        """Call a tool, and return its structured result."""
        result = await self.client.call_tool(name, arguments, read_timeout_seconds=timeout)
        return result.structured_content


@asynccontextmanager
async def _fastmcp_stdio(words, env):
    transport = StdioTransport(words[0], words[1:], env=env, keep_alive=False)
    async with Client(transport) as client:
        yield _FastMCP(client)


@asynccontextmanager
async def _fastmcp_http(address):
    async with Client(address) as client:
        yield _FastMCP(client)


@asynccontextmanager
async def _sdk_stdio(words, env):
    parameters = StdioServerParameters(command=words[0], args=words[1:], env=env)
    async with stdio_client(parameters) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        yield _SDK(session)


@asynccontextmanager
async def _sdk_http(address):
    async with streamable_http_client(address) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        yield _SDK(session)


_OVER_STDIO = {"fastmcp": _fastmcp_stdio, "sdk": _sdk_stdio}
_OVER_HTTP = {"fastmcp": _fastmcp_http, "sdk": _sdk_http}
