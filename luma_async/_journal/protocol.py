"""Where paid intents are remembered: the protocol of a journal, and the one that lives in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from luma_async.values.errors import KeyConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from luma_async.values.entries import Entry, Phase


@runtime_checkable
class Journal(Protocol):
    """Remembers paid intents. All that is written is durable when the call returns.

    A journal stores and finds; which entry may follow which is decided by the functions it is handed.
    """

    async def enter(self) -> str:
        """Register a living owner, opening the journal first if need be.

        Returns:
            The owner's name, new each time.

        Raises:
            JournalError: the journal cannot be used; the message says what to do.
        """
        ...

    async def leave(self, owner: str) -> None:
        """Let an owner go: what it left in *sending* is in doubt from now on."""
        ...

    async def alive(self, owner: str) -> bool:
        """Whether an owner lives, in this process or another."""
        ...

    async def get(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        ...

    async def find(self, service: str, generation_id: str) -> Entry | None:
        """Return the entry that bought a generation."""
        ...

    async def change(self, key: str, step: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Replace the entry of `key` by `step(entry)`, atomically and durably.

        Args:
            key: whose entry.
            step: a pure function from the entry that stands (None: there is none) to the one that shall stand. It
                may be called in another thread. Returning what it was given changes nothing.

        Returns:
            The entry that stands afterwards.

        Raises:
            KeyConflict: another entry of the same service holds the generation id.
            JournalError: it could not be written; nothing changed.
            Whatever `step` raises: nothing changed.
        """
        ...

    async def entries(self, *, service: str | None = None, phases: Collection[Phase] | None = None) -> list[Entry]:
        """Return the entries of a service in the given phases, oldest first; None means all."""
        ...

    async def aclose(self) -> None:
        """Close the journal. Closing twice is fine."""
        ...


def new_owner() -> str:
    """Make a name that no other owner has."""
    return os.urandom(8).hex()


class MemoryJournal:
    """Remembers paid intents as long as it lives itself: the default of a session.

    Give one to several sessions to share what they bought. It survives them, not the process.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._owners: set[str] = set()

    async def enter(self) -> str:
        """Register a living owner."""
        owner = new_owner()
        self._owners.add(owner)
        return owner

    async def leave(self, owner: str) -> None:
        """Let an owner go."""
        self._owners.discard(owner)

    async def alive(self, owner: str) -> bool:
        """Whether an owner lives."""
        return owner in self._owners

    async def get(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        return self._entries.get(key)

    async def find(self, service: str, generation_id: str) -> Entry | None:
        """Return the entry that bought a generation."""
        key = self._keys.get((service, generation_id))
        return self._entries[key] if key is not None else None

    async def change(self, key: str, step: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Replace the entry of `key` by `step(entry)`."""
        entry = step(self._entries.get(key))
        if entry is None:
            return None
        if entry.generation_id is not None:
            bought = (entry.service, entry.generation_id)
            holder = self._keys.setdefault(bought, key)
            if holder != key:
                raise KeyConflict(entry=self._entries[holder], reason=f"it holds generation {entry.generation_id}.")
        self._entries[key] = entry
        return entry

    async def entries(self, *, service: str | None = None, phases: Collection[Phase] | None = None) -> list[Entry]:
        """Return the entries of a service in the given phases, oldest first."""
        return [
            entry
            for entry in self._entries.values()
            if (service is None or entry.service == service) and (phases is None or entry.phase in phases)
        ]

    async def aclose(self) -> None:
        """Keep everything: the journal may be given to another session."""
