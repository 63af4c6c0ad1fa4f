"""Waiting for several generations and putting them on disk, each on its own: one failure stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.console import put_json, say
from luma_async.cli.running import exit_code
from luma_async.errors import LumaError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from luma_async import GenerationHandle, LumaSession, Outcome

_SOME_FAILED = 5


async def fetch_all(luma: LumaSession, handles: Sequence[GenerationHandle], arguments: argparse.Namespace) -> int:
    """Wait for all and download each as it ends; say what it means to a shell."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    codes = [await _fetch(outcome, arguments) async for outcome in luma.as_completed(handles)]
    return summary(codes)


def summary(codes: Sequence[int]) -> int:
    """Say what several ends mean together: the one that they share, or that some failed."""
    kinds = set(codes)
    if len(kinds) > 1:
        return _SOME_FAILED
    return kinds.pop() if kinds else 0


async def _fetch(outcome: Outcome, arguments: argparse.Namespace) -> int:
    """Put one result on disk, and say how it went."""
    handle = outcome.handle
    assert handle is not None
    error: Exception | None = outcome.error
    path = None
    if error is None:
        try:
            path = await handle.download(
                arguments.output,
                overwrite=arguments.overwrite,
                watermark="allow" if arguments.watermark else "forbid",
                what=arguments.what,
            )
        except (LumaError, OSError) as failure:
            error = failure
    if arguments.json:
        put_json({"id": handle.id, "key": handle.key, "path": path and str(path), "error": error and str(error)})
    elif error is None:
        print(path)
    else:
        say(f"luma-async: {error}")
    return exit_code(error) if error is not None else 0
