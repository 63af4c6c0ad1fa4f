"""What is typed: which command, and what it takes. Nothing else is loaded before that is known."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "demo": ("demo", "see it work, without a key or a network"),
    "generate": ("generate", "make one video"),
    "extend": ("extend", "make a continuation of a video"),
    "audio": ("audio", "make sound for a video"),
    "image": ("image", "make one picture"),
    "upscale": ("upscale", "make a video larger"),
    "reframe": ("reframe", "make a video or a picture in another aspect ratio"),
    "modify": ("modify", "make a video over in another style"),
    "batch": ("batch", "make the videos of a file of prompts"),
    "status": ("status", "list what the journal knows"),
    "wait": ("wait", "wait for generations"),
    "download": ("download", "put generations on disk"),
    "link": ("link", "print the watermark-free link of a video"),
    "resume": ("resume", "fetch what is paid and unfinished"),
    "in-doubt": ("doubt", "list and settle submits whose fate is unknown"),
    "list": ("listing", "list what the service keeps of the account"),
    "delete": ("delete", "delete generations at the service"),
    "account": ("account", "print what is left to spend"),
    "gallery": ("gallery", "write a page with all clips"),
    "doctor": ("doctor", "check that everything is set up"),
    "gateway": ("gateway", "run a fake service on this machine"),
    "completion": ("completion", "print a script that completes in your shell"),
}
"""Each command with its module in this folder, which says with `fill()` what it takes, and what it is for."""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Look the version up only now: reading it takes longer than --help may."""
        from importlib.metadata import version  # noqa: PLC0415 - see above

        print(f"luma-async {version('luma-async')}")
        parser.exit()


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; only the command that is meant is filled, or all of them."""
    root = argparse.ArgumentParser(
        prog="luma-async",
        description="Make Luma videos: never pay twice, never lose what is paid.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 still running and paid, 4 the key or the "
        "credit, 5 some of many failed, 6 in doubt (maybe paid), 130 interrupted. Settings: a flag, else LUMA_API_KEY, "
        "LUMA_BASE_URL, LUMA_DIALECT, LUMA_EDITION, LUMA_JOURNAL, else ~/.config/luma-async/config.toml. The key is "
        "never taken from the command line, where every user of the machine could read it.",
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        one = commands.add_parser(name, help=summary)
        one.set_defaults(prepare=_nothing)
        if command in {None, name}:
            import_module(f"luma_async.cli.{module}").fill(one)
    return root


def _nothing(_: argparse.Namespace) -> None:
    """Most commands ask nobody and read nothing before they run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # A file's name need not fit the locale, and nothing that was paid ends in how it is printed.
        reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parser(words[0] if words else "").parse_args(words)
    from luma_async.cli.running import run  # noqa: PLC0415 - only now there is something to run

    return run(arguments)
