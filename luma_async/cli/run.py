"""Run a command: start the event loop, handle signals, print the error and return the exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async._aio import wall_now
from luma_async.cli.errors import error_text, exit_code, in_flags
from luma_async.cli.journal import read_doubts
from luma_async.cli.options import resume_command, set_default_journal
from luma_async.cli.output import Volume, print_always, print_error, shorten
from luma_async.values.errors import LumaError
from luma_async.values.log import logger

if TYPE_CHECKING:
    import argparse

_INTERRUPTED = 130
_ABOUT_CLOSING = ("the submit %s was still unanswered", "the journal has now recorded")
"""What the log says about submits that an interrupt leaves in doubt."""


class StatusHandler(logging.Handler):
    """Prints what the package logs: warnings and errors as they are, with `-v` every step as a line with the time."""

    interrupted = False
    """Whether the command ends early; what it leaves in doubt is then read from the journal and printed."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if self.interrupted and str(record.msg).startswith(_ABOUT_CLOSING):
            return
        text = in_flags(self.format(record))
        if Volume.verbose:
            # Records of other packages have no such fields.
            about = [getattr(record, name, None) for name in ("action", "key", "generation_id")]
            time = f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S}.{record.msecs:03.0f}"
            words = [shorten(word) for word in about if word] or [record.name]
            text = f"{time}  {'  '.join(words)}: {text}"
        if not Volume.quiet or record.levelno >= logging.ERROR:
            print_always(text)


def run(arguments: argparse.Namespace) -> int:
    """Run a command and return its exit code; print on stderr what went wrong."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The shell closed this stream (`>&-`); the command still does its work.
            setattr(sys, name, Path(os.devnull).open(mode, errors="replace"))  # noqa: SIM115 - it stays open until the process ends
    Volume.quiet, Volume.verbose = (vars(arguments).get("volume") == level for level in ("quiet", "verbose"))
    logging.getLogger().addHandler(handler := StatusHandler(logging.DEBUG if Volume.verbose else logging.WARNING))
    level = logger.level
    if Volume.verbose:
        logger.setLevel(logging.DEBUG)
    try:
        # A command that reads from a terminal does so here, before the event loop replaces the Ctrl-C handler.
        arguments.prepare(arguments)
        set_default_journal(arguments)
        code: int = asyncio.run(_run_with_signals(arguments, handler))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except _Stopped as stopped:
        return 128 + stopped.number
    except BrokenPipeError:
        # Not a failure of this command; `main()` ends it.
        raise
    except (LumaError, OSError) as error:
        print_error(error_text(error, arguments))
        return exit_code(error)
    finally:
        logging.getLogger().removeHandler(handler)
        logger.setLevel(level)
    return code


class _Stopped(Exception):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


async def _run_with_signals(arguments: argparse.Namespace, log: StatusHandler) -> int:
    """Run a command; the first SIGINT, SIGTERM or SIGHUP cancels it, so that it ends in order.

    Later signals are ignored, because ending in order takes time and `timeout` sends two. Only a second Ctrl-C counts:
    it cancels the wait for the response of a submit.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    received: list[int] = []
    began_at = wall_now()

    def stop(number: int) -> None:
        log.interrupted = True
        received.append(number)
        if len(received) == 1 or (number == signal.SIGINT and received.count(number) == 2):
            task.cancel()

    before: dict[int, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # Only the main thread can set handlers, and some systems lack some of these signals.
        with suppress(AttributeError, RuntimeError, ValueError):
            number = getattr(signal, name)
            # `nohup` sets SIG_IGN, which stays.
            if (handler := signal.getsignal(number)) is not None and handler is not signal.SIG_IGN:
                loop.add_signal_handler(number, stop, number)
                before[number] = handler
    try:
        return int(await arguments.run(arguments))
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
    await _print_doubts(arguments, began_at)
    raise _Stopped(received[0])


async def _print_doubts(arguments: argparse.Namespace, began_at: datetime) -> None:
    """Print what an interrupt has left in doubt, and the command that settles it."""
    if not {"journal", "base_url"} <= vars(arguments).keys() or not arguments.journal.exists():
        return
    doubts = [doubt for doubt in await read_doubts(arguments) if doubt.sent_at and doubt.sent_at >= began_at]
    if doubts:
        settle = resume_command(arguments, "in-doubt", with_service=False)
        if len(doubts) == 1:
            print_always(f"The submit {doubts[0].key!r} is in doubt and may have been charged. To settle it: {settle}")
        else:
            print_always(f"{len(doubts)} submits are in doubt and may have been charged. To settle them: {settle}")
