"""`luma-async enqueue`: queue a purchase for each prompt of a file, for the workers of `luma-async worker`."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from luma_async._batch.keys import KeyCounter, derive_key
from luma_async._journal.fingerprint import canonical_form
from luma_async.cli.options import add_journal, add_json, add_service, dialect_of
from luma_async.cli.output import print_json, print_line
from luma_async.cli.prompt_file import add_prompt_file, read_prompt_file, read_stdin
from luma_async.cli.queue import opened_queue
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Queue a video for each prompt of a file. `luma-async worker` buys and downloads them, on this machine or "
        "others. A row that was queued before under the same name is not bought again."
    )
    add_prompt_file(parser)
    parser.add_argument(
        "-o", "--out", type=Path, default=Path(), metavar="DIR", help="the folder for the files, where workers see it"
    )
    parser.add_argument(
        "--name", help="under another name, everything is bought again (default: the name of FILE without its folder)"
    )
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run, prepare=read_stdin)


async def run(arguments: argparse.Namespace) -> int:
    """Check all prompts, then queue them."""
    prompts = read_prompt_file(arguments, dialect_of(arguments))
    name = arguments.name or PurePath(arguments.file).name
    if name == "-":
        raise InvalidInput(field="--name", message="is needed for prompts from standard input.")
    folder, keys = arguments.out.absolute(), KeyCounter()
    async with opened_queue(arguments) as app:
        from luma_async.contrib.procrastinate import queue_submit  # noqa: PLC0415 - it is an extra

        for row in prompts.rows:
            request = row.request
            key = row.key or keys.make_unique(derive_key(f"luma-async enqueue {name}", canonical_form(request)))
            await queue_submit(app, request, key=key, download_to=f"{folder}/{row.output or ''}")
    if arguments.json:
        print_json({"queued": len(prompts), "name": name})
    else:
        print_line(f"Queued {len(prompts)} prompts.")
    return 0
