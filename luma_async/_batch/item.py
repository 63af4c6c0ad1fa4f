"""One item of a batch on its way: bought or found, awaited, and put on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

from luma_async._batch.rules import pause_after_refusal, retry_key
from luma_async._batch.source import Item
from luma_async._batch.window import Slot
from luma_async._download.links import is_picture, suffix_of
from luma_async._download.names import render
from luma_async._submit.attempt import Purchase
from luma_async.handle import GenerationHandle, Outcome
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import DownloadError, InvalidInput, LumaError, RateLimited
from luma_async.values.events import Event, Retried
from luma_async.values.requests import Request
from luma_async.values.settings import RetryPolicy, Unset

if TYPE_CHECKING:
    import os

    from luma_async._download.validate import Medium
    from luma_async.values.models import Generation

Destination: TypeAlias = "Callable[[Outcome], str | os.PathLike[str]]"
"""Says where the file of an outcome goes: a file, or the folder for it."""

FILE_NAME = "{index:04d}-{slug}-{id}.{ext}"
"""What files are called: in the order of the input, by their prompt, and each by its own name."""


class Buy(Protocol):
    """Buys what a request says."""

    async def __call__(self, request: Request, *, key: str, yield_on_429: bool) -> Purchase:
        """Return what was bought, now or earlier; a 429 may come out at once."""
        ...


class IsWhole(Protocol):
    """Looks at a finished file."""

    async def __call__(self, path: Path, medium: Medium) -> bool:
        """Whether it is there, and undamaged."""
        ...


@attrs.frozen(kw_only=True)
class Deeds:
    """What a batch can have done for it; a session is behind them."""

    buy: Buy
    """Buys, once for each key."""
    handle: Callable[[Purchase], GenerationHandle]
    """Makes the handle of what was bought."""
    find: Callable[[str], Awaitable[Entry | None]]
    """Looks a key up in the journal."""
    check: Callable[[Request], object]
    """Raises when the service's format cannot carry a request."""
    unsent: Callable[[str], bool]
    """Says whether cancelling the purchase of a key would still withdraw it."""
    no_more_attempts: Callable[[str], None]
    """Keeps the purchase of a key that has left from being sent again."""
    pause: Callable[[float], None]
    """Keeps all submits of the session back for so many seconds."""
    is_intact: IsWhole
    """Looks at a file that the journal knows."""
    note: Callable[[str, Path], None]
    """Notes in the journal where the file of a generation is."""
    requests: Callable[[], int]
    """Counts the requests of the session."""
    retry: RetryPolicy
    """Bounds the pauses after a 429."""
    random: Callable[[], float]
    """Numbers from 0 to 1."""
    emit: Callable[[Event], None]
    """Is told of each 429."""


@attrs.frozen(kw_only=True)
class BatchOptions:
    """What a batch was told."""

    name: str
    """What it is called."""
    timeout: float | Unset | None
    """How long to wait for each, seconds."""
    retry_failed: bool
    """Whether to buy again what failed in an earlier run."""
    place: Destination | None = None
    """Where the file of an outcome goes; None for nowhere."""


@attrs.define(eq=False, kw_only=True)
class BatchItem:
    """An item, and how far it has come."""

    item: Item
    """What is wanted."""
    key: str
    """The key under which it is being bought."""
    seat: Slot
    """Its place among those in flight."""
    task: asyncio.Task[Outcome | None] = attrs.field(init=False)
    """What carries it out."""
    turn: asyncio.Future[None] | None = None
    """What it waits for after a 429; None while it has a seat."""
    bought: Purchase | None = None
    """What its purchase ended in."""
    stopped: bool = False
    """Whether nothing more is to be bought for it."""


async def run_item(
    errand: BatchItem,
    *,
    terms: BatchOptions,
    deeds: Deeds,
    queue: Callable[[BatchItem], Awaitable[None]],
    note: Callable[[], None],
) -> Outcome:
    """Buy, wait and download.

    Args:
        errand: what to do.
        terms: the batch's.
        deeds: the session's.
        queue: waits for a place after a 429.
        note: is called once the item is bought.

    Returns:
        How it ended; a failure is a value.
    """
    item = errand.item
    handle = generation = path = None
    error: LumaError | None = item.fault
    try:
        if item.request is not None:
            errand.bought = await _buy(errand, item.request, terms, deeds, queue)
            note()
            handle = deeds.handle(errand.bought)
            generation = await handle.wait(timeout=terms.timeout)
            errand.seat.finished()
            if terms.place is not None:
                path = await _download(errand, handle, generation, terms.place, deeds)
    except LumaError as failure:
        error = failure
    return Outcome(
        index=item.index,
        key=errand.key or None,
        request=item.request,
        generation=generation,
        error=error,
        handle=handle,
        path=path,
    )


async def _buy(
    errand: BatchItem,
    request: Request,
    terms: BatchOptions,
    deeds: Deeds,
    queue: Callable[[BatchItem], Awaitable[None]],
) -> Purchase:
    """Buy once, or find what was bought; what failed in an earlier run may have been bought again since.

    A 429 gives the seat back: nothing of the purchase is under way while it waits for another, so that whoever wants
    the same can have it made.
    """
    number = 1
    while True:
        try:
            bought = await deeds.buy(request, key=errand.key, yield_on_429=True)
        except RateLimited as error:
            _step_back(errand, error, deeds)
            await queue(errand)
            continue
        if bought.accepted_at_s is not None or bought.entry.phase is not Phase.FAILED:
            break
        number += 1
        again = retry_key(errand.item.key, number)
        known = await deeds.find(again)
        if errand.stopped or (known is None and not terms.retry_failed):
            break
        errand.key = again
    if bought.accepted_at_s is not None or bought.entry.phase is Phase.ACCEPTED:
        errand.seat.accepted(now=bought.accepted_at_s is not None)
    return bought


def _step_back(errand: BatchItem, error: RateLimited, deeds: Deeds) -> None:
    """Give the seat back, and keep all submits of the session back for a while."""
    number = errand.seat.refused()
    delay_s = pause_after_refusal(number, error, policy=deeds.retry, jitter=deeds.random())
    deeds.emit(Retried(what="submit", attempt=number, delay_s=delay_s, error=error))
    deeds.pause(delay_s)


async def _download(
    errand: BatchItem, handle: GenerationHandle, generation: Generation, place: Destination, deeds: Deeds
) -> Path:
    """Put the file on disk, unless it is there whole."""
    assert errand.bought is not None
    item, noted = errand.item, errand.bought.entry.path
    outcome = Outcome(index=item.index, key=errand.key, request=item.request, generation=generation, handle=handle)
    path, named = _place_for(outcome, generation, place)
    # An id in the name tells whose it is, even if the program was killed before the journal knew.
    ours = [*([] if noted is None else [Path(noted)]), *([path] if named else [])]
    medium: Medium = "picture" if is_picture(generation, "video") else "mp4"
    for standing in ours:
        if await deeds.is_intact(standing, medium):
            if noted is None:
                deeds.note(generation.id, standing.absolute())
            return standing
    try:
        # What is ours and damaged may be replaced; anything else never is.
        return await handle.download(path, overwrite=path.absolute() in [standing.absolute() for standing in ours])
    except InvalidInput as failure:
        # What is in the way is no mistake of the call, which has paid.
        trouble = DownloadError(message=str(failure), generation_id=generation.id, path=path)
    except OSError as failure:
        trouble = DownloadError(message=f"{failure}.", generation_id=generation.id, path=path)
    raise trouble


def _place_for(outcome: Outcome, generation: Generation, place: Destination) -> tuple[Path, bool]:
    """Ask where the file goes; a place that cannot be is the item's failure, and no other's."""
    try:
        return _file_of(outcome, generation, Path(place(outcome)))
    except (OSError, ValueError) as failure:
        trouble = DownloadError(message=f"Its file has no place: {failure}.", generation_id=generation.id)
    raise trouble


def _file_of(outcome: Outcome, generation: Generation, target: Path) -> tuple[Path, bool]:
    """Return the file for an outcome, and whether we named it: in a folder we do."""
    if not target.is_dir():
        return target, False
    name = render(
        FILE_NAME,
        index=outcome.index,
        prompt=getattr(outcome.request, "prompt", None) or "",
        generation_id=generation.id,
        extension=suffix_of(generation, "video").removeprefix("."),
    )
    return target / name, True
