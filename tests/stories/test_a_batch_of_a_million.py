"""A batch of a million prompts is read lazily and needs little memory.

The test takes six hundred outcomes; `LUMA_ASYNC_ITEMS=10000` sets another number.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tracemalloc
import urllib.request
from pathlib import Path

import pytest

from luma_async import LumaSession, PollPolicy

GATEWAY = Path(__file__).parents[1] / "benchmarks" / "light_gateway.py"
ITEMS = int(os.environ.get("LUMA_ASYNC_ITEMS", "600"))
WIDTH = 50
BYTES_PER_ITEM = 200
SLACK_BYTES = 65_536
"""The set of keys doubles from time to time, and the history of durations fills up."""


@pytest.fixture
def base_url():
    """A gateway in another process, whose memory is not measured."""
    server = subprocess.Popen([sys.executable, str(GATEWAY), "0", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.stdin.close()
    server.wait()
    server.stdout.close()


async def submits(base_url):
    def ask():
        with urllib.request.urlopen(f"{base_url}/counts") as answer:
            return json.loads(answer.read())["submit"]

    return await asyncio.to_thread(ask)


async def used_bytes(batch):
    """Measure the memory when nothing is in flight."""
    await asyncio.sleep(1)
    while batch._items:
        await asyncio.sleep(0.05)
    while any("luma_async note" in task.get_name() for task in asyncio.all_tasks()):
        await asyncio.sleep(0.05)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.timeout(600)
async def test_memory_of_a_million_items(base_url, tmp_path):
    """A batch of a million prompts uses about 200 bytes for each item taken; closed, it submits no more."""
    pulled, memory = 0, {}

    def prompts():
        nonlocal pulled
        for number in range(1_000_000):
            pulled += 1
            yield f"a cat that dances for the {number}th time"

    tracemalloc.start()
    try:
        async with LumaSession(
            "sk-fake", base_url=base_url, journal=tmp_path / "jobs.db", poll=PollPolicy.fixed(0.05)
        ) as luma:
            taken = 0
            batch = luma.batch(prompts(), name="cats", max_in_flight=WIDTH)
            async for outcome in batch:
                assert outcome.error is None
                taken += 1
                if taken in {ITEMS // 3, ITEMS}:
                    memory[taken] = await used_bytes(batch)
                if taken == ITEMS:
                    break
            assert pulled < ITEMS + WIDTH
            await asyncio.sleep(0.5)
            settled = await submits(base_url)
            assert settled <= pulled
            await asyncio.sleep(0.5)
            assert await submits(base_url) == settled
    finally:
        tracemalloc.stop()
    (first, before), (last, after) = memory.items()
    print(f"{(after - before) / (last - first):.0f} bytes an item, {settled} submits for {taken} outcomes")
    assert after - before <= BYTES_PER_ITEM * (last - first) + SLACK_BYTES
