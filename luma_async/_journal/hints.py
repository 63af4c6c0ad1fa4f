"""Hints: what a session has learned of a service, kept in the journal for the next session.

A hint is a name and a few numbers. Nothing depends on it but speed: without a hint, or with one that cannot be read, a
session starts with what it assumes of every service.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeAlias

from luma_async._aio import OwnedTasks, loop_now
from luma_async._journal.protocol import HintJournal
from luma_async.values.log import fields, logger

if TYPE_CHECKING:
    from luma_async._journal.protocol import Journal


Hint: TypeAlias = dict[str, float]
"""The numbers of a hint, by name."""

WRITE_INTERVAL_S = 60.0
"""Hints are written this often at most while a session is open, and once more when it closes."""
_MAX_NAME_LENGTH = 200


class HintStore:
    """Reads and writes the hints of one service. With a journal that keeps no hints, it does nothing.

    Args:
        journal: the journal.
        service: the service.
    """

    def __init__(self, journal: Journal, service: str) -> None:
        self._journal = journal if isinstance(journal, HintJournal) else None
        self._service = service
        self._kept: dict[str, Hint] = {}
        self._noted: dict[str, Hint] = {}
        self._tasks = OwnedTasks()
        self._written_at_s = -math.inf

    async def read(self) -> dict[str, Hint]:
        """Return the hints that can be read."""
        self._written_at_s = loop_now()
        if self._journal is not None:
            try:
                texts = await self._journal.hints(self._service)
                found = {name: parse_hint(text) for name, text in texts.items()}
            except Exception as error:
                logger.debug(
                    "the hints in the journal could not be read, so none is used: %s", error, extra=fields("note")
                )
            else:
                self._kept = {name: hint for name, hint in found.items() if hint is not None}
        return dict(self._kept)

    @property
    def due(self) -> bool:
        """Whether a note would be written at once."""
        return self._journal is not None and loop_now() >= self._written_at_s + WRITE_INTERVAL_S

    def note(self, name: str, hint: Hint) -> None:
        """Note what was learned. Write all notes in a task of its own, unless that was done a short time ago."""
        if _is_storable(name):
            self._noted[name] = hint
        if self.due:
            self._start_writing()

    async def aclose(self, timeout_s: float) -> None:
        """Write what was noted, and wait for that up to `timeout_s` seconds."""
        self._start_writing()
        try:
            await self._tasks.drain(timeout_s)
        finally:
            await self._tasks.cancel()

    def _start_writing(self) -> None:
        self._written_at_s = loop_now()
        texts = {name: json.dumps(hint) for name, hint in self._noted.items() if hint != self._kept.get(name)}
        self._kept |= self._noted
        self._noted.clear()
        if self._journal is not None and texts:
            self._tasks.start(self._write(self._journal, texts), name="luma_async hints")

    async def _write(self, journal: HintJournal, texts: dict[str, str]) -> None:
        try:
            await journal.keep_hints(self._service, texts)
        except Exception as error:
            logger.debug("hints could not be written to the journal: %s", error, extra=fields("note"))


def parse_hint(text: object) -> Hint | None:
    """Return the numbers of a hint; None if it is damaged."""
    try:
        form: Any = json.loads(text) if isinstance(text, str) else None
        hint = {str(name): float(value) for name, value in form.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return hint if all(math.isfinite(value) for value in hint.values()) else None


def _is_storable(name: str) -> bool:
    """Whether a name can be stored: a model's name comes from the user and may hold anything."""
    return len(name) <= _MAX_NAME_LENGTH and name.isprintable()
