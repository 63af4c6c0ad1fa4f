"""Parsing, dispatch, and what an exit code means.

0 done · 1 failed · 2 wrong use or settings · 3 still running (and paid) · 4 the key or the credit · 5 some of many
failed · 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from luma_async.cli import batch, demo, doubt, gallery, gateway, generate, resume, status
from luma_async.errors import (
    ConfigurationError,
    InvalidInput,
    LumaError,
    OutOfCredit,
    PollingFailed,
    Unauthorized,
    UnsupportedOperation,
    WaitTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (demo, generate, batch, status, resume, doubt, gallery, gateway)
_INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    root = argparse.ArgumentParser(
        prog="luma-async",
        description="Make Luma videos: never pay twice, never lose a job.",
        epilog="Settings: LUMA_API_KEY, LUMA_BASE_URL, LUMA_JOURNAL. The key is never taken from the command line, "
        "where every user of the machine could read it.",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = parser().parse_args(argv)
    try:
        code: int = asyncio.run(arguments.run(arguments))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return 1
    except (LumaError, OSError) as error:
        print(f"luma-async: {error}", file=sys.stderr)
        return exit_code(error)
    return code


def exit_code(error: Exception) -> int:
    """Say what a failure means to a shell."""
    table: tuple[tuple[Any, int], ...] = (
        ((ConfigurationError, InvalidInput, UnsupportedOperation), 2),
        ((WaitTimeout, PollingFailed), 3),
        ((Unauthorized, OutOfCredit), 4),
    )
    return next((code for kinds, code in table if isinstance(error, kinds)), 1)
