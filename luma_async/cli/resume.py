"""`luma-async resume`: wait for everything that is paid and unfinished, and put it on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luma_async.cli.buying import add_file
from luma_async.cli.console import say
from luma_async.cli.fetching import fetch_all
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.services import only_service

if TYPE_CHECKING:
    import argparse


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Wait for every generation that the journal knows as paid and unfinished, and download it."
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="where the files go")
    add_file(parser)
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run, what="video")


async def run(arguments: argparse.Namespace) -> int:
    """Wait and download, and point at what is in doubt."""
    async with open_session(arguments, service=await only_service(arguments)) as luma:
        handles = await luma.resume()
        say(f"{len(handles)} paid and unfinished.")
        code = await fetch_all(luma, handles, arguments)
        doubts = await luma.doubts.list()
    if doubts:
        say(f"{len(doubts)} in doubt: see `luma-async in-doubt`.")
    return code
