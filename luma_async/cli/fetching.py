"""Waiting for several generations and putting them on disk, each on its own: one failure stops no other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from luma_async._download.downloader import Downloader
from luma_async.cli.console import print_status, put_json
from luma_async.cli.options import again
from luma_async.cli.running import exit_code
from luma_async.values.errors import InvalidInput, LumaError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from luma_async import GenerationHandle, LumaSession, Outcome
    from luma_async.cli.console import Progress

_RUNNING, _SOME_FAILED = 3, 5


async def fetch_all(
    luma: LumaSession, handles: Sequence[GenerationHandle], arguments: argparse.Namespace, display: Progress
) -> int:
    """Wait for all and download each as it ends; say what it means to a shell."""
    # A slash at the end, and what resumes, mean a folder.
    may_be_file = arguments.command == "download" and not arguments.output.endswith("/")
    arguments.output = Path(arguments.output)
    to_file = may_be_file and _is_file(arguments.output, handles)
    folder = arguments.output.parent if to_file else arguments.output
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(field="--output", message=f"{folder} is not a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    if to_file:
        Downloader.check_destination(arguments.output, overwrite=arguments.overwrite)
    missing = [handle.id for handle in handles]
    codes: list[int] = []
    try:
        async for outcome in luma.as_completed(handles):
            assert outcome.handle is not None
            codes.append(await _fetch(outcome, outcome.handle, arguments))
            missing.remove(outcome.handle.id)
    except asyncio.CancelledError:
        # One may have taken its place in the very moment.
        landed = [display.on_disk[one] for one in missing if one in display.on_disk]
        display.afterwards += [f"Interrupted. On disk all the same: {path}" for path in landed]
        missing = [one for one in missing if one not in display.on_disk]
        if missing:
            words = again(arguments, "download", *missing, "--output", str(arguments.output), *_wishes(arguments))
            display.afterwards.append(
                f"Interrupted. {len(missing)} are paid and not on disk yet. To fetch them: {words}"
            )
        raise
    return summary(codes)


def _is_file(output: Path, handles: Sequence[GenerationHandle]) -> bool:
    """Whether this names the file of a single generation, and not a folder."""
    return len(handles) == 1 and bool(output.suffix) and not output.is_dir()


def _wishes(arguments: argparse.Namespace) -> list[str]:
    what = [] if arguments.what == "video" else ["--what", arguments.what]
    return [*what, *(f"--{name}" for name in ("watermark", "overwrite") if getattr(arguments, name))]


def summary(codes: Sequence[int]) -> int:
    """Say what several ends mean together: the one that they share, or that some run on, or that some failed."""
    kinds = set(codes)
    if len(kinds) > 1:
        return _RUNNING if _RUNNING in kinds else _SOME_FAILED
    return kinds.pop() if kinds else 0


async def _fetch(outcome: Outcome, handle: GenerationHandle, arguments: argparse.Namespace) -> int:
    """Put one result on disk, and say how it went."""
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
        kind = None if error is None else type(error).__name__
        told = {"id": handle.id, "key": handle.key, "path": path and str(path), "error": error and str(error)}
        put_json({**told, "kind": kind})
    elif error is None:
        print(path)
    else:
        print_status(f"luma-async: {error}")
    return exit_code(error) if error is not None else 0
