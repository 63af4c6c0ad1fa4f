"""Copying a journal into another: every entry, or nothing if the two contradict each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import JournalError, KeyConflict

if TYPE_CHECKING:
    from luma_async._journal.lifecycle import Change
    from luma_async._journal.protocol import Journal

_AT_ONCE = 500


@attrs.frozen(kw_only=True)
class Copied:
    """What was copied."""

    copied: int
    """How many entries were added."""
    present: int
    """How many were there already, equal in every field."""


async def copy_entries(source: Journal, target: Journal) -> Copied:
    """Copy all entries, oldest first. What was interrupted can be repeated.

    Raises:
        KeyConflict: the target has another entry of a key, or another key holds a generation.
        JournalError: an open program is sending a submit, or the source has changed meanwhile.
    """
    entries = await source.entries()
    await _check_nothing_is_sent(source, entries)
    there = {entry.key: entry for entry in await target.entries()}
    for entry in entries:
        # Before anything is written.
        _put(entry)(there.get(entry.key))
    new = [entry for entry in entries if entry.key not in there]
    for start in range(0, len(new), _AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for entry in new[start : start + _AT_ONCE]:
                group.create_task(target.change(entry.key, _put(entry)))
    if await source.entries() != entries:
        raise JournalError(
            message="the journal changed while it was copied. End the programs that use it, and copy it again to a "
            "place without a journal."
        )
    return Copied(copied=len(new), present=len(entries) - len(new))


async def _check_nothing_is_sent(source: Journal, entries: list[Entry]) -> None:
    for entry in entries:
        if entry.phase is Phase.SENDING and await source.alive(entry.owner):
            raise JournalError(
                message=f"the submit {entry.key!r} is being sent by an open program. End that program, then copy."
            )


def _put(entry: Entry) -> Change:
    """Return the step that adds an entry, unless it is there."""

    def change(standing: Entry | None) -> Entry | None:
        if standing is None:
            return entry
        if standing != entry:
            raise KeyConflict(entry=standing, reason="the journal that is copied to has a different entry of it.")
        return standing

    return change
