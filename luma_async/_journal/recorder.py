"""Notes about paid generations: how they ended, and where their files are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from luma_async._aio import OwnedTasks, run_sync, wall_now
from luma_async._journal import lifecycle
from luma_async._journal.protocol import is_lasting
from luma_async.values import log

if TYPE_CHECKING:
    from pathlib import Path

    from luma_async._journal.protocol import Journal
    from luma_async.values.models import Generation


class Recorder:
    """Writes notes to the journal in the background, so that no caller waits for the disk.

    Where the journal is not lasting, a note is written before the call returns. A note that cannot be written is
    logged: the generation is paid and known by its id, and the next poll or download notes the same again.
    """

    def __init__(self, journal: Journal, service: str) -> None:
        self._journal = journal
        self._service = service
        self._tasks = OwnedTasks()
        self._closed = False

    def finished(self, generation: Generation) -> None:
        """Note how a generation ended."""
        self._note(generation.id, lifecycle.finish(generation, at=wall_now()))

    def downloaded(self, generation_id: str, path: Path) -> None:
        """Note where the file of a generation is."""
        self._note(generation_id, lifecycle.keep_file(str(path), at=wall_now()))

    def lost(self, generation_id: str) -> None:
        """Note that the service no longer knows an id."""
        self._note(generation_id, lifecycle.lose(at=wall_now()))

    async def aclose(self, timeout_s: float) -> None:
        """Wait for the notes that are being written, up to `timeout_s` seconds; later notes are dropped."""
        try:
            await self._tasks.drain(timeout_s)
        finally:
            self._closed = True
            await self._tasks.cancel()

    def _note(self, generation_id: str, step: lifecycle.Change) -> None:
        write = partial(self._write, generation_id, step)
        if not is_lasting(self._journal) and run_sync(write()):
            return
        # After closing, no task would be awaited, and the note would open the journal's file again.
        if not self._closed:
            self._tasks.start(write(), name="luma_async note")

    async def _write(self, generation_id: str, step: lifecycle.Change) -> None:
        try:
            entry = await self._journal.find(self._service, generation_id)
            if entry is not None:
                await self._journal.change(entry.key, step)
                log.step("note", "the journal is up to date", key=entry.key, generation_id=generation_id)
        except Exception as error:
            extra = log.fields("note", generation_id=generation_id)
            log.logger.warning(
                "the journal could not be updated for generation %s: %s", generation_id, error, extra=extra
            )
