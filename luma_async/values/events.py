"""The events that `on_event` is called with: a frozen value for each thing that happened."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async.values.errors import LumaError
from luma_async.values.log import brief, fields, logger, step
from luma_async.values.models import Generation
from luma_async.values.public import public

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@public
@attrs.frozen(kw_only=True)
class Submitted:
    """A paid submit was accepted: the money is spent, the id is known."""

    key: str
    """The key of the paid intent."""
    generation: Generation
    """The service's first answer."""


@public
@attrs.frozen(kw_only=True)
class PromptMismatch:
    """An accepted submit repeats another prompt than was sent: the service may have read no prompt. It is paid."""

    generation_id: str
    """The id of the generation."""
    key: str
    """The key of the paid intent."""
    sent: str = attrs.field(repr=False)
    """The prompt of the request."""
    returned: str = attrs.field(repr=False)
    """The prompt in the response."""


@public
@attrs.frozen(kw_only=True)
class SubmitFailed:
    """A submit ended without a generation: refused, not sent, or in doubt, as the error says."""

    key: str
    """The key of the paid intent."""
    error: LumaError
    """What the caller's `submit()` raises."""


@public
@attrs.frozen(kw_only=True)
class Retried:
    """A call failed, and will be repeated: that is safe."""

    what: str
    """The call, such as `submit` or `query`."""
    attempt: int
    """How many attempts were made so far."""
    delay_s: float
    """Seconds until the next attempt."""
    error: LumaError
    """Why."""


@public
@attrs.frozen(kw_only=True)
class Paused:
    """The service asked for fewer submits. All submits of the session wait."""

    delay_s: float
    """Seconds until the next submit."""


@public
@attrs.frozen(kw_only=True)
class Polled:
    """A status request was made, for one or more generations."""

    ids: tuple[str, ...]
    """The ids that were asked for."""
    error: LumaError | None = None
    """Why it failed; None if it did not."""


@public
@attrs.frozen(kw_only=True)
class Changed:
    """A status request showed a generation that differs from the last one seen."""

    generation: Generation
    """The generation as it is now."""


@public
@attrs.frozen(kw_only=True)
class Finished:
    """A generation reached a final state."""

    generation: Generation
    """The generation in its final state."""


@public
@attrs.frozen(kw_only=True)
class Downloading:
    """A download made progress."""

    generation_id: str
    """The id of the generation."""
    path: Path
    """The path of the complete file; until then the data is in `<path>.part`."""
    received_bytes: int
    """Bytes on disk so far."""
    total_bytes: int | None
    """Size of the complete file; None when the file server does not say."""


@public
@attrs.frozen(kw_only=True)
class Downloaded:
    """A file is complete on disk."""

    generation_id: str
    """The id of the generation."""
    path: Path
    """The path of the file."""
    size_bytes: int
    """The size of the file."""


@public
@attrs.frozen(kw_only=True)
class Uploading:
    """An upload made progress."""

    file_id: str
    """The id that the service assigned."""
    path: Path | None
    """The file; None for bytes."""
    sent_bytes: int
    """Bytes sent so far. After a broken connection it begins again."""
    total_bytes: int
    """The size of the file."""


@public
@attrs.frozen(kw_only=True)
class Uploaded:
    """A file is at the service, and can be used."""

    file_id: str
    """The id that the service assigned."""
    path: Path | None
    """The file; None for bytes."""
    size_bytes: int
    """The size of the file."""


Event: TypeAlias = (
    Uploading
    | Uploaded
    | Submitted
    | PromptMismatch
    | SubmitFailed
    | Retried
    | Paused
    | Polled
    | Changed
    | Finished
    | Downloading
    | Downloaded
)
"""Everything that `on_event` may be called with."""


class Emitter:
    """Calls `on_event`. What it raises is logged and goes no further: no event may stop what it is about."""

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event

    @property
    def listened(self) -> bool:
        """Whether there is an `on_event` or a log at DEBUG, so that an event is worth its cost."""
        return self._on_event is not None or logger.isEnabledFor(logging.DEBUG)

    def emit(self, event: Event) -> None:
        """Log an event at DEBUG, and call `on_event` with it."""
        if logger.isEnabledFor(logging.DEBUG):
            _log(event)
        if self._on_event is None:
            return
        try:
            with _outside_of_task():
                self._on_event(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        # The call does not wait, so no task is being cancelled here: the error is the callback's own.
        except BaseException:
            logger.exception("on_event raised; the event was %s", type(event).__name__, extra=fields("callback"))


def _log(event: Event) -> None:
    """Log an event, without the prompts, paths and messages in it."""
    match event:
        case Submitted(key=key, generation=generation):
            step("submitted", "the submit was accepted", key=key, generation_id=generation.id)
        case PromptMismatch():
            message = "the response repeats another prompt than was sent"
            step("prompt_mismatch", message, key=event.key, generation_id=event.generation_id)
        case SubmitFailed():
            step("submit_failed", "the submit ended without a generation (%s)", brief(event.error), key=event.key)
        case Retried():
            words = "attempt %d of a %s failed (%s); the next is in %.1f s"
            step("retried", words, event.attempt, event.what, brief(event.error), event.delay_s)
        case Paused():
            step("paused", "submits are paused for %.1f s", event.delay_s)
        case Polled(ids=ids, error=error):
            only = ids[0] if len(ids) == 1 else None
            step("polled", "asked for the state of %d (%s)", len(ids), brief(error), generation_id=only)
        case Changed(generation=generation):
            step("changed", "%s, progress %s", generation.state, generation.progress, generation_id=generation.id)
        case Finished(generation=generation):
            step("finished", "%s", generation.state, generation_id=generation.id)
        case Downloading():
            numbers = event.received_bytes, event.total_bytes
            step("downloading", "%d of %s bytes", *numbers, generation_id=event.generation_id)
        case Downloaded():
            step("downloaded", "%d bytes are complete", event.size_bytes, generation_id=event.generation_id)
        case Uploading():
            step("uploading", "file %s: %d of %d bytes", event.file_id, event.sent_bytes, event.total_bytes)
        case Uploaded():
            step("uploaded", "file %s: %d bytes are complete", event.file_id, event.size_bytes)


@contextmanager
def _outside_of_task() -> Generator[None]:
    """Leave the current task for a while: a callback that cancels the task it runs in would cancel ours."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        # No event loop is running.
        task = None
    if task is None:
        yield
        return
    loop = task.get_loop()
    # Documented in "Extending asyncio", for those who run code of several tasks in turn.
    asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - there is no other name for it
    try:
        yield
    finally:
        asyncio.tasks._enter_task(loop, task)  # noqa: SLF001 - the same
