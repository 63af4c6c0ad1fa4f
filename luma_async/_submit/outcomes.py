"""Writing the outcomes of submits, and writing them again while the journal fails.

A disk is full for a while, and another program may lock the file. An outcome that could not be written then is kept,
and written again with pauses while the session is open, and once more when it closes. Until all are written, nothing
further is claimed: what is bought then could not be recorded either.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import OwnedTasks
from luma_async._journal.lifecycle import Change
from luma_async.values import log
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import JournalError, KeyConflict

if TYPE_CHECKING:
    from collections.abc import Collection

    from luma_async._journal.protocol import Journal

_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 10.0
"""The pauses between attempts to write: a locked file is soon free, a full disk takes a person."""


@attrs.frozen(kw_only=True, eq=False)
class UnwrittenOutcome:
    """An outcome that the journal does not have."""

    key: str
    """The key of the submit."""
    step: Change
    """The step that records it."""
    what: str
    """What happened, for the log."""


class OutcomeWriter:
    """Writes the outcomes of one session, and keeps those that could not be written."""

    def __init__(self, journal: Journal, owner: str) -> None:
        self._journal = journal
        self._owner = owner
        self._kept: list[UnwrittenOutcome] = []
        self._error: Exception | None = None
        self._tasks = OwnedTasks()
        self._closing = False

    @property
    def unwritten(self) -> Collection[str]:
        """The keys whose outcome is kept. The journal says *sending*, but no request is on its way."""
        return {outcome.key for outcome in self._kept}

    def check(self) -> None:
        """Raise JournalError while an outcome is kept."""
        if self._kept:
            why = getattr(self._error, "message", "") or str(self._error or "it was interrupted")
            raise JournalError(
                message=f"an earlier outcome could not be written ({why.rstrip('.')}), so nothing further is sent. "
                "Fix the journal: the outcome is written again every few seconds, and then you can submit again.",
                path=getattr(self._error, "path", None),
            )

    async def write(self, key: str, step: Change, what: str) -> Entry | None:
        """Write an outcome, or keep it when that fails.

        Returns:
            The entry; None if the outcome is kept.

        Raises:
            KeyConflict: the journal holds another outcome. It stays.

        Cancellation:
            The outcome is kept: it may not have been written.
        """
        outcome = UnwrittenOutcome(key=key, step=step, what=what)
        try:
            # Steps of one key are written in their order.
            if key not in self.unwritten:
                entry = await self._journal.change(key, step)
                log.step("note", "the outcome of the submit is in the journal", key=key)
                return entry
        except asyncio.CancelledError:
            self.keep(outcome)
            raise
        except KeyConflict:
            raise
        except Exception as error:
            self._error = error
            log.logger.error("the journal could not record %s: %s", what, error, extra=log.fields("note", key=key))
        self.keep(outcome)
        return None

    def keep(self, outcome: UnwrittenOutcome) -> None:
        """Keep an outcome, to be written later."""
        self._kept.append(outcome)
        if not self._tasks and not self._closing:
            self._tasks.start(self._write_later(), name="luma_async unwritten outcomes")

    async def aclose(self, timeout_s: float) -> None:
        """Write what is kept once more, for up to `timeout_s` seconds; log what is still not written."""
        self._closing = True
        await self._tasks.cancel()
        try:
            async with asyncio.timeout(timeout_s):
                await self._write_kept()
        except TimeoutError as error:
            self._error = error
        finally:
            for outcome in self._kept:
                extra = log.fields("note", key=outcome.key)
                log.logger.error(
                    "the journal has no record of %s: it is in doubt (%s)", outcome.what, self._error, extra=extra
                )

    async def _write_later(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._kept:
            await asyncio.sleep(pause_s)
            await self._write_kept()
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    async def _write_kept(self) -> None:
        # All at once: one that can never be written must not keep the others from being written.
        async with asyncio.TaskGroup() as group:
            for outcome in list(self._kept):
                group.create_task(self._write_again(outcome))

    async def _write_again(self, outcome: UnwrittenOutcome) -> None:
        try:
            await self._journal.change(outcome.key, unless_claimed_since(outcome.step, self._owner))
        except KeyConflict as conflict:
            # A person settled it meanwhile, or a call that was cancelled has written it.
            extra = log.fields("note", key=outcome.key)
            log.logger.warning("the journal does not need %s: %s", outcome.what, conflict, extra=extra)
        except Exception as error:
            self._error = error
            return
        else:
            log.logger.warning(
                "the journal has now recorded %s", outcome.what, extra=log.fields("note", key=outcome.key)
            )
        self._kept.remove(outcome)


def unless_claimed_since(step: Change, owner: str) -> Change:
    """Return a step that leaves the claim of another session alone: it may have followed an outcome of ours."""

    def change(standing: Entry | None) -> Entry | None:
        if standing is not None and standing.phase is Phase.SENDING and standing.owner != owner:
            return standing
        return step(standing)

    return change
