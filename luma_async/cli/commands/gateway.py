"""`luma-async gateway`: run a fake relay to develop any client against."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from luma_async.cli.numbers import seconds, whole
from luma_async.cli.output import print_line, print_status
from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async.testing import FakeGateway, Fault, Script, ScriptChoice
    from luma_async.testing.exchange import Seen

_SCRIPTS = "succeeds, fails, stalls, rejects, watermarked_only, completes_without_link"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run a fake relay, Dream Machine API and Agents API for any client. Nothing is paid; it counts what would have "
        "been charged."
    )
    parser.add_argument(
        "--port", type=whole(0, 65_535), default=8080, help="0 picks a free port (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the interface to listen on (default: %(default)s)")
    parser.add_argument("--api-key", default="sk-fake", metavar="KEY", help="the key to print (default: %(default)s)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse other keys, unknown ids and invalid requests (default: accept them)",
    )
    parser.add_argument("--seconds", type=seconds, default=20.0, help="how long a video takes (default: %(default)s)")
    parser.add_argument(
        "--slots", type=whole(0), metavar="N", help="respond 429 while N generations are running (default: no limit)"
    )
    parser.add_argument("--prefix", default="", metavar="PATH", help="a path in front of every route, such as /pro")
    parser.add_argument(
        "--script",
        default="succeeds",
        metavar="NAME",
        help=f"what becomes of each submit: {_SCRIPTS} (default: %(default)s)",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[:KIND[:TIMES]]",
        help="make the next requests of a kind go wrong, for example drop_after_reading:submit:1, which leaves a "
        "submit in doubt; TIMES may be `always`; may be given several times",
    )
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from luma_async.testing import FakeGateway  # noqa: PLC0415 - only this command needs a server

    gateway = FakeGateway(
        api_key=arguments.api_key,
        strict=arguments.strict,
        script=_script(arguments.script, arguments.seconds),
        free_slots=arguments.slots,
        host=arguments.host,
        port=arguments.port,
        prefix=arguments.prefix,
        on_request=_print_request,
        record=False,
    )
    for text in arguments.fault:
        _inject(gateway, text)
    await _start(gateway)
    print_line(f"LUMA_BASE_URL={gateway.base_url} LUMA_API_KEY={gateway.api_key}")
    print_line(f"LUMA_BASE_URL={gateway.agents_url} LUMA_AGENTS_API_KEY={gateway.api_key}")
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
    else:
        return
    raise ConfigurationError(
        message=f"Cannot listen on {gateway.host}:{gateway.port} ({why}). --port 0 picks a free port."
    )


def _script(name: str, duration_s: float) -> ScriptChoice:
    """Return the script of a name with the duration of `--seconds`; the scenes take turns."""
    from luma_async import testing  # noqa: PLC0415 - as above

    if name not in _SCRIPTS.split(", "):
        raise ConfigurationError(message=f"--script: {name!r} is not a script. The scripts are {_SCRIPTS}.")
    build: Callable[..., Script] = getattr(testing, name)
    script = build() if name in {"stalls", "rejects"} else build(after=duration_s)
    return lambda _, number: testing.shows(testing.SCENES[number % len(testing.SCENES)], script)


def _inject(gateway: FakeGateway, text: str) -> None:
    """Plan the fault of `--fault NAME:KIND:TIMES`."""
    from luma_async.testing import ALL_FAULTS, ALWAYS  # noqa: PLC0415 - as above

    faults: dict[str, Fault] = {}
    for fault in ALL_FAULTS:
        # The first of a name has the default arguments.
        faults.setdefault(fault.name, fault)
    name, _, rest = text.partition(":")
    kind, _, times = rest.partition(":")
    if name not in faults:
        raise ConfigurationError(message=f"--fault: {name!r} is not a fault. The faults are {', '.join(faults)}.")
    try:
        count = ALWAYS if times == "always" else whole(1)(times or "1")
        gateway.inject(faults[name], on=kind or "submit", times=count)
    except (ValueError, argparse.ArgumentTypeError) as error:
        message = f"--fault {text}: {error}"
    else:
        return
    raise ConfigurationError(message=message)


def _print_request(seen: Seen, status: int | None, fault: Fault | None) -> None:
    """Print a line for each request: time, method, path, status, prompt, fault."""
    parts = [time.strftime("%H:%M:%S"), seen.method, seen.path, "no answer" if status is None else str(status)]
    if seen.prompt:
        parts.append(repr(seen.prompt))
    if fault is not None:
        parts.append(f"({fault.name})")
    print_status(" ".join(parts))
