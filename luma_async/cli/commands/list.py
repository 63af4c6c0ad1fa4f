"""`luma-async list`: list the generations that the service keeps for the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.numbers import whole
from luma_async.cli.options import add_common, open_session
from luma_async.cli.output import print_generation, print_status, print_table, shorten

if TYPE_CHECKING:
    import argparse

    from luma_async import Generation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "List all generations of the account at Luma, newest first, also those of other programs."
    parser.add_argument(
        "--limit", type=whole(1, 100), default=20, metavar="N", help="how many, up to 100 (default: %(default)s)"
    )
    parser.add_argument(
        "--offset", type=whole(0), default=0, metavar="N", help="how many to skip (default: %(default)s)"
    )
    parser.add_argument("--all", action="store_true", help="list all of them")
    add_common(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Fetch and print."""
    async with open_session(arguments) as luma:
        if arguments.all:
            found = [generation async for generation in luma.library.all()]
        else:
            found = await luma.library.list(arguments.limit, arguments.offset)
    if arguments.json:
        for generation in found:
            print_generation(generation)
    elif not found:
        print_status("The service lists no generations.")
    else:
        print_table(("STATE", "GENERATION", "CREATED", "MODEL", "PROMPT"), map(_row, found))
    return 0


def _row(generation: Generation) -> tuple[str, ...]:
    created = f"{generation.created_at:%Y-%m-%d %H:%M}" if generation.created_at else ""
    state = generation.raw_state or str(generation.state)
    return state, generation.id, created, generation.model or "", shorten(generation.prompt or "")
