"""What an error means at the command line: its exit code, and a text that names flags and commands, not Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from luma_async.cli.options import resume_command
from luma_async.handle import NOT_SEEN, PollingFailed, WaitTimeout, cause_of, is_paid
from luma_async.values.budget import BudgetExceeded
from luma_async.values.entries import Phase
from luma_async.values.errors import (
    MONEY,
    ConfigurationError,
    GenerationFailed,
    GenerationNotFound,
    InvalidInput,
    KeyConflict,
    LumaError,
    OutOfCredit,
    RateLimited,
    Refused,
    SubmitInDoubt,
    TransportError,
    Unauthorized,
    UnreadableResponse,
    UnsupportedOperation,
)

if TYPE_CHECKING:
    import argparse

HTML_PAGE = "The service answered with an HTML page (HTTP {}). Check --base-url."
"""What an answer that is not JSON but a page for people means."""
_FAILED = 1
_EXIT_CODES: tuple[tuple[Any, int], ...] = (
    ((ConfigurationError, InvalidInput, UnsupportedOperation, KeyConflict), 2),
    ((WaitTimeout, PollingFailed), 3),
    ((Unauthorized, OutOfCredit), 4),
    (SubmitInDoubt, 6),
    (BudgetExceeded, 7),
)
_UNKNOWN = f"{NOT_SEEN}: check the id and --base-url"
_CHARGES_NOTHING = (ConfigurationError, InvalidInput, UnsupportedOperation, Refused)
"""Errors that prove that nothing was charged, if they end a command before its submit is accepted."""
_PYTHON = (
    # Many messages name what a program passes and, in parentheses, the flag or the command: keep the latter.
    (r"\S*[=(.]\S* \((?:or )?`?((?:--|luma-async )[^)`]*)`?\)", r"\1"),
    (r"watermark=['\"]allow['\"]", "--watermark"),
    (r", or pass LumaSession\(api_key=[^)]*\)", ""),
    (r"(?:,? or|\.| \() ?[^.,(]*allow_insecure=True[^.)]*\)?", ""),
    (r"RixAPI\(edition='(\d+)'\)", r"--edition \1"),
    (r"RixAPI\(access_token=[^)]*\)", "LUMA_ACCESS_TOKEN and LUMA_USER_ID"),
    (r" \(RetryPolicy\.\w+\)", ""),
    (r", or pass trust_env=False", ""),
    (r"library\.all\(\)", "--all"),
    (r"extend\(\)", "`luma-async extend`"),
    (r" Further fields of your (?:service|relay) can go in `extra`[^.]*\.", " --extra sends further fields."),
    (r"has an argument of its own; `extra` is", "has a flag of its own; --extra is"),
    (r",? or None for no limit", ""),
    (r"it was bought from (\S+ \S+), not (\S+ \S+)\.", r"it belongs to a submit to \1, and this is \2."),
    (r"\(Keyframes\.at, (--keyframe)\)", r"with \1"),
    (r"\bpass (--)", r"use \1"),
    (r"\. Pass another path", ". Use --journal to name another file"),
    (r"\bpass (?:another path|the path of a file)", "use --journal to name another file"),
    (r"\bbase_url (?=\(--base-url\))", ""),
    (r"raise the budget to go on", "raise --max-purchases or --max-amount to go on"),
    # The settings file has a setting of this name, which stays.
    (r"(?:(?<!: )|(?<=check: ))\bbase_url\b(?!,)", "--base-url"),
    (r"(--base-url) and dialect\b", r"\1 and --dialect"),
    (r"True, False or None\b", "true, false or null"),
    (r"; use ImageKeyframe\.from_bytes\(\)", ""),
)


_WITHOUT_FLAG = (
    ("--journal", r"[Uu]se --journal to name another file", "choose another folder"),
    ("--watermark", r"--watermark(?= accepts)", "`luma-async download --watermark`"),
    ("--extra", r"has a flag of its own; --extra", "has a column of its own; extra"),
    ("--extra", r"--extra(?= sends)", "The column extra"),
    ("--overwrite", r"; --overwrite replaces it", ""),
    ("--keyframe", r"; use [^;]* --keyframe", ""),
    ("--key", r"--key\b", "key"),
)
"""Flags that some commands lack, what is said about them, and what to say in these commands."""


def exit_code(error: Exception) -> int:
    """Return the exit code of a command that ends with this error."""
    match error:
        case WaitTimeout(last_error=LumaError()) | PollingFailed() if not is_paid(error):
            # Perhaps nothing runs: the id or the address may be wrong.
            return _FAILED
        case _:
            pass
    return next((code for kinds, code in _EXIT_CODES if isinstance(error, kinds)), _FAILED)


def error_text(error: Exception, arguments: argparse.Namespace, *, generation_id: str | None = None) -> str:
    """Return what happened and the next command to type.

    Args:
        error: what ended the command, or a part of it.
        arguments: what was typed.
        generation_id: the generation that the error is about, if the command has several.
    """
    text = _text_of(error, arguments, generation_id)
    # The command says in its own words what an error has stopped.
    text = text.removesuffix(getattr(error, "note", "")).rstrip()
    if about := getattr(error, "generation_id", None):
        wait = resume_command(arguments, "wait", about)
        text = re.sub(
            r"(?:await )?(?:handle\.)?wait\(\)(?: for it)?(?: first)?", lambda _: f"`{wait}` waits for it", text
        )
    if vars(arguments).get("unpaid") and isinstance(error, _CHARGES_NOTHING) and "othing was" not in text:
        text = f"{text.rstrip('.')}. Nothing was charged."
    text = in_flags(text)
    for flag, pattern, replacement in _WITHOUT_FLAG:
        if flag not in arguments.flags:
            text = re.sub(pattern, replacement, text)
    return text


def in_flags(text: str) -> str:
    """Return a message of the library with flags and commands in place of Python."""
    for pattern, replacement in _PYTHON:
        text = re.sub(pattern, replacement, text)
    return text


def _text_of(error: Exception, arguments: argparse.Namespace, generation_id: str | None) -> str:
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
            what = f"Generation {error.generation_id} is not final after {error.waited_s:.1f} s ({state})"
            known = "It is paid, and the timeout did not stop it" if is_paid(error) else _UNKNOWN
            return _unfinished_text(error, f"{what}. {known}.", error.last_error, arguments)
        case PollingFailed():
            known = "It is paid and may still be running" if is_paid(error) else _UNKNOWN
            newest = error.failures[-1] if error.failures else None
            text = f"Polling generation {error.generation_id} kept failing. {known}."
            return _unfinished_text(error, text, newest, arguments)
        case GenerationFailed():
            code = f" [{error.code}]" if error.code else ""
            failed = f"Generation {error.generation.id} failed{code}: {(error.reason or 'no reason given').rstrip('.')}"
            return f"{failed}. It is final. {MONEY[error.money]} {_retry_after_failure(arguments)}"
        case KeyConflict() if error.entry.phase is Phase.IN_DOUBT and arguments.command != "in-doubt":
            address = error.entry.service.partition(" ")[2]
            return (
                f"The key {error.entry.key!r} is in doubt: its submit was sent to {address}, and it may have been "
                "charged. Nothing was sent now. To buy something else, use another --key. To settle it: "
                f"{resume_command(arguments, 'in-doubt', with_service=False)}"
            )
        case UnsupportedOperation(operation="list"):
            return _no_list_text(error, arguments)
        case GenerationNotFound():
            about = generation_id or _typed_id(arguments)
            return f"Generation {about}: {error}" if about else str(error)
        case UnreadableResponse(html=True):
            return HTML_PAGE.format(error.status)
        case InvalidInput():
            return f"{_flag_of(error.field, arguments)}: {error.message}"
        case RateLimited():
            return str(error).replace(RateLimited.NEXT_STEP, "Wait, then try again.")
        case OSError() if not isinstance(error, LumaError) and error.filename is not None:
            return f"{error.filename}: {error.strerror}."
        case _:
            return str(error)


def _unfinished_text(
    error: WaitTimeout | PollingFailed, text: str, newest: LumaError | None, arguments: argparse.Namespace
) -> str:
    """Return the text of a wait that has ended before its generation, with one command to go on."""
    last = f" The last failure: {_cause(newest, arguments).rstrip('.')}." if newest else ""
    if "detach" in vars(arguments):
        return f"{text}{last} To fetch it: {resume_command(arguments, 'download', error.generation_id)}"
    return f"{text}{last} To wait again: {resume_command(arguments, 'wait', error.generation_id)}"


def _no_list_text(error: UnsupportedOperation, arguments: argparse.Namespace) -> str:
    """Return what to do at a service that keeps no list of generations."""
    missing = f"The dialect {error.service} does not support `{arguments.command}`"
    if arguments.command == "in-doubt":
        missing = f"The dialect {error.service} does not support `in-doubt reconcile`"
        next_step = f"Look for each submit at the service, then settle it: {resume_command(arguments, 'in-doubt')}"
    else:
        status = resume_command(arguments, "status", with_service=False)
        next_step = f"To list what was bought with this journal: {status}"
    return f"{missing}, because the service has no list of generations. {next_step}"


def _typed_id(arguments: argparse.Namespace) -> str | None:
    """Return the id of a generation that was typed, if there is just one."""
    typed = vars(arguments)
    ids = typed.get("ids") or [typed.get("id") or typed.get("source") or typed.get("generation_id")]
    return ids[0] if len(ids) == 1 else None


def _cause(error: LumaError, arguments: argparse.Namespace) -> str:
    return cause_of(error) if isinstance(error, TransportError) else error_text(error, arguments)


def _retry_after_failure(arguments: argparse.Namespace) -> str:
    if arguments.command == "batch":
        return "--retry-failed submits it again."
    if "key" not in vars(arguments):
        return "To try again, submit the request again with another --key."
    return f"To try again, run the command again{' with another --key' if arguments.key else ''}."


def _flag_of(field: str, arguments: argparse.Namespace) -> str:
    """Return the flag or the argument that sets this field, as `--help` names it; the field, if there is none."""
    if field == "dest":
        return "output" if arguments.command == "batch" else "--output"
    flag = f"--{field.replace('_', '-')}"
    return flag if flag in arguments.flags else arguments.positionals.get(field, field)
