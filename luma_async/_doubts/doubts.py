"""Submits whose outcome is unknown: listing them, and recording what the user decides."""

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
from luma_async.values.requests import check_request
from luma_async.values.validators import check_id, check_key

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
    """Why. It names the generations to check, if there are any."""


@public
@attrs.frozen(kw_only=True)
class Reconciled:
    """The result of `Doubts.reconcile()`."""

    adopted: tuple[GenerationHandle, ...] = ()
    """The generations that were found; their keys are no longer in doubt."""
    unresolved: tuple[StillInDoubt, ...] = ()
    """The submits that you have to decide about."""


@public
class Doubts:
    """Submits that may have been charged: list them, and resolve each by what you find at the service.

    A decision is final for its key. Nothing is decided by a guess.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._journal = engine.journal
        self._service = engine.service
        self._reconciler = Reconciler(
            journal=engine.journal, service=engine.service, listing=engine.listing, dialect=engine.dialect
        )

    async def list(self) -> builtins.list[Entry]:
        """Return the submits to this service whose outcome is unknown, oldest first.

        It includes the submits that another process was sending when it ended.

        Raises:
            SessionClosed: the session is closed.
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
        """Record that the submit made a generation, which you found at the service.

        Args:
            key: the key of the submit; it may be in doubt or abandoned.
            generation_id: the id of the generation. It is fetched, to check that it exists.

        Raises:
            InvalidInput: the journal has no such key, or the id is malformed. Nothing changed.
            KeyConflict: the key is not in doubt, or the generation belongs to another key. Nothing changed.
            GenerationNotFound: the service does not know the id. Nothing changed.

        Costs:
            One free request.

        Cancellation:
            Safe: the decision is recorded or not.
        """
        check_id(generation_id, "generation_id")
        doubt = await self._doubt(key, lifecycle.Step.RESOLVE)
        await self._engine.refresh(generation_id)
        step = lifecycle.resolve(doubt, generation_id, at=wall_now())
        return self._handle(self._existing(await self._journal.change(key, step), key))

    async def resubmit(
        self, key: str, *, accept_duplicate_risk: bool = False, request: Request | None = None
    ) -> GenerationHandle:
        """Send the submit again, although it may have been charged already.

        Args:
            key: the key of the submit.
            accept_duplicate_risk: must be True. This is the only call that can pay twice.
            request: the same request; needed only if it has an inline image, since journals do not store images.

        Raises:
            InvalidInput: the risk was not accepted, the journal has no such key, or the request is needed. Nothing was
                sent.
            KeyConflict: the key is not in doubt, or the request differs. Nothing was sent.
            Everything that `submit()` raises; the key stays in doubt, since the first send may have been charged.

        Costs:
            One generation, and a second one if the first send was charged.

        Cancellation:
            As in `submit()`.
        """
        if accept_duplicate_risk is not True:
            raise InvalidInput(
                field="accept_duplicate_risk",
                message="must be True (--accept-duplicate-risk): the submit may have been charged, "
                "and sending it again can pay twice.",
            )
        if request is not None:
            check_request(request)
        doubt = await self._doubt(key, lifecycle.Step.RESUBMIT)
        purchase = await self._engine.submitter.resubmit(
            doubt, request if request is not None else request_from_form(doubt.request)
        )
        return self._handle(purchase.entry)

    async def abandon(self, key: str) -> Entry:
        """Stop asking about a submit. Its key is never submitted again.

        Raises:
            InvalidInput: the journal has no such key. Nothing changed.
            KeyConflict: the key is not in doubt. Nothing changed.

        Costs:
            Nothing.

        Cancellation:
            Safe: the decision is recorded or not.
        """
        doubt = await self._doubt(key, lifecycle.Step.ABANDON)
        step = lifecycle.abandon(doubt, "abandoned by the user", at=wall_now())
        return self._existing(await self._journal.change(key, step), key)

    async def reconcile(self) -> Reconciled:
        """Match the doubts with the service's list of generations, and resolve the unambiguous matches.

        A generation matches if it was made from the same request, within minutes after the submit was sent, and if no
        other generation and no other submit fit too. The rest stays in doubt. You may call this at any time, and from
        several programs at once.

        Raises:
            UnsupportedOperation: the dialect has no list; nothing was sent.
            JournalError: the journal cannot be used; matches that were recorded before stay.
            LumaError: the list could not be read, after retries; nothing changed.

        Costs:
            Free requests: one for each hundred generations since the oldest doubt.

        Cancellation:
            Safe: each match is recorded or not.
        """
        self._reconciler.require()
        doubts = await self.list()
        decisions = await self._reconciler.decide(doubts) if doubts else {}
        results = [await self._apply(doubt, decisions[doubt.key]) for doubt in doubts if doubt.key in decisions]
        return Reconciled(
            adopted=tuple(self._handle(result) for result in results if isinstance(result, Entry)),
            unresolved=tuple(result for result in results if isinstance(result, StillInDoubt)),
        )

    def _handle(self, entry: Entry) -> GenerationHandle:
        return GenerationHandle(self._engine.track(Purchase.from_entry(entry)), self._engine)

    async def _apply(self, doubt: Entry, decision: Decision) -> Entry | StillInDoubt | None:
        """Record a decision. None means that another task or process has resolved the doubt meanwhile."""
        if isinstance(decision, Undecided):
            reason = decision.reason
        else:
            step = lifecycle.resolve(doubt, decision.generation_id, at=wall_now())
            try:
                return await self._journal.change(doubt.key, step)
            except KeyConflict:
                reason = f"{decision.generation_id} was recorded for another key meanwhile."
        entry = await self._journal.get(doubt.key)
        if entry is None or entry.phase not in lifecycle.UNDECIDED:
            return None
        return StillInDoubt(entry=entry, reason=reason)

    async def _doubt(self, key: str, step: lifecycle.Step) -> Entry:
        """Return the entry of a doubt, if `step` is allowed."""
        check_key(key)
        self._engine.check_open()
        entry = self._existing(await self._journal.get(key), key)
        if entry.service != self._service:
            raise KeyConflict(
                entry=entry,
                reason=f"it was sent to {entry.service}.",
                next_step="Open a session for that service.",
            )
        if await self._being_sent(entry):
            raise KeyConflict(entry=entry, reason="it is being sent.", next_step="Wait for its response.")
        lifecycle.next_phase(entry, step)
        return entry

    async def _being_sent(self, entry: Entry) -> bool:
        if entry.phase is not Phase.SENDING or entry.key in self._engine.submitter.unwritten:
            return False
        return await self._journal.alive(entry.owner)

    def _existing(self, entry: Entry | None, key: str) -> Entry:
        if entry is None:
            raise InvalidInput(field="key", message=f"the journal has no entry {key!r}. {lifecycle.LOOK_AGAIN}")
        return entry
