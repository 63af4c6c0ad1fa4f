"""Notes in the journal: how a generation ended, where its file is, and that the service lost it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from luma_async import Entry, Generation, MemoryJournal, Phase, State
from luma_async._journal import lifecycle
from luma_async._journal.recorder import Recorder

NOW = datetime(2025, 1, 1, tzinfo=UTC)
DONE = Generation(id="gen-1", state=State.COMPLETED)


class Lasting(MemoryJournal):
    """A journal whose notes are written in the background, as for a file."""

    lasting = True


class Waiting(MemoryJournal):
    """A journal that is not lasting and whose calls wait for something nevertheless."""

    async def find(self, service, generation_id):
        await asyncio.sleep(0.01)
        return await super().find(service, generation_id)


async def accepted(journal):
    entry = Entry(key="cat", phase=Phase.SENDING, service="rixapi", digest="d")
    await journal.change("cat", lifecycle.claim(entry, at=NOW))
    await journal.change("cat", lifecycle.accept("gen-1", at=NOW))
    return Recorder(journal, "rixapi")


async def phase_of(journal):
    return (await journal.get("cat")).phase


async def test_note_in_memory_is_immediate():
    """Where the journal is not lasting, a note is there when the call returns."""
    journal = MemoryJournal()
    recorder = await accepted(journal)
    recorder.finished(DONE)
    recorder.downloaded("gen-1", Path("cat.mp4"))
    entry = journal._entries["cat"]
    assert (entry.phase, entry.path) == (Phase.COMPLETED, "cat.mp4")


@pytest.mark.parametrize("kind", [Lasting, Waiting])
async def test_note_in_the_background(kind):
    """Elsewhere the note is written in the background, and closing waits for it."""
    journal = kind()
    recorder = await accepted(journal)
    recorder.lost("gen-1")
    assert await phase_of(journal) is Phase.ACCEPTED
    await recorder.aclose(10)
    assert await phase_of(journal) is Phase.LOST


async def test_note_after_closing():
    """After closing, a note is dropped: it would open the journal again."""
    journal = Lasting()
    recorder = await accepted(journal)
    await recorder.aclose(10)
    recorder.finished(DONE)
    await asyncio.sleep(0)
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_note_that_fails_is_logged(caplog):
    """A note that cannot be written is logged, and raises nothing where the generation is used."""

    class Full(MemoryJournal):
        async def find(self, service, generation_id):
            raise OSError(28, "No space left")

    Recorder(Full(), "rixapi").finished(DONE)
    assert "could not be updated" in caplog.text
    assert "No space left" in caplog.text


async def test_note_of_an_unknown_generation():
    """A generation that was not bought through this journal is not noted."""
    journal = MemoryJournal()
    Recorder(journal, "rixapi").finished(DONE)
    assert await journal.entries() == []
