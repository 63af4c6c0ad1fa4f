"""Running a command, and what an exit code means.

0 done · 1 failed · 2 wrong use or settings · 3 still running (and paid) · 4 the key or the credit · 5 some of many
failed · 130 interrupted.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

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
    import argparse

_INTERRUPTED = 130


def run(arguments: argparse.Namespace) -> int:
    """Run a command to its end, and say on stderr what went wrong."""
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
