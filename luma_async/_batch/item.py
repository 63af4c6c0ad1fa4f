"""One item of a batch: submit it or find what was submitted earlier, wait for it, download its file."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async._batch.keys import retry_key
from luma_async._batch.rules import BatchProgress, pause_after_rate_limit
from luma_async._batch.source import BatchInput
from luma_async._batch.window import Slot
from luma_async._download.links import is_picture, suffix_of
from luma_async._download.names import FILE_NAME, batch_file_name, template_fields
from luma_async._download.part_file import is_folder, is_intact
from luma_async._engine import Engine
from luma_async._submit.attempt import Purchase
from luma_async.handle import GenerationHandle, Outcome
from luma_async.values import log
from luma_async.values.entries import Phase
from luma_async.values.errors import DownloadError, InvalidInput, LumaError, RateLimited
from luma_async.values.events import Retried
from luma_async.values.settings import Unset

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from luma_async._download.validate import Medium
    from luma_async.values.models import Generation
    from luma_async.values.requests import Request

Destination: TypeAlias = "Callable[[Outcome], str | os.PathLike[str]]"
"""Returns where the file of an outcome goes: a file, or the folder for it."""


@attrs.frozen(kw_only=True)
class BatchOptions:
    """The arguments of a batch."""

    name: str
    """The batch's name."""
    timeout: float | Unset | None
    """How long to wait for each generation, seconds."""
    retry_failed: bool
    """Whether to submit again what failed in an earlier run."""
    destination: Destination | None = None
    """Where the file of an outcome goes; None for no download."""
    file_name: str = FILE_NAME
    """The template of the names of files in a folder."""


@attrs.define(eq=False, kw_only=True)
class BatchItem:
    """One item, and how far it has come."""

    input: BatchInput
    """What to submit."""
    key: str
    """The key under which it is submitted."""
    slot: Slot
    """Its share of `max_in_flight`."""
    task: asyncio.Task[Outcome | None] = attrs.field(init=False)
    """The task that runs it."""
    turn: asyncio.Future[None] | None = None
    """Resolved when it has a slot again after a 429; None while it has one."""
    purchase: Purchase | None = None
    """What its submit purchased, now or in an earlier run."""
    error: LumaError | None = None
    """Why its submit purchased nothing."""
    stopped: bool = False
    """Whether it must not submit again."""


class RequeuedItems:
    """Items that met a 429 and wait for another slot, first come first served."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._waiting: deque[BatchItem] = deque()
        self._changed = changed

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self, item: BatchItem) -> None:
        """Wait for a slot; a stopped item is cancelled instead."""
        item.turn = asyncio.get_running_loop().create_future()
        if item.stopped:
            item.task.cancel()
        else:
            self._waiting.append(item)
            self._changed.set()
        await item.turn
        item.turn = None

    def resume_next(self) -> None:
        """Give a slot to the first item, unless it was cancelled meanwhile."""
        item = self._waiting.popleft()
        if item.turn is not None and not item.turn.done():
            item.slot.acquire()
            item.turn.set_result(None)


@attrs.frozen(kw_only=True)
class BatchRun:
    """What the items of one batch share."""

    engine: Engine
    """The session's engine."""
    options: BatchOptions
    """The arguments of the batch."""
    progress: BatchProgress
    """The counts of the batch."""
    requeued: RequeuedItems
    """The items that wait after a 429."""


async def submit_item(item: BatchItem, run: BatchRun) -> None:
    """Submit an item, or find what was submitted: `item.purchase`. A failure is a value: `item.error`."""
    item.error = item.input.error
    if item.input.request is None:
        return
    try:
        item.purchase = await _purchase(item, item.input.request, run)
    except LumaError as failure:
        item.error = failure
    else:
        run.progress.purchased(now=item.purchase.accepted_at_s is not None)


async def finish_item(item: BatchItem, run: BatchRun) -> Outcome:
    """Wait for a submitted item, and download its file.

    Returns:
        How it ended; a failure is a value.
    """
    handle = generation = path = None
    error = item.error
    try:
        if item.purchase is not None:
            handle = GenerationHandle(run.engine.track(item.purchase), run.engine)
            generation = await handle.wait(timeout=run.options.timeout)
            item.slot.completed()
            if run.options.destination is not None:
                path = await _download(item, handle, generation, run)
    except LumaError as failure:
        error = failure
    bought = None if handle is None else handle.id
    log.step("batch_item", "item %d ended (%s)", item.input.index, log.brief(error), key=item.key, generation_id=bought)
    return Outcome(
        index=item.input.index,
        key=item.key or None,
        request=item.input.request,
        generation=generation,
        error=error,
        handle=handle,
        path=path,
    )


async def _purchase(item: BatchItem, request: Request, run: BatchRun) -> Purchase:
    """Submit once, or find what was submitted. What failed in an earlier run may have been submitted again since.

    A 429 releases the slot. Nothing of the purchase is under way while the item waits for another slot, so that
    another caller with the same key can submit it.
    """
    number = 1
    while True:
        try:
            purchase = await run.engine.submitter.submit(request, key=item.key, yield_on_429=True)
        except RateLimited as error:
            _release_slot(item, error, run.engine)
            await run.requeued.wait(item)
            continue
        if purchase.accepted_at_s is not None or purchase.entry.phase is not Phase.FAILED:
            break
        number += 1
        next_key = retry_key(item.input.key, number)
        known = await run.engine.journal.get(next_key)
        if item.stopped or (known is None and not run.options.retry_failed):
            break
        item.key = next_key
    if purchase.accepted_at_s is not None or purchase.entry.phase is Phase.ACCEPTED:
        item.slot.accepted(now=purchase.accepted_at_s is not None)
    return purchase


def _release_slot(item: BatchItem, error: RateLimited, engine: Engine) -> None:
    """Release the slot, and pause all submits of the session for a while."""
    number = item.slot.rate_limited()
    delay_s = pause_after_rate_limit(number, error, policy=engine.config.retry, jitter=random.random())  # noqa: S311 - jitter
    engine.events.emit(Retried(what="submit", attempt=number, delay_s=delay_s, error=error))
    engine.submitter.slow_down(error, delay_s)


async def _download(item: BatchItem, handle: GenerationHandle, generation: Generation, run: BatchRun) -> Path:
    """Download the file, unless it is on disk and undamaged."""
    assert item.purchase is not None
    recorded = item.purchase.entry.path
    outcome = Outcome(
        index=item.input.index, key=item.key, request=item.input.request, generation=generation, handle=handle
    )
    path, has_id = _path_for(outcome, generation, run.options)
    # A name with the id in it is ours, even if the process was killed before the journal recorded the file.
    ours = [*([] if recorded is None else [Path(recorded)]), *([path] if has_id else [])]
    medium: Medium = "picture" if is_picture(generation, "video") else "mp4"
    for existing in ours:
        if await is_intact(existing, medium):
            if recorded is None:
                run.engine.recorder.downloaded(generation.id, existing.absolute())
            return existing
    try:
        # A damaged file of ours may be replaced; no other file is.
        return await handle.download(path, overwrite=path.absolute() in [existing.absolute() for existing in ours])
    except InvalidInput as failure:
        # The generation is paid, so an existing file is not an error of the arguments here.
        trouble = DownloadError(message=failure.message, generation_id=generation.id, path=path)
    raise trouble


def _path_for(outcome: Outcome, generation: Generation, options: BatchOptions) -> tuple[Path, bool]:
    """Call the user's function; an exception of it fails this item and no other."""
    assert options.destination is not None
    try:
        return _file_in(outcome, generation, options.destination(outcome), options.file_name)
    except Exception as failure:  # whatever the user's own function raises
        trouble = DownloadError(message=f"No destination for the file: {failure}.", generation_id=generation.id)
    raise trouble


def _file_in(
    outcome: Outcome, generation: Generation, target: str | os.PathLike[str], file_name: str
) -> tuple[Path, bool]:
    """Return the file for an outcome, and whether its name contains the id, so that it cannot be another's."""
    if not is_folder(target):
        return Path(target), False
    name = batch_file_name(
        file_name,
        index=outcome.index,
        prompt=getattr(outcome.request, "prompt", None) or "",
        generation_id=generation.id,
        extension=suffix_of(generation, "video").removeprefix("."),
    )
    return Path(target) / name, "id" in template_fields(file_name)
