"""What every buying command does: submit, wait, download, and what is said on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async._download.downloader import Downloader
from luma_async.cli.console import print_status, progress, put_generation, put_json
from luma_async.cli.options import add_journal, add_json, add_service, again, open_session
from luma_async.values.errors import DownloadError, GenerationFailed, InvalidInput, LumaError
from luma_async.values.settings import check_timeout

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from luma_async import GenerationHandle, LumaSession, Request
    from luma_async.cli.console import Progress


def add_purchase(parser: argparse.ArgumentParser) -> None:
    """Add what all purchases have in common, and where they are made."""
    parser.add_argument(
        "-o", "--output", default=".", metavar="FILE", help="a file or a folder (default: ./<id>.<kind>)"
    )
    add_file(parser)
    parser.add_argument("--key", help="a name for this purchase: the same key never buys twice")
    parser.add_argument(
        "--timeout",
        type=float,
        default=86_400,
        metavar="SECONDS",
        help="stop waiting then, exit code 3 (default: a day)",
    )
    add_service(parser)
    add_journal(parser)
    add_json(parser)


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add what a download may do."""
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--watermark", action="store_true", help="take a clip with a watermark if there is no other")


async def buy(arguments: argparse.Namespace, request: Request) -> int:
    """Submit, wait, download; what would be refused afterwards is refused before it is paid."""
    # As it was typed: a slash at its end means a folder.
    place: str = arguments.output
    check_timeout(arguments.timeout)
    Downloader.check_destination(place, overwrite=arguments.overwrite)
    label = getattr(request, "prompt", None) or arguments.command
    with progress(label, quiet=arguments.json) as display:
        async with open_session(arguments, on_event=display.observe) as luma:
            handle = await _submit(luma, request, arguments)
            print_status(
                f"{'Accepted' if display.bought else 'Purchase before'}: generation {handle.id}, key {handle.key}"
            )
            fetch = again(arguments, "download", handle.id)
            try:
                generation = await handle.wait(timeout=arguments.timeout)
                path = await _download(handle, place, arguments)
            except asyncio.CancelledError:
                display.afterwards.append(f"Interrupted. {_how_it_stands(handle, display, fetch)}")
                raise
            except GenerationFailed:
                raise
            except (LumaError, OSError) as error:
                display.afterwards.append(f"Generation {handle.id} is paid. To fetch it: {fetch}")
                if arguments.json:
                    state = handle.last and str(handle.last.state)
                    put_json({"id": handle.id, "key": handle.key, "state": state, "error": str(error)})
                raise
    if arguments.json:
        put_generation(generation, path=str(path), key=handle.key)
    else:
        print(path)
    return 0


async def _download(handle: GenerationHandle, place: str, arguments: argparse.Namespace) -> Path:
    """Put the file on disk; what has come into its way is no mistake of the command, which has paid."""
    try:
        return await handle.download(
            place, overwrite=arguments.overwrite, watermark="allow" if arguments.watermark else "forbid"
        )
    except InvalidInput as error:
        trouble = DownloadError(message=str(error), generation_id=handle.id)
    raise trouble


def _how_it_stands(handle: GenerationHandle, display: Progress, fetch: str) -> str:
    paid = f"Generation {handle.id} is paid"
    if (path := display.on_disk.get(handle.id)) is not None:
        return f"{paid}, and its file is there: {path}"
    done = handle.last is not None and handle.last.final
    return f"{paid}{'' if done else ' and runs on'}. To fetch it: {fetch}"


async def _submit(luma: LumaSession, request: Request, arguments: argparse.Namespace) -> GenerationHandle:
    try:
        return await luma.submit(request, key=arguments.key)
    except asyncio.CancelledError:
        print_status(f"Interrupted while submitting. Whether it was bought: {again(arguments, 'status', asks=False)}")
        raise
