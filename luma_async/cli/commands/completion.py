"""`luma-async completion`: print a script that completes the command line in a shell."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

_FILES = {"FILE", "DIR", "WHAT"}
"""The metavars of arguments that take a file; a frame (WHAT) can be a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Print a completion script for your shell. For bash: luma-async completion bash > "
        "~/.local/share/bash-completion/completions/luma-async"
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell to complete in")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from luma_async.cli.main import make_parser  # noqa: PLC0415 - importing it above would be circular

    if importlib.util.find_spec("shtab") is None:
        raise ConfigurationError(message="shtab is not installed. Run: pip install 'luma-async[cli]'")
    import shtab  # noqa: PLC0415 - an extra

    root = make_parser()
    _mark_files(root, shtab.FILE)
    print(shtab.complete(root, shell=arguments.shell))
    return 0


def _mark_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Mark the arguments that take a file, in this parser and its subcommands."""
    # Without a description, menus show the short summary of each command.
    parser.description = None
    # argparse has no public list of a parser's arguments; shtab reads this attribute too.
    actions = cast("list[Any]", parser._actions)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    for action in actions:
        if hasattr(action.choices, "values"):
            for subcommand in action.choices.values():
                _mark_files(subcommand, files)
        elif action.type is Path or action.metavar in _FILES:
            action.complete = files
