"""The command line on a real terminal: what is drawn, what Ctrl-C does, and what is left to pipes."""

from __future__ import annotations

import asyncio
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
    return {"script": estimates(succeeds(after=1.5))}


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
async def terminal():
    made = Terminal()
    yield made
    await made.kill()


async def test_one_line_shows_how_it_goes(terminal, gateway, here):
    """It is drawn over and over in one place, and the path stands below it at the end."""
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


async def test_a_batch_has_one_bar(terminal, gateway, here):
    """A bar for all and a row for each that runs; at the end they are gone, and a summary stands there."""
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


async def test_several_have_a_line_each(terminal, gateway, here):
    """`download` shows every one by its id while it waits, and its path when it is there."""
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


async def test_ctrl_c_during_a_generate(terminal, gateway, here):
    """Exit code 130, a cursor, and a command that fetches the video without paying again."""
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


async def test_ctrl_c_during_a_batch(terminal, gateway, here):
    """Exit code 130, how many are paid, a page of what is there; the same command pays for what is missing alone."""
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


async def test_ctrl_c_again_does_not_wait(terminal, gateway):
    """Who presses it again wants to leave now: 130 and no traceback, even while a submit is unanswered."""
    gateway.inject(hang(charged=True))
    await terminal.start("generate", "cat dance")
    while not gateway.counts["submit"]:
        await asyncio.sleep(0.05)
    terminal.press(b"\x03")
    await terminal.until("luma-async status")
    await asyncio.sleep(0.5)  # what a person takes to press it again
    terminal.press(b"\x03")
    screen = await terminal.end()
    assert terminal.code == 130, screen
    assert "Traceback" not in screen


@pytest.mark.parametrize("no_color", [None, "1"])
async def test_no_color_is_respected(terminal, no_color):
    """Colours are there by default, and none with NO_COLOR; the line is drawn all the same."""
    await terminal.start(
        "generate", "cat dance", "-o", "cat.mp4", **({} if no_color is None else {"NO_COLOR": no_color})
    )
    await terminal.end()
    assert terminal.code == 0
    assert bool(_COLOUR.search(terminal.stream)) is (no_color is None)
    assert terminal.stream.count("cat dance") > 3


@pytest.mark.parametrize("command", ["generate", "batch"])
async def test_a_dumb_terminal_gets_lines(terminal, here, command):
    """TERM=dumb: nothing is drawn over, a line stands for each change."""
    (here / "prompts.txt").write_text("cat dance\n")
    words = ("generate", "cat dance") if command == "generate" else ("batch", "prompts.txt", "--out", "out")
    await terminal.start(*words, TERM="dumb")
    screen = await terminal.end()
    assert terminal.code == 0, screen
    assert "\x1b" not in terminal.stream
    assert re.search(r"s  (1/1  )?cat dance: (completed|out/)", screen)


async def test_what_goes_to_a_file_goes_there_alone(terminal, gateway, here):
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
async def test_head_ends_it_quietly(terminal, gateway, here, flags):
    """`status | head -1` is the first line and nothing else."""
    gateway.scripts.update({f"cat {number}": stalls() for number in range(3)})
    for number in range(3):
        await asyncio.to_thread(main, ["generate", f"cat {number}", "--timeout", "0.01", "--key", f"cat-{number}"])
    await terminal.start(shell=f"{LUMA} status {flags} | head -1")
    screen = await terminal.end()
    assert terminal.code == 0
    (line,) = terminal.stream.splitlines()
    assert json.loads(line)["key"] == "cat-0" if flags else line.startswith("PHASE"), screen


async def test_json_has_no_display(terminal, here):
    """`--json` on a terminal prints its document and draws nothing."""
    await terminal.start("generate", "cat dance", "-o", "cat.mp4", "--json")
    await terminal.end()
    assert terminal.code == 0
    assert "\x1b" not in terminal.stream
    *said, document = terminal.stream.splitlines()
    assert json.loads(document)["path"] == "cat.mp4"
    assert [line.partition(":")[0] for line in said] == ["Accepted"]


async def test_a_prompt_cannot_draw(terminal, here):
    """What a terminal would obey in a prompt, or markup of the display, is shown as text."""
    await terminal.start("generate", "cat \x1b[31m[red]dance[/red]\nnow", "-o", "cat.mp4")
    screen = await terminal.end()
    assert terminal.code == 0, screen
    assert "\x1b[31m[" not in terminal.stream
    assert "[red]dance[/red] now: completed" in screen
