"""`luma-async worker`: buy and download what is queued, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from luma_async.cli.budget import add_budget
from luma_async.cli.numbers import whole
from luma_async.cli.options import add_journal, add_private_hosts, add_service, open_session
from luma_async.cli.output import Volume, print_always, print_status
from luma_async.cli.queue import opened_queue
from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from aiohttp import web
    from procrastinate import App

    from luma_async import LumaSession

_ANSWER_S = 5.0
"""How long the database may take for a health check."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Buy and download what `luma-async enqueue` has queued. Any number of workers, on any machines, share the "
        "work; nothing is bought twice if one of them dies. The first SIGTERM or SIGINT lets it finish what it has "
        "begun; the second ends it at once."
    )
    parser.add_argument(
        "--concurrency",
        type=whole(1, 1000),
        default=20,
        metavar="N",
        help="how many submits and downloads may run at once; videos that render do not count (default: %(default)s)",
    )
    parser.add_argument(
        "--health",
        type=whole(1, 65535),
        metavar="PORT",
        help="answer GET requests at this port: 200 while it works, else 503, with JSON",
    )
    add_budget(parser)
    add_private_hosts(parser)
    add_service(parser)
    add_journal(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Work until a signal comes."""
    if not Volume.verbose:
        # It logs each failure with a traceback. Ours name the key and what to do.
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    async with opened_queue(arguments) as app, open_session(arguments) as luma:
        from luma_async.contrib.procrastinate import add_steps, run_worker  # noqa: PLC0415 - it is an extra

        add_steps(app, luma)
        health = _Health(app, luma)
        async with _served(health, arguments.health):
            worker = asyncio.create_task(run_worker(app, concurrency=arguments.concurrency), name="luma_async worker")
            print_status("The worker is running. Press Ctrl-C to stop it.")
            try:
                await asyncio.wait([worker])
            except asyncio.CancelledError:
                # A signal came.
                health.stopping = True
                _let_next_signal_end_it()
                print_always("Stopping: no further purchase begins. A second signal ends the worker at once.")
                worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
    print_status("The worker has finished what it had begun.")
    return 0


def _let_next_signal_end_it() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


class _Health:
    """Says whether a worker works."""

    def __init__(self, app: App, luma: LumaSession) -> None:
        self._app = app
        self._luma = luma
        self.stopping = False
        """Whether a signal has stopped it."""

    async def answer(self, _: web.Request) -> web.Response:
        """Answer a health check."""
        from aiohttp import web  # noqa: PLC0415 - most workers answer no health checks

        from luma_async.contrib.procrastinate import queue_counts  # noqa: PLC0415 - it needs an extra

        document: dict[str, Any] = {"status": "stopping" if self.stopping else "ok"}
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._luma.find("health")
                document |= await queue_counts(self._app)
        except Exception as error:
            document = {"status": "failing", "error": type(error).__name__}
        return web.json_response(document, status=200 if document["status"] == "ok" else 503)


@asynccontextmanager
async def _served(health: _Health, port: int | None) -> AsyncGenerator[None]:
    """Serve the health checks at a port.

    Raises:
        ConfigurationError: the port is in use.
    """
    if port is None:
        yield
        return
    from aiohttp import web  # noqa: PLC0415 - most workers answer no health checks

    server = web.Application()
    server.router.add_get("/{path:.*}", health.answer)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, port=port).start()
        except OSError as error:
            raise ConfigurationError(message=f"--health {port}: {error.strerror}.") from None
        yield
