"""What an error means at the command line: its exit code, and its text."""

from __future__ import annotations

import argparse
import ast
import re
from functools import cache
from pathlib import Path

import pytest

import luma_async
from luma_async import (
    ConfigurationError,
    DownloadError,
    Generation,
    GenerationFailed,
    InvalidInput,
    JournalError,
    NoResponse,
    NotSent,
    OutOfCredit,
    PollingFailed,
    RateLimited,
    State,
    SubmitInDoubt,
    Unauthorized,
    UnsupportedOperation,
    WaitTimeout,
)
from luma_async.cli.errors import error_text, exit_code, in_flags
from luma_async.cli.main import COMMANDS, make_parser

PACKAGE = Path(luma_async.__file__).parent


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError(), 2),
        (InvalidInput(field="prompt"), 2),
        (UnsupportedOperation(operation="upscale", service="rixapi"), 2),
        (WaitTimeout(generation_id="g1"), 3),
        (WaitTimeout(generation_id="g1", last_error=NoResponse()), 1),
        (PollingFailed(generation_id="g1", key="cat"), 3),
        (PollingFailed(generation_id="g1"), 1),
        (Unauthorized(status=401), 4),
        (OutOfCredit(status=403), 4),
        (NotSent(), 1),
        (SubmitInDoubt(key="k"), 6),
        (RateLimited(status=429), 1),
        (GenerationFailed(generation=Generation(id="g1", state=State.FAILED)), 1),
        (DownloadError(), 1),
        (JournalError(), 1),
        (OSError(28, "No space left on device"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_exit_code_of_error(error, code):
    """Every kind of error has one exit code."""
    assert exit_code(error) == code


@pytest.fixture
def arguments(monkeypatch):
    """What `luma-async generate --journal jobs.db` typed."""
    monkeypatch.setenv("LUMA_JOURNAL", "/elsewhere/jobs.db")
    return argparse.Namespace(
        command="generate",
        journal=Path("jobs.db"),
        base_url=None,
        dialect=None,
        edition=None,
        aspect_ratio="16:9",
        key="cat",
        flags={"--aspect-ratio", "--timeout", "--key", "--journal", "--overwrite"},
        positionals={},
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SubmitInDoubt(key="cat"), "To settle it: luma-async in-doubt --journal jobs.db"),
        (
            WaitTimeout(generation_id="g1"),
            "check the id and --base-url. To wait again: luma-async wait g1 --journal jobs.db",
        ),
        (
            WaitTimeout(generation_id="g1", key="cat", last_error=NoResponse(message="The connection broke.")),
            "The last failure: The connection broke. To wait again: luma-async wait g1 --journal jobs.db",
        ),
        (
            PollingFailed(generation_id="g1", failures=(NoResponse(message="The connection broke."),)),
            "The last failure: The connection broke. To wait again: luma-async wait g1 --journal jobs.db",
        ),
        (RateLimited(status=429), "Wait, then try again."),
        (InvalidInput(field="aspect_ratio", message="must be W:H."), "--aspect-ratio: must be W:H."),
        (
            InvalidInput(field="dest", message="a.mp4 exists; overwrite=True (--overwrite)."),
            "--output: a.mp4 exists; --o",
        ),
        (GenerationFailed(generation=Generation(id="g1", state=State.FAILED), reason="moderated"), "another --key"),
        (ConfigurationError(message="base_url sends the key: use https://. Pass allow_insecure=True."), "use https://"),
        (JournalError(path="a.db", message="this is a folder; pass the path of a file."), "folder; use --journal"),
        (InvalidInput(field="timeout", message="must be 0 or more, or None for no limit."), "must be 0 or more."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_text(arguments, error, words):
    """The text ends with the next command, with the typed journal, and names flags."""
    assert words in error_text(error, arguments)


@cache
def messages():
    """Return each text of the library that names a flag, with its module; the parts in braces are left out."""
    return list(read_messages())


def read_messages():
    """Read them from the source."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = str(path.relative_to(PACKAGE))
        if module.startswith("cli"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "2025" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
                text = node.value
            else:
                continue
            if "\n" not in text and "docker" not in text and ("extra" in text or "--" in text):
                yield module, text


def can_say(module, flags):
    """Whether a command with these flags can print a message of this module."""
    buys = "--detach" in flags or "--max-in-flight" in flags
    if module == "prompts.py":
        return "--max-in-flight" in flags
    if module == "contrib/mcp.py":
        return "--confirm" in flags
    if module.startswith("_doubts"):
        return "--accept-duplicate-risk" in flags
    if module.startswith("_download"):
        return buys or "--watermark" in flags
    return buys if module.startswith("_wire") else bool({"--base-url", "--journal"} <= flags)


@pytest.mark.parametrize("name", COMMANDS)
def test_messages_name_flags_there_are(name, monkeypatch):
    """Every flag in a message is a flag of the command that prints it, or of a command in the same message."""
    monkeypatch.setenv("LUMA_JOURNAL", "/elsewhere/jobs.db")
    flags = make_parser(name).get_default("flags")
    typed = argparse.Namespace(command=name, journal=Path("/elsewhere/jobs.db"), flags=flags, positionals={}, key=None)
    checked = [(module, text) for module, text in messages() if can_say(module, flags)]
    for module, text in checked:
        said = re.sub(r"`?luma-async [^`.]*", "", error_text(ConfigurationError(message=text), typed))
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", said)) <= flags, (module, said)
    assert checked or "--base-url" not in flags


@pytest.mark.parametrize(
    "text",
    [
        "line 1, promt: is not a known column; known columns: prompt, extra, key.",
        "Key 'cat extra': it was bought with a different request. Nothing was sent.",
        "my extra prompts.txt: No such file or directory.",
    ],
)
def test_word_extra_stays(text):
    """A sentence with the word `extra` is printed whole: columns, keys and files may have it."""
    assert in_flags(text) == text
