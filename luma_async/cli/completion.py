"""`luma-async completion`: a script that completes the command line in a shell."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

_FILES = {"FILE", "DIR", "WHAT"}
"""What arguments are called that take a file; a frame (WHAT) is often one."""


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Print a script for your shell. For bash: luma-async completion bash > "
        "~/.local/share/bash-completion/completions/luma-async"
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from luma_async.cli.main import parser  # noqa: PLC0415 - the parser of all commands, which loads all of them

    if importlib.util.find_spec("shtab") is None:
        raise ConfigurationError(message="shtab is missing: pip install 'luma-async[cli]'")
    import shtab  # noqa: PLC0415 - an extra

    root = parser()
    _prepare(root, shtab.FILE)
    print(shtab.complete(root, shell=arguments.shell))
    return 0


def _prepare(parser: argparse.ArgumentParser, files: object) -> None:
    """Mark, here and in the commands below, what takes a file or may take one."""
    # Without it, menus show the short word on each command, which fits into a line.
    parser.description = None
    # argparse shows its arguments to nobody else; shtab reads them here too.
    actions = cast("list[Any]", parser._actions)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    for action in actions:
        if hasattr(action.choices, "values"):
            for below in action.choices.values():
                _prepare(below, files)
        elif action.type is Path or action.metavar in _FILES:
            action.complete = files
