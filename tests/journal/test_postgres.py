"""The journal in PostgreSQL: what it shows, how it opens, and what it does when the server or the network fails."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import psycopg
import pytest
from postgres_server import PASSWORD

from luma_async import (
    ConfigurationError,
    Entry,
    JournalBusy,
    JournalError,
    JournalTooNew,
    LumaSession,
    Phase,
    PostgresJournal,
)
from luma_async._journal import lifecycle
from luma_async._journal.postgres import schema

NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def journal(postgres_dsn):
    made = PostgresJournal(postgres_dsn)
    yield made
    await made.aclose()


def claim(key, owner="0" * 16):
    return lifecycle.claim(Entry(key=key, phase=Phase.SENDING, service="rixapi", digest="d", owner=owner), at=NOW)


async def sql(dsn, *statements):
    """Run statements on a connection of its own, and return the rows of the last."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else None


async def test_session_over_an_address(gateway, postgres_dsn):
    """A session opens the journal at an address, closes it, and another session finds the purchase."""
    address = {"base_url": gateway.base_url, "journal": postgres_dsn.replace("postgresql://", "postgres://")}
    for _ in range(2):
        async with LumaSession(gateway.api_key, **address) as luma:
            await luma.submit("cat dance", key="cat")
    assert len(gateway.charges) == 1
    connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'luma_async'"
    assert await sql(postgres_dsn, connected) is not None


BAD = {
    "a wrong escape": f"postgresql://luma:{PASSWORD}%zz@127.0.0.1/x",
    "a wrong parameter": f"postgresql://luma:{PASSWORD}@127.0.0.1/x?no_such={PASSWORD}",
    "half a surrogate": f"postgresql://luma:{PASSWORD}\udcff@127.0.0.1/x",
}


@pytest.mark.parametrize("dsn", BAD.values(), ids=BAD)
def test_unreadable_address(dsn):
    """An address that cannot be read is refused, without showing it."""
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        PostgresJournal(dsn)
    assert PASSWORD not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"


async def test_password_is_not_shown(postgres_dsn, postgres_server, caplog):
    """The password is in no repr, no error and no log, whether the server is absent, refuses or answers."""
    caplog.set_level(logging.DEBUG)
    texts = [repr(PostgresJournal(postgres_dsn))]
    nowhere = postgres_dsn.replace(f":{postgres_server.port}/", ":1/")
    for dsn in (nowhere, postgres_dsn.replace("/postgres?", "/absent?"), f"{postgres_dsn}&sslmode=require"):
        with pytest.raises(JournalError) as caught:
            async with LumaSession("sk-test", base_url="http://127.0.0.1:9", journal=dsn):
                pass
        texts += [str(caught.value), repr(caught.value), repr(caught.value.__context__)]
    assert [text for text in (*texts, caplog.text) if PASSWORD in text] == []
    assert all("127.0.0.1" in text for text in texts[:2])


async def test_psycopg_is_absent(monkeypatch):
    """Without psycopg the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "luma_async._journal.postgres.link", None)
    with pytest.raises(ConfigurationError, match=r"pip install luma-async\[postgres\]"):
        async with LumaSession("sk-test", base_url="http://127.0.0.1:9", journal="postgresql://127.0.0.1/x"):
            pass


OPEN = textwrap.dedent("""
    import asyncio, sys
    from luma_async import PostgresJournal

    async def main():
        journal = PostgresJournal(sys.argv[1])
        owner = await journal.enter()
        print(owner, flush=True)
        sys.stdin.readline()
        await journal.aclose()

    asyncio.run(main())
""")


def start(dsn):
    """Start a program that registers an owner and waits for a line."""
    command = [sys.executable, "-c", OPEN, dsn]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_first_start_of_many(postgres_dsn, journal):
    """Eight programs that start at once on an empty database all get their tables and a name of their own."""
    programs = [start(postgres_dsn) for _ in range(8)]
    owners = [program.stdout.readline().strip() for program in programs]
    assert len(set(owners)) == 8
    assert all([await journal.alive(owner) for owner in owners])
    for program in programs:
        program.communicate("\n")
    assert [program.returncode for program in programs] == [0] * 8
    assert not any([await journal.alive(owner) for owner in owners])


async def test_owner_of_a_killed_program(postgres_dsn, journal):
    """The owner of a program that was killed is dead at once, without a clock."""
    program = start(postgres_dsn)
    owner = program.stdout.readline().strip()
    assert await journal.alive(owner)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate()
    async with asyncio.timeout(10):
        while await journal.alive(owner):
            await asyncio.sleep(0.01)


async def test_newer_schema(postgres_dsn, journal):
    """Tables that a newer version has changed are refused and not changed."""
    await journal.change("cat", claim("cat"))
    await journal.aclose()
    newer = len(schema.MIGRATIONS) + 1
    await sql(postgres_dsn, f"UPDATE luma_async_schema SET version = {newer}")
    with pytest.raises(JournalTooNew, match="update luma_async"):
        await journal.enter()


async def test_row_is_locked(journal, postgres_dsn):
    """A lock that another program holds for too long is JournalBusy; nothing changes, and later it works."""
    await journal.change("cat", claim("cat"))
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as other:
        await other.execute("SELECT * FROM luma_entries FOR UPDATE")
        with pytest.raises(JournalBusy):
            await journal.change("cat", lifecycle.accept("gen-1", at=NOW))
    assert (await journal.change("cat", lifecycle.accept("gen-1", at=NOW))).phase is Phase.ACCEPTED


async def test_damaged_row(journal, postgres_dsn):
    """A row that cannot be read is an error of its own key only."""
    for key in ("cat", "dog"):
        await journal.change(key, claim(key))
    await sql(postgres_dsn, "UPDATE luma_entries SET phase = 'x', version = 2 WHERE key = 'cat'")
    calls = [journal.change(key, lifecycle.accept(f"gen-{key}", at=NOW)) for key in ("cat", "dog")]
    damaged, written = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(damaged, JournalError)
    assert "damaged" in str(damaged)
    assert written.phase is Phase.ACCEPTED
