"""The file of prompts that a command reads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from luma_async.prompts import parse_prompts, read_prompts

if TYPE_CHECKING:
    import argparse

    from luma_async._wire.dialect import Dialect
    from luma_async.prompts import Prompts


def add_prompt_file(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the file. The command's `prepare` has to be `read_stdin`."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="text with a prompt per line; or .csv or .tsv with the columns prompt, aspect_ratio, frame0, key, output, "
        "…; or .jsonl with such objects; - reads standard input",
    )
    parser.add_argument(
        "--format", choices=("text", "csv", "tsv", "jsonl"), help="of FILE (default: from its extension)"
    )


def read_stdin(arguments: argparse.Namespace) -> None:
    """Read the prompts if they are typed or piped."""
    if arguments.file == "-":
        arguments.data = sys.stdin.buffer.read()


def read_prompt_file(arguments: argparse.Namespace, dialect: Dialect) -> Prompts:
    """Read and check the prompts.

    Raises:
        InvalidInput: a row is invalid, or there are none.
        PromptFileError: the file cannot be read.
    """
    if arguments.file == "-":
        return parse_prompts(
            arguments.data, format=arguments.format or "text", name="standard input", check=dialect.submit_call
        )
    return read_prompts(arguments.file, format=arguments.format, check=dialect.submit_call)
