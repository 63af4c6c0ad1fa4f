"""`luma-async delete`: delete generations and their files at the service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from luma_async.cli.errors import error_text, exit_code
from luma_async.cli.options import add_common, open_session
from luma_async.cli.output import print_always, print_error, print_json, print_line, print_status
from luma_async.cli.purchase import combined_exit_code
from luma_async.values.errors import InvalidInput, LumaError
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    import argparse

    from luma_async import LumaSession


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Delete generations and their files at Luma. Their price is not refunded. Files on this disk are kept."
    )
    parser.add_argument("ids", nargs="+", metavar="GENERATION", help="the ids of the generations")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    add_common(parser)
    parser.set_defaults(run=run, prepare=_confirm)


def _confirm(arguments: argparse.Namespace) -> None:
    for generation_id in arguments.ids:
        check_id(generation_id, "GENERATION")
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(field="--yes", message="is required when stdin is not a terminal. Nothing was deleted.")
    print_always(f"Delete {', '.join(arguments.ids)} and their files at the service? [y/N]")
    arguments.yes = sys.stdin.readline().strip().lower() in {"y", "yes"}


async def run(arguments: argparse.Namespace) -> int:
    """Delete each in turn, if confirmed; one failure stops no other."""
    if not arguments.yes:
        print_status("Nothing was deleted.")
        return 1
    async with open_session(arguments) as luma:
        ids = dict.fromkeys(arguments.ids)
        return combined_exit_code([await _delete(luma, generation_id, arguments) for generation_id in ids])


async def _delete(luma: LumaSession, generation_id: str, arguments: argparse.Namespace) -> int:
    failure: LumaError | None = None
    try:
        await luma.library.delete(generation_id)
    except LumaError as error:
        failure = error
    text = failure and error_text(failure, arguments, generation_id=generation_id)
    if arguments.json:
        print_json({"id": generation_id, "deleted": failure is None, "error": text})
    elif failure is None:
        print_line(generation_id)
    else:
        print_error(text or "")
    return exit_code(failure) if failure is not None else 0
