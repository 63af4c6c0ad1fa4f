"""One attempt at a paid POST: claim it, send it, judge the answer, write the verdict down.

An intent is *exposed* from the moment its claim is being written until its outcome is. Nobody cancels it in
between: whoever asked for it may go, the session waits for the answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import loop_now, wall_now
from luma_async._journal import lifecycle
from luma_async._submit.verdict import Accepted, Rejected, Unproven, judge_submit
from luma_async._wire.answer import parse
from luma_async._wire.dialect import Call, Row
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import JournalError, KeyConflict, LumaError, NoResponse, NotSent, SubmitInDoubt

if TYPE_CHECKING:
    from luma_async._http.transport import Transport
    from luma_async._journal.protocol import Journal
    from luma_async._submit.verdict import Verdict
    from luma_async._wire.answer import Answer, Document
    from luma_async._wire.dialect import Dialect

_log = logging.getLogger("luma_async")


@attrs.frozen(kw_only=True)
class Purchase:
    """What was bought, now or earlier."""

    entry: Entry
    """The journal's entry."""
    row: Row | None = None
    """The service's answer to the submit; None for an earlier purchase."""
    accepted_at_s: float | None = None
    """When it was accepted, on the loop's clock; None for an earlier purchase."""

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


class Withdrawn(Exception):
    """All callers left before anything was sent."""


class KeyTaken(Exception):
    """Another session claimed the key first."""

    def __init__(self, conflict: KeyConflict) -> None:
        super().__init__()
        self.conflict = conflict


@attrs.define(kw_only=True, eq=False)
class Intent:
    """One purchase on its way."""

    entry: Entry
    """What will be claimed."""
    call: Call
    """What will be sent."""
    named: bool
    """Whether the caller gave the key, so that it may be known already."""
    doubt: Entry | None = None
    """The doubt that a person sends again: its first send may be paid, whatever becomes of this one."""
    committed: int = 0
    """How many of those that wait do not come again after a 429."""
    waiters: set[asyncio.Future[None]] = attrs.field(factory=set["asyncio.Future[None]"])
    """Who waits for the outcome."""
    no_more_attempts: bool = False
    """Whether it is not to be sent once more, unless somebody else has come to want it too."""
    may_have_left: bool = False
    """Whether it may have left: from the writing of the claim to that of the outcome."""
    withdrawn: bool = False
    """Whether it is being taken back."""
    task: asyncio.Task[Purchase] | None = None
    """What carries it out; None while it waits for its turn."""

    @property
    def ending(self) -> bool:
        """Whether nothing more comes of it, so that whoever wants the same waits for its end and starts anew."""
        return self.withdrawn or (self.task is not None and self.task.done())

    def claim(self) -> lifecycle.Change:
        """Make the step that claims it."""
        if self.doubt is not None:
            return lifecycle.resubmit(self.doubt, self.entry, at=wall_now())
        return lifecycle.claim(self.entry, at=wall_now())


class Attempts:
    """Sends intents, one POST each time, and keeps the journal true about them."""

    def __init__(self, *, transport: Transport, dialect: Dialect, journal: Journal, owner: str) -> None:
        self._transport = transport
        self._dialect = dialect
        self._journal = journal
        self._owner = owner
        self._broken: JournalError | None = None
        self.unwritten: set[str] = set()
        """The keys whose outcome could not be written: on disk they are being sent, and nobody sends them."""

    async def send(self, intent: Intent) -> Purchase | NotPurchased:
        """Send once and write the outcome down.

        Raises:
            SubmitInDoubt: it may have been charged; the journal says so.
            JournalError: the claim could not be written; nothing was sent.
            Taken, Withdrawn: nothing was sent.
        """
        claimed = False

        async def before_sending() -> None:
            nonlocal claimed
            await self._claim(intent)
            claimed = True
            if not intent.waiters:
                intent.withdrawn = True
                raise Withdrawn

        try:
            answer = await self._transport.submit(intent.call, before_sending=before_sending)
        except (NotSent, NoResponse) as error:
            failure = error
        except Withdrawn:
            await self._withdraw(intent)
            raise
        else:
            # An answer proves that it was sent, whatever the trace says.
            return await self._settle(intent, answer, claimed=claimed)
        if isinstance(failure, NoResponse):
            raise await self._doubt(intent, failure.message)
        await self._withdraw(intent)
        return NotPurchased(error=failure, repeat=True)

    async def _claim(self, intent: Intent) -> None:
        """Write the claim; what follows may leave this machine."""
        if self._broken is not None:
            raise JournalError(
                message=f"an earlier outcome could not be written ({self._broken.message}), "
                "so nothing further is sent. Mend the journal, then open a new session.",
                path=self._broken.path,
            )
        intent.may_have_left = True
        try:
            await self._journal.change(intent.entry.key, intent.claim())
        except KeyConflict as conflict:
            intent.may_have_left = False
            raise KeyTaken(conflict) from None
        except LumaError:
            # A journal that raises has changed nothing.
            intent.may_have_left = False
            raise
        except Exception as error:
            intent.may_have_left = False
            message = f"the submit could not be noted ({type(error).__name__}: {error}), so it was not sent."
            raise JournalError(message=message) from error

    async def _withdraw(self, intent: Intent) -> None:
        """Take the claim back, if there is one."""
        if intent.may_have_left:
            await self._unbuy(intent, lifecycle.withdraw(self._owner, at=wall_now()), "it was not sent again")

    async def _unbuy(self, intent: Intent, step: lifecycle.Change, what: str) -> None:
        """Write down that this send bought nothing. A doubt that was sent again stays one, for its first send."""
        if intent.doubt is None:
            await self._record(intent, step)
        else:
            reason = f"{intent.doubt.reason or 'its first answer never came'} ({what})"
            entry = await self._record(intent, lifecycle.fall_back(self._owner, reason, at=wall_now()))
            intent.doubt = entry or intent.doubt
        intent.may_have_left = False

    async def _settle(self, intent: Intent, answer: Answer, *, claimed: bool) -> Purchase | NotPurchased:
        """Judge a complete answer and write the verdict down."""
        if not claimed:
            intent.may_have_left = True
            await self._record(intent, intent.claim())
        document = parse(answer)
        verdict, row = self._judge(document)
        match verdict:
            case Accepted():
                assert row is not None
                return await self._accept(intent, row)
            case Rejected(error=error, repeat=repeat):
                step = lifecycle.settle(lifecycle.Step.REFUSE, str(error), at=wall_now())
                await self._unbuy(intent, step, f"sent again, it was refused: HTTP {error.status}")
                return NotPurchased(error=error, repeat=repeat)
            case Unproven(reason=reason):
                raise await self._doubt(intent, reason, answer.status, document.excerpt)

    def _judge(self, document: Document) -> tuple[Verdict, Row | None]:
        """Say what the answer proves; an answer that trips the reader proves nothing."""
        try:
            row = self._dialect.read_submit(document)
            return judge_submit(document, self._dialect.read_error(document), row.id if row else None), row
        except Exception as error:
            _log.exception("the answer to a submit could not be read")
            return Unproven(reason=f"HTTP {document.status} that could not be read ({type(error).__name__})"), None

    async def _accept(self, intent: Intent, row: Row) -> Purchase:
        accepted_at_s = loop_now()
        entry = await self._note_accepted(intent, row.id)
        if entry is None:
            raise await self._doubt(intent, f"the answer names generation {row.id}, which another key bought")
        intent.may_have_left = False
        return Purchase(entry=entry, row=row, accepted_at_s=accepted_at_s)

    async def _note_accepted(self, intent: Intent, generation_id: str) -> Entry | None:
        """Write down what was bought; None when another entry holds the id."""
        key = intent.entry.key
        try:
            entry = await self._journal.change(key, lifecycle.accept(generation_id, at=wall_now()))
        except KeyConflict:
            return None
        except Exception as error:
            self._stop_buying(error, key, f"that submit {key} bought generation {generation_id}")
            entry = None
        return entry or attrs.evolve(intent.entry, phase=Phase.ACCEPTED, generation_id=generation_id)

    async def _doubt(self, intent: Intent, reason: str, status: int | None = None, excerpt: str = "") -> SubmitInDoubt:
        """Write down that nobody knows, and build the error that says so."""
        entry = await self._record(intent, lifecycle.settle(lifecycle.Step.DOUBT, reason, at=wall_now()))
        intent.may_have_left = False
        sent_at = entry.sent_at if entry is not None else wall_now()
        return SubmitInDoubt(
            key=intent.entry.key, sent_at=sent_at, reason=reason, status=status, body_excerpt=excerpt, fresh=True
        )

    async def _record(self, intent: Intent, step: lifecycle.Change) -> Entry | None:
        """Write an outcome; should that fail, the entry stays *sending*, which means a doubt later."""
        try:
            return await self._journal.change(intent.entry.key, step)
        except Exception as error:
            self._stop_buying(error, intent.entry.key, f"the outcome of submit {intent.entry.key}")
            return None

    def _stop_buying(self, error: Exception, key: str, what: str) -> None:
        self.unwritten.add(key)
        _log.error("the journal could not note %s: %s", what, error)
        self._broken = error if isinstance(error, JournalError) else JournalError(message=str(error))
