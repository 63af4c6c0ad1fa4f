"""Submit, wait and download; each download on its own, so that one failure stops no other."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._download.part_file import check_before_purchase, is_folder
from luma_async.cli.budget import add_budget
from luma_async.cli.errors import error_text, exit_code
from luma_async.cli.options import add_common, add_private_hosts, add_timeout, open_session, resume_command
from luma_async.cli.output import (
    as_typed,
    print_always,
    print_error,
    print_generation,
    print_json,
    print_line,
    print_path,
    print_status,
)
from luma_async.cli.progress import progress
from luma_async.handle import PollingFailed, WaitTimeout
from luma_async.values.errors import DownloadError, GenerationFailed, InvalidInput, LumaError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from luma_async import GenerationHandle, LumaSession, Outcome, Request
    from luma_async.cli.progress import Progress

_RUNNING, _SOME_FAILED = 3, 5
_HERE = "."
"""Where a file is saved if nothing else was typed."""


def add_purchase(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command that buys one generation."""
    parser.add_argument(
        "-o",
        "--output",
        default=_HERE,
        metavar="FILE",
        help="a file or a folder; a folder that ends in / is created (default: ./<id>.<extension>)",
    )
    add_file(parser)
    parser.add_argument("--key", help="a name for this purchase; the same key is never bought twice")
    parser.add_argument(
        "--detach", action="store_true", help="submit, print the id, and exit; `luma-async download` fetches the file"
    )
    parser.add_argument("--notify-hook", metavar="URL", help="an address that the service calls when something changes")
    parser.add_argument(
        "--extra",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="a further field for the service, such as seed=7 or tag='\"red\"' (may be repeated)",
    )
    add_budget(parser)
    add_timeout(parser, "stop waiting after this time, with exit code 3; the generation keeps running")
    add_common(parser)
    parser.set_defaults(prepare=_read_prompt, unpaid=True)


def _read_prompt(arguments: argparse.Namespace) -> None:
    """Read the prompt from standard input if it is `-`.

    Raises:
        InvalidInput: it is not UTF-8 text, or is empty.
    """
    if vars(arguments).get("prompt") != "-":
        return
    try:
        arguments.prompt = sys.stdin.buffer.read().decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        message = "standard input is not UTF-8 text."
    else:
        if arguments.prompt:
            return
        message = "standard input is empty."
    raise InvalidInput(field="prompt", message=message)


def read_extra(values: Sequence[str]) -> dict[str, Any]:
    """Read the values of `--extra`.

    Raises:
        InvalidInput: one has not the form NAME=JSON, or a name is repeated.
    """
    fields: dict[str, Any] = {}
    for value in values:
        name, mark, text = value.partition("=")
        if not mark or not name:
            raise InvalidInput(field="--extra", message="must be a name, an equals sign and a JSON value.")
        if name in fields:
            raise InvalidInput(field="--extra", message=f"{name} is given twice.")
        try:
            fields[name] = json.loads(text)
        except ValueError:
            message = f"the value of {name} is not JSON. A text needs double quotes, within single quotes in a shell."
            raise InvalidInput(field="--extra", message=message) from None
    return fields


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a download."""
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--watermark", action="store_true", help="accept a video with a watermark if there is no other")
    add_private_hosts(parser)


# One purchase


def _further_fields(arguments: argparse.Namespace, request: Request) -> dict[str, Any]:
    """Return the fields that every purchase takes from flags, as far as they were given."""
    fields: dict[str, Any] = {"extra": read_extra(arguments.extra)}
    if arguments.notify_hook is not None:
        if not hasattr(request, "notify_hook"):
            raise InvalidInput(field="--notify-hook", message="this request has no callback; leave it out.")
        fields["notify_hook"] = arguments.notify_hook
    return fields


async def buy(arguments: argparse.Namespace, request: Request) -> int:
    """Submit, wait and download. A destination that cannot be used is refused before the submit."""
    # A string, because a slash at its end means a folder.
    destination: str = arguments.output
    request = attrs.evolve(request, **_further_fields(arguments, request))
    if not arguments.detach:
        check_before_purchase(destination, overwrite=arguments.overwrite)
    elif destination != _HERE:
        raise InvalidInput(field="--output", message="cannot be used with --detach, which downloads nothing.")
    label = getattr(request, "prompt", None) or arguments.command
    with progress(label, quiet=arguments.json) as display:
        async with open_session(arguments, on_event=display.observe) as luma:
            handle = await _submit(luma, request, arguments)
            arguments.unpaid = False
            verb = "Accepted" if display.submitted else "Bought before"
            print_status(f"{verb}: generation {handle.id}, key {handle.key}")
            fetch = resume_command(arguments, "download", handle.id)
            if arguments.detach:
                _print_detached(handle, fetch, arguments)
                return 0
            try:
                generation = await handle.wait(timeout=arguments.timeout)
                path = await _download(handle, destination, arguments)
                if getattr(arguments, "every_output", False):
                    for place in range(1, len(generation.outputs)):
                        print_path(await _download(handle, destination, arguments, output=place))
            except asyncio.CancelledError:
                display.final_messages.append(f"Interrupted. {_state_of(handle, display, fetch, destination)}")
                raise
            except GenerationFailed:
                raise
            except (LumaError, OSError) as error:
                # The text of these two ends with the same command.
                if not isinstance(error, WaitTimeout | PollingFailed):
                    display.final_messages.append(f"Generation {handle.id} is paid. To fetch it: {fetch}")
                if arguments.json:
                    state = handle.last and str(handle.last.state)
                    text = error_text(error, arguments)
                    print_json({"id": handle.id, "key": handle.key, "state": state, "error": text})
                raise
    if arguments.json:
        print_generation(generation, path=str(path), key=handle.key)
    else:
        print_path(path)
    return 0


def _print_detached(handle: GenerationHandle, fetch: str, arguments: argparse.Namespace) -> None:
    """Print what a program needs to go on, and the next command for people."""
    if arguments.json:
        state = handle.last and str(handle.last.state)
        print_json({"id": handle.id, "key": handle.key, "state": state})
    else:
        print_line(handle.id)
        print_status(f"To wait for it and download it: {fetch}")


async def _submit(luma: LumaSession, request: Request, arguments: argparse.Namespace) -> GenerationHandle:
    try:
        return await luma.submit(request, key=arguments.key)
    except asyncio.CancelledError:
        status = resume_command(arguments, "status", with_service=False)
        print_always(f"Interrupted during the submit. It may have been charged only if this lists it: {status}")
        raise


async def _download(
    handle: GenerationHandle, destination: str, arguments: argparse.Namespace, output: int | None = None
) -> Path:
    """Download; an unusable destination is now no wrong usage (exit code 2), because the generation is paid."""
    try:
        return await handle.download(
            destination,
            overwrite=arguments.overwrite,
            watermark="allow" if arguments.watermark else "forbid",
            output=output,
        )
    except InvalidInput as error:
        failure = DownloadError(message=error.message, generation_id=handle.id)
    raise failure


def _state_of(handle: GenerationHandle, display: Progress, fetch: str, typed: str) -> str:
    paid = f"Generation {handle.id} is paid"
    if (path := display.on_disk.get(handle.id)) is not None:
        return f"{paid}, and its file is complete: {as_typed(path, typed)}"
    final = handle.last is not None and handle.last.final
    return f"{paid}{'' if final else ' and keeps running'}. To fetch it: {fetch}"


# Many downloads


async def download_all(
    luma: LumaSession, handles: Sequence[GenerationHandle], arguments: argparse.Namespace, display: Progress
) -> int:
    """Wait for all, download each when it is completed, and return the exit code."""
    _prepare_output(arguments, len(handles))
    missing = [handle.id for handle in handles]
    codes: list[int] = []
    try:
        async for outcome in luma.as_completed(handles):
            assert outcome.handle is not None
            codes.append(await _download_outcome(outcome, outcome.handle, arguments))
            missing.remove(outcome.handle.id)
    except asyncio.CancelledError:
        # A file can be complete although its outcome was not handled yet.
        complete = [display.on_disk[generation_id] for generation_id in missing if generation_id in display.on_disk]
        display.final_messages += [
            f"Interrupted. Already on disk: {as_typed(path, arguments.output)}" for path in complete
        ]
        missing = [generation_id for generation_id in missing if generation_id not in display.on_disk]
        if missing:
            fetch = resume_command(
                arguments, "download", *missing, "--output", str(arguments.output), *_flags(arguments)
            )
            display.final_messages.append(
                f"Interrupted. {len(missing)} are paid and not on disk yet. To fetch them: {fetch}"
            )
        raise
    return combined_exit_code(codes)


def _prepare_output(arguments: argparse.Namespace, count: int) -> None:
    """Create the folder for the files, or check the file for the only one."""
    may_be_file = arguments.command == "download" and count == 1 and not is_folder(arguments.output)
    output = arguments.output = Path(arguments.output)
    is_file = may_be_file and bool(output.suffix)
    folder = output.parent if is_file else output
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(field="--output", message=f"{folder} is not a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {folder} cannot be created: {error.strerror}."
        raise InvalidInput(field="--output", message=message) from None
    if is_file:
        check_before_purchase(output, overwrite=arguments.overwrite)


def _flags(arguments: argparse.Namespace) -> list[str]:
    """Return the flags of this download, to type them again."""
    names = "watermark", "overwrite", "allow_private_hosts"
    what = [] if arguments.what == "video" else ["--what", arguments.what]
    return [*what, *(f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name))]


async def _download_outcome(outcome: Outcome, handle: GenerationHandle, arguments: argparse.Namespace) -> int:
    """Download one result, print how it went, and return its exit code."""
    error: Exception | None = outcome.error
    path = None
    if error is None:
        try:
            path = await handle.download(
                arguments.output,
                overwrite=arguments.overwrite,
                watermark="allow" if arguments.watermark else "forbid",
                what=arguments.what,
            )
        except (LumaError, OSError) as failure:
            error = failure
    text = error and error_text(error, arguments, generation_id=handle.id)
    if arguments.json:
        kind = error and type(error).__name__
        print_json({"id": handle.id, "key": handle.key, "path": path and str(path), "error": text, "kind": kind})
    elif error is None:
        print_path(path)
    else:
        print_error(text or "")
    return exit_code(error) if error is not None else 0


def combined_exit_code(codes: Sequence[int]) -> int:
    """Return the code that all share; otherwise 3 if a generation still runs, or else 5 (some failed)."""
    kinds = set(codes)
    if len(kinds) > 1:
        return _RUNNING if _RUNNING in kinds else _SOME_FAILED
    return kinds.pop() if kinds else 0
