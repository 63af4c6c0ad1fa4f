"""`luma-async batch`: many prompts from a file, into a folder that remembers what was paid."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async import MemoryJournal, Phase, PollingFailed, WaitTimeout
from luma_async.cli.batch_display import display
from luma_async.cli.console import print_status, put_json
from luma_async.cli.options import add_json, add_service, dialect_of, open_session
from luma_async.cli.status import read_entries
from luma_async.prompts import parse_prompts, read_prompts
from luma_async.values.errors import InvalidInput, LumaError, SubmitInDoubt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from luma_async import BatchStats, DreamMachine, LumaSession, Outcome, RixAPI
    from luma_async._batch.batch import Batch
    from luma_async._batch.preview import Preview
    from luma_async.prompts import Prompts

JOURNAL, RESULTS = "jobs.db", "results.jsonl"
_RESERVED = frozenset({RESULTS, JOURNAL, "gallery.html"})
"""Names in the folder that are not for videos."""
_MOST_CARDS = 10_000
"""A page of more than these takes longer to write and to open than anybody waits."""
_NAME = "luma-async batch"
"""The folder tells batches apart, so all have one name: what a folder has paid for, it never pays for again."""

_ALL_FAILED, _RUNNING, _SOME_FAILED, _IN_DOUBT = 1, 3, 5, 6
_PAID = "running"
"""What a preview calls an entry that is accepted and not finished."""


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Make a video of each row of a file, and put them into a folder. Run it again to go on: the folder "
        "remembers what was paid, and only what is missing is bought. Another folder buys again."
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a prompt a line, whatever it begins with; or .csv with the columns prompt, aspect_ratio, frame0, key, "
        "output, …; or .jsonl with such objects; - reads standard input",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where everything goes")
    parser.add_argument("--format", choices=("text", "csv", "jsonl"), help="of FILE (default: by its ending)")
    parser.add_argument(
        "--max-in-flight",
        type=_number_or_auto,
        metavar="N|auto",
        help="paid and unfinished videos at once; auto finds out what the service bears (default: what it is known to "
        "bear, else auto)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=86_400,
        metavar="SECONDS",
        help="stop waiting for a video then; it runs on (default: a day)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="buy once more what failed in an earlier run")
    parser.add_argument("--dry-run", action="store_true", help="submit nothing; show what would be, and what is done")
    add_service(parser)
    add_json(parser)
    parser.set_defaults(run=run, prepare=_take_input)


def _take_input(arguments: argparse.Namespace) -> None:
    """Read what is typed or piped."""
    if arguments.file == "-":
        arguments.data = sys.stdin.buffer.read()


async def run(arguments: argparse.Namespace) -> int:
    """Read, check, then buy what is missing."""
    prompts = _read(arguments, dialect_of(arguments))
    journal: Path = arguments.out / JOURNAL
    if arguments.dry_run:
        # A dry run leaves no trace, not even an empty journal.
        memory = journal if journal.exists() else MemoryJournal()  # noqa: ASYNC240 - nothing else runs yet
        async with open_session(arguments, journal=memory) as luma:
            return await _preview(_batch(luma, prompts, arguments), arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.journal = journal
    try:
        return await _buy(prompts, arguments)
    finally:
        if len(prompts) <= _MOST_CARDS:
            await _write_page(arguments)


async def _buy(prompts: Prompts, arguments: argparse.Namespace) -> int:
    running: list[Outcome] = []
    with display(len(prompts), quiet=arguments.json) as shown:
        async with open_session(arguments, on_event=shown.observe) as luma:
            await _check_places(luma, prompts, arguments)
            batch = _batch(luma, prompts, arguments)
            shown.follow(batch)
            try:
                async with aclosing(_written_down(batch, prompts, arguments)) as outcomes:
                    async for outcome in outcomes:
                        shown.ended(outcome)
                        if isinstance(outcome.error, WaitTimeout | PollingFailed):
                            running.append(outcome)
            except asyncio.CancelledError:
                # What has left is answered while the session closes, and counts.
                await luma.aclose()
                await _say_interrupted(batch.stats, arguments)
                raise
            except Exception as error:
                _say_summary(batch.stats, len(running), arguments.out)
                if not isinstance(error, InvalidInput) or not batch.stats.submitted:
                    raise
                # Its exit code would say that nothing was bought.
                print_status(f"luma-async: {error}")
                return _SOME_FAILED
    _say_summary(batch.stats, len(running), arguments.out)
    return _code(batch.stats, len(running))


async def _check_places(luma: LumaSession, prompts: Prompts, arguments: argparse.Namespace) -> None:
    """Refuse a row whose place is taken before it is paid: its video would have none."""
    if not any(row.output for row in prompts.rows):
        return
    taken: list[str] = []
    async for item in _batch(luma, prompts, arguments).preview():
        row = prompts.rows[item.index]
        place: Path = arguments.out / (row.output or "")
        if row.output and item.buys and await asyncio.to_thread(_is_taken, place, arguments.out):
            taken.append(f"line {row.line}, output: {place} stands there already, and is not from this batch.")
    if taken:
        message = "nothing was sent, for these places are taken:\n  " + "\n  ".join(taken)
        raise InvalidInput(field=arguments.file, message=message)


def _is_taken(place: Path, out: Path) -> bool:
    """Whether something else stands there, or will, or where one of its folders should be."""
    name = place.relative_to(out)
    return str(name) in _RESERVED or place.is_file() or any((out / folder).is_file() for folder in name.parents)


async def _write_page(arguments: argparse.Namespace) -> None:
    """Leave a page of all clips so far, however the run ended."""
    from luma_async.gallery import write_gallery  # noqa: PLC0415 - a dry run needs no page

    if not arguments.journal.exists():
        return
    try:
        page = write_gallery(arguments.out, await read_entries(arguments))
    except (LumaError, OSError) as error:
        print_status(f"There is no page of the clips: {error}")
    else:
        print_status(f"All clips on one page: {page}")


def _read(arguments: argparse.Namespace, dialect: RixAPI | DreamMachine) -> Prompts:
    if arguments.file == "-":
        return parse_prompts(
            arguments.data, format=arguments.format or "text", name="standard input", check=dialect.submit
        )
    try:
        return read_prompts(arguments.file, format=arguments.format, check=dialect.submit)
    except OSError as error:
        trouble = error.strerror or str(error)
    raise InvalidInput(field="FILE", message=f"{arguments.file}: {trouble}.")


def _batch(luma: LumaSession, prompts: Prompts, arguments: argparse.Namespace) -> Batch:
    def place(outcome: Outcome) -> Path:
        file: Path = arguments.out / (prompts.rows[outcome.index].output or "")
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    return luma.batch(
        prompts,
        name=_NAME,
        keys=prompts.keys,
        max_in_flight=arguments.max_in_flight,
        timeout=arguments.timeout,
        retry_failed=arguments.retry_failed,
        download_to=place,
    )


async def _written_down(batch: Batch, prompts: Prompts, arguments: argparse.Namespace) -> AsyncGenerator[Outcome]:
    """Write each outcome down as it comes; at the end of the file, which another run may be writing to as well."""
    path: Path = arguments.out / RESULTS
    with path.open("w"), path.open("a", encoding="utf-8") as results:
        async for outcome in batch:
            document = _document(outcome, prompts)
            results.write(json.dumps(document) + "\n")
            results.flush()
            if arguments.json:
                put_json(document)
            yield outcome


def _code(stats: BatchStats, running: int) -> int:
    """Say what it means to a shell."""
    if running:
        return _RUNNING
    if stats.in_doubt and not stats.failed and not stats.done:
        return _IN_DOUBT
    if stats.failed or stats.in_doubt:
        return _SOME_FAILED if stats.done else _ALL_FAILED
    return 0


async def _preview(batch: Batch, arguments: argparse.Namespace) -> int:
    buys = done = running = others = 0
    async for item in batch.preview():
        standing = _standing(item)
        buys += item.buys
        done += standing == "completed"
        running += standing == _PAID
        others += not item.buys and standing not in {"completed", _PAID}
        if arguments.json:
            document = {"index": item.index, "key": item.key, "standing": standing, "buys": item.buys}
            put_json({**document, "prompt": getattr(item.request, "prompt", None)})
        else:
            print(f"{'send' if item.buys else 'keep'}  {standing:10}  {getattr(item.request, 'prompt', '')}")
    print_status(
        f"Nothing was sent. Would submit {buys}; {done} are completed, {running} are paid and run on"
        + (f", {others} are none of these, as the list says." if others else ".")
    )
    return 0


def _standing(item: Preview) -> str:
    if item.error is not None:
        return "refused"
    if item.entry is None:
        return "new"
    return _PAID if item.entry.phase is Phase.ACCEPTED else item.entry.phase.replace("_", " ")


def _document(outcome: Outcome, prompts: Prompts) -> dict[str, Any]:
    generation, error, handle = outcome.generation, outcome.error, outcome.handle
    return {
        "index": outcome.index,
        "line": prompts.rows[outcome.index].line,
        "prompt": getattr(outcome.request, "prompt", None),
        "key": outcome.key,
        "id": handle.id if handle is not None else None,
        "state": str(generation.state) if generation is not None else None,
        "path": str(outcome.path) if outcome.path is not None else None,
        "error": str(error) if error is not None else None,
        "kind": type(error).__name__ if error is not None else None,
        "in_doubt": isinstance(error, SubmitInDoubt),
    }


async def _say_interrupted(stats: BatchStats, arguments: argparse.Namespace) -> None:
    running = sum(entry.phase is Phase.ACCEPTED for entry in await read_entries(arguments))
    print_status(
        f"Interrupted: {stats.ended} of {stats.total} have ended, {running} are paid and run on at the service. "
        "Run the same command again to go on; it pays only for what is missing."
    )


def _say_summary(stats: BatchStats, running: int, out: Path) -> None:
    failed = stats.failed - running
    runs_on = f"{running} paid and running on, " if running else ""
    print_status(
        f"{stats.done} of {stats.total} done, {runs_on}{failed} failed, {stats.in_doubt} in doubt; "
        f"{stats.submitted} bought in this run, {stats.requests} requests. See {out / RESULTS}."
    )
    if stats.duplicates:
        print_status(
            f"Rows that repeat an earlier one word for word: {stats.duplicates}. Each is a purchase of its own."
        )
    if stats.in_doubt:
        print_status(
            f"Settle what is in doubt with: {shlex.join(['luma-async', 'in-doubt', '--journal', str(out / JOURNAL)])}"
        )
    if running:
        print_status("Run the same command again to wait for what runs on; it is not bought once more.")
    if failed:
        print_status(
            "Run the same command again for what failed on the way; --retry-failed buys failed videos once more."
        )


def _number_or_auto(text: str) -> float | str:
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        message = f"{text!r} is neither a number nor auto"
    raise argparse.ArgumentTypeError(message)
