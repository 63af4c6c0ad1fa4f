"""What was typed is checked before anything is written, sent or bought, and the message names the flag."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from luma_async.cli.main import COMMANDS, make_parser
from luma_async.testing import ALWAYS, drop_after_reading, hang, html_page, server_error, stalls

NUMBERS = {
    "--timeout": (["generate", "x"], ["wait", "x"], ["batch", "p.txt", "--out", "clips"], ["extend", "x", "y"]),
    "--max-in-flight": (["batch", "p.txt", "--out", "clips"],),
    "--limit": (["status"], ["list"]),
    "--offset": (["list"],),
    "--port": (["gateway"],),
    "--seconds": (["gateway"],),
    "--slots": (["gateway"],),
    "--x-start": (["reframe", "https://a.example/x.mp4"],),
}
"""The flags that take a number, and commands that have them."""


@pytest.mark.parametrize("value", ["-3", "abc", "nan", "", "-1e999"])
@pytest.mark.parametrize(("flag", "commands"), NUMBERS.items(), ids=NUMBERS)
async def test_invalid_number(command, here, gateway, flag, commands, value):
    """A number that makes no sense is exit code 2 in the words of its flag, before anything else happens."""
    (here / "p.txt").write_text("a cat\n", encoding="utf-8")
    for words in commands:
        code, out, err = await command(*words, f"{flag}={value}")
        assert (code, out) == (2, ""), err
        assert f"argument {flag}: must be" in err
    assert (gateway.requests, [path.name for path in here.iterdir()]) == ((), ["p.txt"])


def test_every_number_is_checked():
    """No flag reads a number without a check of its own."""
    for name in COMMANDS:
        unchecked = [action.dest for action in make_parser(name)._actions if action.type in {int, float}]
        assert not unchecked, name


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["generate", "x", "--outptu", "y"], ["Did you mean --output? See luma-async generate --help"]),
        (["generate", "x", "--zzz"], ["See luma-async generate --help"]),
        (["wait", "x", "--timeout", "abc"], ["See luma-async wait --help"]),
        (["genrate"], ["Did you mean generate? See luma-async --help"]),
        (["in-doubt", "abandon"], ["See luma-async in-doubt abandon --help"]),
    ],
)
async def test_usage_error_is_short(command, here, words, lines):
    """A usage error is one line about the error and one with the command that lists the flags."""
    code, _, err = await command(*words)
    assert (code, err.splitlines()[1:]) == (2, lines)


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("/proc/x", "--out: the folder /proc/x cannot be used: No such file or directory."),
        ("file", "--out: the folder file cannot be used: it is not a folder."),
        ("file/clips", "--out: the folder file/clips cannot be used: it is not a folder."),
        ("/proc", "--out: no file can be written to /proc"),
    ],
)
async def test_batch_into_unusable_folder(command, here, gateway, out, reason):
    """A folder that cannot be used is exit code 2 before any request, and the message says that nothing was charged."""
    (here / "file").touch()
    (here / "p.txt").write_text("a cat\n", encoding="utf-8")
    code, _, err = await command("batch", "p.txt", "--out", out)
    assert (code, reason in err, err.endswith("Nothing was charged.\n")) == (2, True, True), err
    assert gateway.requests == ()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["gallery", "nowhere", "--journal", "p.txt"], "DIR: the folder nowhere does not exist"),
        (["delete", "g-1", "../x", "--yes"], "GENERATION: must be the id"),
        (["wait", "g-1", "../x"], "must be the id"),
        (["download", "g-1", "../x"], "must be the id"),
        (["files", "--delete", "f-1", "--delete", "../x"], "--delete: must be the id"),
        (["upload", "p.txt", "no.png"], "FILE: no.png is not a file that can be read. Nothing was uploaded."),
        (["download", "g-1", "-o", "/proc/x"], "--output: the folder /proc/x cannot be created"),
        (["resume", "-o", "/proc/x"], "--output: the folder /proc/x cannot be created"),
        (["generate", "x", "--keyframe", "9" * 5000 + ":x"], "--keyframe: must have the form FRAME:WHAT"),
        (["gateway", "--fault", "hang:submit:-1"], "must be a whole number of at least 1"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
async def test_checked_before_first_request(command, here, gateway, words, reason):
    """The last of several arguments is checked before anything is done with the first."""
    (here / "p.txt").touch()
    code, out, err = await command(*words)
    assert (code, out, reason in err) == (2, "", True), err
    assert gateway.requests == ()


# What a refusal costs


@pytest.mark.parametrize(
    ("words", "code"), [(["generate", "cat"], 4), (["extend", "g-1", "on"], 4), (["generate", "cat", "--hdr"], 2)]
)
async def test_refusal_charges_nothing(command, here, gateway, words, code):
    """A purchase that is refused says that nothing was charged; a failure after the purchase does not."""
    for kind in ("submit", "extend"):
        gateway.inject(server_error(401), on=kind, times=ALWAYS)
    got, _, err = await command(*words)
    assert (got, "Nothing was charged." in err) == (code, True), err
    gateway.clear_faults()
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    gateway.inject(server_error(401), on="tasks", times=ALWAYS)
    got, _, err = await command("generate", "cat")
    assert (got, "Nothing was charged" in err, "is paid. To fetch it" in err) == (4, False, True)


@pytest.mark.parametrize("words", [["extend", "unseen", "on"], ["wait", "unseen"], ["link", "unseen"]])
async def test_unknown_id_is_named(command, here, gateway, words):
    """The message about an id that the service does not know names the id."""
    code, _, err = await command(*words)
    assert (code, "Generation unseen: " in err) == (1, True), err


async def test_timeout_is_one_line(command, here, gateway):
    """A timeout prints one line with one command."""
    gateway.scripts["slow"] = stalls()
    code, _, err = await command("generate", "slow", "--timeout", "0.2")
    assert (code, err.count("luma-async download"), err.count("To ")) == (3, 1, 1)


async def test_web_page_in_flag_words(command, here, gateway):
    """An address that answers with a page for people is told in sentences that name `--base-url`."""
    gateway.inject(html_page(), on="query", times=ALWAYS)
    gateway.inject(html_page(), on="tasks", times=ALWAYS)
    code, _, err = await command("wait", "unseen", "--timeout", "0.3")
    assert code == 1
    assert "check the id and --base-url. The last failure: The service answered with an HTML page (HTTP 200)." in err


# Doubts and the end of a command


async def test_key_in_doubt_elsewhere(command, here, gateway):
    """A key that is in doubt at another address is not called bought, and the message says how to settle it."""
    gateway.inject(drop_after_reading())
    assert (await command("generate", "cat", "--key", "cat"))[0] == 6
    code, _, err = await command("generate", "cat", "--key", "cat", "--base-url", "http://127.0.0.1:1")
    assert code == 2
    assert f"The key 'cat' is in doubt: its submit was sent to {gateway.base_url}" in err
    assert err.endswith("To settle it: luma-async in-doubt\n")
    assert "bought from" not in err


@pytest.mark.parametrize("words", [("generate", "a cat", "--key", "cat"), ("batch", "p.txt", "--out", "clips")])
async def test_second_ctrl_c_says_doubt(command, start, gateway, here, words):
    """A second Ctrl-C prints the key in doubt and the command that settles it, and no lines of the log."""
    (here / "p.txt").write_text("a cat\n", encoding="utf-8")
    gateway.inject(hang(), on="submit", times=ALWAYS)
    process = await start(*words)
    while not gateway.counts["submit"]:
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = (text.decode() for text in await process.communicate())
    assert process.returncode == 130
    journal = "" if words[0] == "generate" else " --journal clips/jobs.db"
    assert err.endswith(f"is in doubt and may have been charged. To settle it: luma-async in-doubt{journal}\n"), err
    assert "journal has now recorded" not in err
    assert "unanswered" not in err


@pytest.mark.parametrize("words", [("--help",), ("generate", "--help"), ("completion", "bash"), ("journal", "export")])
async def test_closed_pipe_of_help(command, start, here, words):
    """A reader that has ended is exit code 141 without a message, also for help."""
    await command("generate", "cat", "--key", "cat")
    read, write = os.pipe()
    os.close(read)
    process = await start(*words, stdout=write)
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


async def test_closed_stderr_stops_nothing(start, gateway, here):
    """If the reader of the messages has ended, the purchase goes on to its file."""
    read, write = os.pipe()
    os.close(read)
    process = await start("generate", "cat", "-o", "cat.mp4", stderr=write)
    os.close(write)
    out, _ = await process.communicate()
    assert (process.returncode, out, (here / "cat.mp4").exists()) == (0, b"cat.mp4\n", True)


@pytest.fixture
def full_disk():
    """A file on a disk without space."""
    with Path("/dev/full").open("wb") as full:
        yield full


async def test_full_stderr_stops_nothing(start, gateway, here, full_disk):
    """If the disk of the messages is full, the purchase goes on to its file."""
    process = await start("generate", "cat", "-o", "cat.mp4", stderr=full_disk)
    out, _ = await process.communicate()
    assert (process.returncode, out, (here / "cat.mp4").exists()) == (0, b"cat.mp4\n", True)


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("generate", "--help"), ("status", "--json")])
async def test_full_stdout_is_one_line(command, start, here, full_disk, words):
    """If the disk of the output is full, a command fails with one line that says so, also for help."""
    await command("generate", "cat", "--key", "cat")
    process = await start(*words, stdout=full_disk)
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"luma-async: [Errno 28] No space left on device\n")


async def test_argument_as_help_names_it(command, here):
    """An error of an argument without a flag names the argument as `--help` does."""
    assert (await command("extend", "a prompt", "g-1"))[2].startswith("luma-async: GENERATION: must be the id")
    assert (await command("in-doubt", "abandon", "cat"))[2].count("luma-async: KEY: the journal has no entry")


async def test_folder_as_prompt_file(command, here):
    """A folder in place of the file of prompts is named as a folder."""
    (here / "prompts").mkdir()
    code, _, err = await command("batch", "prompts", "--out", "clips")
    assert (code, "prompts: Is a directory" in err, (here / "clips").exists()) == (2, True, False), err


async def test_interrupt_before_sending(start, command, here):
    """Ctrl-C while nothing was sent names the command that shows it, and that command says that nothing was sent."""
    process = await start("generate", "cat", "--key", "cat", "--base-url", "http://127.0.0.1:1")
    assert b"Nothing was sent" in await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert b"It may have been charged only if this lists it: luma-async status" in err
    assert "cat: nothing was sent with it." in (await command("status", "cat"))[2]


async def test_same_paths_in_second_run(command, here, gateway):
    """A path is printed as `--out` was typed, whether this run or an earlier run downloaded it."""
    (here / "p.txt").write_text("a cat\n", encoding="utf-8")
    first, second = [(await command("batch", "p.txt", "--out", "clips", "--json"))[1] for _ in range(2)]
    assert '"path": "clips/' in first
    assert first == second
    assert (await command("gallery", "clips"))[1] == "clips/gallery.html\n"
    assert (await command("gallery", here / "clips"))[1] == f"{here}/clips/gallery.html\n"


async def test_second_ctrl_c_of_resubmit(command, start, gateway, here):
    """A submit that was sent again and interrupted is named as in doubt too."""
    gateway.inject(drop_after_reading())
    assert (await command("generate", "cat", "--key", "cat"))[0] == 6
    gateway.inject(hang(), on="submit", times=ALWAYS)
    asked = gateway.counts["submit"]
    process = await start("in-doubt", "resubmit", "cat", "--accept-duplicate-risk")
    while gateway.counts["submit"] == asked:
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, b"The submit 'cat' is in doubt and may have been charged" in err) == (130, True), err
