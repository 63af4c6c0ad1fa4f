"""The life of a paid intent: which phase may follow which, and why none of it buys twice.

The one rule that everything rests on: **a POST may leave only while the entry says *sending*, and an entry becomes
*sending* on disk before the first byte leaves.** So whatever is killed wherever, the journal never knows less than
what may have been paid:

- No entry, *not sent* or *refused*: nothing was paid. Sending is safe.
- *Sending*, and the session that claimed it is alive: it is being decided. Others wait for the result.
- *Sending*, and that session is dead: the POST may have left. That is *in doubt* without anybody having to write it,
  which matters, because the one who would have to is dead.
- *In doubt*: it may be paid. There is no edge from here to *sending* but a person's `RESUBMIT`.
- *Accepted* and what follows: it is paid and has an id. There is no edge from here to *sending* at all.

A late answer may always turn a doubt into knowledge (*in doubt*, *abandoned* → *accepted*): knowing that something
was paid never costs anything. The other direction does not exist.

Every edge is in `TRANSITIONS`; the functions below it are the steps that a journal applies atomically, each of them
a pure function from the entry that stands to the entry that shall stand.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import JournalError, KeyConflict, SubmitInDoubt
from luma_async.values.models import Generation, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class Step(StrEnum):
    """What can happen to a paid intent."""

    CLAIM = "claim"
    """A session is about to send it."""
    WITHDRAW = "withdraw"
    """It provably was not sent."""
    ACCEPT = "accept"
    """An answer named the generation."""
    REFUSE = "refuse"
    """An answer said no."""
    DOUBT = "doubt"
    """It was sent, and no answer proves anything."""
    RESOLVE = "resolve"
    """A person, or the service's list, found the generation of a doubt."""
    ABANDON = "abandon"
    """A person closed a doubt."""
    RESUBMIT = "resubmit"
    """A person takes the risk of paying twice."""
    COMPLETE = "complete"
    """The service finished the generation."""
    FAIL = "fail"
    """The service gave up on it."""
    LOSE = "lose"
    """The service no longer knows its id."""


TRANSITIONS: dict[tuple[Phase | None, Step], Phase] = {
    (None, Step.CLAIM): Phase.SENDING,
    (Phase.NOT_SENT, Step.CLAIM): Phase.SENDING,
    (Phase.REFUSED, Step.CLAIM): Phase.SENDING,
    (Phase.SENDING, Step.WITHDRAW): Phase.NOT_SENT,
    (Phase.SENDING, Step.REFUSE): Phase.REFUSED,
    (Phase.SENDING, Step.ACCEPT): Phase.ACCEPTED,
    (Phase.SENDING, Step.DOUBT): Phase.IN_DOUBT,
    # A dead owner's claim is a doubt that nobody wrote down.
    (Phase.SENDING, Step.RESOLVE): Phase.ACCEPTED,
    (Phase.SENDING, Step.ABANDON): Phase.ABANDONED,
    (Phase.SENDING, Step.RESUBMIT): Phase.SENDING,
    (Phase.IN_DOUBT, Step.ACCEPT): Phase.ACCEPTED,
    (Phase.IN_DOUBT, Step.RESOLVE): Phase.ACCEPTED,
    (Phase.IN_DOUBT, Step.ABANDON): Phase.ABANDONED,
    (Phase.IN_DOUBT, Step.RESUBMIT): Phase.SENDING,
    (Phase.ABANDONED, Step.ACCEPT): Phase.ACCEPTED,
    (Phase.ABANDONED, Step.RESOLVE): Phase.ACCEPTED,
    (Phase.ACCEPTED, Step.COMPLETE): Phase.COMPLETED,
    (Phase.ACCEPTED, Step.FAIL): Phase.FAILED,
    (Phase.ACCEPTED, Step.LOSE): Phase.LOST,
    # A relay that lost an id may find it again; the other way round nothing changes.
    (Phase.LOST, Step.COMPLETE): Phase.COMPLETED,
    (Phase.LOST, Step.FAIL): Phase.FAILED,
}

LOOK_AGAIN = "Look at it again with session.doubts.list() (or `luma-async in-doubt`)."
"""What whoever decides about a doubt does next, when there is no such doubt any more."""

PAID = frozenset({Phase.ACCEPTED, Phase.COMPLETED, Phase.FAILED, Phase.LOST})
"""Phases in which a generation exists: its key never buys again."""
UNPAID = frozenset({Phase.NOT_SENT, Phase.REFUSED})
"""Phases in which provably nothing was paid: its key may be sent."""
UNDECIDED = frozenset({Phase.SENDING, Phase.IN_DOUBT})
"""Phases in which something may have been paid; *sending* only once its owner is dead."""


@attrs.frozen(kw_only=True)
class Send:
    """Nothing stands against sending."""


@attrs.frozen(kw_only=True)
class Existing:
    """The key has bought its generation already."""

    entry: Entry
    """Which one."""


@attrs.frozen(kw_only=True)
class AwaitOwner:
    """Another living session is sending it: its result is the answer."""

    entry: Entry
    """Its claim."""


Admission: TypeAlias = Send | Existing | AwaitOwner
"""What to do with a submit whose key may be known."""


def admit(standing: Entry | None, intent: Entry, *, owner_alive: bool) -> Admission:
    """Decide what a submit under a key means, given the entry that stands.

    Args:
        standing: the journal's entry of the key, or None.
        intent: what the caller wants to buy.
        owner_alive: whether the session that claimed `standing` is alive.

    Raises:
        KeyConflict: the key names another purchase, or was closed for good.
        SubmitInDoubt: the key may have bought already.
    """
    if standing is None:
        return Send()
    if standing.service != intent.service:
        raise KeyConflict(entry=standing, reason=f"it was bought from {standing.service}, not {intent.service}.")
    if standing.digest != intent.digest:
        raise KeyConflict(entry=standing, reason="it stands for a different request.")
    if standing.phase in UNPAID:
        return Send()
    if standing.phase in PAID:
        return Existing(entry=standing)
    if standing.phase is Phase.ABANDONED:
        raise KeyConflict(entry=standing, reason="its doubt was abandoned, which closed it for good.")
    if standing.phase is Phase.SENDING and owner_alive:
        return AwaitOwner(entry=standing)
    raise in_doubt(standing)


def in_doubt(entry: Entry) -> SubmitInDoubt:
    """Build the error of an entry whose fate is unknown."""
    reason = entry.reason or "the program that sent it ended before the answer came."
    return SubmitInDoubt(key=entry.key, sent_at=entry.sent_at, reason=reason)


def next_phase(entry: Entry | None, step: Step) -> Phase:
    """Look the step up in the table.

    Raises:
        KeyConflict: the table has no such edge from where an entry stands.
        JournalError: there is no entry, and the step needs one.
    """
    phase = TRANSITIONS.get((entry.phase if entry else None, step))
    if phase is not None:
        return phase
    if entry is None:
        raise JournalError(message=f"There is no entry to {step}. Look at `luma-async status` for the keys that exist.")
    reason = f"it is {entry.phase.replace('_', ' ')}, so there is nothing to {step}."
    raise KeyConflict(entry=entry, reason=reason, next_step=LOOK_AGAIN)


Change: TypeAlias = "Callable[[Entry | None], Entry | None]"
"""A step ready to be applied by a journal: from the entry that stands to the one that shall stand (None: none)."""


def claim(intent: Entry, *, at: datetime) -> Change:
    """Prepare a claim; it fails if anything but an unpaid entry of the same purchase stands by then."""

    def change(standing: Entry | None) -> Entry | None:
        if not isinstance(admit(standing, intent, owner_alive=True), Send):
            assert standing is not None
            raise KeyConflict(entry=standing, reason="another submit holds it.")
        return _claimed(standing, intent, Step.CLAIM, at)

    return change


def resubmit(doubt: Entry, intent: Entry, *, at: datetime) -> Change:
    """Prepare a person's decision to send a doubt again; it fails if the doubt changed in the meantime."""

    def change(standing: Entry | None) -> Entry | None:
        return _claimed(_as_decided(standing, doubt), intent, Step.RESUBMIT, at)

    return change


def resolve(doubt: Entry, generation_id: str, *, at: datetime) -> Change:
    """Prepare noting what a doubt did buy; it fails if the doubt changed in the meantime."""

    def change(standing: Entry | None) -> Entry | None:
        return _bought(_as_decided(standing, doubt), Step.RESOLVE, generation_id, at)

    return change


def abandon(doubt: Entry, reason: str, *, at: datetime) -> Change:
    """Prepare closing a doubt for good; it fails if the doubt changed in the meantime."""

    def change(standing: Entry | None) -> Entry | None:
        entry = _as_decided(standing, doubt)
        return _moved(entry, next_phase(entry, Step.ABANDON), at, reason=reason)

    return change


def _as_decided(standing: Entry | None, doubt: Entry) -> Entry:
    """Refuse a decision about a doubt that is another one by now: sent again, or settled by somebody else."""
    if standing is None or (standing.phase, standing.attempts) != (doubt.phase, doubt.attempts):
        raise KeyConflict(entry=standing or doubt, reason="it changed while you decided.", next_step=LOOK_AGAIN)
    return standing


def _claimed(standing: Entry | None, intent: Entry, step: Step, at: datetime) -> Entry:
    attempts = standing.attempts + 1 if standing else 1
    return _moved(intent, next_phase(standing, step), at, attempts=attempts, sent_at=at)


def withdraw(owner: str, *, at: datetime) -> Change:
    """Prepare taking back a claim that provably sent nothing; what is not this owner's claim is left as it is."""

    def change(standing: Entry | None) -> Entry | None:
        if standing is None or standing.phase is not Phase.SENDING or standing.owner != owner:
            return standing
        return _moved(standing, next_phase(standing, Step.WITHDRAW), at)

    return change


def accept(generation_id: str, *, at: datetime) -> Change:
    """Prepare noting the generation that an answer names; naming it once more changes nothing."""

    def change(standing: Entry | None) -> Entry | None:
        if standing is not None and standing.generation_id == generation_id:
            return standing
        return _bought(standing, Step.ACCEPT, generation_id, at)

    return change


def _bought(standing: Entry | None, step: Step, generation_id: str, at: datetime) -> Entry:
    phase = next_phase(standing, step)
    return _moved(_standing(standing), phase, at, generation_id=generation_id, reason="")


def end_without_generation(step: Step, reason: str, *, at: datetime) -> Change:
    """Prepare an end without a generation: `REFUSE` or `DOUBT`, and why."""

    def change(standing: Entry | None) -> Entry | None:
        return _moved(_standing(standing), next_phase(standing, step), at, reason=reason)

    return change


def back_to_doubt(owner: str, reason: str, *, at: datetime) -> Change:
    """Prepare making a doubt of a second send that bought nothing; what is not this owner's claim is left as it is."""

    def change(standing: Entry | None) -> Entry | None:
        if standing is None or standing.phase is not Phase.SENDING or standing.owner != owner:
            return standing
        return _moved(standing, next_phase(standing, Step.DOUBT), at, reason=reason)

    return change


def finish(generation: Generation, *, at: datetime) -> Change:
    """Prepare noting how a generation ended; a repeated or late look changes nothing."""
    step = Step.FAIL if generation.state is State.FAILED else Step.COMPLETE

    def change(standing: Entry | None) -> Entry | None:
        entry = _standing(standing)
        if entry.phase in {Phase.COMPLETED, Phase.FAILED}:
            return entry
        reason = generation.failure_reason or ""
        return _moved(entry, next_phase(entry, step), at, generation=generation, reason=reason)

    return change


def lose(*, at: datetime) -> Change:
    """Prepare noting that the service no longer knows the id; what is finished stays so."""

    def change(standing: Entry | None) -> Entry | None:
        entry = _standing(standing)
        if entry.phase is not Phase.ACCEPTED:
            return entry
        return _moved(entry, Phase.LOST, at, reason="the service no longer knows its id")

    return change


def keep_file(path: str, *, at: datetime) -> Change:
    """Prepare noting where the file is."""

    def change(standing: Entry | None) -> Entry | None:
        return attrs.evolve(_standing(standing), path=path, updated_at=at)

    return change


def _moved(
    entry: Entry,
    phase: Phase,
    at: datetime,
    *,
    attempts: int | None = None,
    sent_at: datetime | None = None,
    generation_id: str | None = None,
    reason: str | None = None,
    generation: Generation | None = None,
) -> Entry:
    """Return the entry after a step; what the step does not name stays. `attrs.evolve` takes twice as long."""
    return Entry(
        key=entry.key,
        phase=phase,
        service=entry.service,
        digest=entry.digest,
        request=entry.request,
        owner=entry.owner,
        attempts=entry.attempts if attempts is None else attempts,
        sent_at=sent_at or entry.sent_at,
        updated_at=at,
        generation_id=generation_id or entry.generation_id,
        reason=entry.reason if reason is None else reason,
        generation=generation or entry.generation,
        path=entry.path,
    )


def _standing(entry: Entry | None) -> Entry:
    if entry is None:
        raise JournalError(message="The entry is gone from the journal. Was the file replaced while it was in use?")
    return entry
