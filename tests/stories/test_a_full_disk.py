"""When the disk is full, nothing is bought that could not be recorded, and the id of what was bought is reported."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest
from batch_inputs import later
from broken_disk import no_growth
from ledger import balance

from luma_async import (
    GenerationHandle,
    JournalError,
    LumaSession,
    Phase,
    PollPolicy,
    Refused,
    SqliteJournal,
    SubmitInDoubt,
)
from luma_async._journal.sqlite import schema
from luma_async.testing import FakeGateway, answer, drop_after_reading, late, succeeds


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
async def gateway():
    async with FakeGateway(script=succeeds(after=0.1)) as running:
        yield running


def session(gateway, path):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, journal=path, poll=PollPolicy.fixed(0.1))


async def test_no_room_for_the_claim(gateway, path):
    """JournalError, and nothing was sent; with room the submit goes through."""
    async with session(gateway, path) as luma:
        await luma.submit("cat dance", key="cat")
        with no_growth(path.with_name("jobs.db-wal")), pytest.raises(JournalError, match="full"):
            await luma.submit("dog dance", key="dog")
        assert [charge.prompt for charge in gateway.charges] == ["cat dance"]
        await luma.submit("dog dance", key="dog")
    assert len(gateway.charges) == 2


@pytest.mark.parametrize("again", ["while open", "at closing"])
async def test_no_room_for_the_acceptance(gateway, path, caplog, again):
    """The handle is returned, the id is logged, and nothing more is bought until there is room to write it."""
    gateway.inject(late(0.3))
    async with session(gateway, path) as luma:
        submitting = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        while not gateway.charges:
            await asyncio.sleep(0.01)
        with no_growth(path.with_name("jobs.db-wal")):
            handle = await submitting
            (generation_id,) = gateway.generations
            assert handle.id == generation_id
            errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
            assert any(generation_id in text and "cat" in text for text in errors)
            with pytest.raises(JournalError, match="nothing further is sent"):
                await luma.submit("dog dance", key="dog")
            assert [doubt.key for doubt in await luma.doubts.list()] == ["cat"]
        if again == "while open":
            while await luma.doubts.list():
                await asyncio.sleep(0.01)
            await luma.submit("dog dance", key="dog")
    journal = SqliteJournal(path)
    phases = {entry.key: (entry.phase, entry.generation_id) for entry in await journal.entries()}
    assert phases["cat"] == (Phase.ACCEPTED, generation_id)
    assert len(gateway.charges) == len(phases) == (2 if again == "while open" else 1)
    await journal.aclose()


async def test_no_room_until_the_end(gateway, path, caplog):
    """An acceptance that could not be written at closing either is a doubt, which the logged id resolves."""
    gateway.inject(late(0.3))
    luma = session(gateway, path)
    await luma.open()
    submitting = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
    while not gateway.charges:
        await asyncio.sleep(0.01)
    with no_growth(path.with_name("jobs.db-wal")):
        generation_id = (await submitting).id
        await luma.aclose()
    assert generation_id in caplog.records[-1].getMessage()
    async with session(gateway, path) as luma:
        assert [doubt.key for doubt in await luma.doubts.list()] == ["cat"]
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        assert (await luma.doubts.resolve("cat", generation_id=generation_id)).id == generation_id
        await luma.submit("dog dance", key="dog")
    assert [charge.prompt for charge in gateway.charges] == ["cat dance", "dog dance"]


HOLDER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
held.execute("ROLLBACK")
"""


@pytest.mark.parametrize("outcome", ["accepted", "refused", "in doubt"])
async def test_journal_held_by_another_program(gateway, path, monkeypatch, outcome):
    """Outcomes of submits are written once another program lets go of the file, and then buying goes on."""
    monkeypatch.setattr(schema, "BUSY_S", 0.2)
    fault = {
        "accepted": late(0.5),
        "refused": later(0.5, answer(400, {"detail": "no"})),
        "in doubt": later(0.5, drop_after_reading()),
    }
    gateway.inject(fault[outcome], times=3)
    async with session(gateway, path) as luma:
        submits = [asyncio.ensure_future(luma.submit(f"prompt {number}", key=f"key-{number}")) for number in range(3)]
        while gateway.counts["submit"] < len(submits):
            await asyncio.sleep(0.01)
        command = [sys.executable, "-c", HOLDER, str(path)]
        holder = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        await holder.stdout.readline()
        results = await asyncio.gather(*submits, return_exceptions=True)
        kind = {"accepted": GenerationHandle, "refused": Refused, "in doubt": SubmitInDoubt}[outcome]
        assert [type(result).__mro__.count(kind) for result in results] == [1, 1, 1]
        assert {doubt.key for doubt in await luma.doubts.list()} == {"key-0", "key-1", "key-2"}
        with pytest.raises(JournalError, match="nothing further is sent"):
            await luma.submit("dog dance", key="dog")
        await holder.communicate(b"\n")
        while luma._engine.submitter.unwritten:
            await asyncio.sleep(0.01)
        phases = {"accepted": Phase.ACCEPTED, "refused": Phase.REFUSED, "in doubt": Phase.IN_DOUBT}
        assert {entry.phase for entry in await luma._engine.journal.entries()} == {phases[outcome]}
        await luma.submit("dog dance", key="dog")
    journal = SqliteJournal(path)
    await balance(gateway, journal)
    await journal.aclose()
