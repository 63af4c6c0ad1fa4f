"""A TCP proxy that can stop forwarding in one direction or both, cut its connections, and go on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress


class TcpProxy:
    """Forwards to a port on loopback. While `up` is cleared, nothing reaches the server; while `down` is, no answer."""

    def __init__(self, target):
        self._target = target
        self._writers = set()
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.up.set()
        self.down.set()
        self.answers = 0
        """How many pieces have come from the server."""

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pipe(reader, back, self.up))
            group.create_task(self._pipe(there, writer, self.down))

    async def _pipe(self, reader, writer, gate):
        with suppress(OSError):
            while piece := await reader.read(65536):
                self.answers += gate is self.down
                await gate.wait()
                writer.write(piece)
                await writer.drain()
        with suppress(OSError):
            writer.close()

    def hang(self):
        """Forward nothing in either direction."""
        self.up.clear()
        self.down.clear()

    def go_on(self):
        """Forward again, also what was held back."""
        self.up.set()
        self.down.set()

    def cut(self):
        """Abort all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def aclose(self):
        self._server.close()
        self.cut()
        self.go_on()
        await self._server.wait_closed()


@asynccontextmanager
async def proxy_to(port):
    """A proxy to a port."""
    proxy = TcpProxy(port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.aclose()
        await asyncio.sleep(0.05)
