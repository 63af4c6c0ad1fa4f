"""`-q` and `-v`: how much a command prints on stderr."""

from __future__ import annotations

import logging
import re

import pytest

from luma_async.testing import drop_after_reading, fails, out_of_credit

pytestmark = pytest.mark.usefixtures("here")

PROMPT = "a whistling canary"


async def test_quiet_prints_results(command):
    """With `-q` a success prints its path on stdout, and nothing on stderr."""
    code, out, err = await command("generate", PROMPT, "-q", "-o", "cat.mp4")
    assert (code, out, err) == (0, "cat.mp4\n", "")


async def test_quiet_prints_errors(command, gateway):
    """With `-q` an error is printed as always."""
    gateway.inject(out_of_credit(), on="submit")
    code, out, err = await command("-q", "generate", PROMPT)
    assert (code, out) == (4, "")
    assert err.startswith("luma-async: HTTP")
    assert "Nothing was charged" in err


async def test_quiet_batch_prints_failures(command, gateway, tmp_path):
    """With `-q` a batch prints its failed items, and the command that settles its doubts, but no counts."""
    gateway.scripts["bad cat"] = fails("moderated", after=0.1)
    (tmp_path / "prompts.txt").write_text("bad cat\ngood cat\n")
    gateway.inject(drop_after_reading(), on="submit")
    code, _, err = await command("batch", "-q", tmp_path / "prompts.txt", "--out", "clips")
    assert code
    assert "To settle what is in doubt: luma-async in-doubt" in err
    assert not re.search(r"\d of \d done", err)


@pytest.mark.parametrize("words", [("-v", "generate"), ("generate", "-v"), ("generate", "--verbose")])
async def test_verbose_prints_steps(command, gateway, words):
    """With `-v`, before or after the command, each step is a line with the time, and no line has the prompt or key."""
    code, out, err = await command(*words, PROMPT, "--key", "cat", "-o", "cat.mp4")
    assert (code, out) == (0, "cat.mp4\n")
    steps = re.findall(r"^\d\d:\d\d:\d\d\.\d{3}  (\w+)", err, re.MULTILINE)
    wanted = ["opened", "claim", "send", "answer", "verdict", "submitted", "download_started", "downloaded", "closed"]
    assert [step for step in steps if step in wanted] == wanted
    lines = [line for line in err.splitlines() if re.match(r"\d\d:\d\d:\d\d\.", line)]
    assert not [line for line in lines if PROMPT in line or gateway.api_key in line]


async def test_volume_ends_with_command(command):
    """After a command with `-v`, the next one prints no steps, and the logger is as it was."""
    before = logging.getLogger("luma_async").level
    await command("-v", "status")
    assert logging.getLogger("luma_async").level == before
    _, _, err = await command("generate", PROMPT, "-o", "cat.mp4")
    assert "claim" not in err


async def test_quiet_with_verbose(command):
    """`-q` and `-v` exclude each other."""
    code, _, err = await command("status", "-q", "-v")
    assert code == 2
    assert "not allowed with argument" in err
