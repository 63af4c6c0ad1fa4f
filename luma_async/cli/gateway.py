"""`luma-async gateway`: a fake relay to develop any client against."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from luma_async.cli.console import print_status
from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from luma_async.testing import FakeGateway


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Run a fake relay that any client can be pointed at. Nothing is paid; charges are counted."
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="the interface to listen on (default: %(default)s)")
    parser.add_argument("--api-key", default="sk-fake", metavar="KEY", help="what it accepts (default: %(default)s)")
    parser.add_argument(
        "--strict", action="store_true", help="refuse other keys, unknown ids and bad prompts (default: be easy)"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a video takes (default: %(default)s)")
    parser.add_argument("--slots", type=int, metavar="N", help="answer 429 above this many at once")
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
    print(f"LUMA_BASE_URL={gateway.base_url} LUMA_API_KEY={gateway.api_key}", flush=True)
    print_status("A fake relay is running; Ctrl-C stops it.")
    try:
        await gateway.serve_forever()
    finally:
        print_status(f"{len(gateway.charges)} charges, {sum(gateway.counts.values())} requests.")
    return 0


async def _start(gateway: FakeGateway) -> None:
    try:
        await gateway.start()
    except (OSError, OverflowError) as error:
        trouble = getattr(error, "strerror", None) or str(error)
    else:
        return
    where = f"{gateway.host}:{gateway.port}"
    raise ConfigurationError(message=f"{where} cannot be listened on ({trouble}): --port 0 takes a free one.")


def _duration(seconds: float) -> float:
    return max(0.0, seconds) if math.isfinite(seconds) else 20.0
