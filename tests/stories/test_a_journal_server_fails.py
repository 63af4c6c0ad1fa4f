"""PostgreSQL stops, crashes or hangs while two programs buy: nothing is lost or paid twice, and both go on.

The outages here are short; `nox -s outages` makes them twenty seconds long (`LUMA_ASYNC_OUTAGE_S`).
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
from contextlib import AsyncExitStack

import attrs
import pytest
from ledger import balance
from postgres_server import PostgresServer
from tcp_proxy import proxy_to

from luma_async import JournalError, Limits, LumaSession, Phase, PollPolicy, PostgresJournal, SubmitInDoubt
from luma_async._journal.postgres import connection
from luma_async.testing import ALWAYS, FakeGateway, late, succeeds

OUTAGE_S = float(os.environ.get("LUMA_ASYNC_OUTAGE_S", "1.5"))
KEYS = 150
AT_ONCE = 6


@attrs.define
class Buyer:
    """A program that buys the same keys as the others, and comes again while the journal cannot be used."""

    luma: LumaSession
    refused: int = 0
    doubts: set[str] = attrs.field(factory=set)
    handles: list = attrs.field(factory=list)

    async def buy(self, keys):
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._buy(keys))

    async def _buy(self, keys):
        for key in keys:
            while True:
                try:
                    self.handles.append(await self.luma.submit(f"prompt {key}", key=key))
                except JournalError:
                    self.refused += 1
                    await asyncio.sleep(0.05)
                    continue
                except SubmitInDoubt:
                    self.doubts.add(key)
                break
            # Slow enough that the outage comes in the middle.
            await asyncio.sleep(0.02)


@pytest.fixture
def server(postgres_server):
    """A server of its own, which may be stopped."""
    with PostgresServer.temporary() as made:
        yield made


@pytest.fixture
async def proxy(server):
    async with proxy_to(server.port) as made:
        yield made


async def stopped(server, proxy):
    """Stop the server and start it again."""
    server.stop()
    yield
    await asyncio.to_thread(server.start)


async def crashed(server, proxy):
    """End all processes of the server at once, as a crash does."""
    server.stop(signal.SIGQUIT)
    yield
    await asyncio.to_thread(server.start)


async def hanging(server, proxy):
    """Forward nothing, and later all that was held back."""
    proxy.hang()
    yield
    proxy.go_on()


async def failed_over(server, proxy):
    """Forward nothing, then lose what was held back with its connections."""
    proxy.hang()
    yield
    proxy.cut()
    proxy.go_on()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("outage", [stopped, crashed, hanging, failed_over])
async def test_outage_while_buying(server, proxy, outage, monkeypatch):
    """Two programs that buy the same keys go on after an outage: one charge for each key, none without a claim."""
    if OUTAGE_S < 10:
        monkeypatch.setattr(connection, "TRIP_S", 0.3)
        monkeypatch.setattr(connection, "_READING_S", 0.1)
    dsn = server.new_schema().replace(f":{server.port}/", f":{proxy.port}/") + "&connect_timeout=2"
    keys = [f"key-{number}" for number in range(KEYS)]
    async with FakeGateway(script=succeeds(after=0.1)) as gateway, AsyncExitStack() as stack:
        gateway.inject(late(0.05), times=ALWAYS)
        buyers = [
            Buyer(
                await stack.enter_async_context(
                    LumaSession(
                        gateway.api_key,
                        base_url=gateway.base_url,
                        journal=dsn,
                        poll=PollPolicy.fixed(0.1),
                        limits=Limits(requests=8, submits_per_minute=math.inf, max_in_flight=1000),
                    )
                )
            )
            for _ in range(2)
        ]
        async with asyncio.TaskGroup() as group:
            for buyer, order in zip(buyers, (keys, keys[::-1]), strict=True):
                group.create_task(buyer.buy(iter(order)))
            while len(gateway.charges) < KEYS // 5:
                await asyncio.sleep(0.01)
            async for _ in outage(server, proxy):
                await asyncio.sleep(0.3)
                charged = len(gateway.charges)
                await asyncio.sleep(OUTAGE_S)
                assert len(gateway.charges) == charged, "sent without a claim"
        # A connection that hangs for a short time is replaced before a call fails.
        assert all(buyer.refused for buyer in buyers) or outage in {hanging, failed_over}
        # The next try of what could not be written comes within ten seconds.
        journal = PostgresJournal(dsn)
        async with asyncio.timeout(60):
            while any(entry.phase in {Phase.SENDING, Phase.NOT_SENT} for entry in await journal.entries()):
                await asyncio.sleep(0.1)
        charges, accepted, doubtful = await balance(gateway, journal)
        await journal.aclose()
        assert accepted + doubtful == KEYS
        async for outcome in buyers[0].luma.as_completed(buyers[0].handles):
            assert outcome.generation is not None
    doubts = set.union(*(buyer.doubts for buyer in buyers))
    print(f"{outage.__name__}: {charges} charges, {accepted} accepted, {doubtful} in doubt, {len(doubts)} in between")
