"""`luma-async delete`: let the official service forget generations and their files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from luma_async.cli.console import print_status, put_json
from luma_async.cli.fetching import summary
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.running import exit_code
from luma_async.values.errors import InvalidInput, LumaError

if TYPE_CHECKING:
    import argparse

    from luma_async import LumaSession


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Delete generations and their files at Luma. What they cost is not given back; files on this disk stay."
    )
    parser.add_argument("ids", nargs="+", metavar="GENERATION", help="their ids")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run, prepare=_ask)


def _ask(arguments: argparse.Namespace) -> None:
    arguments.yes = arguments.yes or _agreed(arguments.ids)


async def run(arguments: argparse.Namespace) -> int:
    """Delete one after the other, if that was agreed to; one failure stops no other."""
    if not arguments.yes:
        print_status("Nothing was deleted.")
        return 1
    async with open_session(arguments) as luma:
        return summary([await _delete(luma, one, arguments) for one in dict.fromkeys(arguments.ids)])


def _agreed(ids: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise InvalidInput(field="--yes", message="is needed where nobody can be asked. Nothing was deleted.")
    print_status(f"Delete {', '.join(ids)} and their files at the service? [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _delete(luma: LumaSession, generation_id: str, arguments: argparse.Namespace) -> int:
    failure: LumaError | None = None
    try:
        await luma.library.delete(generation_id)
    except LumaError as error:
        failure = error
    if arguments.json:
        put_json({"id": generation_id, "deleted": failure is None, "error": failure and str(failure)})
    elif failure is None:
        print(generation_id)
    else:
        print_status(f"luma-async: {generation_id}: {failure}")
    return exit_code(failure) if failure is not None else 0
