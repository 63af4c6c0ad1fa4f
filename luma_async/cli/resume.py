"""`luma-async resume`: wait for everything that is paid and unfinished, and put it on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luma_async.cli.console import put_json, say
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.services import only_service
from luma_async.errors import LumaError

if TYPE_CHECKING:
    import argparse

    from luma_async import Outcome

_SOME_FAILED = 5


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Wait for every generation that the journal knows as paid and unfinished, and download it."
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="where the files go")
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Wait and download, each on its own; one failure stops no other."""
    failed = 0
    async with open_session(arguments, base_url=await only_service(arguments)) as luma:
        handles = await luma.resume()
        say(f"{len(handles)} paid and unfinished.")
        arguments.output.mkdir(parents=True, exist_ok=True)
        async for outcome in luma.as_completed(handles):
            failed += not await _fetch(outcome, arguments)
        doubts = await luma.doubts.list()
    if doubts:
        say(f"{len(doubts)} in doubt: see `luma-async in-doubt`.")
    return _SOME_FAILED if failed else 0


async def _fetch(outcome: Outcome, arguments: argparse.Namespace) -> bool:
    """Put one result on disk, and say how it went."""
    handle = outcome.handle
    assert handle is not None
    error: Exception | None = outcome.error
    path = None
    if error is None:
        try:
            path = await handle.download(arguments.output)
        except (LumaError, OSError) as failure:
            error = failure
    if arguments.json:
        put_json({"id": handle.id, "key": handle.key, "path": path and str(path), "error": error and str(error)})
    elif error is None:
        print(path)
    else:
        say(f"luma-async: {error}")
    return error is None
