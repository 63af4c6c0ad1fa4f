"""A journal in memory through which the sessions of one test share the polling."""

from __future__ import annotations

import asyncio

from luma_async import JournalError, MemoryJournal, Phase
from luma_async._journal.protocol import Notice


class SharedMemory(MemoryJournal):
    """A journal that chooses a leader and tells what happens, as PostgreSQL does."""

    def __init__(self):
        super().__init__()
        self.leader = None
        self.silent = False
        """Whether the leader is held up, so that it is not heard."""
        self.broken = False
        """Whether the journal cannot be read."""
        self.deaf = False
        """Whether notices are lost."""
        self._listeners = set()

    async def leave(self, owner):
        await self.resign("", owner)
        await super().leave(owner)

    async def find(self, service, generation_id):
        if self.broken:
            raise JournalError(message="it is broken.")
        return await super().find(service, generation_id)

    async def change(self, key, step):
        before = await self.get(key)
        entry = await super().change(key, step)
        if entry is not None and entry.phase is not Phase.SENDING and (before is None or before.phase != entry.phase):
            self.tell(Notice("changed", phase=entry.phase, generation_id=entry.generation_id))
        return entry

    async def lead(self, service, owner):
        if self.broken:
            raise JournalError(message="it is broken.")
        self.leader = self.leader or owner
        if self.leader == owner and not self.silent:
            self.tell(Notice("leading"))
        return self.leader == owner

    async def resign(self, service, owner):
        if self.leader == owner:
            self.leader = None

    def tell(self, notice):
        for queue in self._listeners:
            if not self.deaf:
                queue.put_nowait(notice)

    async def notices(self, service):
        queue = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    async def take_turn(self, service, key, owner, bounds):
        return 0.0

    async def give_back(self, key, owner):
        pass

    async def pause(self, service, delay_s):
        self.tell(Notice("paused", delay_s=delay_s))
