"""The protocol of a journal: where paid intents are recorded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeGuard, runtime_checkable

import attrs

from luma_async.values.public import public

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from luma_async.values.budget import Spent
    from luma_async.values.entries import Entry, Phase


@public
@runtime_checkable
class Journal(Protocol):
    """Records paid intents. All that is written is durable when the call returns.

    A journal stores and finds entries. Which entry may follow which is decided by the functions that it is given.

    A journal may have an attribute `lasting: bool`. False says that its entries are lost with the program: a session
    then derives keys of unnamed batches, and does not write notes in the background. Without the attribute a journal
    is taken for lasting.

    A journal may also have the methods of `HintJournal`.
    """

    async def enter(self) -> str:
        """Register a living owner, and open the journal if necessary.

        Returns:
            The owner's name, a new name for each call.

        Raises:
            JournalError: the journal cannot be used; the message says what to do.
        """
        ...

    async def leave(self, owner: str) -> None:
        """Unregister an owner. Its entries that are *sending* are in doubt from now on."""
        ...

    async def alive(self, owner: str) -> bool:
        """Whether an owner is alive, in this process or another."""
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
            key: the key of the entry.
            step: a pure function from the present entry (None: there is none) to the next one. It may be called in
                another thread, and more than once; the last result counts. Returning its argument changes nothing.

        Returns:
            The entry afterwards.

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


@public
@runtime_checkable
class SpendingJournal(Journal, Protocol):
    """A journal that counts what is spent, which a session with a `Budget` needs.

    An entry of a service counts if its phase is neither `NOT_SENT` nor `REFUSED` and its `sent_at` is later than a
    given moment. It adds its `charges` to the purchases, and its `price` to the amount.
    """

    async def spent(self, service: str, since: Sequence[datetime | None]) -> list[Spent]:
        """Return for each moment what was spent at a service after it; None means all that was ever spent."""
        ...

    async def change_within(
        self,
        key: str,
        step: Callable[[Entry | None, Sequence[Spent]], Entry | None],
        *,
        service: str,
        since: Sequence[datetime | None],
    ) -> Entry | None:
        """Replace the entry of `key` by `step(entry, spent)`, as `change()` does.

        What is spent is read in the transaction that writes the entry. No other call of `change_within()` for this
        service reads or writes in between, in this process or another.
        """
        ...


@public
@runtime_checkable
class HintJournal(Journal, Protocol):
    """A journal that keeps hints: what a session has learned of a service, for the next session.

    Hints are short texts by name. They make the next session faster, and no payment depends on them. A session reads
    them when it opens, and writes about once a minute and when it closes. It does without what these methods raise.
    """

    async def hints(self, service: str) -> dict[str, str]:
        """Return the texts of a service, by name."""
        ...

    async def keep_hints(self, service: str, texts: Mapping[str, str]) -> None:
        """Add texts of a service, and replace those of the same names."""
        ...


NoticeKind: TypeAlias = Literal["leading", "changed", "paused", "connected"]
"""What a program can be told: the leader is there, an entry has changed, submits are paused, notices come again."""


@attrs.frozen
class Notice:
    """What another program, or this one, has done at a service."""

    kind: NoticeKind
    """What happened."""
    phase: str = ""
    """The phase that an entry has got."""
    generation_id: str | None = None
    """The generation of that entry, if it has one."""
    delay_s: float = 0.0
    """How long submits are paused."""


@attrs.frozen(kw_only=True)
class SharedBounds:
    """What all programs at a service together may do."""

    interval_s: float = 0.0
    """The mean interval between the starts of submits; 0 for no bound."""
    burst: float = 1.0
    """Starts at once after a pause."""
    per_minute: int | None = None
    """Starts in any sixty seconds; None for no bound."""
    room: int | None = None
    """Unfinished generations; None for no bound."""

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return self.interval_s > 0 or self.per_minute is not None or self.room is not None


@runtime_checkable
class SharedJournal(Journal, Protocol):
    """A journal through which programs on several machines share the limits of an account, and its polling."""

    async def lead(self, service: str, owner: str) -> bool:
        """Become the leader of a service, if there is none, and tell the others; return whether `owner` leads.

        A leader stays one until it resigns, leaves or loses its connection. It calls this again and again, so that the
        others know that it is there.
        """
        ...

    async def resign(self, service: str, owner: str) -> None:
        """Be the leader no longer."""
        ...

    def notices(self, service: str) -> AsyncGenerator[Notice]:
        """Yield what happens at a service from now on. Some notices may be missing before *connected*."""
        ...

    async def take_turn(self, service: str, key: str, owner: str, bounds: SharedBounds) -> float | None:
        """Count a submit that is about to start.

        Returns:
            After how many seconds it may start; None if there is no room, and it was not counted.
        """
        ...

    async def give_back(self, key: str, owner: str) -> None:
        """Give back the room of a submit that was not sent."""
        ...

    async def pause(self, service: str, delay_s: float) -> None:
        """Let no submit of any program start for some seconds."""
        ...


def is_lasting(journal: Journal) -> bool:
    """Whether the entries of a journal outlive the program."""
    return bool(getattr(journal, "lasting", True))


def is_address(journal: object) -> TypeGuard[str]:
    """Whether this is the address of a journal in PostgreSQL, and not the path of a file."""
    return isinstance(journal, str) and journal.startswith(("postgresql://", "postgres://"))


def new_owner() -> str:
    """Return a name that no other owner has."""
    return os.urandom(8).hex()
