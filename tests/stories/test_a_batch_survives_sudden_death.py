"""A batch that is killed five times and run again accounts for every prompt, and pays for no prompt twice.

The test kills a batch of forty; `LUMA_ASYNC_PROMPTS=500` sets another number.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import signal

import pytest
from ledger import balance
from stories.killable_batch import submit_all

from luma_async import Phase, SqliteJournal
from luma_async.testing import ALWAYS, drop_after_reading, fails, late, rejects, succeeds

PROMPTS = int(os.environ.get("LUMA_ASYNC_PROMPTS", "40"))
DEATHS = 5


def script(prompt, _number):
    number = int(prompt.split()[-1])
    return rejects() if number % 20 == 3 else fails(after=0.2) if number % 20 == 7 else succeeds(after=0.2)


@pytest.fixture
def gateway_options():
    return {"script": script}


@pytest.fixture(scope="module")
def processes():
    """Start processes from a fork server that has imported the modules."""
    context = multiprocessing.get_context("forkserver")
    loaded = ["stories.killable_batch", "luma_async._http.transport", "luma_async._download.client"]
    context.set_forkserver_preload(loaded)
    return context


@pytest.mark.timeout(300)
async def test_batch_killed_five_times(gateway, tmp_path, processes):
    """After five SIGKILLs and a run to the end, results + failed + in doubt == prompts."""
    path, report, jitter = tmp_path / "jobs.db", tmp_path / "report.json", random.Random(5)
    gateway.inject(late(0.05), times=ALWAYS, when=lambda seen: jitter.random() < 0.3)
    gateway.inject(drop_after_reading(), times=ALWAYS, when=lambda seen: jitter.random() < 0.02)

    def start():
        program = processes.Process(target=submit_all, args=(gateway.api_key, gateway.base_url, path, PROMPTS, report))
        program.start()
        return program

    for death in range(1, DEATHS + 1):
        program = start()
        while len(gateway.charges) < PROMPTS * death / (DEATHS + 1):
            assert program.is_alive()
            await asyncio.sleep(0.005)
        await asyncio.sleep(jitter.random() * 0.1)
        program.kill()
        await asyncio.to_thread(program.join)
        assert program.exitcode == -signal.SIGKILL
    program = start()
    await asyncio.to_thread(program.join)
    assert program.exitcode == 0
    sums = json.loads(report.read_text())
    print(f"{sums}, {len(gateway.charges)} charges")
    assert sum(sums.values()) == PROMPTS
    journal = SqliteJournal(path)
    _, accepted, doubtful = await balance(gateway, journal)
    refused = await journal.entries(phases={Phase.REFUSED})
    await journal.aclose()
    assert doubtful == sums["in_doubt"]
    assert accepted + len(refused) == sums["done"] + sums["failed"]
