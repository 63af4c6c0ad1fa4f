"""`luma-async mcp`: serve the tools for agents, over standard input and output or over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from luma_async.cli.budget import add_budget
from luma_async.cli.numbers import whole
from luma_async.cli.options import add_journal, add_private_hosts, add_service, open_session
from luma_async.cli.output import print_line, print_status
from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine
    from typing import BinaryIO

_HOST = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Serve tools for agents as an MCP server: submit, wait, status, download, list. A spending limit is required."
    )
    parser.add_argument("folder", help="the only folder to which files are downloaded; it is created")
    parser.add_argument(
        "--http",
        type=whole(0, 65_535),
        metavar="PORT",
        help="serve HTTP on this machine instead of standard input and output; 0 picks a free port",
    )
    parser.add_argument("--confirm", action="store_true", help="ask a person before each purchase, in the MCP client")
    add_budget(parser)
    add_service(parser)
    add_journal(parser)
    add_private_hosts(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until the client has ended, or until interrupted."""
    from luma_async.contrib.mcp import mcp_server  # noqa: PLC0415 - an extra, which takes a second to load

    options: dict[str, Any] = {"show_banner": False, "log_level": "WARNING"}
    async with open_session(arguments) as luma:
        server = await mcp_server(luma, arguments.folder, confirm=arguments.confirm)
        if arguments.http is None:
            await _end_with_input(server.run_async("stdio", **options))
            return 0
        with _listen(arguments.http) as listener:
            print_line(f"http://{_HOST}:{listener.getsockname()[1]}/mcp")
            print_status("The MCP server is running. Press Ctrl-C to stop it.")
            # Web pages must not reach it (DNS rebinding). Only questions to a person need sessions.
            options |= {"host": _HOST, "sockets": [listener], "host_origin_protection": True}
            await server.run_async("http", stateless_http=not arguments.confirm, **options)
    return 0


async def _end_with_input(serving: Coroutine[Any, Any, None]) -> None:
    """Serve until the input ends; if this is cancelled, end the input, which ends the server in order.

    The server reads its input in a thread that nothing can interrupt, so it gets a pipe that can be closed here.
    """
    source, sink = os.pipe()
    real = os.dup(0)
    os.dup2(source, 0)
    os.close(source)
    pipe = open(sink, "wb", buffering=0)  # noqa: ASYNC230, PTH123, SIM115 - a file descriptor, closed below
    threading.Thread(target=_copy, args=(real, pipe), daemon=True).start()
    server = asyncio.ensure_future(serving)
    try:
        await asyncio.wait([server])
    finally:
        pipe.close()
        await server


def _copy(real: int, pipe: BinaryIO) -> None:
    with suppress(OSError, ValueError), pipe:
        while data := os.read(real, 65_536):
            pipe.write(data)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        why = error.strerror or str(error)
    raise ConfigurationError(message=f"Cannot listen on {_HOST}:{port} ({why}). --http 0 picks a free port.")
