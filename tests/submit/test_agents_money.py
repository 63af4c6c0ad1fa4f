"""Money at a service that keeps no list: doubts that cannot be looked up, and what a failure costs."""

from __future__ import annotations

import pytest
from agents_server import AgentsServer

from luma_async import Agents, GenerationFailed, LumaSession, SubmitInDoubt, UnsupportedOperation


@pytest.fixture
async def server():
    async with AgentsServer(job_s=0) as running:
        yield running


@pytest.fixture
async def luma(server, journal):
    async with LumaSession("luma-api-1", base_url=server.base_url, dialect=Agents(), journal=journal) as session:
        yield session


async def test_lost_answer_cannot_be_looked_up(luma, server):
    """A doubt says that the service keeps no list, and `reconcile()` says it too, before anything is sent."""
    server.lose = 1
    for _ in range(2):
        with pytest.raises(SubmitInDoubt, match="keeps no list of generations and takes no idempotency key"):
            await luma.submit("cat", key="cat")
    before = dict(server.counts)
    with pytest.raises(UnsupportedOperation, match="cannot be looked up"):
        await luma.doubts.reconcile()
    assert (server.counts["submit"], dict(server.counts)) == (1, before)


@pytest.mark.parametrize(
    ("code", "money"),
    [("content_moderated", "refunded"), ("budget_exhausted", "partly charged"), ("odd", "not stated")],
)
async def test_money_of_a_failure(luma, server, journal, code, money):
    """A failed generation says its code, and what is known about the money; the journal has the code too."""
    server.failure = code
    handle = await luma.submit("cat", key="cat")
    with pytest.raises(GenerationFailed, match="This is final") as caught:
        await handle
    assert (caught.value.code, caught.value.money) == (code, money)
    assert code in (await journal.get("cat")).reason
