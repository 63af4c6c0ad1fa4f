"""An event loop that stood still: what has arrived meanwhile is read before a timeout counts."""

from __future__ import annotations

import asyncio
import time

import pytest
from raw_server import RawServer, answers, response, stalls

from luma_async import LumaSession, SubmitInDoubt, Timeouts
from luma_async._aio import Deadline

TIMEOUTS = Timeouts(submit=0.3, request=0.3)


async def _block_after_request(server):
    """Block the loop past the timeout, once the server's answer has left."""
    while not server.requests:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(0.8)  # noqa: ASYNC251 - the loop has to stand still


async def test_submit_over_blocked_loop():
    """A submit whose answer arrived while the loop was blocked past its timeout is accepted."""
    async with (
        RawServer(answers(response(201, {"id": "g1", "state": "pending"}))) as server,
        LumaSession("sk-fake-000", base_url=server.base_url, timeouts=TIMEOUTS) as luma,
    ):
        submitting = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        await _block_after_request(server)
        assert (await submitting).id == "g1"
        assert server.posts == 1


async def test_silence_over_blocked_loop():
    """A submit without an answer is in doubt, also if the loop was blocked."""
    async with (
        RawServer(stalls()) as server,
        LumaSession("sk-fake-000", base_url=server.base_url, timeouts=TIMEOUTS) as luma,
    ):
        submitting = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        await _block_after_request(server)
        with pytest.raises(SubmitInDoubt):
            await submitting
        assert server.posts == 1


@pytest.mark.looptime
async def test_deadline_expires():
    """A deadline of a loop that runs raises TimeoutError when its time is up, and none if the block ended before."""
    loop = asyncio.get_running_loop()
    async with Deadline(5):
        await asyncio.sleep(4)
    began_at_s = loop.time()
    with pytest.raises(TimeoutError):
        async with Deadline(5):
            await asyncio.sleep(60)
    assert loop.time() - began_at_s == pytest.approx(5, abs=0.5)


@pytest.mark.looptime
async def test_deadline_and_cancellation():
    """A task that is cancelled inside a deadline gets CancelledError."""

    async def wait():
        async with Deadline(5):
            await asyncio.sleep(60)

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
