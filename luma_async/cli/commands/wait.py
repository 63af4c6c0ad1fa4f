"""`luma-async wait`: wait for generations and print how they ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async.cli.errors import error_text, exit_code
from luma_async.cli.journal import service_of
from luma_async.cli.options import add_common, add_timeout, open_session
from luma_async.cli.output import print_always, print_error, print_generation, print_json, print_line
from luma_async.cli.progress import progress
from luma_async.cli.purchase import combined_exit_code
from luma_async.values.errors import LumaError

if TYPE_CHECKING:
    import argparse

    from luma_async import GenerationHandle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Wait until generations are final. This buys and downloads nothing."
    parser.add_argument("ids", nargs="+", metavar="GENERATION", help="the ids of the generations")
    add_timeout(parser, "stop waiting after this time, with exit code 3")
    add_common(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Wait for all at once, and print each when it ends."""
    with progress(quiet=arguments.json) as display:
        service = await service_of(arguments, arguments.ids)
        async with open_session(arguments, service=service, on_event=display.observe) as luma:
            handles = [luma.handle(generation_id) for generation_id in dict.fromkeys(arguments.ids)]
            try:
                async with asyncio.TaskGroup() as group:
                    waits = [group.create_task(_wait(handle, arguments)) for handle in handles]
            except ExceptionGroup as failures:
                # Only printing can fail, because stdout is closed: the first failure ends the command.
                raise failures.exceptions[0] from None
            except asyncio.CancelledError:
                print_always("Interrupted. Unfinished generations keep running. To go on, run the same command again.")
                raise
    return combined_exit_code([wait.result() for wait in waits])


async def _wait(handle: GenerationHandle, arguments: argparse.Namespace) -> int:
    try:
        generation = await handle.wait(timeout=arguments.timeout)
    except LumaError as error:
        text = error_text(error, arguments, generation_id=handle.id)
        if arguments.json:
            state = handle.last and str(handle.last.state)
            print_json({"id": handle.id, "state": state, "error": text, "kind": type(error).__name__})
        else:
            print_error(text)
        return exit_code(error)
    if arguments.json:
        print_generation(generation)
    else:
        print_line(f"{generation.id} {generation.state}")
    return 0
