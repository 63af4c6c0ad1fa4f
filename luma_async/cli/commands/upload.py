"""`luma-async upload`: upload files, and print their ids."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from luma_async.cli.options import add_common, open_session
from luma_async.cli.output import print_json, print_status, printable
from luma_async.values.errors import InvalidInput
from luma_async.values.events import Uploading

if TYPE_CHECKING:
    import argparse

    from luma_async import Event


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Upload pictures or videos to Luma, free of charge, and print the id of each."
    parser.add_argument("files", nargs="+", metavar="FILE", help="a picture or a video")
    parser.add_argument(
        "--purpose", choices=("input", "reference"), default="input", help="what for (default: %(default)s)"
    )
    parser.add_argument("--user-id", metavar="NAME", help="your own mark for the person for whom this is uploaded")
    add_common(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Upload one after the other, if all of them can be read."""
    for path in arguments.files:
        if not os.path.isfile(path) or not os.access(path, os.R_OK):  # noqa: ASYNC240, PTH113 - nothing else runs yet
            raise InvalidInput(field="FILE", message=f"{path} is not a file that can be read. Nothing was uploaded.")
    async with open_session(arguments, on_event=None if arguments.json else _show) as luma:
        for path in arguments.files:
            file = await luma.files.upload(path, purpose=arguments.purpose, user_id=arguments.user_id)
            if arguments.json:
                print_json({"id": file.id, "state": file.state, "path": path, "size_bytes": file.size_bytes})
            else:
                print(printable(f"file:{file.id}"))
    return 0


def _show(event: Event) -> None:
    if isinstance(event, Uploading):
        print_status(f"{event.path}: {event.sent_bytes:,} of {event.total_bytes:,} bytes")
