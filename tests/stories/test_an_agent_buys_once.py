"""An agent that calls the MCP server again, because a call timed out or the server died, buys nothing more."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from contextlib import suppress

import pytest
from mcp_clients import CLIENTS, Server

from luma_async.testing import late, succeeds


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=1)}


@pytest.mark.parametrize("kind", CLIENTS)
async def test_repeated_call_after_timeout(kind, gateway, tmp_path):
    """A submit that timed out and is repeated with the same words is one charge, and it is delivered."""
    gateway.inject(late(2), on="submit")
    async with Server(gateway, tmp_path).connect(kind) as client:
        with pytest.raises(Exception, match=r"(?i)timed? ?out"):
            await client.call("submit_video", timeout=1, prompt="a cat")
        bought = await client.call("submit_video", prompt="a cat")
        assert (await client.call("wait", handle=bought["handle"]))["state"] == "completed"
        file = (await client.call("download", handle=bought["handle"]))["file"]
    assert (tmp_path / "clips" / file).stat().st_size > 0
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("kind", CLIENTS)
async def test_killed_server_delivers(kind, gateway, tmp_path):
    """A server that is killed while a video is made, and started again, delivers it under the same handle."""
    server = Server(gateway, tmp_path)
    # Each client has its own error for a server that has died.
    with suppress(Exception):
        async with server.connect(kind) as client:
            bought = await client.call("submit_video", prompt="a cat", key="cat")
            os.kill(server.pid, signal.SIGKILL)
            await client.call("wait", handle=bought["handle"])
    async with server.connect(kind) as client:
        again = await client.call("submit_video", prompt="a cat", key="cat")
        assert (again["handle"], again["new"]) == ("cat", False)
        assert (await client.call("wait", handle="cat"))["state"] == "completed"
    assert len(gateway.charges) == 1


class TestManyWaits:
    @pytest.fixture
    def gateway_options(self):
        return {"script": succeeds(after=8)}

    async def test_waits_share_requests(self, gateway, tmp_path):
        """A hundred waits for twenty videos cost at most three status requests a second."""
        server = Server(gateway, tmp_path, command=(sys.executable, "-m", "luma_async"))
        async with server.connect("fastmcp-http") as client:
            bought = [await client.call("submit_video", prompt=f"cat {number}") for number in range(20)]
            ended = await asyncio.gather(*(client.call("wait", handle=each["handle"]) for each in bought * 5))
        assert Counter(each["state"] for each in ended) == {"completed": 100}
        looks = [seen.at for seen in gateway.requests if seen.kind in {"query", "tasks"}]
        assert len(looks) <= 3 * (looks[-1] - gateway.charges[0].at)
