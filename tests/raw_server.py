"""A server made of sockets alone, for what a real service's HTTP library would never do.

Each connection gets the next act of a script, the last act for all that follow. An act reads and writes bytes; what
arrived is kept, so that a test can tell what left the client from what the client thinks left it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("self_made.pem")
"""For `localhost` alone, signed by nobody: it protects nothing but these tests."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Connection:
    """One connection, as an act sees it."""

    def __init__(self, server, reader, writer):
        self._server = server
        self._reader = reader
        self._writer = writer

    async def read_request(self):
        """Read one whole request, and count it; None at the end of the connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await self.read_head()
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            request = (head, await self._reader.readexactly(length))
            self._server.requests.append(request)
            return request
        return None

    async def read_head(self):
        """Read the request line and the headers alone."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def read_some(self):
        """Wait until anything comes, and leave the rest of it unread."""
        with suppress(ConnectionError):
            await self._reader.read(1)

    @property
    def gone(self):
        """Whether the client has hung up."""
        return self._writer.transport.is_closing()

    async def send(self, data):
        """Write bytes."""
        self._writer.write(data)
        with suppress(ConnectionError):
            await self._writer.drain()

    def reset(self):
        """Close with a RST instead of a FIN."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._writer.transport.abort()


class RawServer:
    """Listen on a free port of this machine while the block lasts.

    Args:
        acts: what happens to the first connection, the second, and so on.
        tls: whether connections are encrypted, with a certificate that nobody signed.
    """

    def __init__(self, *acts, tls=False):
        self._acts = list(acts)
        self._tls = tls
        self._tasks = set()
        self.port = 0
        self.connections = 0
        self.requests = []
        """The whole requests that arrived: their heads and their bodies."""

    @property
    def base_url(self):
        """Where it listens, or will."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def posts(self):
        """How many whole POSTs arrived."""
        return sum(head.startswith(b"POST ") for head, _ in self.requests)

    def listening_on(self, port):
        """Take this port instead of a free one."""
        self.port = port
        return self

    async def __aenter__(self):
        context = None
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=context, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connected(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        act = self._acts[min(self.connections, len(self._acts) - 1)]
        self.connections += 1
        try:
            await act(Connection(self, reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


def response(status, body=b"", *headers, length=None):
    """Spell an answer; `body` is bytes, or anything that JSON can spell."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data) if length is None else length}", *headers]
    if not any(header.lower().startswith("content-type:") for header in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + data


def answers(*pieces, keep=True):
    """Read a request, send the pieces, and so on; the same pieces for each request of the connection."""

    async def act(connection):
        while await connection.read_request() is not None:
            for piece in pieces:
                await connection.send(piece)
            if not keep:
                return

    return act


def closes():
    """Close the connection as soon as it is open."""

    async def act(connection):
        pass

    return act


def resets():
    """Reset the connection as soon as it is open."""

    async def act(connection):
        connection.reset()

    return act


def closes_after_request(piece=b"", *, reset=False):
    """Read a whole request, send a piece of an answer, and close."""

    async def act(connection):
        await connection.read_request()
        await connection.send(piece)
        if reset:
            connection.reset()

    return act


def stalls(piece=b""):
    """Read a whole request, send a piece of an answer, and never say another word."""

    async def act(connection):
        await connection.read_request()
        await connection.send(piece)
        await asyncio.Event().wait()

    return act


def stays_silent():
    """Accept, and neither read nor write."""

    async def act(connection):
        await asyncio.Event().wait()

    return act
