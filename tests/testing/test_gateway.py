"""The gateway: starting and stopping, its records, its limits and its fixtures."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import aiohttp
import pytest

from luma_async.testing import FakeGateway, fails, late, stalls, succeeds

VIDEO = {"prompt": "cat dance", "aspect_ratio": "16:9"}


async def submit(gateway, http):
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with http.post(f"{gateway.base_url}/luma/generations", json=VIDEO, headers=headers) as response:
        return response.status


async def test_requests_are_recorded(client, gateway):
    """Requests are kept in order, with method, path, query, headers, body and kind."""
    await client.submit()
    await client.ask("GET", "/luma/generations/a?x=1", headers={"X-Trace": "t"})
    first, second = gateway.requests
    assert (first.kind, first.method, first.path, first.body) == ("submit", "POST", "/luma/generations", VIDEO)
    assert (second.kind, second.path, dict(second.query)) == ("query", "/luma/generations/a", {"x": "1"})
    assert (second.headers["x-trace"], second.body) == ("t", None)
    assert first.at <= second.at
    assert gateway.counts == {"submit": 1, "query": 1}


async def test_without_recording(http):
    """`record=False` keeps counts and charges, but no requests."""
    async with FakeGateway(record=False) as gateway:
        assert await submit(gateway, http) == 201
        assert (gateway.requests, gateway.counts["submit"], len(gateway.charges)) == ((), 1, 1)


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.looptime
async def test_free_slots(client, gateway):
    """A submit above the limit gets 429 and no charge; the end of a generation or a new limit frees a slot."""
    gateway.free_slots = 2
    gateway.scripts |= {"a": succeeds(10), "b": fails(after=20), "c": stalls()}
    assert [(await client.submit(prompt)).status for prompt in "abc"] == [201, 201, 429]
    assert (gateway.running, len(gateway.charges)) == (2, 2)
    await asyncio.sleep(11)
    assert [(await client.submit("c")).status for _ in range(2)] == [201, 429]
    await asyncio.sleep(1000)
    assert gateway.running == 1
    gateway.free_slots = None
    assert [(await client.submit()).status for _ in range(5)] == [201] * 5


@pytest.mark.looptime
async def test_generation_state_now(client, gateway):
    """A generation ages with the loop's clock."""
    generation = gateway.generations[await client.submit_id()]
    assert (generation.state, generation.kind, generation.prompt) == ("pending", "video", "cat dance")
    await asyncio.sleep(21)
    assert generation.state == "completed"


async def test_clock_argument(http):
    """`clock=` replaces the loop's clock."""
    now = 0.0
    async with FakeGateway(clock=lambda: now) as gateway:
        await submit(gateway, http)
        [generation] = gateway.generations.values()
        assert (generation.state, gateway.charges[0].at) == ("pending", 0.0)
        now = 21.0
        assert generation.state == "completed"


@pytest.mark.parametrize(
    ("path", "headers", "leaks"),
    [
        ("/files/a/video.mp4", {}, 0),
        ("/files/a/video.mp4", {"Authorization": "Bearer sk-fake"}, 1),
        ("/files/a/video.mp4", {"Authorization": "Bearer other"}, 1),
        ("/files/a/video.mp4", {"X-Api-Key": "sk-fake"}, 1),
        ("/files/a/video.mp4?token=sk-fake", {}, 1),
        ("/luma/generations/a", {"Authorization": "Bearer sk-fake"}, 0),
        ("/luma/generations/a", {"Authorization": "Bearer system"}, 1),
        ("/luma/generations/a?key=sk-fake", {}, 1),
        ("/api/user/self", {"Authorization": "system"}, 0),
        ("/api/user/self", {"Authorization": "Bearer sk-fake"}, 1),
        ("/api/usage/token", {"Authorization": "Bearer sk-fake"}, 0),
    ],
)
async def test_leaks(http, path, headers, leaks):
    """A secret in the wrong place is noted, also with `record=False`."""
    async with FakeGateway(access_token="system", record=False) as gateway:
        async with http.get(gateway.base_url + path, headers=headers):
            pass
        assert len(gateway.leaks) == leaks


async def test_close_idle_after():
    """An idle connection is closed after `close_idle_after`, and not before."""
    request = b"GET /luma/nothing HTTP/1.1\r\nHost: a\r\n\r\n"
    async with FakeGateway(close_idle_after=0.02) as hasty, FakeGateway() as patient:
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
        kept, keeper = await asyncio.open_connection("127.0.0.1", patient.port)
        for stream in (writer, keeper):
            stream.write(request)
        for stream in (reader, kept):
            assert await stream.readuntil(b"\r\n") == b"HTTP/1.1 404 Not Found\r\n"
        await reader.read()
        assert reader.at_eof()
        assert not kept.at_eof()
        for stream in (writer, keeper):
            stream.close()
            await stream.wait_closed()


async def test_stop_and_start(http):
    """A gateway that starts again has the same port and the same generations."""
    gateway = FakeGateway()
    async with gateway:
        url = gateway.base_url
        assert await submit(gateway, http) == 201
    with pytest.raises(aiohttp.ClientConnectionError):
        await submit(gateway, http)
    async with gateway:
        assert gateway.base_url == url
        assert await submit(gateway, http) == 201
    assert len(gateway.charges) == 2
    await gateway.stop()


async def test_stop_during_a_request(http):
    """`stop()` ends requests that wait for their answer."""
    async with FakeGateway() as gateway:
        gateway.inject(late(3600))
        waiting = asyncio.ensure_future(submit(gateway, http))
        while not gateway.charges:
            await asyncio.sleep(0)
    assert await waiting == 201


async def test_serve_forever(http):
    """`serve_forever()` starts the gateway, and stops it when cancelled."""
    gateway = FakeGateway(host="localhost")
    serving = asyncio.ensure_future(gateway.serve_forever())
    while gateway.port == 0:
        await asyncio.sleep(0)
    assert await submit(gateway, http) == 201
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(aiohttp.ClientConnectionError):
        await submit(gateway, http)


def test_gateway_env_fixture(gateway_env):
    """The fixture sets the environment variables that programs read."""
    assert os.environ["LUMA_BASE_URL"] == gateway_env.base_url
    assert os.environ["LUMA_API_KEY"] == gateway_env.api_key


def test_import_without_pytest():
    """`luma_async.testing` does not import pytest."""
    code = "import sys, luma_async.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
