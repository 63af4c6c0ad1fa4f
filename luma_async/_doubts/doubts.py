"""Submits whose fate is unknown, and a person's decisions about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luma_async._aio import wall_now
from luma_async._doubts.matching import Undecided
from luma_async._doubts.reconciler import Reconciler
from luma_async._journal import lifecycle
from luma_async._journal.fingerprint import request_from_form
from luma_async._submit.attempt import Purchase
from luma_async.handle import GenerationHandle
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import InvalidInput, KeyConflict
from luma_async.values.public import public
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    import builtins

    from luma_async._doubts.matching import Decision
    from luma_async._engine import Engine
    from luma_async.values.requests import Request


@public
@attrs.frozen(kw_only=True)
class StillInDoubt:
    """A submit that stays in doubt."""

    entry: Entry
    """Its entry in the journal."""
    reason: str
    """Why; it names the generations to look at, if there are any."""


@public
@attrs.frozen(kw_only=True)
class Reconciled:
    """What came of looking for doubts in the service's own list."""

    adopted: tuple[GenerationHandle, ...] = ()
    """The generations that were found; their keys are settled."""
    unresolved: tuple[StillInDoubt, ...] = ()
    """What is for a person to decide."""


@public
class Doubts:
    """What may have been paid and nobody knows: list it, and settle it by what a person found out.

    Each decision is final for its key, and none is ever made by a guess.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._journal = engine.journal
        self._service = engine.service
        self._reconciler = Reconciler(
            journal=engine.journal, service=engine.service, listing=engine.listing, dialect=engine.dialect
        )

    async def list(self) -> builtins.list[Entry]:
        """Return the submits to this service whose fate is unknown, oldest first.

        Among them are those that a program was sending when it ended.

        Raises:
            SessionClosed: the session is not open any more; so do the others here.
            JournalError: the journal cannot be read.

        Costs:
            Nothing; the journal is read.

        Cancellation:
            Safe.
        """
        self._engine.check_open()
        entries = await self._journal.entries(service=self._service, phases=lifecycle.UNDECIDED)
        return [entry for entry in entries if not await self._being_sent(entry)]

    async def resolve(self, key: str, *, generation_id: str) -> GenerationHandle:
        """Note that the submit did buy a generation, which you found at the service.

        Args:
            key: the key of the doubt; an abandoned one may be resolved too.
            generation_id: what it bought. The service is asked whether it knows it.

        Raises:
            InvalidInput: there is no such doubt, or the id is malformed.
            KeyConflict: the key is not in doubt, or another key bought this generation. Nothing changed.
            GenerationNotFound: the service does not know the id. Nothing changed.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe: the decision is noted or not.
        """
        check_id(generation_id, "generation_id")
        doubt = await self._doubt(key, lifecycle.Step.RESOLVE)
        await self._engine.refresh(generation_id)
        step = lifecycle.resolve(doubt, generation_id, at=wall_now())
        return self._handle(self._kept(await self._journal.change(key, step), key))

    async def resubmit(
        self, key: str, *, accept_duplicate_risk: bool = False, request: Request | None = None
    ) -> GenerationHandle:
        """Send the submit again, knowing that it may have been paid already.

        Args:
            key: the key of the doubt.
            accept_duplicate_risk: must be True: this is the one call that can pay twice.
            request: the same request again; needed only when it held an inline image, which no journal keeps.

        Raises:
            InvalidInput: the risk was not accepted, there is no such doubt, or the request is needed.
            KeyConflict: the key is not in doubt, or the request is a different one. Nothing was sent.
            Everything that `submit()` raises; the doubt stays one, for this says nothing of the first send.

        Costs:
            One generation, and one more if the doubt was paid.

        Cancellation:
            As with `submit()`.
        """
        if accept_duplicate_risk is not True:
            raise InvalidInput(
                field="accept_duplicate_risk",
                message="must be True (--accept-duplicate-risk): the submit may have been paid, "
                "and this can pay for it again.",
            )
        doubt = await self._doubt(key, lifecycle.Step.RESUBMIT)
        bought = await self._engine.submitter.resubmit(
            doubt, request if request is not None else request_from_form(doubt.request)
        )
        return self._handle(bought.entry)

    async def abandon(self, key: str) -> Entry:
        """Close the doubt: it is not looked for any more, and its key never buys again.

        Raises:
            InvalidInput: there is no such doubt.
            KeyConflict: the key is not in doubt. Nothing changed.

        Costs:
            Nothing.

        Cancellation:
            Safe: the decision is noted or not.
        """
        doubt = await self._doubt(key, lifecycle.Step.ABANDON)
        step = lifecycle.abandon(doubt, "abandoned by a person", at=wall_now())
        return self._kept(await self._journal.change(key, step), key)

    async def reconcile(self) -> Reconciled:
        """Look for what the doubts have bought in the service's own list, and settle what is certain.

        A doubt takes a generation for its own only if that was made from the same request, after it was sent and not
        long after, and if nothing else in the list and no other submit comes into question. The rest stays in doubt.
        It may be called at any time, as often as you like, and by several programs at once.

        Raises:
            UnsupportedOperation: this format has no list; nothing was sent.
            JournalError: the journal cannot be used; what was settled before stays so.
            LumaError: the list could not be read, after retries; nothing changed.

        Costs:
            Requests that cost nothing: one for each hundred generations since the oldest doubt.

        Cancellation:
            Safe: each doubt is settled or not.
        """
        self._reconciler.require()
        doubts = await self.list()
        decisions = await self._reconciler.weigh(doubts) if doubts else {}
        settled = [await self._carry_out(doubt, decisions[doubt.key]) for doubt in doubts if doubt.key in decisions]
        return Reconciled(
            adopted=tuple(self._handle(one) for one in settled if isinstance(one, Entry)),
            unresolved=tuple(one for one in settled if isinstance(one, StillInDoubt)),
        )

    def _handle(self, entry: Entry) -> GenerationHandle:
        return GenerationHandle(self._engine.track(Purchase.from_entry(entry)), self._engine)

    async def _carry_out(self, doubt: Entry, decision: Decision) -> Entry | StillInDoubt | None:
        """Settle a doubt if that was decided; None when somebody else has settled it meanwhile."""
        if isinstance(decision, Undecided):
            reason = decision.reason
        else:
            step = lifecycle.resolve(doubt, decision.generation_id, at=wall_now())
            try:
                return await self._journal.change(doubt.key, step)
            except KeyConflict:
                reason = f"meanwhile something else took {decision.generation_id}."
        standing = await self._journal.get(doubt.key)
        if standing is None or standing.phase not in lifecycle.UNDECIDED:
            return None
        return StillInDoubt(entry=standing, reason=reason)

    async def _doubt(self, key: str, step: lifecycle.Step) -> Entry:
        """Return the entry that a person decides about."""
        self._engine.check_open()
        entry = self._kept(await self._journal.get(key), key)
        if entry.service != self._service:
            raise KeyConflict(
                entry=entry,
                reason=f"it was sent to {entry.service}.",
                next_step="Open a session for that to decide.",
            )
        if await self._being_sent(entry):
            raise KeyConflict(entry=entry, reason="it is being sent at this moment.", next_step="Wait for its answer.")
        lifecycle.next_phase(entry, step)
        return entry

    async def _being_sent(self, entry: Entry) -> bool:
        if entry.phase is not Phase.SENDING or entry.key in self._engine.submitter.unwritten:
            return False
        return await self._journal.alive(entry.owner)

    def _kept(self, entry: Entry | None, key: str) -> Entry:
        if entry is None:
            raise InvalidInput(field="key", message=f"the journal has no entry {key!r}. {lifecycle.LOOK_AGAIN}")
        return entry
