"""When the disk is full, nothing is bought that could not be recorded, and the id of what was bought is reported."""

from __future__ import annotations

import asyncio
import logging

import pytest
from broken_disk import no_growth

from luma_async import JournalError, LumaSession, Phase, PollPolicy, SqliteJournal, SubmitInDoubt
from luma_async.testing import FakeGateway, late, succeeds


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


async def test_no_room_for_the_acceptance(gateway, path, caplog):
    """The handle is returned, the id is logged, nothing more is bought, and the entry stays *sending*."""
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
        with pytest.raises(JournalError, match="open a new session"):
            await luma.submit("dog dance", key="dog")
        assert (await handle.wait()).id == generation_id
    journal = SqliteJournal(path)
    assert [(entry.key, entry.phase) for entry in await journal.entries()] == [("cat", Phase.SENDING)]
    await journal.aclose()

    async with session(gateway, path) as luma:
        assert [doubt.key for doubt in await luma.doubts.list()] == ["cat"]
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        assert (await luma.doubts.resolve("cat", generation_id=generation_id)).id == generation_id
        await luma.submit("dog dance", key="dog")
    assert [charge.prompt for charge in gateway.charges] == ["cat dance", "dog dance"]
