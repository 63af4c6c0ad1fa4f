"""What an error means at the command line: its exit code, and a text that names flags and commands, not Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from luma_async.cli.options import resume_command
from luma_async.handle import NOT_SEEN, PollingFailed, WaitTimeout, cause_of, is_paid
from luma_async.values.errors import (
    MONEY,
    ConfigurationError,
    GenerationFailed,
    InvalidInput,
    KeyConflict,
    LumaError,
    OutOfCredit,
    RateLimited,
    SubmitInDoubt,
    TransportError,
    Unauthorized,
    UnsupportedOperation,
)

if TYPE_CHECKING:
    import argparse

_EXIT_CODES: tuple[tuple[Any, int], ...] = (
    ((ConfigurationError, InvalidInput, UnsupportedOperation, KeyConflict), 2),
    ((WaitTimeout, PollingFailed), 3),
    ((Unauthorized, OutOfCredit), 4),
    (SubmitInDoubt, 6),
)
_POSITIONAL = frozenset({"id", "ids", "prompt", "source", "media", "generation_id"})
"""Fields that are typed without a flag."""
_PYTHON = (
    # Many messages name what a program passes and, in parentheses, the flag or the command: keep the latter.
    (r"\S*[=(.]\S* \((?:or )?`?((?:--|luma-async )[^)`]*)`?\)", r"\1"),
    (r"watermark=['\"]allow['\"]", "--watermark"),
    (r", or pass LumaSession\(api_key=[^)]*\)", ""),
    (r"(?:,? or|\.| \() ?[^.,(]*allow_insecure=True[^.)]*\)?", ""),
    (r"RixAPI\(edition='(\d+)'\)", r"--edition \1"),
    (r"RixAPI\(access_token=[^)]*\)", "LUMA_ACCESS_TOKEN and LUMA_USER_ID"),
    (r", or pass trust_env=False", ""),
    (r"library\.all\(\)", "--all"),
    (r"extend\(\)", "`luma-async extend`"),
    (r" Further fields of your (?:service|relay) can go in `extra`[^.]*\.", " --extra sends further fields."),
    (r"has an argument of its own; `extra` is", "has a flag of its own; --extra is"),
    (r",? or None for no limit", ""),
    (r"\bpass (--)", r"use \1"),
    (r"\. Pass another path", ". Use --journal to name another file"),
    (r"\bpass (?:another path|the path of a file)", "use --journal to name another file"),
    # The settings file has a setting of this name, which stays.
    (r"(?<!: )\bbase_url\b(?!,)", "base URL"),
    (r"True, False or None\b", "true, false or null"),
    (r"; use ImageKeyframe\.from_bytes\(\)", ""),
)


def exit_code(error: Exception) -> int:
    """Return the exit code of a command that ends with this error."""
    return next((code for kinds, code in _EXIT_CODES if isinstance(error, kinds)), 1)


def error_text(error: Exception, arguments: argparse.Namespace) -> str:
    """Return what happened and the next command to type."""
    match error:
        case SubmitInDoubt():
            sent = f" at {error.sent_at:%Y-%m-%d %H:%M:%S} UTC" if error.sent_at else ""
            why = f": {error.reason.rstrip('.')}" if error.reason else ""
            lookup = f" {error.hint.partition('. ')[0]}." if error.hint else ""
            return (
                f"The submit {error.key!r} was sent{sent}, and its outcome is unknown{why}. It may have been charged, "
                f"so it was not repeated.{lookup} To settle it: {resume_command(arguments, 'in-doubt')}"
            )
        case WaitTimeout():
            state = f"last seen {error.last.raw_state or error.last.state}" if error.last else "not seen yet"
            newest = f" The last failure: {_cause(error.last_error, arguments)}" if error.last_error else ""
            known = "It is paid, and the timeout did not stop it" if is_paid(error) else NOT_SEEN
            return (
                f"Generation {error.generation_id} is not final after {error.waited_s:.1f} s ({state}). {known}. "
                f"To wait again: {resume_command(arguments, 'wait', error.generation_id)}{newest}"
            )
        case PollingFailed():
            newest = f" The last failure: {_cause(error.failures[-1], arguments)}" if error.failures else ""
            known = "It is paid and may still be running" if is_paid(error) else NOT_SEEN
            return (
                f"Polling generation {error.generation_id} kept failing. {known}. "
                f"To wait again: {resume_command(arguments, 'wait', error.generation_id)}{newest}"
            )
        case GenerationFailed():
            code = f" [{error.code}]" if error.code else ""
            failed = f"Generation {error.generation.id} failed{code}: {(error.reason or 'no reason given').rstrip('.')}"
            return f"{failed}. It is final. {MONEY[error.money]} {_retry_after_failure(arguments)}"
        case InvalidInput():
            text = f"{_flag_of(error.field, arguments)}: {error.message}"
        case RateLimited():
            text = str(error).replace(RateLimited.NEXT_STEP, "Wait, then try again.")
        case _:
            text = str(error)
    # The command says in its own words what an error has stopped.
    text = text.removesuffix(getattr(error, "note", "")).rstrip()
    if generation_id := getattr(error, "generation_id", None):
        wait = resume_command(arguments, "wait", generation_id)
        text = re.sub(
            r"(?:await )?(?:handle\.)?wait\(\)(?: for it)?(?: first)?", lambda _: f"`{wait}` waits for it", text
        )
    return in_flags(text)


def in_flags(text: str) -> str:
    """Return a message of the library with flags and commands in place of Python."""
    for pattern, replacement in _PYTHON:
        text = re.sub(pattern, replacement, text)
    return text


def _cause(error: LumaError, arguments: argparse.Namespace) -> str:
    return cause_of(error) if isinstance(error, TransportError) else error_text(error, arguments)


def _retry_after_failure(arguments: argparse.Namespace) -> str:
    if arguments.command == "batch":
        return "--retry-failed submits it again."
    if "key" not in vars(arguments):
        return "To try again, submit the request again with another --key."
    return f"To try again, run the command again{' with another --key' if arguments.key else ''}."


def _flag_of(field: str, arguments: argparse.Namespace) -> str:
    """Return the flag that sets this field; the field itself if none does."""
    if field == "dest":
        return "output" if arguments.command == "batch" else "--output"
    typed = field in vars(arguments) and field not in _POSITIONAL and arguments.command != "in-doubt"
    return f"--{field.replace('_', '-')}" if typed else field
