"""One attempt at a paid POST: write the claim, send the request, judge the answer, write the outcome.

From the moment at which its claim is being written until its outcome is written, the request of an intent may have
left this machine (`Intent.may_have_left`). In between the task of an intent is not cancelled: its callers may leave,
but the session waits for the answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async._aio import loop_now, wall_now
from luma_async._http.transport import Unanswered, Unsent
from luma_async._journal import lifecycle
from luma_async._submit.outcomes import OutcomeWriter, UnwrittenOutcome, unless_claimed_since
from luma_async._submit.prompt_echo import is_other_prompt
from luma_async._submit.verdict import Accepted, Rejected, Unproven, judge
from luma_async._wire.answer import Answer, RateWindow, find_id, parse
from luma_async._wire.dialect import Call, Row
from luma_async.values import log
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import (
    InvalidRequest,
    JournalError,
    KeyConflict,
    LumaError,
    NotSent,
    SubmitInDoubt,
    WrongPrompt,
)
from luma_async.values.requests import Request

if TYPE_CHECKING:
    from datetime import datetime

    from luma_async._http.transport import Transport
    from luma_async._journal.protocol import Journal
    from luma_async._submit.spending import Spending
    from luma_async._submit.verdict import Verdict
    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Dialect


@attrs.frozen(kw_only=True)
class Purchase:
    """A generation that was bought, now or earlier."""

    entry: Entry
    """The journal's entry."""
    row: Row | None = None
    """The service's answer to the submit; None for an earlier purchase."""
    accepted_at_s: float | None = None
    """When it was accepted, on the loop's clock; None for an earlier purchase."""
    wrong_prompt: WrongPrompt | None = None
    """Set if the answer repeats another prompt than was sent."""

    @classmethod
    def from_entry(cls, entry: Entry) -> Purchase:
        """Return an earlier purchase as the journal has it."""
        return cls(entry=entry)


@attrs.frozen(kw_only=True)
class NotPurchased:
    """Provably nothing was bought."""

    error: LumaError
    """Why."""
    repeat: bool
    """Whether the same submit may be sent again."""


AttemptResult: TypeAlias = Purchase | NotPurchased


class Withdrawn(Exception):
    """All callers left before anything was sent."""


class KeyTaken(Exception):
    """Another session claimed the key first."""

    def __init__(self, conflict: KeyConflict) -> None:
        super().__init__()
        self.conflict = conflict


@attrs.define(kw_only=True, eq=False)
class Intent:
    """A purchase that is being made, shared by all callers with its key."""

    entry: Entry
    """The entry that is claimed."""
    request: Request
    """What is bought."""
    call: Call
    """The call that buys it."""
    named: bool
    """Whether the caller gave the key, so that the journal may know it already."""
    doubt: Entry | None = None
    """The doubt that a person submits again. Its first request may be paid, whatever becomes of this one."""
    committed: int = 0
    """How many of the callers wait on after a 429, rather than come again."""
    waiters: set[asyncio.Future[None]] = attrs.field(factory=set["asyncio.Future[None]"])
    """A future of each caller, done when the intent has ended."""
    no_more_attempts: bool = False
    """Whether this attempt is the last, unless another caller has joined meanwhile."""
    rate: RateWindow | None = None
    """What the last answer says about the limit of submits."""
    may_have_left: bool = False
    """Whether the request may have left: from the writing of the claim until that of the outcome."""
    withdrawn: bool = False
    """Whether it is being withdrawn."""
    purchase: Purchase | None = None
    """What it bought, from the answer on, whatever becomes of its task."""
    task: asyncio.Task[Purchase] | None = None
    """The task that makes the purchase; None while it is queued."""

    @property
    def ending(self) -> bool:
        """Whether it can take no further callers: they wait for its end, then start a new intent."""
        return self.withdrawn or (self.task is not None and self.task.done())

    def claim(self, *, at: datetime) -> lifecycle.Change:
        """Return the step that claims its entry."""
        if self.doubt is not None:
            return lifecycle.resubmit(self.doubt, self.entry, at=at)
        return lifecycle.claim(self.entry, at=at)


def _with_id(reason: str, part: bytes) -> str:
    """Add the id that stands in the part of the answer that was read, for the person who settles the doubt."""
    generation_id = find_id(part)
    return reason if generation_id is None else f"{reason} The part that was read names generation {generation_id}."


class Attempts:
    """Sends intents, with one POST for each attempt, and keeps the journal true about them."""

    def __init__(
        self, *, transport: Transport, dialect: Dialect, journal: Journal, owner: str, spending: Spending
    ) -> None:
        self._transport = transport
        self._dialect = dialect
        self._spending = spending
        self._owner = owner
        self.outcomes: OutcomeWriter = OutcomeWriter(journal, owner)
        """Writes how submits ended."""

    async def send(self, intent: Intent) -> AttemptResult:
        """Send once, and write the outcome to the journal.

        Raises:
            SubmitInDoubt: it may have been charged; the journal says so.
            BudgetExceeded: a budget has no room for it; nothing was sent.
            JournalError: the claim could not be written; nothing was sent.
            KeyTaken, Withdrawn: nothing was sent.
        """
        claimed = False

        async def before_sending() -> None:
            # The connector awaits this when it has a connection, and hands the connection out only afterwards.
            # So the claim is on disk before the first byte leaves, and an intent that waits for a connection can
            # still be withdrawn.
            nonlocal claimed
            await self._claim(intent)
            claimed = True
            # All callers may have left while the claim was being written. Nothing was sent yet.
            if not intent.waiters:
                intent.withdrawn = True
                raise Withdrawn
            log.step("send", "the connection is open, and the request is being sent", key=intent.entry.key)

        try:
            result = await self._transport.post_once(intent.call, before_sending=before_sending)
        except Withdrawn:
            await self._withdraw(intent)
            raise
        except asyncio.CancelledError:
            self._keep_interrupted(intent, claimed=claimed)
            raise
        match result:
            case Answer():
                # An answer proves that it was sent, even without a claim.
                return await self._handle_answer(intent, result, claimed=claimed)
            case Unanswered(message=reason, part=part):
                raise await self._doubt(intent, _with_id(reason, part))
            case Unsent(message=reason, permanent=permanent):
                log.step("verdict", "not sent", key=intent.entry.key)
                await self._withdraw(intent)
                return NotPurchased(error=NotSent(message=reason, permanent=permanent), repeat=not permanent)

    async def _claim(self, intent: Intent) -> None:
        """Write the claim. The request may leave as soon as this returns."""
        self.outcomes.check()
        # Before the await: a caller that leaves during the write must not cancel the task, or a claim could be on
        # disk that nothing withdraws.
        intent.may_have_left = True
        entry, at = intent.entry, wall_now()
        try:
            await self._spending.claim(entry.key, intent.claim(at=at), price=entry.price, at=at)
        except KeyConflict as conflict:
            intent.may_have_left = False
            raise KeyTaken(conflict) from None
        except LumaError:
            # A journal that raises has changed nothing.
            intent.may_have_left = False
            raise
        except Exception as error:
            intent.may_have_left = False
            message = f"the claim could not be written ({type(error).__name__}: {error}), so nothing was sent."
            raise JournalError(message=message) from error
        log.step("claim", "the claim is in the journal", key=intent.entry.key)

    async def _withdraw(self, intent: Intent) -> None:
        """Withdraw the claim, if it was written."""
        if intent.may_have_left:
            await self._write_not_bought(intent, self._withdrawal(intent))

    def _withdrawal(self, intent: Intent) -> lifecycle.Change:
        if intent.doubt is None:
            return lifecycle.withdraw(self._owner, at=wall_now())
        return self._still_in_doubt(intent.doubt, "it was not sent again")

    def _still_in_doubt(self, doubt: Entry, what: str) -> lifecycle.Change:
        """Return the step after sending a doubt again bought nothing: it stays a doubt, its first request may have."""
        reason = f"{doubt.reason or 'its first answer never came'} ({what})"
        return lifecycle.back_to_doubt(doubt, self._owner, reason, at=wall_now())

    async def _write_not_bought(self, intent: Intent, step: lifecycle.Change) -> None:
        """Write that this attempt bought nothing."""
        entry = await self._write_outcome(intent, step)
        self._spending.release(intent.entry.price)
        if intent.doubt is not None:
            intent.doubt = entry or intent.doubt
        # After the await: until the outcome is written, the task must not be cancelled.
        intent.may_have_left = False

    def _keep_interrupted(self, intent: Intent, *, claimed: bool) -> None:
        """Keep the outcome of an attempt whose task was cancelled, by a close or by a program that cancels all tasks.

        Without the end of the claim's write, no connection was handed out, so nothing was sent.
        """
        if not intent.may_have_left:
            return
        reason = "its task was cancelled before the answer came"
        step = lifecycle.end_without_generation(lifecycle.Step.DOUBT, reason, at=wall_now())
        outcome = UnwrittenOutcome(
            key=intent.entry.key,
            step=step if claimed else self._withdrawal(intent),
            what=f"the outcome of submit {intent.entry.key}",
        )
        self.outcomes.keep(outcome)

    async def _handle_answer(self, intent: Intent, answer: Answer, *, claimed: bool) -> AttemptResult:
        """Judge a complete answer, and write the verdict."""
        if not claimed:
            # An answer proves that the request was sent, even if the connector never said so.
            intent.may_have_left = True
            self._spending.count(intent.entry.price)
            await self._write_outcome(intent, intent.claim(at=wall_now()))
        log.step("answer", "HTTP %d", answer.status, key=intent.entry.key)
        document = parse(answer)
        intent.rate = document.rate
        verdict, row = self._judge(document)
        match verdict:
            case Accepted():
                assert row is not None
                return await self._accept(intent, row)
            case Rejected(error=error, repeat=repeat):
                log.step("verdict", "refused, not charged (%s)", log.brief(error), key=intent.entry.key)
                error.not_charged = intent.doubt is None
                if type(error) is InvalidRequest:
                    error.hint = error.hint or intent.call.refusal_hint
                step = lifecycle.end_without_generation(lifecycle.Step.REFUSE, str(error), at=wall_now())
                if intent.doubt is not None:
                    step = self._still_in_doubt(intent.doubt, f"sent again, it was refused: HTTP {error.status}")
                await self._write_not_bought(intent, step)
                return NotPurchased(error=error, repeat=repeat)
            case Unproven(reason=reason):
                raise await self._doubt(intent, reason, answer.status, document.excerpt)

    def _judge(self, document: Document) -> tuple[Verdict, Row | None]:
        """Decide what the answer proves. If reading it fails, it proves nothing."""
        try:
            return judge(self._dialect, document)
        except Exception as error:
            log.logger.exception("the answer to a submit could not be read", extra=log.fields("verdict"))
            return Unproven(reason=f"HTTP {document.status} that could not be read ({type(error).__name__})"), None

    async def _accept(self, intent: Intent, row: Row) -> Purchase:
        # Before the await: the age of a generation counts from its acceptance, not from the end of a slow write.
        entry = attrs.evolve(intent.entry, phase=Phase.ACCEPTED, generation_id=row.id)
        purchase = intent.purchase = Purchase(
            entry=entry, row=row, accepted_at_s=loop_now(), wrong_prompt=self._wrong_prompt(intent, row)
        )
        key = intent.entry.key
        log.step("verdict", "accepted", key=key, generation_id=row.id)
        what, reason = f"that submit {key} bought generation {row.id}", ""
        if further := (*row.aliases, *row.siblings):
            reason = f"the answer also names {', '.join(further)}"
            what += f"; {reason}"
            extra = log.fields("verdict", key=key, generation_id=row.id)
            log.logger.warning("submit %s bought generation %s; %s", key, row.id, reason, extra=extra)
        try:
            # If it cannot be written, the caller gets the handle all the same: the generation is paid.
            written = await self.outcomes.write(key, lifecycle.accept(row.id, at=wall_now(), reason=reason), what)
        except KeyConflict:
            intent.purchase = written = None
        if intent.purchase is None:
            raise await self._doubt(intent, f"the answer names generation {row.id}, which another key bought")
        intent.may_have_left = False
        return purchase if written is None else attrs.evolve(purchase, entry=written)

    def _wrong_prompt(self, intent: Intent, row: Row) -> WrongPrompt | None:
        """Compare the prompt that an answer repeats to the one that was sent."""
        sent = getattr(intent.request, "prompt", None) or ""
        try:
            repeated = self._dialect.repeated_prompt(row.raw, intent.request)
        except Exception:  # a bug in a dialect must not lose the id, which is paid
            extra = log.fields("verdict", key=intent.entry.key, generation_id=row.id)
            log.logger.exception("the prompt in the answer to a submit could not be read", extra=extra)
            return None
        expanded = getattr(intent.request, "expand_prompt", None) is True
        if repeated is None or not is_other_prompt(sent, repeated, expanded=expanded):
            return None
        return WrongPrompt(
            key=intent.entry.key,
            generation_id=row.id,
            sent=sent,
            returned=repeated,
            message=self._dialect.prompt_advice,
        )

    async def _doubt(self, intent: Intent, reason: str, status: int | None = None, excerpt: str = "") -> SubmitInDoubt:
        """Write that the outcome is unknown, and return the error that says so."""
        log.step("verdict", "in doubt: it may have been charged", key=intent.entry.key)
        step = lifecycle.end_without_generation(lifecycle.Step.DOUBT, reason, at=wall_now())
        entry = await self._write_outcome(intent, step)
        intent.may_have_left = False
        sent_at = entry.sent_at if entry is not None else wall_now()
        return SubmitInDoubt(
            key=intent.entry.key, sent_at=sent_at, reason=reason, status=status, body_excerpt=excerpt, fresh=True
        )

    async def _write_outcome(self, intent: Intent, step: lifecycle.Change) -> Entry | None:
        """Write an outcome; return None if the journal does not have it."""
        key = intent.entry.key
        try:
            # While a journal has no connection, others take its sessions for dead, and a person may send again.
            return await self.outcomes.write(
                key, unless_claimed_since(step, self._owner), f"the outcome of submit {key}"
            )
        except KeyConflict as conflict:
            extra = log.fields("note", key=key)
            log.logger.warning("the journal does not need the outcome of submit %s: %s", key, conflict, extra=extra)
            return None
