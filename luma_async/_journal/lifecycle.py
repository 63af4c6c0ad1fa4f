"""The life of a paid intent: which phase may follow which, and why none of it buys twice.

Everything rests on one rule: **a POST may leave only while the entry says *sending*, and an entry becomes *sending*
on disk before the first byte leaves.** So wherever a program is killed, the journal knows of all that may have been
paid:

- No entry, *not sent* or *refused*: nothing was paid. Sending is safe.
- *Sending*, and the session that claimed it is alive: the outcome is open. Other sessions wait for it.
- *Sending*, and that session is dead: the POST may have left. This means *in doubt*, and no session has to write it:
  the session that would have to is dead.
- *In doubt*: it may be paid. The only edge from here to *sending* is `RESUBMIT`, the decision of a person.
- *Accepted* and what follows: it is paid and has an id. There is no edge from here to *sending*.

A late answer may always settle a doubt (*in doubt*, *abandoned* → *accepted*): to record that something was paid
costs nothing. There is no edge in the other direction.

Every edge is in `TRANSITIONS`. The functions below it make the steps that a journal applies atomically, each a pure
function from the present entry to the next one.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

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
    """A session is about to send the request."""
    WITHDRAW = "withdraw"
    """The request provably was not sent."""
    ACCEPT = "accept"
    """An answer named the generation."""
    REFUSE = "refuse"
    """An answer rejected it."""
    DOUBT = "doubt"
    """The request was sent, and no answer proves the outcome."""
    RESOLVE = "resolve"
    """A person, or the service's list, found the generation of a doubt."""
    ABANDON = "abandon"
    """A person closed a doubt."""
    RESUBMIT = "resubmit"
    """A person accepts the risk of paying twice."""
    COMPLETE = "complete"
    """The service finished the generation."""
    FAIL = "fail"
    """The generation failed at the service."""
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
    # The claim of a dead owner is a doubt, although the entry does not say so.
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
    # A relay that lost an id may find it again. A finished generation is never lost.
    (Phase.LOST, Step.COMPLETE): Phase.COMPLETED,
    (Phase.LOST, Step.FAIL): Phase.FAILED,
}

LOOK_AGAIN = "Look at it again with session.doubts.list() (or `luma-async in-doubt`)."
"""The advice to a person whose decision comes too late, because the doubt has changed."""

PAID = frozenset({Phase.ACCEPTED, Phase.COMPLETED, Phase.FAILED, Phase.LOST})
"""Phases in which a generation exists: its key never buys again."""
UNPAID = frozenset({Phase.NOT_SENT, Phase.REFUSED})
"""Phases in which provably nothing was paid: its key may be sent."""
SPENT = frozenset(Phase) - UNPAID
"""Phases in which something was or may have been charged: a budget counts them."""
UNDECIDED = frozenset({Phase.SENDING, Phase.IN_DOUBT})
"""Phases in which something may have been paid; *sending* only once its owner is dead."""

_KNOWN = {
    **dict.fromkeys(PAID, "was accepted and is paid"),
    **dict.fromkeys(UNPAID, "was not charged"),
    Phase.SENDING: "is being sent, or it is in doubt and may have been charged",
    Phase.IN_DOUBT: "is in doubt: it may have been charged",
    Phase.ABANDONED: "was in doubt, until the doubt was abandoned",
}
"""What a phase says about the money."""


@attrs.frozen(kw_only=True)
class Send:
    """The request may be sent."""


@attrs.frozen(kw_only=True)
class Existing:
    """The key has already bought its generation."""

    entry: Entry
    """The entry of that purchase."""


@attrs.frozen(kw_only=True)
class AwaitOwner:
    """Another living session is sending the request: wait for its result."""

    entry: Entry
    """The claim of that session."""


Admission: TypeAlias = Send | Existing | AwaitOwner
"""What to do with a submit whose key may be in the journal."""


def admit(standing: Entry | None, intent: Entry, *, owner_alive: bool) -> Admission:
    """Decide what to do with a submit under a key, given the journal's entry of that key.

    Args:
        standing: the present entry of the key, or None.
        intent: what the caller wants to buy.
        owner_alive: whether the session that claimed `standing` is alive.

    Raises:
        KeyConflict: the key stands for another purchase, or its doubt was abandoned.
        SubmitInDoubt: the key may have bought a generation already.
    """
    if standing is None:
        return Send()
    if standing.service != intent.service or standing.digest != intent.digest:
        raise _other_purchase(standing, intent)
    if standing.phase in UNPAID:
        return Send()
    if standing.phase in PAID:
        return Existing(entry=standing)
    if standing.phase is Phase.ABANDONED:
        raise KeyConflict(entry=standing, reason="its doubt was abandoned, which closed it for good.")
    if standing.phase is Phase.SENDING and owner_alive:
        return AwaitOwner(entry=standing)
    raise in_doubt(standing)


def _other_purchase(standing: Entry, intent: Entry) -> KeyConflict:
    """Return the error for a key of another service or another request: what is known of that, and what to do."""
    what = "a different request"
    if standing.service != intent.service:
        what = f"a purchase at {standing.service}, not {intent.service}"
    settle = ""
    if standing.phase in UNDECIDED:
        settle = "Resolve it at that service with session.doubts (or `luma-async in-doubt`). "
    return KeyConflict(
        entry=standing,
        reason=f"it stands for {what}. That {_KNOWN[standing.phase]}.",
        next_step=f"{settle}Use another key to buy again.",
    )


def in_doubt(entry: Entry) -> SubmitInDoubt:
    """Return the error for an entry whose outcome is unknown."""
    reason = entry.reason or "the program that sent it ended before the answer came."
    return SubmitInDoubt(key=entry.key, sent_at=entry.sent_at, reason=reason)


def next_phase(entry: Entry | None, step: Step) -> Phase:
    """Return the phase after a step.

    Raises:
        KeyConflict: the table has no such edge from the phase of the entry.
        JournalError: there is no entry, and the step needs an entry.
    """
    phase = TRANSITIONS.get((entry.phase if entry else None, step))
    if phase is not None:
        return phase
    if entry is None:
        raise JournalError(message=f"There is no entry to {step}. Look at `luma-async status` for the keys that exist.")
    reason = f"it is {entry.phase.replace('_', ' ')}, so there is nothing to {step}."
    raise KeyConflict(entry=entry, reason=reason, next_step=LOOK_AGAIN)


Change: TypeAlias = "Callable[[Entry | None], Entry | None]"
"""A step that a journal applies: a function from the present entry to the next one (None: no entry)."""


def claim(intent: Entry, *, at: datetime) -> Change:
    """Make the step of a claim. It fails if there is an entry by then, unless it is unpaid and of the same purchase."""

    def change(standing: Entry | None) -> Entry | None:
        if not isinstance(admit(standing, intent, owner_alive=True), Send):
            assert standing is not None
            raise KeyConflict(entry=standing, reason="another submit holds it.")
        return _claimed(standing, intent, Step.CLAIM, at)

    return change


def resubmit(doubt: Entry, intent: Entry, *, at: datetime) -> Change:
    """Make the step of sending a doubt again, as a person decided. It fails if the doubt has changed since."""

    def change(standing: Entry | None) -> Entry | None:
        return _claimed(_as_decided(standing, doubt), intent, Step.RESUBMIT, at)

    return change


def resolve(doubt: Entry, generation_id: str, *, at: datetime) -> Change:
    """Make the step that records what a doubt bought. It fails if the doubt has changed since."""

    def change(standing: Entry | None) -> Entry | None:
        return _bought(_as_decided(standing, doubt), Step.RESOLVE, generation_id, at)

    return change


def abandon(doubt: Entry, reason: str, *, at: datetime) -> Change:
    """Make the step that closes a doubt for good. It fails if the doubt has changed since."""

    def change(standing: Entry | None) -> Entry | None:
        entry = _as_decided(standing, doubt)
        return _moved(entry, next_phase(entry, Step.ABANDON), at, reason=reason)

    return change


def _as_decided(standing: Entry | None, doubt: Entry) -> Entry:
    """Return the present entry, unless the doubt was sent again or settled since the person decided."""
    if standing is None or (standing.phase, standing.attempts) != (doubt.phase, doubt.attempts):
        raise KeyConflict(entry=standing or doubt, reason="it changed while you decided.", next_step=LOOK_AGAIN)
    return standing


def _claimed(standing: Entry | None, intent: Entry, step: Step, at: datetime) -> Entry:
    attempts = standing.attempts + 1 if standing else 1
    entry = _moved(intent, next_phase(standing, step), at, attempts=attempts, sent_at=at)
    if standing is None or step is not Step.RESUBMIT:
        return entry
    prices = [price for price in (standing.price, intent.price) if price is not None]
    return attrs.evolve(entry, charges=standing.charges + 1, price=sum(prices, Decimal()) if prices else None)


def withdraw(owner: str, *, at: datetime) -> Change:
    """Make the step that withdraws a claim of this owner whose request was not sent; other entries stay unchanged."""

    def change(standing: Entry | None) -> Entry | None:
        if standing is None or standing.phase is not Phase.SENDING or standing.owner != owner:
            return standing
        return _moved(standing, next_phase(standing, Step.WITHDRAW), at)

    return change


def accept(generation_id: str, *, at: datetime, reason: str = "") -> Change:
    """Make the step that records the generation named by an answer. Recording it again changes nothing.

    Args:
        generation_id: the generation.
        at: now.
        reason: what else the answer names.
    """

    def change(standing: Entry | None) -> Entry | None:
        if standing is not None and standing.generation_id == generation_id:
            return standing
        return _bought(standing, Step.ACCEPT, generation_id, at, reason)

    return change


def _bought(standing: Entry | None, step: Step, generation_id: str, at: datetime, reason: str = "") -> Entry:
    phase = next_phase(standing, step)
    return _moved(_standing(standing), phase, at, generation_id=generation_id, reason=reason)


def end_without_generation(step: Step, reason: str, *, at: datetime) -> Change:
    """Make the step of an end without a generation: `REFUSE` or `DOUBT`, and the reason."""

    def change(standing: Entry | None) -> Entry | None:
        return _moved(_standing(standing), next_phase(standing, step), at, reason=reason)

    return change


def back_to_doubt(doubt: Entry, owner: str, reason: str, *, at: datetime) -> Change:
    """Make the step back to a doubt, when sending it again bought nothing; like `withdraw()` otherwise."""

    def change(standing: Entry | None) -> Entry | None:
        if standing is None or standing.phase is not Phase.SENDING or standing.owner != owner:
            return standing
        entry = _moved(standing, next_phase(standing, Step.DOUBT), at, reason=reason)
        return attrs.evolve(entry, charges=doubt.charges, price=doubt.price)

    return change


def finish(generation: Generation, *, at: datetime) -> Change:
    """Make the step that records how a generation ended. A repeated or late answer changes nothing."""
    step = Step.FAIL if generation.state is State.FAILED else Step.COMPLETE

    def change(standing: Entry | None) -> Entry | None:
        entry = _standing(standing)
        if entry.phase in {Phase.COMPLETED, Phase.FAILED}:
            return entry
        # An accepted entry has a reason only if the answer to the submit named further generations.
        named = entry.reason if entry.phase is Phase.ACCEPTED else ""
        code = f" [{generation.failure_code}]" if generation.failure_code else ""
        why = f"{generation.failure_reason or ''}{code}".strip()
        reason = "; ".join(filter(None, (why, named)))
        return _moved(entry, next_phase(entry, step), at, generation=generation, reason=reason)

    return change


def lose(*, at: datetime) -> Change:
    """Make the step that records that the service no longer knows the id. Finished generations stay finished."""

    def change(standing: Entry | None) -> Entry | None:
        entry = _standing(standing)
        if entry.phase is not Phase.ACCEPTED:
            return entry
        return _moved(entry, Phase.LOST, at, reason="the service no longer knows its id")

    return change


def keep_file(path: str, *, at: datetime) -> Change:
    """Make the step that records where the file is."""

    def change(standing: Entry | None) -> Entry | None:
        return attrs.evolve(_standing(standing), path=path, updated_at=at)

    return change


def prune(*, before: datetime) -> Change:
    """Make the step that drops what an ended purchase does not need, if it did not change since a moment.

    What is left is what protects from paying twice and what a budget counts: the key, the digest, the phase, the id,
    the times and the price, and where the file is.
    """

    def change(standing: Entry | None) -> Entry | None:
        if standing is None or not is_prunable(standing, before=before):
            return standing
        return attrs.evolve(standing, request=_class_only(standing), generation=None, reason="")

    return change


def is_prunable(entry: Entry, *, before: datetime) -> bool:
    """Whether pruning an entry drops anything: it has ended, is older than that, and was not pruned before."""
    ended = entry.phase not in UNDECIDED and entry.phase is not Phase.ACCEPTED
    old = entry.updated_at is not None and entry.updated_at < before
    return ended and old and (entry.request != _class_only(entry) or entry.generation is not None or bool(entry.reason))


def _class_only(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry.request.items() if name == "class"}


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
    """Return the entry after a step, which keeps what the step does not name. `attrs.evolve` takes twice as long."""
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
        price=entry.price,
        charges=entry.charges,
    )


def _standing(entry: Entry | None) -> Entry:
    if entry is None:
        raise JournalError(message="The entry is gone from the journal. Was the file replaced while it was in use?")
    return entry
