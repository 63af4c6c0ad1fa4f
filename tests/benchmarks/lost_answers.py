"""Count the paid POSTs that one call sends when the answer to the first is lost.

Run `pip install -e '.[bench]'`, then `python tests/benchmarks/lost_answers.py`. It takes about three minutes. Every
client has its defaults, except for the base URL and a timeout of one second, where the client has such a setting.
"""

import asyncio
import os
from contextlib import suppress
from importlib.metadata import version

TIMEOUT_S = 1.0
PATIENCE_S = 60.0
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Server:
    """Reads each request completely, and then loses the answer in one of three ways."""

    def __init__(self, fault):
        self.fault = fault
        self.posts = 0

    async def answer(self, reader, writer):
        """Read one request, and close the connection, answer 502, or never answer."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            self.posts += head.startswith(b"post ")
            if self.fault == "502":
                writer.write(BAD_GATEWAY)
                await writer.drain()
            elif self.fault == "no answer":
                await reader.read()
        writer.close()


async def luma_async(base_url):
    """Submit with this library."""
    from luma_async import LumaSession, Timeouts

    async with LumaSession("sk-bench", base_url=base_url, timeouts=Timeouts(submit=TIMEOUT_S)) as luma:
        await luma.submit("cat dance")


async def lumaai(base_url):
    """Create a generation with Luma's SDK."""
    from lumaai import AsyncLumaAI

    async with AsyncLumaAI(auth_token="sk-bench", base_url=base_url, timeout=TIMEOUT_S) as client:
        await client.generations.create(prompt="cat dance", model="ray-2")


async def fal_client(base_url):
    """Submit a request with fal's client."""
    from fal_client import AsyncClient, client

    client.QUEUE_URL_FORMAT = f"{base_url}/"
    await AsyncClient(key="sk-bench", default_timeout=TIMEOUT_S).submit("fal-ai/x", {"prompt": "cat dance"})


async def replicate(base_url):
    """Create a prediction with Replicate's client."""
    from httpx import Timeout
    from replicate import Client

    client = Client("sk-bench", base_url=base_url, timeout=Timeout(TIMEOUT_S))
    await client.predictions.async_create(version="0" * 64, input={"prompt": "cat dance"})


async def count_posts(create, fault):
    """Call once against a server with this fault; return how many POSTs it read."""
    server = Server(fault)
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    ended = "without an error"
    try:
        async with asyncio.timeout(PATIENCE_S) as patience:
            await create(f"http://127.0.0.1:{port}")
    except Exception as error:  # every client ends with an error of its own
        ended = f"with {error!r}"
    listening.close()
    if not server.posts or ended == "without an error":
        raise SystemExit(f"{create.__name__} sent {server.posts} POSTs and ended {ended}")
    return f"{server.posts} (hangs)" if patience.expired() else f"{server.posts}"


async def main():
    """Print a table."""
    faults = ("connection closed", "502", "no answer")
    print(f"{'client':22}" + "".join(f"{fault:>20}" for fault in faults))
    for create in (luma_async, lumaai, fal_client, replicate):
        counts = [await count_posts(create, fault) for fault in faults]
        name = create.__name__.replace("_", "-")
        print(f"{name + ' ' + version(name):22}" + "".join(f"{count:>20}" for count in counts), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("NO_PROXY", "127.0.0.1")
    asyncio.run(main())
