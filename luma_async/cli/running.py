"""Running a command, and what an exit code means.

0 done · 1 failed · 2 wrong use or settings · 3 still running (and paid) · 4 the key or the credit · 5 some of many
failed · 6 in doubt (maybe paid) · 130 interrupted.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from luma_async.cli.console import say
from luma_async.cli.options import settle_journal
from luma_async.errors import (
    ConfigurationError,
    InvalidInput,
    KeyConflict,
    LumaError,
    OutOfCredit,
    PollingFailed,
    SubmitInDoubt,
    Unauthorized,
    UnsupportedOperation,
    WaitTimeout,
)

if TYPE_CHECKING:
    import argparse

_INTERRUPTED = 130


def run(arguments: argparse.Namespace) -> int:
    """Run a command to its end, and say on stderr what went wrong."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # A file's name need not fit the locale, and nothing that was paid ends in how it is printed.
        reconfigure(errors="backslashreplace")
    try:
        settle_journal(arguments)
        code: int = asyncio.run(arguments.run(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is still buffered goes nowhere, and nobody is told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LumaError, OSError) as error:
        say(f"luma-async: {error}")
        return exit_code(error)
    return code


def exit_code(error: Exception) -> int:
    """Say what a failure means to a shell."""
    table: tuple[tuple[Any, int], ...] = (
        ((ConfigurationError, InvalidInput, UnsupportedOperation, KeyConflict), 2),
        ((WaitTimeout, PollingFailed), 3),
        ((Unauthorized, OutOfCredit), 4),
        (SubmitInDoubt, 6),
    )
    return next((code for kinds, code in table if isinstance(error, kinds)), 1)
