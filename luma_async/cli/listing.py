"""`luma-async list`: what the official service keeps of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.console import put_generation, put_table, shorten
from luma_async.cli.options import add_journal, add_json, add_service, open_session

if TYPE_CHECKING:
    import argparse

    from luma_async import Generation


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "List the account's generations at Luma, newest first, whoever bought them."
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many, up to 100 (default: %(default)s)")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="how many to skip (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="list all of them")
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Ask, and print."""
    async with open_session(arguments) as luma:
        if arguments.all:
            found = [generation async for generation in luma.library.all()]
        else:
            found = await luma.library.list(arguments.limit, arguments.offset)
    if arguments.json:
        for generation in found:
            put_generation(generation)
    else:
        put_table(("STATE", "GENERATION", "CREATED", "MODEL", "PROMPT"), map(_row, found))
    return 0


def _row(generation: Generation) -> tuple[str, ...]:
    created = f"{generation.created_at:%Y-%m-%d %H:%M}" if generation.created_at else ""
    state = generation.raw_state or str(generation.state)
    return state, generation.id, created, generation.model or "", shorten(generation.prompt or "")
