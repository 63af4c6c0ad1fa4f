"""The journal in memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from luma_async._journal.protocol import new_owner
from luma_async._journal.tally import Tally, counts
from luma_async.values.budget import Spent
from luma_async.values.errors import KeyConflict
from luma_async.values.public import public

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from luma_async.values.entries import Entry, Phase


@public
class MemoryJournal:
    """Records paid intents in memory. It is the default of a session.

    Pass the same journal to several sessions to share what they bought. It outlives the sessions, not the process.
    """

    lasting = False
    """The entries are lost with the process."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._tally = Tally()
        self._keys: dict[tuple[str, str], str] = {}
        self._owners: set[str] = set()
        self._hints: dict[str, dict[str, str]] = {}

    async def enter(self) -> str:
        """Register a living owner."""
        owner = new_owner()
        self._owners.add(owner)
        return owner

    async def leave(self, owner: str) -> None:
        """Unregister an owner."""
        self._owners.discard(owner)

    async def alive(self, owner: str) -> bool:
        """Whether an owner is alive."""
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
        self._tally.change(self._entries.get(key), entry)
        self._entries[key] = entry
        return entry

    async def spent(self, service: str, since: Sequence[datetime | None]) -> list[Spent]:
        """Return for each moment what was spent at a service after it; None means all that was ever spent."""
        return [self._tally.get(service, moment, partial(self._count_spent, service, moment)) for moment in since]

    async def change_within(
        self,
        key: str,
        step: Callable[[Entry | None, Sequence[Spent]], Entry | None],
        *,
        service: str,
        since: Sequence[datetime | None],
    ) -> Entry | None:
        """Replace the entry of `key` by `step(entry, spent)`."""
        spent = await self.spent(service, since)
        return await self.change(key, lambda standing: step(standing, spent))

    def _count_spent(self, service: str, since: datetime | None) -> Spent:
        spent = Spent()
        for entry in self._entries.values():
            if counts(entry, service, since):
                spent = spent.plus(entry.price, entry.charges)
        return spent

    async def entries(self, *, service: str | None = None, phases: Collection[Phase] | None = None) -> list[Entry]:
        """Return the entries of a service in the given phases, oldest first."""
        return [
            entry
            for entry in self._entries.values()
            if (service is None or entry.service == service) and (phases is None or entry.phase in phases)
        ]

    async def hints(self, service: str) -> dict[str, str]:
        """Return what sessions have learned of a service, as texts by name."""
        return dict(self._hints.get(service, {}))

    async def keep_hints(self, service: str, texts: Mapping[str, str]) -> None:
        """Keep what a session has learned of a service, for the next one."""
        self._hints.setdefault(service, {}).update(texts)

    async def aclose(self) -> None:
        """Do nothing: the journal may be passed to another session."""
