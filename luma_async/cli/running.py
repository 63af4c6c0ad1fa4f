"""Running a command, and what an exit code means.

0 done · 1 failed · 2 wrong use or settings · 3 still running (and paid) · 4 the key or the credit · 5 some of many
failed · 6 in doubt (maybe paid) · 130 interrupted · 128 + the number of the signal that ended it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async.cli.console import print_status
from luma_async.cli.options import settle_journal
from luma_async.handle import PollingFailed, WaitTimeout
from luma_async.values.errors import (
    ConfigurationError,
    InvalidInput,
    KeyConflict,
    LumaError,
    OutOfCredit,
    SubmitInDoubt,
    Unauthorized,
    UnsupportedOperation,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine

_INTERRUPTED = 130
_INSISTS = 2
"""So many times Ctrl-C waits for nothing any more."""


def run(arguments: argparse.Namespace) -> int:
    """Run a command to its end, and say on stderr what went wrong."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # A shell closed it: nobody wants to read, and what is paid is fetched all the same.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - as long as we run
    try:
        # What waits for a person comes before the event loop, which would take Ctrl-C for itself.
        arguments.prepare(arguments)
        settle_journal(arguments)
        code: int = asyncio.run(_heeding_signals(arguments.run(arguments)))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except _Stopped as stopped:
        return 128 + stopped.number
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is still buffered goes nowhere, and nobody is told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LumaError, OSError) as error:
        print_status(f"luma-async: {error}")
        return exit_code(error)
    return code


class _Stopped(Exception):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


async def _heeding_signals(command: Coroutine[Any, Any, int]) -> int:
    """Run a command; what would end it at once (Ctrl-C, a timeout, a closed terminal) ends it in order."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        # Only the first counts, for the order takes time, and `timeout` sends two; but a person may insist.
        if len(came) == 1 or (number == signal.SIGINT and came.count(number) == _INSISTS):
            task.cancel()

    before: dict[int, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # Only the main thread has signals, not every system has these, and `nohup` means to ignore one.
        with suppress(AttributeError, RuntimeError, ValueError):
            number = getattr(signal, name)
            if (handler := signal.getsignal(number)) is not None and handler is not signal.SIG_IGN:
                loop.add_signal_handler(number, stop, number)
                before[number] = handler
    try:
        return await command
    except asyncio.CancelledError:
        if not came:
            raise
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
    raise _Stopped(came[0])


def exit_code(error: Exception) -> int:
    """Say what a failure means to a shell."""
    table: tuple[tuple[Any, int], ...] = (
        ((ConfigurationError, InvalidInput, UnsupportedOperation, KeyConflict), 2),
        ((WaitTimeout, PollingFailed), 3),
        ((Unauthorized, OutOfCredit), 4),
        (SubmitInDoubt, 6),
    )
    return next((code for kinds, code in table if isinstance(error, kinds)), 1)
