"""`luma-async wait`: wait for generations, and say how they ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async.cli.console import print_status, progress, put_generation, put_json
from luma_async.cli.fetching import summary
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.running import exit_code
from luma_async.cli.services import service_of
from luma_async.values.errors import LumaError
from luma_async.values.settings import check_timeout

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
    with progress(quiet=arguments.json) as display:
        service = await service_of(arguments, arguments.ids)
        async with open_session(arguments, service=service, on_event=display.observe) as luma:
            handles = [luma.handle(one) for one in dict.fromkeys(arguments.ids)]
            try:
                async with asyncio.TaskGroup() as group:
                    waits = [group.create_task(_wait(handle, arguments)) for handle in handles]
            except ExceptionGroup as failures:
                # What cannot be printed comes out as it is, and nobody goes on waiting to print.
                raise failures.exceptions[0] from None
            except asyncio.CancelledError:
                print_status("Interrupted. What was not final runs on; run the same command again to go on waiting.")
                raise
    return summary([wait.result() for wait in waits])


async def _wait(handle: GenerationHandle, arguments: argparse.Namespace) -> int:
    try:
        generation = await handle.wait(timeout=arguments.timeout)
    except LumaError as error:
        if arguments.json:
            state = handle.last and str(handle.last.state)
            put_json({"id": handle.id, "state": state, "error": str(error), "kind": type(error).__name__})
        else:
            print_status(f"luma-async: {error}")
        return exit_code(error)
    if arguments.json:
        put_generation(generation)
    else:
        print(f"{generation.id} {generation.state}")
    return 0
