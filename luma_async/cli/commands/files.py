"""`luma-async files`: list the uploaded files, or delete some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.options import add_common, open_session
from luma_async.cli.output import print_json, print_status, print_table
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "List the files that were uploaded to Luma, newest first, or delete some."
    parser.add_argument("--purpose", choices=("input", "reference"), help="only files of this purpose")
    parser.add_argument("--state", choices=("pending", "ready", "failed", "deleted"), help="only files in this state")
    parser.add_argument("--delete", action="append", default=[], metavar="ID", help="delete this file instead")
    add_common(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """List or delete."""
    for file_id in arguments.delete:
        check_id(file_id, "--delete")
    async with open_session(arguments) as luma:
        for file_id in arguments.delete:
            await luma.files.delete(file_id)
            print_status(f"Deleted file {file_id}")
        if arguments.delete:
            return 0
        found = [file async for file in luma.files.list(purpose=arguments.purpose, state=arguments.state)]
    if arguments.json:
        for file in found:
            print_json(file.raw)
    elif not found:
        print_status("The service lists no such files.")
    else:
        rows = [
            (file.id, file.state, file.mime_type or "", f"{file.size_bytes or 0:,}", file.filename) for file in found
        ]
        print_table(("id", "state", "type", "bytes", "name"), [tuple(map(str, row)) for row in rows])
    return 0
