"""Parse the command line. Only the module of the command that was typed is loaded, so that `--help` is fast."""

from __future__ import annotations

import argparse
import re
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from luma_async.cli.output import drop, never_fail_to_encode, print_error, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "demo": "make three videos without a key or a network",
    "generate": "make one video",
    "extend": "continue a video",
    "audio": "add sound to a video",
    "image": "make one picture",
    "upscale": "raise the resolution of a video",
    "reframe": "change the aspect ratio of a video or a picture",
    "modify": "restyle a video with a prompt",
    "edit": "change a video or a picture with a prompt",
    "layers": "take a picture apart into layers",
    "upload": "upload pictures and videos",
    "files": "list or delete uploaded files",
    "batch": "make a video for each prompt of a file",
    "enqueue": "queue a video for each prompt of a file, for workers",
    "worker": "buy and download what is queued, on any number of machines",
    "status": "list the generations in the journal",
    "wait": "wait for generations",
    "download": "download generations",
    "link": "print the watermark-free URL of a video",
    "resume": "download what is paid and unfinished",
    "in-doubt": "list and settle submits with an unknown outcome",
    "list": "list the generations that the service keeps",
    "delete": "delete generations at the service",
    "account": "print the balance",
    "journal": "export or copy the journal, or make it smaller",
    "gallery": "write an HTML page with all clips",
    "doctor": "check settings, journal, clock and key",
    "mcp": "serve tools for agents (MCP)",
    "gateway": "run a fake service on this machine",
    "completion": "print a completion script for your shell",
}
"""Every command with its summary. The module in `commands/` has the same name, with `_` for `-`."""

OUTPUT_CLOSED = 141
"""The exit code when the reader of stdout has ended: that of programs that SIGPIPE ends."""


_VOLUMES = (
    (("-q", "--quiet"), "quiet", "print only errors and results"),
    (("-v", "--verbose"), "verbose", "print every step on stderr, with the time"),
)
"""The flags that say how much is printed on stderr."""


class _Parser(argparse.ArgumentParser):
    known_words: ClassVar[set[str]] = set()
    """The flags and commands of one command line: `make_parser()` empties it, and all its parsers share it."""
    positionals: ClassVar[dict[str, str]] = {}
    """What help calls each argument without a flag; shared in the same way."""

    def __init__(self, *names: Any, **options: Any) -> None:
        # The typed command, if an error of its arguments is found by the parser of all commands.
        self.command = ""
        super().__init__(*names, **options)
        # On every level, so that they may stand before and after the command.
        volume = self.add_mutually_exclusive_group()
        for flags, level, summary in _VOLUMES:
            volume.add_argument(
                *flags, dest="volume", action="store_const", const=level, default=argparse.SUPPRESS, help=summary
            )
        self.known_words.update(flag for flags, _, _ in _VOLUMES for flag in flags if flag.startswith("--"))

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Declare an argument, and remember its flags, or what help calls it."""
        self.known_words.update(name for name in names if name.startswith("--"))
        action = super().add_argument(*names, **options)
        if not action.option_strings and isinstance(action.metavar, str):
            self.positionals[action.dest] = action.metavar
        return action

    def error(self, message: str) -> NoReturn:
        """End with an error, the word that was probably meant, and the command that lists all words."""
        wrong = re.search(r"unrecognized arguments:.*?(--[^\s=]+)", message) or re.search(
            r"argument COMMAND: invalid choice: '([^']+)'", message
        )
        meant = get_close_matches(wrong[1], sorted(self.known_words), n=1) if wrong else []
        hint = f"Did you mean {meant[0]}? " if meant else ""
        command = f"{self.prog} {self.command}".strip()
        # All commands are too many for an error.
        message = re.sub(r"(argument COMMAND: .*) \(choose from .*", r"\1", message)
        self.exit(2, f"{command}: {message}\n{hint}See {command} --help\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help or an error, which may repeat what was typed. `argparse` would hide that the output is closed."""
        if (stream := file or sys.stderr) is not None:
            stream.write(printable(message))


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version; read it only now, since reading takes longer than `--help` may."""
        from importlib.metadata import version  # noqa: PLC0415 - see above

        print(f"luma-async {version('luma-async')}")
        parser.exit()


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Build the parser.

    Args:
        command: the only command whose arguments are declared; None declares those of all commands.
    """
    _Parser.known_words = set(COMMANDS)
    _Parser.positionals = {}
    root = _Parser(
        prog="luma-async",
        description="Make Luma videos. A submit is never sent twice, and a paid video is never lost.",
        epilog="Exit codes: 0 success, 1 failure, 2 wrong usage or settings, 3 paid and still running, 4 a "
        "problem with the key or the credit, 5 some of many failed, 6 in doubt (may have been charged), 7 "
        "above a spending limit, 130 interrupted, 141 the output was closed. Settings: a flag, then "
        "LUMA_API_KEY, LUMA_BASE_URL, LUMA_DIALECT, LUMA_EDITION, LUMA_JOURNAL, LUMA_MAX_PURCHASES, "
        "LUMA_MAX_AMOUNT, then ~/.config/luma-async/config.toml. There is no flag for the key, because "
        "every user of this machine can read command lines.",
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        parser = commands.add_parser(name, help=summary)
        parser.set_defaults(prepare=_nothing)
        if command in {None, name}:
            import_module(f"luma_async.cli.commands.{name.replace('-', '_')}").add_arguments(parser)
            root.command = command or ""
    # Messages name no other flags.
    root.set_defaults(flags=_Parser.known_words, positionals=_Parser.positionals)
    return root


def _nothing(_: argparse.Namespace) -> None:
    """Do what most commands do before the event loop starts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    never_fail_to_encode()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(words)
    except BrokenPipeError:
        # The reader of our output has ended (`| head -1`), which is no error of the command.
        drop(sys.stdout)
        return OUTPUT_CLOSED
    except OSError as error:
        # Help cannot be written, for example because the disk is full; other commands print their own errors.
        drop(sys.stdout)
        print_error(f"{error}")
        return 1


def _run(words: Sequence[str]) -> int:
    try:
        command = next((word for word in words if not word.startswith("-")), "")
        arguments = make_parser(command).parse_args(words)
    except SystemExit:
        if sys.stdout is not None:
            sys.stdout.flush()
        raise
    from luma_async.cli.run import run  # noqa: PLC0415 - it loads asyncio, which --help does not need

    return run(arguments)
