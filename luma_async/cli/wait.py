"""`luma-async wait`: wait for generations, and say how they ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async.cli.console import put_generation, put_json, say
from luma_async.cli.fetching import summary
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.running import exit_code
from luma_async.errors import LumaError
from luma_async.settings import check_timeout

if TYPE_CHECKING:
    import argparse

    from luma_async import GenerationHandle


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Wait until generations are final. Nothing is bought or downloaded."
    parser.add_argument("ids", nargs="+", metavar="GENERATION", help="their ids")
    parser.add_argument(
        "--timeout",
        type=float,
        default=86_400,
        metavar="SECONDS",
        help="stop waiting then, exit code 3 (default: a day)",
    )
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Wait for all together, and report each when it ends."""
    check_timeout(arguments.timeout)
    async with open_session(arguments) as luma, asyncio.TaskGroup() as group:
        waits = [group.create_task(_wait(luma.handle(one), arguments)) for one in arguments.ids]
    return summary([wait.result() for wait in waits])


async def _wait(handle: GenerationHandle, arguments: argparse.Namespace) -> int:
    try:
        generation = await handle.wait(timeout=arguments.timeout)
    except LumaError as error:
        if arguments.json:
            put_json({"id": handle.id, "state": handle.last and str(handle.last.state), "error": str(error)})
        else:
            say(f"luma-async: {error}")
        return exit_code(error)
    if arguments.json:
        put_generation(generation)
    else:
        print(f"{generation.id} {generation.state}")
    return 0
