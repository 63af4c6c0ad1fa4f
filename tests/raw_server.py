"""A server on bare sockets, for faults that an HTTP library would not produce.

Each connection runs the next act of a list; the last act is repeated. An act reads and writes bytes. The server keeps
the requests that arrived, so that a test can compare them with what the client believes it has sent.
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
"""A self-signed certificate for `localhost`, for these tests only."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Connection:
    """One connection; the argument of an act."""

    def __init__(self, server, reader, writer):
        self._server = server
        self._reader = reader
        self._writer = writer

    async def read_request(self):
        """Read and store a complete request; None at the end of the connection."""
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
        """Read the request line and the headers."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def read_some(self):
        """Read one byte, and leave the rest unread."""
        with suppress(ConnectionError):
            await self._reader.read(1)

    @property
    def gone(self):
        """Whether the client has closed the connection."""
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
    """Listens on a free port of this machine inside `async with`.

    Args:
        acts: the act of the first connection, the second, and so on.
        tls: whether to use TLS, with the self-signed certificate.
    """

    def __init__(self, *acts, tls=False):
        self._acts = list(acts)
        self._tls = tls
        self._tasks = set()
        self.port = 0
        self.connections = 0
        self.requests = []
        """The complete requests that arrived: head and body."""

    @property
    def base_url(self):
        """The address on which it listens, or will listen."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def posts(self):
        """How many complete POSTs arrived."""
        return sum(head.startswith(b"POST ") for head, _ in self.requests)

    def listening_on(self, port):
        """Use this port instead of a free port."""
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
    """Build a response; `body` is bytes, or a value for JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(data) if length is None else length}", *headers]
    if not any(header.lower().startswith("content-type:") for header in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + data


def answers(*pieces, keep=True):
    """Answer each request of the connection with the same pieces."""

    async def act(connection):
        while await connection.read_request() is not None:
            for piece in pieces:
                await connection.send(piece)
            if not keep:
                return

    return act


def closes():
    """Close the connection at once."""

    async def act(connection):
        pass

    return act


def resets():
    """Reset the connection at once."""

    async def act(connection):
        connection.reset()

    return act


def closes_after_request(piece=b"", *, reset=False):
    """Read a complete request, send a part of a response, and close."""

    async def act(connection):
        await connection.read_request()
        await connection.send(piece)
        if reset:
            connection.reset()

    return act


def stalls(piece=b""):
    """Read a complete request, send a part of a response, and send nothing more."""

    async def act(connection):
        await connection.read_request()
        await connection.send(piece)
        await asyncio.Event().wait()

    return act


def stays_silent():
    """Accept the connection, and neither read nor write."""

    async def act(connection):
        await asyncio.Event().wait()

    return act
