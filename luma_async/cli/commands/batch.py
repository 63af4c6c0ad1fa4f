"""`luma-async batch`: make a video for each prompt of a file, in a folder whose journal records what was paid."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import stat
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import attrs

from luma_async import BudgetExceeded, Limits, MemoryJournal, Phase, PollingFailed, WaitTimeout
from luma_async._download.names import SEPARATORS, SIDECAR_SUFFIX, check_file_name
from luma_async._download.part_file import check_before_purchase
from luma_async.cli.budget import add_budget, describe
from luma_async.cli.errors import error_text
from luma_async.cli.journal import BATCH_JOURNAL, read_entries
from luma_async.cli.options import add_json, add_private_hosts, add_service, add_timeout, dialect_of, open_session
from luma_async.cli.output import as_typed, one_line, print_always, print_error, print_json, print_line, print_status
from luma_async.cli.progress import batch_progress
from luma_async.cli.prompt_file import add_prompt_file, read_prompt_file, read_stdin
from luma_async.values.errors import InvalidInput, LumaError, SubmitInDoubt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from decimal import Decimal

    from luma_async import BatchStats, LumaSession, Outcome
    from luma_async._batch.batch import Batch
    from luma_async._batch.preview import Preview
    from luma_async.prompts import Prompts

RESULTS = "results.jsonl"
_RESERVED = frozenset({RESULTS, BATCH_JOURNAL, "gallery.html"})
"""Names in the folder that no video may have."""
_MAX_PAGE_CLIPS = 10_000
"""A page with more clips takes too long to write and to open."""
_ANY_FILE = "~any.mp4"
"""Stands for the files of a folder in checks of paths; no such file is written."""
_NAME = "luma-async batch"
"""The name of every batch: the journals of their folders keep them apart."""

_ALL_FAILED, _RUNNING, _SOME_FAILED, _IN_DOUBT = 1, 3, 5, 6
_PAID = "running"
"""What a preview calls an entry that is accepted and not finished."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Make a video for each prompt of a file, in a folder. To continue, run the same command again: the folder "
        "records what was paid, and only what is missing is bought. With another folder, everything is bought again."
    )
    add_prompt_file(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="the folder for all files")
    parser.add_argument(
        "--max-in-flight",
        type=_number_or_auto,
        metavar="N|auto",
        help="how many paid and unfinished videos there may be at once; auto finds the service's limit (default: the "
        "limit if it is known, or auto)",
    )
    add_budget(parser)
    add_timeout(parser, "stop waiting for a video after this time; it keeps running")
    parser.add_argument(
        "--file-name",
        type=_file_name,
        metavar="TEMPLATE",
        help="the names of the files, from {index}, {slug}, {id} and {ext} (default: {index:04d}-{slug}-{id}.{ext})",
    )
    parser.add_argument("--retry-failed", action="store_true", help="buy again what failed in an earlier run")
    parser.add_argument("--dry-run", action="store_true", help="list what would be submitted, and submit nothing")
    add_private_hosts(parser)
    add_service(parser)
    add_json(parser)
    parser.set_defaults(run=run, prepare=read_stdin, unpaid=True)


async def run(arguments: argparse.Namespace) -> int:
    """Read and check the prompts, then buy what is missing."""
    prompts = read_prompt_file(arguments, dialect_of(arguments))
    arguments.journal = arguments.out / BATCH_JOURNAL
    if arguments.dry_run:
        # A dry run creates no file, not even an empty journal.
        journal = arguments.journal if arguments.journal.exists() else MemoryJournal()
        async with open_session(arguments, journal=journal) as luma:
            return await _print_preview(luma, _batch(luma, prompts, arguments), arguments)
    _make_folder(arguments.out)
    try:
        return await _buy(prompts, arguments)
    finally:
        if len(prompts) <= _MAX_PAGE_CLIPS:
            await _write_page(arguments)


def _make_folder(out: Path) -> None:
    """Create the folder, and check that files can be written to it.

    Raises:
        InvalidInput: they cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        check_before_purchase(out, overwrite=False)
    except InvalidInput as error:
        message = error.message
    except OSError as error:
        why = "it is not a folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        message = f"the folder {out} cannot be used: {why}."
    else:
        return
    raise InvalidInput(field="--out", message=message)


def _batch(luma: LumaSession, prompts: Prompts, arguments: argparse.Namespace) -> Batch:
    def destination(outcome: Outcome) -> Path:
        output = prompts.rows[outcome.index].output
        if output is None:
            return Path(arguments.out)
        path: Path = arguments.out / output
        file = _file(path, output)
        if not _is_inside(file, arguments.out):
            raise InvalidInput(field="output", message=f"{path} leads out of the folder through a symbolic link.")
        file.parent.mkdir(parents=True, exist_ok=True)
        return path

    return luma.batch(
        prompts,
        name=_NAME,
        keys=prompts.keys,
        max_in_flight=arguments.max_in_flight,
        timeout=arguments.timeout,
        retry_failed=arguments.retry_failed,
        download_to=destination,
        file_name=arguments.file_name,
    )


async def _buy(prompts: Prompts, arguments: argparse.Namespace) -> int:
    running = 0
    with batch_progress(len(prompts), quiet=arguments.json) as display:
        async with open_session(arguments, on_event=display.observe) as luma:
            await _check_outputs(luma, prompts, arguments)
            batch = _batch(luma, prompts, arguments)
            display.follow(batch)
            try:
                async with aclosing(_save_results(batch, prompts, arguments)) as results:
                    async for outcome, error in results:
                        display.ended(outcome, error)
                        running += isinstance(outcome.error, WaitTimeout | PollingFailed)
            except asyncio.CancelledError:
                # Closing waits for the responses of submits that were sent, so that the counts below are complete.
                await luma.aclose()
                await _print_interrupted(batch.stats, arguments)
                raise
            except Exception as error:
                arguments.unpaid = not batch.stats.submitted
                _print_stopped(batch.stats, running, arguments, error)
                if not isinstance(error, InvalidInput) or not batch.stats.submitted:
                    raise
                # Exit code 2 would mean that nothing was bought.
                print_error(error_text(error, arguments))
                return _SOME_FAILED
    _print_summary(batch.stats, running, arguments.out)
    return _exit_code(batch.stats, running)


async def _check_outputs(luma: LumaSession, prompts: Prompts, arguments: argparse.Namespace) -> None:
    """Refuse the file, before anything is bought, if a row's output exists already or cannot be written."""
    if not any(row.output for row in prompts.rows):
        return
    problems: list[str] = []
    async for item in _batch(luma, prompts, arguments).preview():
        row = prompts.rows[item.index]
        if not row.output or not item.buys:
            continue
        if problem := await asyncio.to_thread(_find_problem, row.output, arguments.out):
            problems.append(f"line {row.line}, output: {problem}")
    if problems:
        message = "nothing was submitted, because these outputs cannot be used:\n  " + "\n  ".join(problems)
        raise InvalidInput(field=arguments.file, message=message)


def _file(path: Path, output: str) -> Path:
    """Return the file of an output; if it is a folder, a path in it, because its files are named later."""
    return path / _ANY_FILE if output.endswith(SEPARATORS) or path.is_dir() else path


def _find_problem(output: str, out: Path) -> str | None:
    """Return why no file can be written to an output; None if one can be."""
    path = out / output
    try:
        file = _file(path, output)
        name = file.relative_to(out)
        reserved = any(str(part) in _RESERVED for part in (name, *name.parents))
        if reserved or file.is_file() or any((out / folder).is_file() for folder in name.parents):
            return f"{path} is reserved, or exists and is not from this batch."
        if not _is_inside(file, out):
            return f"{path} leads out of the folder through a symbolic link."
        folder = next(parent for parent in file.parents if parent.is_dir())
        for part in file.relative_to(folder).parts:
            # A folder that is missing is created later. The system says already that a name is too long.
            with suppress(FileNotFoundError):
                (folder / f"{part}{SIDECAR_SUFFIX}").lstat()
        check_before_purchase(file if folder == file.parent else folder, overwrite=False)
    except InvalidInput as error:
        return error.message
    except (OSError, ValueError) as error:
        return f"{path} cannot be used: {getattr(error, 'strerror', None) or error}."
    return None


def _is_inside(path: Path, out: Path) -> bool:
    """Whether a file is in the folder, and not elsewhere because one of its own folders is a symbolic link."""
    return path.parent.resolve().is_relative_to(out.resolve())


async def _save_results(
    batch: Batch, prompts: Prompts, arguments: argparse.Namespace
) -> AsyncGenerator[tuple[Outcome, str | None]]:
    """Append each outcome to the results, and yield it with the text of its error."""
    with _open_results(arguments.out / RESULTS) as results:
        async for outcome in batch:
            arguments.unpaid = outcome.handle is None
            text = None if outcome.error is None else error_text(outcome.error, arguments)
            if outcome.path is not None:
                outcome = attrs.evolve(outcome, path=as_typed(outcome.path, arguments.out))  # noqa: PLW2901 - the same
            document = _result(outcome, text, prompts)
            results.write(json.dumps(document) + "\n")
            results.flush()
            if arguments.json:
                print_json(document)
            yield outcome, text


def _open_results(path: Path) -> TextIO:
    """Empty the results, and open them: only a file of its own, since a link could lead to any file of the user.

    Raises:
        InvalidInput: there is something else.
    """
    # Another run may append to the same file, so each line is one write at the end of the file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        fd = os.open(path, flags, 0o666)
    except OSError as error:
        why = error.strerror
    else:
        facts = os.fstat(fd)
        if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
            os.ftruncate(fd, 0)
            return os.fdopen(fd, "a", encoding="utf-8")
        os.close(fd)
        why = "it is not a regular file, or has a second name"
    raise InvalidInput(field="out", message=f"{path} cannot be written: {why}. Remove it, or use another folder.")


def _result(outcome: Outcome, error: str | None, prompts: Prompts) -> dict[str, Any]:
    generation, handle = outcome.generation, outcome.handle
    return {
        "index": outcome.index,
        "line": prompts.rows[outcome.index].line,
        "prompt": getattr(outcome.request, "prompt", None),
        "key": outcome.key,
        "id": handle.id if handle is not None else None,
        "state": str(generation.state) if generation is not None else None,
        "path": str(outcome.path) if outcome.path is not None else None,
        "error": error,
        "kind": type(outcome.error).__name__ if outcome.error is not None else None,
        "in_doubt": isinstance(outcome.error, SubmitInDoubt),
    }


async def _write_page(arguments: argparse.Namespace) -> None:
    """Write a page of all clips so far, however the run ended."""
    from luma_async.gallery import write_gallery  # noqa: PLC0415 - a dry run needs no page

    if not arguments.journal.exists():
        return
    try:
        page = write_gallery(arguments.out, await read_entries(arguments))
    except (LumaError, OSError) as error:
        print_status(f"The page of clips could not be written: {error_text(error, arguments)}")
    else:
        print_status(f"All clips on one page: {as_typed(page, arguments.out)}")


def _exit_code(stats: BatchStats, running: int) -> int:
    if running:
        return _RUNNING
    if stats.in_doubt and not stats.failed and not stats.done:
        return _IN_DOUBT
    if stats.failed or stats.in_doubt:
        return _SOME_FAILED if stats.done else _ALL_FAILED
    return 0


async def _print_preview(luma: LumaSession, batch: Batch, arguments: argparse.Namespace) -> int:
    buys = done = running = others = 0
    amount: Decimal | None = None
    async for item in batch.preview():
        state = _state_of(item)
        buys += item.buys
        if item.price is not None:
            amount = (amount or 0) + item.price
        done += state == "completed"
        running += state == _PAID
        others += not item.buys and state not in {"completed", _PAID}
        prompt = getattr(item.request, "prompt", None)
        if arguments.json:
            price = None if item.price is None else str(item.price)
            document = {"index": item.index, "key": item.key, "standing": state, "buys": item.buys, "prompt": prompt}
            print_json(document | {"price": price})
        else:
            print_line(f"{'send' if item.buys else 'keep'}  {state:10}  {one_line(prompt or '')}")
    print_status(
        f"Nothing was submitted. A run would submit {buys}{'' if amount is None else f' for {amount}'}; "
        f"{done} are completed, {running} are paid and running"
        + (f", {others} are in other states (see the list)." if others else ".")
    )
    for status in await luma.account.budgets():
        allowed = "allows all of it" if status.allows(buys, amount or 0) else "does not allow all of it"
        print_status(f"The budget {allowed}: {describe(status)}")
    return 0


def _state_of(item: Preview) -> str:
    if item.error is not None:
        return "refused"
    if item.entry is None:
        return "new"
    return _PAID if item.entry.phase is Phase.ACCEPTED else item.entry.phase.replace("_", " ")


async def _print_interrupted(stats: BatchStats, arguments: argparse.Namespace) -> None:
    running = sum(entry.phase is Phase.ACCEPTED for entry in await read_entries(arguments))
    print_always(
        f"Interrupted: {stats.ended} of {stats.total} have ended, {running} are paid and keep running. "
        "To continue, run the same command again; it buys only what is missing."
    )


def _print_stopped(stats: BatchStats, running: int, arguments: argparse.Namespace, error: Exception) -> None:
    """Print how far a batch came that an error has stopped, and how to go on; the error itself is printed last."""
    started = stats.ended + stats.running
    rest = "" if stats.total is None else f", {stats.total - started} were not submitted"
    correct = "" if isinstance(error, BrokenPipeError) else "correct what the last line says and "
    if isinstance(error, BudgetExceeded):
        correct = "wait until there is room in the budget, or raise it, and "
    print_always(
        f"The batch was stopped: {stats.submitted} bought in this run, {stats.ended} ended{rest}. To continue, "
        f"{correct}run the same command again; it buys only what is missing."
    )
    _print_summary(stats, running, arguments.out)


def _print_summary(stats: BatchStats, running: int, out: Path) -> None:
    failed = stats.failed - running
    still_running = f"{running} paid and still running, " if running else ""
    print_status(
        f"{stats.done} of {stats.total} done, {still_running}{failed} failed, {stats.in_doubt} in doubt; "
        f"{stats.submitted} bought in this run, {stats.requests} requests. See {out / RESULTS}."
    )
    if stats.duplicates:
        print_status(f"{stats.duplicates} rows have the same request as an earlier row. Each was bought separately.")
    if stats.in_doubt:
        command = shlex.join(["luma-async", "in-doubt", "--journal", str(out / BATCH_JOURNAL)])
        print_always(f"To settle what is in doubt: {command}")
    if running:
        print_status("To wait for what is still running, run the same command again; it is not bought again.")
    if failed:
        print_status(
            "To try again what failed, run the same command again. A video that the service failed to make is bought "
            "again only with --retry-failed."
        )


def _number_or_auto(text: str) -> float | Literal["auto"]:
    try:
        number: float | Literal["auto"] = "auto" if text == "auto" else float(text)
        Limits(max_in_flight=number)
    except ValueError:
        message = f"must be auto or a number of at least 1, not {text!r}"
    else:
        return number
    raise argparse.ArgumentTypeError(message)


def _file_name(text: str) -> str:
    try:
        check_file_name(text)
    except InvalidInput as error:
        message = error.message
    else:
        return text
    raise argparse.ArgumentTypeError(message)
