"""The command line on a pseudo-terminal: its display, Ctrl-C and pipes."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
import sys

import pytest
from holding import finish_all
from terminal import Terminal

from luma_async.cli.main import main
from luma_async.testing import estimates, file_bytes, hang, stalls, succeeds

LUMA = f"{shlex.quote(sys.executable)} -m luma_async"
_COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d(?:;\d+)*m")


@pytest.fixture
def gateway_options():
    return {"script": estimates(succeeds(after=0.6))}


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
async def terminal():
    made = Terminal()
    yield made
    await made.kill()


@pytest.fixture
def drawn(monkeypatch):
    """Run a command in this process as if its outputs were a terminal; return what that terminal shows."""

    class Tty(io.StringIO):
        def isatty(self):
            return True

    async def run(*words):
        tty, shown = Tty(), Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", tty)
            patch.setattr(sys, "stderr", tty)
            shown.code = await asyncio.to_thread(main, words)
        shown.stream = tty.getvalue().replace("\n", "\r\n")
        assert shown.code == 0, shown.screen
        return shown

    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    return run


async def test_live_line(terminal, gateway, here):
    """One line is redrawn in place, and the path is below it at the end."""
    await terminal.start("generate", "cat dance", "-o", "cat.mp4")
    screen = await terminal.end()
    assert terminal.code == 0, screen
    assert terminal.stream.count("cat dance") > 3
    assert "submitting" in terminal.stream
    assert re.search(r"cat dance: (pending|processing) about \d s left", terminal.stream)
    assert [line for line in screen.splitlines() if "cat dance" in line] == [
        line for line in screen.splitlines() if "cat dance: completed" in line
    ]
    assert screen.count("cat dance") == 1
    assert screen.splitlines()[-1] == "cat.mp4"
    assert (here / "cat.mp4").read_bytes() == file_bytes()


async def test_batch_bar(terminal, gateway, here):
    """A batch has one bar and a row for each running video; at the end only a summary is left."""
    (here / "prompts.txt").write_text("a cat\na dog\n")
    gateway.scripts |= dict.fromkeys(("a cat", "a dog"), stalls())
    await terminal.start("batch", "prompts.txt", "--out", "out")
    await terminal.until("2 running")
    screen = terminal.screen
    finish_all(gateway)
    assert any(re.match(r"all .*0 done, 2 running", line) for line in screen.splitlines()), screen
    screen = await terminal.end()
    assert terminal.code == 0, screen
    assert "2 of 2 done" in screen
    assert "running" not in screen
    assert "━" not in screen


async def test_live_lines(terminal, gateway, here):
    """`download` shows a line for each generation while it waits, then the paths."""
    gateway.scripts |= dict.fromkeys(("a cat", "a dog"), estimates(stalls()))
    ids = [await buy(gateway, "a cat"), await buy(gateway, "a dog")]
    await terminal.start("download", *ids)
    for one in ids:
        await terminal.until(one)
    finish_all(gateway)
    screen = await terminal.end()
    assert terminal.code == 0, screen
    assert all(re.search(rf"{one}: (pending|processing)", terminal.stream) for one in ids)
    assert sorted(screen.splitlines()[-2:]) == sorted(f"{one}.mp4" for one in ids)


async def buy(gateway, prompt):
    from luma_async import LumaSession

    async with LumaSession(gateway.api_key, base_url=gateway.base_url) as luma:
        return (await luma.submit(prompt)).id


async def test_ctrl_c_during_generate(terminal, gateway, here):
    """Ctrl-C is exit code 130, restores the cursor, and prints a command that fetches the video."""
    await terminal.start("generate", "cat dance")
    await terminal.until("pending")
    terminal.press(b"\x03")
    screen = await terminal.end()
    assert terminal.code == 130, screen
    assert terminal.stream.rfind("\x1b[?25h") > terminal.stream.rfind("\x1b[?25l")
    assert "Traceback" not in screen
    (line,) = [line for line in screen.splitlines() if line.startswith("Interrupted.")]
    assert "is paid and keeps running" in line
    again = shlex.split(line.partition("To fetch it: ")[2])
    second = Terminal()
    await second.start(*again[1:])
    screen = await second.end()
    assert second.code == 0, screen
    assert (here / screen.splitlines()[-1]).read_bytes() == file_bytes()
    assert len(gateway.charges) == 1


async def test_ctrl_c_during_batch(terminal, gateway, here):
    """Ctrl-C prints how many are paid and writes the page; the same command then buys only what is missing."""
    gateway.scripts |= dict.fromkeys(("slow", "a cat"), estimates(stalls()))
    (here / "prompts.txt").write_text("slow\na cat\n")
    command = ("batch", "prompts.txt", "--out", "out")
    await terminal.start(*command)
    await terminal.until("2 running")
    terminal.press(b"\x03")
    screen = await terminal.end()
    assert terminal.code == 130, screen
    assert "Traceback" not in screen
    flat = " ".join(screen.split())
    assert "0 of 2 have ended, 2 are paid and keep running" in flat
    assert "run the same command again" in flat
    assert (here / "out" / "gallery.html").exists()
    finish_all(gateway)
    second = Terminal()
    await second.start(*command)
    screen = await second.end()
    assert second.code == 0, screen
    assert "0 bought in this run" in screen
    assert (here / "out" / "gallery.html").read_text().count("data-src=") == 2, screen
    assert len(gateway.charges) == 2


async def test_second_ctrl_c(terminal, gateway):
    """A second Ctrl-C ends the command with exit code 130 although a submit has no response yet."""
    gateway.inject(hang(charged=True))
    await terminal.start("generate", "cat dance")
    while not gateway.counts["submit"]:
        await asyncio.sleep(0.05)
    terminal.press(b"\x03")
    await terminal.until("luma-async status")
    terminal.press(b"\x03")
    screen = await terminal.end()
    assert terminal.code == 130, screen
    assert "Traceback" not in screen


@pytest.mark.parametrize("no_color", [False, True])
async def test_no_color(drawn, monkeypatch, no_color):
    """There are colors by default, and none with NO_COLOR."""
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    shown = await drawn("generate", "cat dance", "-o", "cat.mp4")
    assert bool(_COLOUR.search(shown.stream)) is not no_color
    assert shown.stream.count("cat dance") > 3


@pytest.mark.parametrize("words", [("generate", "cat dance"), ("batch", "prompts.txt", "--out", "out")])
async def test_dumb_terminal(drawn, here, monkeypatch, words):
    """With TERM=dumb, each change is a line, and nothing is drawn over."""
    (here / "prompts.txt").write_text("cat dance\n")
    monkeypatch.setenv("TERM", "dumb")
    shown = await drawn(*words)
    assert "\x1b" not in shown.stream
    assert re.search(r"s  (1/1  )?cat dance: (completed|out/)", shown.screen)


async def test_stdout_to_file(terminal, gateway, here):
    """With standard output in a file, the paths are in it and the display is on the terminal."""
    gateway.scripts |= dict.fromkeys(("a cat", "a dog"), stalls())
    ids = [await buy(gateway, "a cat"), await buy(gateway, "a dog")]
    with (here / "list.txt").open("wb") as file:
        await terminal.start("download", *ids, stdout=file)
        for one in ids:
            await terminal.until(one)
        finish_all(gateway)
        screen = await terminal.end()
    assert terminal.code == 0, screen
    assert sorted((here / "list.txt").read_text().splitlines()) == sorted(f"{one}.mp4" for one in ids)
    assert ".mp4" not in terminal.stream
    assert ids[0] in terminal.stream


@pytest.mark.parametrize("flags", ["", "--json"])
async def test_head(terminal, gateway, here, flags):
    """`status | head -1` prints the first line and nothing else."""
    gateway.scripts.update({f"cat {number}": stalls() for number in range(3)})
    for number in range(3):
        await asyncio.to_thread(main, ["generate", f"cat {number}", "--timeout", "0.01", "--key", f"cat-{number}"])
    await terminal.start(shell=f"{LUMA} status {flags} | head -1")
    screen = await terminal.end()
    assert terminal.code == 0
    (line,) = terminal.stream.splitlines()
    assert json.loads(line)["key"] == "cat-0" if flags else line.startswith("PHASE"), screen


async def test_json_without_display(drawn):
    """`--json` on a terminal prints its document and draws nothing."""
    shown = await drawn("generate", "cat dance", "-o", "cat.mp4", "--json")
    assert "\x1b" not in shown.stream
    *statuses, document = shown.stream.splitlines()
    assert json.loads(document)["path"] == "cat.mp4"
    assert [line.partition(":")[0] for line in statuses] == ["Accepted"]


async def test_prompt_with_markup(drawn):
    """Control characters and markup in a prompt are shown as text."""
    shown = await drawn("generate", "cat \x1b[31m[red]dance[/red]\nnow", "-o", "cat.mp4")
    assert "\x1b[31m[" not in shown.stream
    assert "[red]dance[/red] now: completed" in shown.screen
