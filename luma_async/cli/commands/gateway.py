"""`luma-async gateway`: run a fake relay to develop any client against."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from luma_async.cli.output import print_line, print_status
from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from luma_async.testing import FakeGateway


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Run a fake relay for any client. Nothing is paid; it counts what would have been charged."
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="the interface to listen on (default: %(default)s)")
    parser.add_argument("--api-key", default="sk-fake", metavar="KEY", help="the key to print (default: %(default)s)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse other keys, unknown ids and invalid requests (default: accept them)",
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a video takes (default: %(default)s)")
    parser.add_argument(
        "--slots", type=int, metavar="N", help="respond 429 while N generations are running (default: no limit)"
    )
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from luma_async.testing import FakeGateway, succeeds  # noqa: PLC0415 - only this command needs a server

    gateway = FakeGateway(
        api_key=arguments.api_key,
        strict=arguments.strict,
        script=succeeds(after=_duration(arguments.seconds)),
        free_slots=arguments.slots,
        host=arguments.host,
        port=arguments.port,
        record=False,
    )
    await _start(gateway)
    print_line(f"LUMA_BASE_URL={gateway.base_url} LUMA_API_KEY={gateway.api_key}")
    print_status("The fake relay is running. Press Ctrl-C to stop it.")
    try:
        await gateway.serve_forever()
    finally:
        print_status(f"{len(gateway.charges)} charges, {sum(gateway.counts.values())} requests.")
    return 0


async def _start(gateway: FakeGateway) -> None:
    try:
        await gateway.start()
    except OSError as error:
        why = error.strerror or str(error)
    except OverflowError:
        why = "a port is a number up to 65535"
    else:
        return
    raise ConfigurationError(
        message=f"Cannot listen on {gateway.host}:{gateway.port} ({why}). --port 0 picks a free port."
    )


def _duration(seconds: float) -> float:
    return max(0.0, seconds) if math.isfinite(seconds) else 20.0
