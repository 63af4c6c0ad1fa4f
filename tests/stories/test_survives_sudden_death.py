"""Killing the program at any instant costs nothing but time: no charge is made twice, and no paid job is lost."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from killable import STEPS
from ledger import balance

from luma_async import Phase, SqliteJournal
from luma_async.testing import FakeGateway, late, succeeds

PROGRAM = Path(__file__).with_name("killable.py")
RANDOM_KILLS = int(os.environ.get("LUMA_ASYNC_KILLS", "20"))
COUNT = 4


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=0.2)}


async def run_program(gateway, path, *, step=None, kill_after_s=None, **environment):
    """Run the program against the gateway, killing it after a while or letting it kill itself."""
    arguments = [str(PROGRAM), str(path), str(COUNT)] + ([str(step)] if step is not None else [])
    variables = {**os.environ, "LUMA_API_KEY": gateway.api_key, "LUMA_BASE_URL": gateway.base_url, **environment}
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=variables, stderr=asyncio.subprocess.PIPE
    )
    if kill_after_s is not None:
        await asyncio.sleep(kill_after_s)
        if child.returncode is None:
            child.kill()
    _, errors = await child.communicate()
    return child.returncode, errors.decode()


async def ledger_of(gateway, path):
    """Balance the books of a file after its owner died."""
    journal = SqliteJournal(path)
    owner = await journal.enter()
    try:
        charges, accepted, doubtful = await balance(gateway, journal)
        entries = {entry.key: entry for entry in await journal.entries()}
    finally:
        await journal.leave(owner)
        await journal.aclose()
    paid = {charge.prompt.replace("prompt ", "key-") for charge in gateway.charges}
    lost = [key for key in paid if key not in entries or entries[key].phase in {Phase.NOT_SENT, Phase.REFUSED}]
    assert lost == [], f"paid and forgotten: {lost}"
    return charges, accepted, doubtful, entries


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[name.replace(" ", "-") for name in STEPS])
async def test_death_at_each_step_of_a_submit(gateway, tmp_path, step):
    """Killed at a given step and run again, nothing is charged twice, nothing paid is unknown, the rest completes."""
    path = tmp_path / "jobs.db"
    await run_program(gateway, path, step=step)
    if path.exists():
        await ledger_of(gateway, path)
    code, errors = await run_program(gateway, path)
    assert code == 0, errors
    charges, accepted, doubtful, entries = await ledger_of(gateway, path)
    assert accepted + doubtful == COUNT
    assert all(entry.phase is Phase.COMPLETED for entry in entries.values() if entry.generation_id)
    assert charges >= accepted


@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
async def test_death_at_any_instant(gateway, tmp_path, seed):
    """Killed twice at random moments and then run to its end, the books balance each time."""
    path = tmp_path / "jobs.db"
    chance = random.Random(seed)
    gateway.inject(late(0.05), times=COUNT, when=lambda _: chance.random() < 0.5)
    for _ in range(2):
        await run_program(gateway, path, kill_after_s=0.25 + chance.random() * 0.5)
        if path.exists():
            await ledger_of(gateway, path)
    code, errors = await run_program(gateway, path)
    assert code == 0, errors
    _, accepted, doubtful, entries = await ledger_of(gateway, path)
    assert accepted + doubtful == COUNT
    assert all(entry.phase is Phase.COMPLETED for entry in entries.values() if entry.generation_id)


async def test_the_story_can_fail(gateway, tmp_path):
    """With the claim written after the POST, the same death makes the same program pay twice."""
    path = tmp_path / "jobs.db"
    step = STEPS.index("after the answer's headers came")
    await run_program(gateway, path, step=step, CLAIM_TOO_LATE="1")
    await run_program(gateway, path, CLAIM_TOO_LATE="1")
    assert max(Counter(charge.prompt for charge in gateway.charges).values()) > 1


async def test_two_programs_at_once_pay_once(tmp_path):
    """Two processes that run the same keys on one file make one charge for each key."""
    async with FakeGateway(script=succeeds(after=0.2)) as gateway:
        both = [run_program(gateway, tmp_path / "jobs.db") for _ in range(2)]
        results = [await done for done in asyncio.as_completed(both)]
        assert [code for code, _ in results] == [0, 0], results
        charges, accepted, doubtful, _ = await ledger_of(gateway, tmp_path / "jobs.db")
    assert (charges, accepted, doubtful) == (COUNT, COUNT, 0)
