"""The commands for existing videos, in both formats, and what a shell sees of every command."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from holding import finish_all

from luma_async import DreamMachine, GenerationHandle, LumaSession, RixAPI
from luma_async.cli.main import COMMANDS, main
from luma_async.cli.purchase import combined_exit_code
from luma_async.testing import (
    ALWAYS,
    estimates,
    fails,
    file_bytes,
    server_error,
    stalls,
    succeeds,
    watermarked_only,
)

USER = {"access_token": "token-of-the-website", "user_id": 7}


@pytest.fixture
def gateway_options():
    return {"script": estimates(succeeds(after=0.1)), **USER}


@pytest.fixture(params=["rixapi", "dream-machine"])
def dialect(request):
    return request.param


@pytest.fixture
def command(command, here):
    """Run a command in `here`; return its exit code and both outputs."""
    return command


@pytest.fixture
def buy(gateway, here, dialect):
    """Buy elsewhere, with no journal of ours, and return the id."""

    async def one(request):
        name = DreamMachine() if dialect == "dream-machine" else RixAPI()
        async with LumaSession(gateway.api_key, base_url=gateway.base_url, dialect=name) as luma:
            return (await luma.submit(request)).id

    return one


@pytest.fixture
async def source(buy):
    """The id of a video that is, or soon will be, finished."""
    return await buy("a source")


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


# More of a video


async def test_extend(command, source, gateway, here, dialect):
    """It sends the id of the video and the last frame; only the path is on standard output."""
    await command("wait", source)
    (here / "end.jpg").write_bytes(b"\xff\xd8\xff\xe0 end")
    last = "https://example.com/end.jpg" if dialect == "dream-machine" else "end.jpg"
    code, out, err = await command("extend", source, "and on", "--frame1", last, "--loop", "-o", "on.mp4")
    assert (code, out) == (0, "on.mp4\n"), err
    assert (here / "on.mp4").read_bytes() == file_bytes()
    charge = gateway.charges[-1]
    assert (len(gateway.charges), charge.prompt, charge.body["loop"]) == (2, "and on", True)
    if dialect == "dream-machine":
        assert charge.body["keyframes"]["frame0"] == {"type": "generation", "id": source}
        assert charge.body["keyframes"]["frame1"] == {"type": "image", "url": last}
    else:
        assert charge.kind == "extend"
        assert charge.body["keyframes"]["frame1"]["url"].startswith("data:image/jpeg;base64,")


async def test_audio(command, source, gateway, dialect):
    """It prints one document with the result; `--negative-prompt` is refused where the format has no such field."""
    await command("wait", source)
    code, out, err = await command("audio", source, "purring", "--json")
    (document,) = lines(out)
    assert (code, document["state"], document["path"].endswith(".mp4")) == (0, "completed", True), err
    assert (gateway.charges[-1].kind, gateway.charges[-1].body["prompt"]) == ("audio", "purring")
    code, _, err = await command("audio", source, "purring", "--negative-prompt", "barking")
    if dialect == "dream-machine":
        assert (code, gateway.charges[-1].body["negative_prompt"]) == (0, "barking")
    else:
        assert (code, "--negative-prompt" in err, len(gateway.charges)) == (2, True, 2)


@pytest.mark.parametrize("words", [("extend", "../x", "on"), ("audio", "../x", "purr"), ("extend", "g-1", " ")])
async def test_invalid_purchase(command, gateway, words):
    """Invalid arguments are exit code 2 with the name of the argument, and nothing is sent."""
    code, out, err = await command(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert re.match(r"luma-async: (GENERATION|PROMPT|prompt)", err)
    assert gateway.counts.total() == 0


# Waiting


async def test_wait(command, buy, gateway):
    """It prints a line or a document for each generation when it ends, and buys nothing."""
    ids = [await buy("a cat"), await buy("a dog")]
    code, out, err = await command("wait", *ids, ids[0])
    assert (code, sorted(out.splitlines())) == (0, sorted(f"{one} completed" for one in ids))
    assert all(f"{one}: completed" in err for one in ids)
    code, out, err = await command("wait", *ids, "--json")
    assert (code, {(one["id"], one["state"]) for one in lines(out)}, err) == (
        0,
        {(one, "completed") for one in ids},
        "",
    )
    assert len(gateway.charges) == 2


async def test_wait_some_failed(command, buy, gateway):
    """A failed generation does not stop the wait for the others; together that is exit code 5."""
    gateway.scripts["bad"] = fails("moderated", after=0.1)
    good, bad = await buy("good"), await buy("bad")
    code, out, err = await command("wait", good, bad)
    assert (code, out) == (5, f"{good} completed\n")
    assert "moderated" in err
    code, out, _ = await command("wait", bad, "--json")
    (told,) = lines(out)
    assert (code, told["id"], told["state"], told["kind"]) == (1, bad, "failed", "GenerationFailed")


async def test_wait_timeout(command, buy, gateway, monkeypatch):
    """If one still runs, the exit code is 3, whatever happened to the others."""
    gateway.scripts |= {"slow": stalls(), "bad": fails(after=0.1)}
    ids = [await buy("slow"), await buy("bad"), await buy("good")]
    wait, ended = GenerationHandle.wait, []

    async def after_the_others(self, *, timeout):
        if self.id == ids[0]:
            while len(ended) < 2:
                await asyncio.sleep(0.01)
            return await wait(self, timeout=timeout)
        try:
            return await wait(self, timeout=None)
        finally:
            ended.append(self.id)

    monkeypatch.setattr(GenerationHandle, "wait", after_the_others)
    code, out, err = await command("wait", *ids, "--timeout", "0")
    assert (code, out) == (3, f"{ids[2]} completed\n")
    assert "To wait again: luma-async wait" in err


@pytest.mark.parametrize("name", ["wait", "download", "link"])
async def test_invalid_id(command, gateway, name):
    """A malformed id is exit code 2 and nothing is sent; an unknown id is exit code 1."""
    code, out, err = await command(name, "../x")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("luma-async: ")
    assert gateway.counts.total() == 0
    code, out, err = await command(name, "00000000-0000-4000-8000-000000000000")
    assert (code, out) == (1, "")
    assert "Check the id" in err


# Downloading


async def test_download_many(command, buy, here, gateway):
    """It waits where needed, creates the folder, prints the paths, and downloads a repeated id once."""
    ids = [await buy("a cat"), await buy("a dog")]
    code, out, err = await command("download", *ids, ids[0], "-o", "clips")
    assert (code, sorted(out.splitlines())) == (0, sorted(f"clips/{one}.mp4" for one in ids)), err
    assert all((here / "clips" / f"{one}.mp4").read_bytes() == file_bytes() for one in ids)
    code, out, err = await command("download", ids[0], "--json", "--overwrite", "-o", "clips")
    assert (code, lines(out), err) == (
        0,
        [{"id": ids[0], "key": None, "path": f"clips/{ids[0]}.mp4", "error": None, "kind": None}],
        "",
    )
    assert len(gateway.charges) == 2


async def test_download_some_failed(command, buy, gateway):
    """One failure stops no other download; an existing file is kept without `--overwrite`."""
    gateway.scripts["bad"] = fails("moderated", after=0.1)
    good, bad = await buy("good"), await buy("bad")
    code, out, err = await command("download", good, bad)
    assert (code, out) == (5, f"{good}.mp4\n")
    assert "moderated" in err
    code, out, _ = await command("download", good, bad, "--json")
    assert (code, {one["id"]: one["kind"] for one in lines(out)}) == (
        5,
        {good: "InvalidInput", bad: "GenerationFailed"},
    )


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_watermark_flag(command, buy, gateway, here):
    """A video with a watermark is downloaded only with `--watermark`; otherwise the message says so."""
    gateway.scripts["marked"] = watermarked_only(after=0.1)
    marked = await buy("marked")
    code, out, err = await command("download", marked)
    assert (code, out, "watermark" in err) == (1, "", True)
    assert (await command("download", marked, "--watermark"))[:2] == (0, f"{marked}.mp4\n")


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_download_thumbnail(command, source, here):
    """`--what thumbnail` downloads a picture that is named after the id."""
    code, out, err = await command("download", source, "--what", "thumbnail")
    assert code == 0, err
    assert re.fullmatch(rf"{source}-thumbnail\.\w+\n", out)
    assert (here / out.strip()).exists()


async def test_download_file_exists(command, here, gateway):
    """An existing file is refused with exit code 2 before any request; several generations need a folder."""
    (here / "cat.mp4").write_bytes(b"mine")
    code, _, err = await command("download", "g-1", "-o", "cat.mp4")
    assert (code, "cat.mp4 exists" in err) == (2, True)
    code, _, err = await command("download", "g-1", "g-2", "-o", "cat.mp4")
    assert (code, "cat.mp4 is not a folder" in err) == (2, True)
    assert gateway.counts.total() == 0


async def test_download_file_or_folder(command, source, here):
    """For one generation, an output with an extension is a file, and without one a folder."""
    assert (await command("download", source, "-o", "clips/cat.mp4"))[:2] == (0, "clips/cat.mp4\n")
    assert (await command("download", source, "-o", "more"))[:2] == (0, f"more/{source}.mp4\n")


# Links and balances


async def test_link(command, source, gateway):
    """It prints the URL alone, or a document with it."""
    await command("wait", source)
    code, out, _ = await command("link", source)
    assert (code, out.startswith(f"{gateway.base_url}/files/{source}"), len(out.splitlines())) == (0, True, 1)
    code, out, _ = await command("link", source, "--json")
    (told,) = lines(out)
    assert (code, told["id"], told["url"].startswith(gateway.base_url)) == (0, source, True)


async def test_account(command, monkeypatch, dialect):
    """It prints the key's quota at a relay and the credits at Luma; with the access token also the relay's account."""
    code, out, _ = await command("account")
    assert code == 0
    assert ("account balance cents: " if dialect == "dream-machine" else "key available: ") in out
    code, out, _ = await command("account", "--json")
    (told,) = lines(out)
    assert list(told) == (["account"] if dialect == "dream-machine" else ["key"])
    assert "raw" not in out
    monkeypatch.setenv("LUMA_ACCESS_TOKEN", USER["access_token"])
    monkeypatch.setenv("LUMA_USER_ID", str(USER["user_id"]))
    code, out, _ = await command("account", "--json")
    (told,) = lines(out)
    assert (code, "quota" in told["account"]) == (0, dialect == "rixapi")


@pytest.mark.parametrize("words", [("wait", "g-1"), ("download", "g-1"), ("link", "g-1"), ("account",)])
async def test_refused_key(command, gateway, words):
    """A key that the service refuses is exit code 4, and the last line names the key."""
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    gateway.inject(server_error(401), on="key", times=ALWAYS)
    gateway.inject(server_error(401), on="credits", times=ALWAYS)
    code, _, err = await command(*words)
    assert (code, "API key" in err.splitlines()[-1]) == (4, True)
    assert "Traceback" not in err


# Continuing


async def test_generate_timeout(command, here, gateway):
    """A timeout is exit code 3 and prints the command that fetches the video; that command buys nothing."""
    gateway.scripts["slow"] = stalls()
    code, _, err = await command("generate", "slow", "--timeout", "0.3")
    assert code == 3
    finish_all(gateway)
    words = shlex.split(re.search("To fetch it: (.*)", err)[1])
    assert words == ["luma-async", "download", gateway.charges[0].generation_id]
    code, out, err = await command(*words[1:])
    assert (code, (here / out.strip()).read_bytes() == file_bytes()) == (0, True), err
    assert len(gateway.charges) == 1


async def test_next_command_has_flags(command, gateway, tmp_path, monkeypatch, dialect):
    """The printed command has the address, the format and the journal that were typed."""
    gateway.scripts["slow"] = stalls()
    monkeypatch.delenv("LUMA_BASE_URL")
    typed = ["--base-url", gateway.base_url, "--dialect", dialect, "--journal", str(tmp_path / "my jobs.db")]
    _, _, err = await command("generate", "slow", "--timeout", "0.3", *typed)
    words = shlex.split(re.search("To fetch it: (.*)", err)[1])
    assert words[:2] == ["luma-async", "download"]
    assert {tuple(words[at : at + 2]) for at in range(3, 9, 2)} == {tuple(typed[at : at + 2]) for at in range(0, 6, 2)}


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
@pytest.mark.parametrize("name", ["wait", "download", "resume"])
async def test_ctrl_c_prints_next_command(buy, command, gateway, start, here, name):
    """Ctrl-C is exit code 130 and prints the command that continues; that command succeeds and buys nothing."""
    gateway.scripts |= {"slow": stalls()}
    if name == "resume":
        await command("generate", "slow", "--timeout", "0.1")
        words = []
    else:
        words = [await buy("slow")]
    gateway.inject(server_error(503), on="query", times=ALWAYS)
    gateway.inject(server_error(503), on="tasks", times=ALWAYS)
    process = await start(name, *words)
    asked = gateway.counts["query"] + gateway.counts["tasks"]
    while gateway.counts["query"] + gateway.counts["tasks"] == asked:
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = (text.decode() for text in await process.communicate())
    gateway.clear_faults()
    finish_all(gateway)
    assert (process.returncode, out) == (130, "")
    assert "Interrupted" in err.splitlines()[-1]
    assert "Traceback" not in err
    found = re.search("To fetch them: (.*)", err)
    again = shlex.split(found[1])[1:] if found else [name, *words]
    code, out, err = await command(*again)
    assert (code, len(out.splitlines())) == (0, 1), err
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_ctrl_c_during_download(command, start, gateway, here):
    """The printed command names the id: a completed generation is no longer unfinished."""
    gateway.inject(server_error(503), on="file", times=ALWAYS)
    process = await start("generate", "a cat")
    while not gateway.counts["file"]:
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = (text.decode() for text in await process.communicate())
    assert process.returncode == 130
    gateway.clear_faults()
    words = shlex.split(re.search("is paid. To fetch it: (.*)", err)[1])
    code, out, err = await command(*words[1:])
    assert (code, (here / out.strip()).read_bytes() == file_bytes()) == (0, True), err
    assert len(gateway.charges) == 1


_INTERRUPTED_AT_FSYNC = """
import os, signal, sys, time
from luma_async import PollPolicy
from luma_async.cli import options
from luma_async.cli.main import main

options.POLL = PollPolicy.fixed(0.05)
sync = os.fsync

def interrupted_sync(fd):
    os.fsync = sync
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    sync(fd)

os.fsync = interrupted_sync
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
@pytest.mark.parametrize("name", ["generate", "download"])
async def test_ctrl_c_during_rename(buy, here, name):
    """If the file is complete when Ctrl-C arrives, the message says so and prints no command to fetch it."""
    words = ["a cat", "-o", "cat.mp4"] if name == "generate" else [await buy("a cat"), "-o", "cat.mp4"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _INTERRUPTED_AT_FSYNC, name, *words), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 130
    assert (here / "cat.mp4").read_bytes() == file_bytes()
    assert b"To fetch" not in err
    assert (b"its file is complete: cat.mp4" if name == "generate" else b"Already on disk: cat.mp4") in err


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_resume_other_service(command, gateway, here, start):
    """Generations at another service are counted, with the flags that select it."""
    gateway.scripts["slow"] = stalls()
    await command("generate", "slow", "--timeout", "0.1")
    await command("generate", "slow", "--timeout", "0.1", "--dialect", "dream-machine")
    gateway.scripts.clear()
    process = await start("resume")
    _, err = (text.decode() for text in await _interrupted(process, "more at another service"))
    command_line = f"luma-async resume --dialect dream-machine --base-url {gateway.base_url}"
    assert f"1 more at another service. With the key for that service: {command_line}" in err


async def _interrupted(process, words):
    """Read standard error up to these words, interrupt, and return both outputs."""
    said = b""
    while words.encode() not in said:
        line = await process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    return out, said + err


@pytest.mark.parametrize(
    ("codes", "together"),
    [((), 0), ((0, 0), 0), ((1, 1), 1), ((3,), 3), ((0, 1), 5), ((0, 4), 5), ((0, 3), 3), ((1, 3), 3), ((4, 4), 4)],
)
def test_combined_exit_code(codes, together):
    """Several results have the exit code that all share, or 3 if one still runs, or 5."""
    assert combined_exit_code(codes) == together


# What a shell sees


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_control_characters(command, buy, gateway):
    """Control characters from the service are replaced on stderr and escaped in JSON."""
    gateway.scripts["bad"] = fails("\x1b[2J\x07gone", after=0.1)
    bad = await buy("bad")
    _, out, err = await command("wait", bad)
    assert "\x1b" not in out + err
    assert "gone" in err
    _, out, _ = await command("wait", bad, "--json")
    assert out.isascii()
    assert "\x1b[2J" in lines(out)[0]["error"]


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_output_in_ascii_locale(gateway, start, here):
    """A name that the locale cannot encode is printed escaped, and the video is downloaded."""
    process = await start("generate", "Katze tänzelt", "-o", "k\udcfftze-ä.mp4", "--json")
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["prompt"] == "Katze tänzelt"
    process = await start("generate", "a cat", "-o", "kätze.mp4", env=os.environ | {"PYTHONIOENCODING": "ascii:strict"})
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"k\\xe4tze.mp4\n"), err


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_help_in_ascii_locale(start, here):
    """`--help` works in a locale that has only ASCII."""
    process = await start("generate", "--help", env=os.environ | {"PYTHONIOENCODING": "ascii:strict"})
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"--aspect-ratio" in out


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
@pytest.mark.parametrize("flag", [[], ["--json"]])
async def test_closed_pipe(command, gateway, here, start, flag):
    """If the reader of the output has ended, the command ends with exit code 141 and prints no error."""
    for number in range(3):
        await command("generate", f"cat {number}", "--key", f"cat {number}")
    read, write = os.pipe()
    os.close(read)
    process = await start("status", *flag, stdout=write)
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_wait_with_closed_pipe(command, start, gateway, here):
    """If the output is closed, the first result ends `wait` with exit code 141 and no error."""
    gateway.scripts |= {"one": succeeds(after=0.3), "two": succeeds(after=300)}
    for name in ("one", "two"):
        await command("generate", name, "--timeout", "0")
    read, write = os.pipe()
    os.close(read)
    ids = [charge.generation_id for charge in gateway.charges]
    process = await start("wait", *ids, "--json", stdout=write)
    os.close(write)
    _, err = await asyncio.wait_for(process.communicate(), 25)
    assert (process.returncode, err) == (141, b"")


def test_version(capsys):
    """`--version` needs no command."""
    from importlib.metadata import version

    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"luma-async {version('luma-async')}\n"


def test_help_imports(unmeasured_env):
    """`--help` and `--version` load none of the modules that only a command needs."""
    code = (
        "import sys\nfrom luma_async.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print({'asyncio', 'attr', 'aiohttp', 'cattrs', 'rich', 'sqlite3'} & set(sys.modules), file=sys.stderr)"
    )
    for word in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, word],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env=unmeasured_env,
        )
        assert done.stderr == "set()\n"


# Completion


def complete(shell, capsys):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def candidates(script, *words):
    """Ask bash what it would propose for the last word."""
    line = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
        "_shtab_luma_async; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.splitlines()}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_completion(tmp_path, capsys, monkeypatch):
    """Bash completes commands, options, the values of an option, and files."""
    script = tmp_path / "completion.bash"
    script.write_text(complete("bash", capsys))
    assert set(COMMANDS) <= candidates(script, "luma-async", "")
    assert candidates(script, "luma-async", "res") == {"resume"}
    assert "--output" in candidates(script, "luma-async", "generate", "--out")
    assert candidates(script, "luma-async", "wait", "--dialect", "") == {"rixapi", "dream-machine", "agents"}
    (tmp_path / "prompts.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert "prompts.csv" in candidates(script, "luma-async", "batch", "prom")


def test_zsh_completion(tmp_path, capsys):
    """The zsh script has every command and completes files; zsh, if installed, accepts it."""
    script = tmp_path / "_luma-async"
    script.write_text(complete("zsh", capsys))
    text = script.read_text()
    assert text.startswith("#compdef luma-async")
    assert all(f"{name}:" in text for name in COMMANDS)
    assert ":FILE:_files" in text
    assert "wait:'wait for generations'" in text
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n", str(script)], check=True, timeout=30)


def test_completion_without_shtab(capsys, monkeypatch):
    """Without shtab it is exit code 2, and the message has the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["completion", "bash"]) == 2
    assert "luma-async[cli]" in capsys.readouterr().err
