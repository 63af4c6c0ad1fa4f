"""The command line over a journal in PostgreSQL: the address is a journal like any other, and shows no password."""

from __future__ import annotations

import json

import pytest
from postgres_server import PASSWORD

from luma_async import PostgresJournal, SqliteJournal
from luma_async.cli.places import place


@pytest.fixture
def address(here, postgres_dsn, monkeypatch):
    """The address of an empty journal, which commands use by default."""
    monkeypatch.setenv("LUMA_JOURNAL", postgres_dsn)
    return postgres_dsn


SHOWN = {
    "postgresql://luma:secret@db.example:5432/jobs": "postgresql://luma@db.example:5432/jobs",
    "postgres://luma:se:cr@db.example/jobs?sslmode=require": "postgres://luma@db.example/jobs?sslmode=require",
    "postgresql:///jobs?password=secret&user=luma": "postgresql:///jobs?user=luma",
    "postgresql://luma:secret@a,b:5433/jobs": "postgresql://luma@a,b:5433/jobs",
}


@pytest.mark.parametrize(("dsn", "shown"), SHOWN.items())
def test_address_without_password(dsn, shown):
    """What is shown of an address has no password, and leads to the same journal."""
    assert str(place(dsn)) == shown
    assert "secret" not in repr(place(dsn))


async def test_commands_over_an_address(address, command, gateway):
    """Commands buy, list, wait and download over an address, and print no password."""
    outputs = [await command("generate", "cat dance", "--key", "cat", "--detach")]
    outputs += [await command(*words) for words in (("status", "--json"), ("in-doubt",), ("doctor",), ("resume",))]
    outputs.append(await command("generate", "cat dance", "--key", "cat", "--detach", "--journal", address))
    assert [code for code, _, _ in outputs] == [0] * len(outputs)
    assert len(gateway.charges) == 1
    assert json.loads(outputs[1][1])["key"] == "cat"
    assert all(PASSWORD not in out + err for _, out, err in outputs)


async def test_timeout_over_an_address(address, command):
    """The command that a message tells to type names the journal without its password."""
    await command("generate", "cat dance", "--key", "cat", "--detach")
    journal = PostgresJournal(address)
    [entry] = await journal.entries()
    await journal.aclose()
    code, out, err = await command("wait", entry.generation_id, "--timeout", "0.01", "--journal", f"{address}&a=b")
    assert code != 0
    assert PASSWORD not in out + err


async def test_journal_copy(address, here, command, gateway):
    """`journal copy` moves a file into PostgreSQL and back, prints how many entries, and pays for nothing again."""
    await command("generate", "cat dance", "--key", "cat", "--journal", "jobs.db")
    code, out, _ = await command("journal", "copy", "jobs.db", address)
    assert (code, out.split()[:3]) == (0, ["Copied", "1", "entries"])
    assert PASSWORD not in out
    await command("generate", "cat dance", "--key", "cat")
    assert len(gateway.charges) == 1
    code, out, _ = await command("journal", "copy", "jobs.db", address, "--json")
    assert (code, json.loads(out)) == (0, {"copied": 0, "present": 1})
    assert (await command("journal", "copy", address, "back.db"))[0] == 0
    journals = [SqliteJournal(here / name) for name in ("jobs.db", "back.db")]
    first, second = [await journal.entries() for journal in journals]
    assert first == second
    for journal in journals:
        await journal.aclose()


async def test_copy_of_nothing(address, command):
    """A source that does not exist is a mistake, and no file is created."""
    code, _, err = await command("journal", "copy", "absent.db", address)
    assert code == 2
    assert "no journal at absent.db" in err
