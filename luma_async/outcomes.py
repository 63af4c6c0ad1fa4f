"""How one of many ended, and waiting for many at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from luma_async._aio.tasks import OwnedTasks
from luma_async.handle import GenerationHandle
from luma_async.values.errors import InvalidInput, LumaError
from luma_async.values.html import figure
from luma_async.values.models import Generation
from luma_async.values.requests import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence


@attrs.frozen(kw_only=True)
class Outcome:
    """How one of many ended: with a completed generation, or with the error that says why not."""

    index: int
    """Its place in the input, from 0."""
    key: str | None = None
    """The key of the paid intent."""
    request: Request | None = None
    """What was wanted; None where only a handle was given."""
    generation: Generation | None = None
    """The completed generation."""
    error: LumaError | None = None
    """Why there is none."""
    handle: GenerationHandle | None = attrs.field(default=None, eq=False)
    """The live handle, once it was accepted."""
    path: Path | None = None
    """The file, where a batch was told to download."""

    def _repr_html_(self) -> str:
        """Show the generation in a notebook, or what was wanted and why there is none."""
        if self.generation is not None:
            return self.generation._repr_html_()  # pyright: ignore[reportPrivateUsage] - notebooks chose the name
        prompt = getattr(self.request, "prompt", None)
        return figure(state=type(self.error).__name__, prompt=prompt or "", reason=str(self.error))


def as_completed(handles: Iterable[GenerationHandle]) -> AsyncIterator[Outcome]:
    """Yield the outcome of each handle as it ends; see `session.as_completed()`."""
    waited_for: list[GenerationHandle] = []
    for handle in handles:
        _check_handle(handle)
        waited_for.append(handle)
    return _outwait_all(waited_for)


def _check_handle(handle: object) -> None:
    if not isinstance(handle, GenerationHandle):
        raise InvalidInput(field="handles", message="must be handles; session.handle(id) makes one of an id.")


async def _outwait_all(handles: Sequence[GenerationHandle]) -> AsyncIterator[Outcome]:
    tasks = OwnedTasks()
    waiting = [
        tasks.start(_outwait(index, handle), name="luma_async as_completed") for index, handle in enumerate(handles)
    ]
    try:
        for ended in asyncio.as_completed(waiting):
            yield await ended
    finally:
        await tasks.cancel()


async def _outwait(index: int, handle: GenerationHandle) -> Outcome:
    generation = error = None
    try:
        generation = await handle.wait()
    except LumaError as failure:
        error = failure
    return Outcome(index=index, key=handle.key, generation=generation, error=error, handle=handle)
