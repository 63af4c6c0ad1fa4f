"""A file server that does as little as possible, so that a benchmark measures the clients.

    python light_files.py SIZE_BYTES

It prints its port, and serves an mp4 of that size under every path, with a strong ETag.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from contextlib import suppress

SIZE_BYTES = int(sys.argv[1])


def clip():
    """Return an mp4 with random frames."""
    ftyp, moov = (16).to_bytes(4) + b"ftypisomisom", (16).to_bytes(4) + b"moov" + bytes(8)
    frames = SIZE_BYTES - len(ftyp) - len(moov) - 8
    return ftyp + moov + (8 + frames).to_bytes(4) + b"mdat" + os.urandom(frames)


HEAD = (f'HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {SIZE_BYTES}\r\nETag: "v1"\r\n\r\n').encode()


async def answer(loop, connection, file):
    """Respond to each request with the file, by `sendfile`; clients send no bodies."""
    received = b""
    while data := await loop.sock_recv(connection, 4096):
        received += data
        while b"\r\n\r\n" in received:
            _, _, received = received.partition(b"\r\n\r\n")
            await loop.sock_sendall(connection, HEAD)
            sent = 0
            while sent < SIZE_BYTES:
                try:
                    sent += os.sendfile(connection.fileno(), file.fileno(), sent, SIZE_BYTES - sent)
                except BlockingIOError:
                    await writable(loop, connection)


async def writable(loop, connection):
    """Wait until a connection is writable."""
    ready = asyncio.Event()
    loop.add_writer(connection, ready.set)
    await ready.wait()
    loop.remove_writer(connection)


async def serve(loop, listener, file):
    """Serve every connection until the program ends."""

    async def one(connection):
        with connection, suppress(ConnectionError):
            await answer(loop, connection, file)

    async with asyncio.TaskGroup() as group:
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            group.create_task(one(connection))


async def main():
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    with tempfile.TemporaryFile() as file:
        file.write(clip())
        file.flush()
        serving = asyncio.ensure_future(serve(loop, listener, file))
        # Standard input ends with the program that started this one.
        await asyncio.to_thread(sys.stdin.read)
        serving.cancel()


if __name__ == "__main__":
    os.sched_setaffinity(0, {0})
    asyncio.run(main())
