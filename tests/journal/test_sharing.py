"""What programs share through PostgreSQL: who leads, what they tell each other, and the limits of the account."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime

import attrs
import psycopg
import pytest

from luma_async import Entry, Phase, PostgresJournal
from luma_async._journal import lifecycle
from luma_async._journal.protocol import Notice, SharedBounds, SharedJournal

NOW = datetime(2025, 1, 1, tzinfo=UTC)
SERVICE = "rixapi https://example.com"


@attrs.define
class Program:
    """A program with a connection of its own."""

    journal: PostgresJournal
    owner: str

    async def take(self, key, **bounds):
        return await self.journal.take_turn(SERVICE, key, self.owner, SharedBounds(**bounds))

    async def claim(self, key):
        entry = Entry(key=key, phase=Phase.SENDING, service=SERVICE, digest="d", owner=self.owner)
        await self.journal.change(key, lifecycle.claim(entry, at=NOW))

    async def buy(self, key, generation_id):
        await self.claim(key)
        await self.journal.change(key, lifecycle.accept(generation_id, at=NOW))

    def lead(self):
        return self.journal.lead(SERVICE, self.owner)


@pytest.fixture
async def programs(postgres_dsn):
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(3):
            journal = PostgresJournal(postgres_dsn)
            stack.push_async_callback(journal.aclose)
            made.append(Program(journal, await journal.enter()))
        yield made


@pytest.fixture
async def kill(postgres_dsn, programs):
    """A function that cuts the connection of a program, as its death does, and forgets the program."""

    async def kill(program):
        link = program.journal._links.here()
        pid = link._connection._connection.info.backend_pid
        link.owners.clear()
        async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as connection:
            await connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    return kill


async def test_one_leader_of_a_service(programs):
    """One program leads a service until it resigns; each service has its own leader."""
    first, second, _ = programs
    assert isinstance(first.journal, SharedJournal)
    assert [await first.lead(), await second.lead(), await first.lead()] == [True, False, True]
    assert await second.journal.lead("other", second.owner)
    await first.journal.resign(SERVICE, first.owner)
    assert [await second.lead(), await first.lead()] == [True, False]


async def test_one_leader_of_a_connection(programs):
    """Of two sessions over one connection, one leads; when it has left, the other does."""
    first, other, _ = programs
    second = Program(first.journal, await first.journal.enter())
    assert [await first.lead(), await second.lead()] == [True, False]
    await second.journal.resign(SERVICE, second.owner)
    assert not await other.lead()
    await first.journal.leave(first.owner)
    assert await second.lead()


async def test_leader_is_killed(programs, kill):
    """The lead is free as soon as the connection of the leader is."""
    first, second, _ = programs
    assert await first.lead()
    await kill(first)
    assert await second.lead()


async def test_notices_of_another_program(programs):
    """A program hears of each change of a phase at its service, of the leader and of pauses, and of nothing else."""
    first, second, _ = programs
    async with aclosing(second.journal.notices(SERVICE)) as notices:
        hearing = asyncio.create_task(anext(notices))
        await asyncio.sleep(0)
        await second.journal.get("any")
        assert await hearing == Notice("connected")
        await first.lead()
        await first.buy("cat", "id-1")
        await first.journal.lead("other", first.owner)
        await first.journal.change("cat", lifecycle.lose(at=NOW))
        await first.journal.pause(SERVICE, 2.5)
        heard = [await anext(notices) for _ in range(4)]
    assert heard == [
        Notice("leading"),
        Notice("changed", phase="accepted", generation_id="id-1"),
        Notice("changed", phase="lost", generation_id="id-1"),
        Notice("paused", delay_s=2.5),
    ]


async def test_notices_after_a_lost_connection(programs, kill):
    """When the connection is open again, a program is told that it may have missed notices."""
    first, second, _ = programs
    async with aclosing(second.journal.notices(SERVICE)) as notices:
        hearing = asyncio.create_task(anext(notices))
        await asyncio.sleep(0)
        await second.journal.get("any")
        await hearing
        await kill(second)
        await second.journal.get("any")
        assert await anext(notices) == Notice("connected")
        await first.lead()
        assert await anext(notices) == Notice("leading")


async def test_rate_over_programs(programs):
    """Starts of all programs keep the mean interval, and as many as the burst come at once."""
    waits = [await programs[number % 3].take(f"key-{number}", interval_s=100.0, burst=3.0) for number in range(6)]
    assert waits == pytest.approx([0, 0, 0, 100, 200, 300], abs=10)


async def test_minute_over_programs(programs):
    """In no minute more submits start than the service counts."""
    waits = [await programs[number % 3].take(f"key-{number}", per_minute=2) for number in range(6)]
    assert waits == pytest.approx([0, 0, 61, 61, 122, 122], abs=10)


async def test_turns_after_a_pause(programs):
    """A pause of one program delays the starts of all, and a shorter pause does not end it."""
    first, second, third = programs
    await first.journal.pause(SERVICE, 50)
    await second.journal.pause(SERVICE, 5)
    assert await third.take("cat", burst=10.0, interval_s=1.0) == pytest.approx(50, abs=5)


async def test_room_until_the_end(programs):
    """A submit takes room until it provably bought nothing, and its generation until it has ended."""
    first, second, third = programs
    assert await first.take("cat", room=2) == 0
    assert await second.take("dog", room=2) == 0
    assert await third.take("cow", room=2) is None
    await first.buy("cat", "id-1")
    assert await third.take("cow", room=2) is None
    await first.journal.change("cat", lifecycle.lose(at=NOW))
    assert await third.take("cow", room=2) == 0
    await second.claim("dog")
    assert await first.take("cat-2", room=2) is None
    await second.journal.change("dog", lifecycle.withdraw(second.owner, at=NOW))
    assert await first.take("cat-2", room=2) == 0


async def test_room_given_back(programs):
    """A submit that was not sent gives back its own room only."""
    first, second, third = programs
    await first.take("cat", room=2)
    await second.take("cat", room=2)
    await first.journal.give_back("cat", first.owner)
    assert await third.take("dog", room=2) == 0
    assert await third.take("cow", room=2) is None


async def test_room_of_a_killed_program(programs, kill):
    """A program that dies gives back the room of what it has not bought."""
    first, second, _ = programs
    await first.buy("dog", "id-1")
    await first.take("cat", room=2)
    assert await second.take("cow", room=2) is None
    await kill(first)
    assert await second.take("cow", room=2) == 0
    assert await second.take("cat", room=2) is None


async def test_concurrent_turns(programs):
    """Of many programs that ask for room at once, as many get it as there is."""
    answers = await asyncio.gather(*(programs[number % 3].take(f"key-{number}", room=10) for number in range(60)))
    assert sum(answer is not None for answer in answers) == 10
