"""`luma-async completion`: a script that completes the command line in a shell."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from luma_async.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse


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

    print(shtab.complete(parser(), shell=arguments.shell))
    return 0
