"""Copying a journal: every entry, once, or nothing at all."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest

from luma_async import Entry, JournalError, KeyConflict, MemoryJournal, Phase, PostgresJournal, SqliteJournal
from luma_async._journal import lifecycle
from luma_async._journal.copying import Copied, copy_entries

NOW = datetime(2025, 1, 1, tzinfo=UTC)
NUMBER = 1200


@pytest.fixture
async def source(tmp_path):
    """A journal in a file, with many entries in all phases."""
    journal = SqliteJournal(tmp_path / "jobs.db")
    phases = list(Phase)
    for number in range(NUMBER):
        entry = Entry(
            key=f"key-{number}",
            phase=phases[number % len(phases)],
            service="rixapi",
            digest="d",
            owner="0" * 16,
            sent_at=NOW,
            generation_id=f"gen-{number}",
            request={"prompt": f"cat {number} \0"},
        )
        await journal.change(entry.key, lambda _, entry=entry: entry)
    yield journal
    await journal.aclose()


@pytest.fixture(params=["sqlite", "postgres"])
async def target(request, tmp_path):
    if request.param == "sqlite":
        journal = SqliteJournal(tmp_path / "copy.db")
    else:
        journal = PostgresJournal(request.getfixturevalue("postgres_dsn"))
    yield journal
    await journal.aclose()


async def test_copy_and_back(source, target, tmp_path):
    """All entries arrive in their order, with every field, and come back as they were; a second copy adds nothing."""
    entries = await source.entries()
    assert await copy_entries(source, target) == Copied(copied=NUMBER, present=0)
    assert await target.entries() == entries
    assert await copy_entries(source, target) == Copied(copied=0, present=NUMBER)
    back = SqliteJournal(tmp_path / "back.db")
    await copy_entries(target, back)
    assert await back.entries() == entries
    await back.aclose()


@pytest.mark.parametrize("which", [0, NUMBER - 1])
async def test_copy_over_a_different_entry(source, target, which):
    """If the target has a different entry of any key, nothing is copied, and the entry stays."""
    other = attrs.evolve(await source.get(f"key-{which}"), reason="another", generation_id=None)
    await target.change(other.key, lambda _: other)
    with pytest.raises(KeyConflict, match="different entry"):
        await copy_entries(source, target)
    assert await target.entries() == [other]


async def test_copy_while_sending(source, target):
    """While an open program sends a submit, nothing is copied; once it is dead, the submit is copied as in doubt."""
    owner = await source.enter()
    sending = attrs.evolve(await source.get("key-0"), owner=owner, key="now", generation_id=None)
    await source.change("now", lambda _: sending)
    with pytest.raises(JournalError, match="End that program"):
        await copy_entries(source, target)
    assert await target.entries() == []
    await source.leave(owner)
    await copy_entries(source, target)
    assert not await target.alive((await target.get("now")).owner)


async def test_copy_of_a_changing_journal():
    """A journal that changes while it is copied is reported: the copy may lack a purchase."""
    source = MemoryJournal()
    intent = Entry(key="late", phase=Phase.SENDING, service="rixapi", digest="d")

    class Slow(MemoryJournal):
        async def entries(self, **wanted):
            await source.change("late", lifecycle.claim(intent, at=NOW))
            return await super().entries(**wanted)

    with pytest.raises(JournalError, match="changed while"):
        await copy_entries(source, Slow())
