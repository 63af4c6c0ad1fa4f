"""The commands around a video: what each buys, prints and returns, in both formats, as a person would run it."""

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


# Buying more of a video


async def test_extend_buys_a_continuation(command, source, gateway, here, dialect):
    """It says which video goes on and how; the path alone is on standard output."""
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


async def test_audio_buys_sound(command, source, gateway, dialect):
    """One document with the result and its path; what to leave out is refused where it cannot be said."""
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
async def test_a_purchase_that_cannot_be_is_refused(command, gateway, words):
    """Wrong use is exit code 2 with the name of what is wrong; nothing was sent."""
    code, out, err = await command(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert re.match(r"luma-async: (source|prompt)", err)
    assert gateway.counts.total() == 0


# Waiting


async def test_wait_says_how_each_ended(command, buy, gateway):
    """A line for each as it ends, a document for programs; each id is waited for once, and nothing is bought."""
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


async def test_wait_reports_failures_and_goes_on(command, buy, gateway):
    """What failed is told beside the rest; together that is exit code 5, alone it is 1."""
    gateway.scripts["bad"] = fails("moderated", after=0.1)
    good, bad = await buy("good"), await buy("bad")
    code, out, err = await command("wait", good, bad)
    assert (code, out) == (5, f"{good} completed\n")
    assert "moderated" in err
    code, out, _ = await command("wait", bad, "--json")
    (told,) = lines(out)
    assert (code, told["id"], told["state"], told["kind"]) == (1, bad, "failed", "GenerationFailed")


async def test_wait_stops_at_its_timeout(command, buy, gateway, monkeypatch):
    """Still running is exit code 3, also when something else failed or is done: running the command again helps."""
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
    assert "keeps running and is paid" in err


@pytest.mark.parametrize("name", ["wait", "download", "link"])
async def test_an_id_that_cannot_be_is_wrong_use(command, gateway, name):
    """Exit code 2, one line, nothing sent, whatever else was named; an id that nobody knows is a failure."""
    code, out, err = await command(name, "../x")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("luma-async: ")
    assert gateway.counts.total() == 0
    code, out, err = await command(name, "00000000-0000-4000-8000-000000000000")
    assert (code, out) == (1, "")
    assert "Check the id" in err


# Downloading


async def test_download_puts_each_on_disk(command, buy, here, gateway):
    """It waits where needed; the paths are printed, the folder is made, and a name given twice is fetched once."""
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


async def test_download_reports_failures_and_fetches_the_rest(command, buy, gateway):
    """One failure stops no other; an existing file is replaced only when told."""
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
async def test_a_watermark_is_taken_only_when_told(command, buy, gateway, here):
    """Without `--watermark` a clip that has one is a failure, with what could be done."""
    gateway.scripts["marked"] = watermarked_only(after=0.1)
    marked = await buy("marked")
    code, out, err = await command("download", marked)
    assert (code, out, "watermark" in err) == (1, "", True)
    assert (await command("download", marked, "--watermark"))[:2] == (0, f"{marked}.mp4\n")


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_download_fetches_stills_where_there_are_some(command, source, here):
    """`--what thumbnail` is a picture, named after the id."""
    code, out, err = await command("download", source, "--what", "thumbnail")
    assert code == 0, err
    assert re.fullmatch(rf"{source}-thumbnail\.\w+\n", out)
    assert (here / out.strip()).exists()


async def test_download_replaces_no_file(command, here, gateway):
    """A file in its place is wrong use, before anything is asked; for several only a folder is a place."""
    (here / "cat.mp4").write_bytes(b"mine")
    code, _, err = await command("download", "g-1", "-o", "cat.mp4")
    assert (code, "cat.mp4 exists" in err) == (2, True)
    code, _, err = await command("download", "g-1", "g-2", "-o", "cat.mp4")
    assert (code, "cat.mp4 is not a folder" in err) == (2, True)
    assert gateway.counts.total() == 0


async def test_download_of_one_may_name_the_file(command, source, here):
    """With an ending it is a file, without one the folder for it."""
    assert (await command("download", source, "-o", "clips/cat.mp4"))[:2] == (0, "clips/cat.mp4\n")
    assert (await command("download", source, "-o", "more"))[:2] == (0, f"more/{source}.mp4\n")


# Asking


async def test_link_prints_a_link_that_works(command, source, gateway):
    """The address alone, or a document with it."""
    await command("wait", source)
    code, out, _ = await command("link", source)
    assert (code, out.startswith(f"{gateway.base_url}/files/{source}"), len(out.splitlines())) == (0, True, 1)
    code, out, _ = await command("link", source, "--json")
    (told,) = lines(out)
    assert (code, told["id"], told["url"].startswith(gateway.base_url)) == (0, source, True)


async def test_account_prints_what_is_left(command, monkeypatch, dialect):
    """The key's quota at a relay, the credits at Luma; the relay's account too, for who has its token."""
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
async def test_a_key_that_is_not_taken_is_exit_code_four(command, gateway, words):
    """The last line names the key, and no traceback explains it."""
    gateway.inject(server_error(401), on="query", times=ALWAYS)
    gateway.inject(server_error(401), on="key", times=ALWAYS)
    gateway.inject(server_error(401), on="credits", times=ALWAYS)
    code, _, err = await command(*words)
    assert (code, "API key" in err.splitlines()[-1]) == (4, True)
    assert "Traceback" not in err


# Going on


async def test_what_runs_longer_than_the_timeout_is_told_with_the_command_that_fetches_it(command, here, gateway):
    """Exit code 3, and a command that can be pasted: it fetches the video, and nothing is bought again."""
    gateway.scripts["slow"] = stalls()
    code, _, err = await command("generate", "slow", "--timeout", "0.3")
    assert code == 3
    finish_all(gateway)
    words = shlex.split(re.search("To fetch it: (.*)", err)[1])
    assert words == ["luma-async", "download", gateway.charges[0].generation_id]
    code, out, err = await command(*words[1:])
    assert (code, (here / out.strip()).read_bytes() == file_bytes()) == (0, True), err
    assert len(gateway.charges) == 1


async def test_what_was_typed_is_typed_again(command, gateway, tmp_path, monkeypatch, dialect):
    """The command that goes on names the address, the format and the journal that were given on the command line."""
    gateway.scripts["slow"] = stalls()
    monkeypatch.delenv("LUMA_BASE_URL")
    typed = ["--base-url", gateway.base_url, "--dialect", dialect, "--journal", str(tmp_path / "my jobs.db")]
    _, _, err = await command("generate", "slow", "--timeout", "0.3", *typed)
    words = shlex.split(re.search("To fetch it: (.*)", err)[1])
    assert words[:2] == ["luma-async", "download"]
    assert {tuple(words[at : at + 2]) for at in range(3, 9, 2)} == {tuple(typed[at : at + 2]) for at in range(0, 6, 2)}


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
@pytest.mark.parametrize("name", ["wait", "download", "resume"])
async def test_ctrl_c_says_how_to_go_on(buy, command, gateway, start, here, name):
    """Exit code 130, what is paid, and the command that goes on; that one, run, ends well."""
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
async def test_ctrl_c_during_a_download_names_what_is_not_on_disk(command, start, gateway, here):
    """Completed and not fetched is no longer unfinished, so the command to paste names its id."""
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


_INTERRUPTED_AT_THE_DISK = """
import os, signal, sys, time
from luma_async.cli.main import main

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
async def test_ctrl_c_while_a_file_takes_its_place_sends_nobody_for_it_again(buy, here, name):
    """The file is there, whole; a command that fetches it would only find it in the way."""
    words = ["a cat", "-o", "cat.mp4"] if name == "generate" else [await buy("a cat"), "-o", "cat.mp4"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _INTERRUPTED_AT_THE_DISK, name, *words), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 130
    assert (here / "cat.mp4").read_bytes() == file_bytes()
    assert b"To fetch" not in err
    assert (b"its file is complete: cat.mp4" if name == "generate" else b"Already on disk: cat.mp4") in err


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_resume_tells_of_what_was_bought_elsewhere(command, gateway, here, start):
    """One session has one service; the others are named with the options that reach them."""
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
def test_several_ends_have_one_exit_code(codes, together):
    """The one they share; else 3 while something runs on, else 5."""
    assert combined_exit_code(codes) == together


# What a shell sees


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_a_services_words_do_not_move_the_cursor(command, buy, gateway):
    """What a terminal would obey is replaced on its way to people, and escaped for programs."""
    gateway.scripts["bad"] = fails("\x1b[2J\x07gone", after=0.1)
    bad = await buy("bad")
    _, out, err = await command("wait", bad)
    assert "\x1b" not in out + err
    assert "gone" in err
    _, out, _ = await command("wait", bad, "--json")
    assert out.isascii()
    assert "\x1b[2J" in lines(out)[0]["error"]


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_no_locale_spoils_the_output(gateway, start, here):
    """In a locale that cannot spell a name, the video is bought, fetched and printed all the same."""
    process = await start("generate", "Katze tänzelt", "-o", "k\udcfftze-ä.mp4", "--json")
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["prompt"] == "Katze tänzelt"
    process = await start("generate", "a cat", "-o", "kätze.mp4", env=os.environ | {"PYTHONIOENCODING": "ascii:strict"})
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"k\\xe4tze.mp4\n"), err


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_no_locale_spoils_the_help(start, here):
    """A terminal that knows ASCII alone gets the help too."""
    process = await start("generate", "--help", env=os.environ | {"PYTHONIOENCODING": "ascii:strict"})
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"--aspect-ratio" in out


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
@pytest.mark.parametrize("flag", [[], ["--json"]])
async def test_a_reader_that_has_seen_enough_ends_it_quietly(command, gateway, here, start, flag):
    """`| head -1`: no traceback and no complaint, on standard error neither."""
    for number in range(3):
        await command("generate", f"cat {number}", "--key", f"cat {number}")
    read, write = os.pipe()
    os.close(read)
    process = await start("status", *flag, stdout=write)
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")


@pytest.mark.parametrize("dialect", ["rixapi"], indirect=True)
async def test_who_waits_for_several_ends_when_nobody_reads(command, start, gateway, here):
    """`wait A B | true`: the first that cannot be printed ends it, with exit code 1 and no complaint."""
    gateway.scripts |= {"one": succeeds(after=2), "two": succeeds(after=300)}
    for name in ("one", "two"):
        await command("generate", name, "--timeout", "0")
    read, write = os.pipe()
    os.close(read)
    ids = [charge.generation_id for charge in gateway.charges]
    process = await start("wait", *ids, "--json", stdout=write)
    os.close(write)
    _, err = await asyncio.wait_for(process.communicate(), 25)
    assert (process.returncode, err) == (1, b"")


def test_the_version_is_printed(capsys):
    """`--version` needs no command."""
    from importlib.metadata import version

    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"luma-async {version('luma-async')}\n"


def test_help_loads_nothing(unmeasured_env):
    """Neither `--help` nor `--version` loads what only a command needs: asyncio, attrs, aiohttp, rich."""
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
def test_bash_completes(tmp_path, capsys, monkeypatch):
    """Commands, their options, the values of an option, and files where a file is wanted."""
    script = tmp_path / "completion.bash"
    script.write_text(complete("bash", capsys))
    assert set(COMMANDS) <= candidates(script, "luma-async", "")
    assert candidates(script, "luma-async", "res") == {"resume"}
    assert "--output" in candidates(script, "luma-async", "generate", "--out")
    assert candidates(script, "luma-async", "wait", "--dialect", "") == {"rixapi", "dream-machine"}
    (tmp_path / "prompts.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert "prompts.csv" in candidates(script, "luma-async", "batch", "prom")


def test_zsh_gets_a_script_of_its_own(tmp_path, capsys):
    """It names every command and completes files; zsh, where it is there, finds no mistake in it."""
    script = tmp_path / "_luma-async"
    script.write_text(complete("zsh", capsys))
    text = script.read_text()
    assert text.startswith("#compdef luma-async")
    assert all(f"{name}:" in text for name in COMMANDS)
    assert ":FILE:_files" in text
    assert "wait:'wait for generations'" in text
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n", str(script)], check=True, timeout=30)


def test_completion_says_what_is_missing(capsys, monkeypatch):
    """Without the extra it is wrong use, and the command that installs it is named."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["completion", "bash"]) == 2
    assert "luma-async[cli]" in capsys.readouterr().err
