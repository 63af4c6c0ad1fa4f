"""The journal in PostgreSQL: what it shows, how it opens, and what it does when the server or the network fails."""

from __future__ import annotations

import asyncio
import json
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
from tcp_proxy import proxy_to

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
from luma_async._journal.postgres import connection as connection_module
from luma_async._journal.postgres import link as link_module
from luma_async._journal.postgres import schema

NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def journal(postgres_dsn):
    made = PostgresJournal(postgres_dsn)
    yield made
    await made.aclose()


def claim(key, owner="0" * 16):
    return lifecycle.claim(Entry(key=key, phase=Phase.SENDING, service="rixapi", digest="d", owner=owner), at=NOW)


def accept(generation_id):
    return lifecycle.accept(generation_id, at=NOW)


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
    monkeypatch.setattr("luma_async._journal.postgres.journal.find_spec", lambda _: None)
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


async def test_first_start_at_once(postgres_server):
    """Journals that create the same tables at the same moment wait for each other."""
    for _ in range(10):
        dsn = postgres_server.new_schema()
        journals = [PostgresJournal(dsn) for _ in range(8)]
        assert len(set(await asyncio.gather(*(journal.enter() for journal in journals)))) == 8
        await asyncio.gather(*(journal.aclose() for journal in journals))


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


async def test_row_is_locked(journal, postgres_dsn, monkeypatch):
    """A lock that another program holds for too long is JournalBusy; nothing changes, and later it works."""
    monkeypatch.setitem(connection_module._SETTINGS, "statement_timeout", "200ms")
    await journal.change("cat", claim("cat"))
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as other:
        await other.execute("SELECT * FROM luma_entries FOR UPDATE")
        with pytest.raises(JournalBusy):
            await journal.change("cat", accept("gen-1"))
    assert (await journal.change("cat", accept("gen-1"))).phase is Phase.ACCEPTED


async def test_damaged_row(journal, postgres_dsn):
    """A row that cannot be read is an error of its own key only."""
    for key in ("cat", "dog"):
        await journal.change(key, claim(key))
    await sql(postgres_dsn, "UPDATE luma_entries SET phase = 'x', version = 2 WHERE key = 'cat'")
    calls = [journal.change(key, accept(f"gen-{key}")) for key in ("cat", "dog")]
    damaged, written = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(damaged, JournalError)
    assert "damaged" in str(damaged)
    assert written.phase is Phase.ACCEPTED


@pytest.fixture
async def proxy(postgres_server):
    async with proxy_to(postgres_server.port) as made:
        yield made


@pytest.fixture
async def far_journal(proxy, postgres_dsn, postgres_server, monkeypatch):
    """A journal that reaches the server through the proxy, and does not wait long for an answer."""
    monkeypatch.setattr(connection_module, "TRIP_S", 0.5)
    monkeypatch.setattr(connection_module, "_READING_S", 0.1)
    made = PostgresJournal(postgres_dsn.replace(f":{postgres_server.port}/", f":{proxy.port}/") + "&connect_timeout=2")
    yield made
    proxy.go_on()
    await made.aclose()


async def end_connection(journal, dsn):
    """Let the server end the connection of a journal, as an administrator can."""
    pid = json.loads(journal._links.here()._connection._identity)["pid"]
    await sql(dsn, f"SELECT pg_terminate_backend({pid}, 5000)")


async def seen_by_another(dsn, key, owner):
    """Return the phase of a key and whether its owner is alive, as another program sees them."""
    other = PostgresJournal(dsn)
    entry, alive = await other.get(key), await other.alive(owner)
    await other.aclose()
    return entry and entry.phase, alive


async def test_connection_ended_while_idle(journal, postgres_dsn):
    """If the server ends an idle connection, calls open it again without an error, and the owner stays alive."""
    owner = await journal.enter()
    await journal.change("cat", claim("cat", owner))
    for number in range(3):
        await end_connection(journal, postgres_dsn)
        assert (await journal.change(f"cat-{number}", claim(f"cat-{number}", owner))).phase is Phase.SENDING
    assert await seen_by_another(postgres_dsn, "cat", owner) == (Phase.SENDING, True)
    assert (await journal.change("cat", accept("gen-1"))).phase is Phase.ACCEPTED


async def test_owner_alive_again_by_itself(journal, postgres_dsn, monkeypatch):
    """If the server ends the connection of an owner that asks for nothing, it is opened again by itself."""
    monkeypatch.setattr(link_module, "PING_S", 0.05)
    owner = await journal.enter()
    await end_connection(journal, postgres_dsn)
    async with asyncio.timeout(10):
        while (await seen_by_another(postgres_dsn, "cat", owner)) != (None, True):
            await asyncio.sleep(0.02)


async def until_written(dsn, key):
    """Wait until another program sees a key."""
    other = PostgresJournal(dsn)
    async with asyncio.timeout(10):
        while await other.get(key) is None:
            await asyncio.sleep(0.01)
    await other.aclose()


async def test_answer_to_a_claim_lost(far_journal, proxy, postgres_dsn):
    """If the connection is lost when a claim is written but not confirmed, the claim is looked up and succeeds."""
    owner = await far_journal.enter()
    proxy.down.clear()
    call = asyncio.ensure_future(far_journal.change("cat", claim("cat", owner)))
    await until_written(postgres_dsn, "cat")
    proxy.cut()
    proxy.go_on()
    assert (await call).phase is Phase.SENDING
    assert await far_journal.change("dog", claim("dog", owner))


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_claim_while_connection_hangs(far_journal, proxy, postgres_dsn, direction):
    """A claim over a connection that hangs is JournalError, whether it arrives or not; later it is withdrawn."""
    owner = await far_journal.enter()
    for key in ("cat", "dog"):
        await far_journal.change(key, claim(key, owner))
    getattr(proxy, direction).clear()
    calls = [far_journal.change("bird", claim("bird", owner)), far_journal.change("cat", accept("gen-1"))]
    failed = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in failed] == [JournalError, JournalError]
    assert failed[0] is not failed[1]
    proxy.go_on()
    assert await far_journal.alive(owner)
    await far_journal.change("dog", accept("gen-2"))
    bird = await far_journal.get("bird")
    assert bird is None or bird.phase is Phase.NOT_SENT
    assert (await seen_by_another(postgres_dsn, "bird", owner))[1]
    assert (await far_journal.change("cat", accept("gen-1"))).phase is Phase.ACCEPTED
    assert (await far_journal.change("bird", claim("bird", owner))).phase is Phase.SENDING


async def test_doubt_sent_again_while_hanging(far_journal, proxy, postgres_dsn):
    """A doubt that was to be sent again over a connection that hangs is a doubt again, not unpaid."""
    owner = await far_journal.enter()
    await far_journal.change("cat", claim("cat", owner))
    doubt = await far_journal.change("cat", lifecycle.end_without_generation(lifecycle.Step.DOUBT, "lost", at=NOW))
    proxy.down.clear()
    again = Entry(key="cat", phase=Phase.SENDING, service="rixapi", digest="d", owner=owner)
    with pytest.raises(JournalError):
        await far_journal.change("cat", lifecycle.resubmit(doubt, again, at=NOW))
    assert (await seen_by_another(postgres_dsn, "cat", owner))[0] is Phase.SENDING
    proxy.go_on()
    assert await far_journal.get("cat") == doubt


async def test_leave_while_connection_hangs(far_journal, proxy, postgres_dsn):
    """An owner can leave and the journal can be closed while the connection hangs."""
    owner = await far_journal.enter()
    await far_journal.enter()
    proxy.hang()
    async with asyncio.timeout(30):
        await far_journal.leave(owner)
        await far_journal.aclose()


async def test_all_tasks_cancelled(journal, postgres_dsn):
    """If a program cancels all tasks, the changes under way are made or raise, and the journal goes on."""
    owner = await journal.enter()
    for turns in range(12):
        calls = [asyncio.ensure_future(journal.change(f"{n}-{turns}", claim(f"{n}-{turns}", owner))) for n in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task(), *calls}:
            task.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        kinds = {type(result) for result in results}
        assert kinds <= {Entry, JournalError}
        for result in results:
            if isinstance(result, Entry):
                assert await journal.get(result.key) == result
        left = [entry for entry in await journal.entries(phases={Phase.SENDING}) if entry.key.endswith(f"-{turns}")]
        assert len(left) == sum(isinstance(result, Entry) for result in results)
    assert await seen_by_another(postgres_dsn, "cat", owner) == (None, True)


async def test_newest_hints_are_kept(journal):
    """Of many hints of a service the newest 64 are kept; a hint that is written again is new."""
    await journal.keep_hints("rixapi", {f"hint {number}": str(number) for number in range(70)})
    await journal.keep_hints("rixapi", {"hint 6": "again", "hint 70": "70"})
    kept = await journal.hints("rixapi")
    assert set(kept) == {"hint 6", *(f"hint {number}" for number in range(8, 71))}
    assert kept["hint 6"] == "again"


async def test_late_claim_of_a_lost_connection(far_journal, postgres_dsn):
    """A claim that waits in the server when its connection is given up is never written later."""
    owner = await far_journal.enter()
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as other:
        # Reading goes on, writing waits.
        await other.execute("LOCK TABLE luma_entries IN EXCLUSIVE MODE")
        with pytest.raises(JournalError):
            await far_journal.change("cat", claim("cat", owner))
        assert await far_journal.get("cat") is None
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT%'"
    async with asyncio.timeout(10):
        while (await sql(postgres_dsn, waiting))[0][0]:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert await far_journal.get("cat") is None
