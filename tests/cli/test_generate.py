"""`luma-async generate`, `demo` and `gateway`, exit codes and signals."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shlex
import signal
import struct
from pathlib import Path

import pytest
from holding import held
from terminal import COMMAND

from luma_async import (
    Phase,
    SqliteJournal,
)
from luma_async.cli.commands import demo
from luma_async.cli.main import main
from luma_async.testing import (
    SCENES,
    drop_after_reading,
    fails,
    file_bytes,
    late,
    out_of_credit,
    rejects,
    reshapes,
    server_error,
    stalls,
    watermarked_only,
)

COMMANDS = ("demo", "generate", "batch", "status", "resume", "in-doubt", "gallery", "gateway")


@pytest.fixture
def hang_ups_count():
    """Let children heed a closed terminal, even where the tests are run to outlive one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


async def read_until(stream, words):
    """Read lines up to the one that holds these words, and return it."""
    while line := (await stream.readline()).decode():
        if words in line:
            return line
    raise AssertionError(f"the stream ended before {words!r}")


async def entries_of(path):
    journal = SqliteJournal(path)
    owner = await journal.enter()
    try:
        return await journal.entries()
    finally:
        await journal.leave(owner)
        await journal.aclose()


def boxes(data):
    """Return the boxes of an MP4 file, by name; an AssertionError if they do not fill it."""
    found, at = {}, 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at
        found[name.decode()] = data[at + 8 : at + size]
        at += size
    return found


@pytest.fixture
def quick_demo(tmp_path, monkeypatch):
    """A folder to run the demo in, without a key and a network; its videos take no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_SECONDS", 0.2)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("LUMA_API_KEY", "LUMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


async def test_demo_without_settings(command, quick_demo):
    """Without a key and a network, `demo` makes clips that a player can play, and a page of them."""
    tmp_path = quick_demo
    code, out, said = await command("demo")
    assert code == 0, said
    *clips, page = out.splitlines()
    names = ["cat-dance.mp4", "paper-boat.mp4", "lighthouse.mp4"]
    assert clips == [f"luma-demo/{name}" for name in names]
    for clip in clips:
        film = boxes((tmp_path / clip).read_bytes())
        assert film["ftyp"][:4] in {b"isom", b"mp42", b"avc1"}
        assert film["mdat"]
        assert {"mvhd", "trak"} <= set(boxes(film["moov"]))
    assert len({(tmp_path / clip).read_bytes() for clip in clips}) == 3
    assert page == "luma-demo/gallery.html"
    assert all(f'data-src="{name}"' in (tmp_path / page).read_text() for name in names)
    assert "Nothing is paid or sent to other machines" in said
    assert "The batch made 3 charges" in said
    assert "a second time made 0 charges and 0 requests" in said
    assert sorted(found.name for found in (tmp_path / "luma-demo").glob("*.mp4*")) == sorted(names)


async def test_demo_a_second_time(command, quick_demo):
    """A second demo replaces the files of the first and no others; `--json` prints the costs."""
    tmp_path = quick_demo
    assert (await command("demo"))[0] == 0
    (tmp_path / "luma-demo" / "mine.mp4").write_bytes(b"mine")
    (tmp_path / "luma-demo" / "cat-dance.mp4").write_bytes(b"old")
    code, out, _ = await command("demo", "--json")
    *generations, total = map(json.loads, out.splitlines())
    assert code == 0
    assert [one["state"] for one in generations] == ["completed"] * 3
    assert generations[0]["prompt"] == "cat dance"
    assert [(tmp_path / one["path"]).read_bytes() for one in generations] == [file_bytes(scene=one) for one in SCENES]
    assert (total["charges"], total["requests"]["submit"], total["again"]) == (3, 3, {"charges": 0, "requests": 0})
    page = (tmp_path / total["gallery"]).read_text()
    assert all(page.count(f'data-src="{name}"') == 1 for name in demo.REQUESTS)
    assert (tmp_path / "luma-demo" / "mine.mp4").read_bytes() == b"mine"


async def test_generate(command, here, gateway):
    """Only the path is on standard output, and the journal has the purchase."""
    code, out, err = await command("generate", "cat dance", "-o", "cat.mp4", "--key", "cat")
    assert (code, out) == (0, "cat.mp4\n")
    assert "Accepted: generation" in err
    assert (here / "cat.mp4").read_bytes() == file_bytes()
    assert len(gateway.charges) == 1
    (entry,) = await entries_of(os.environ["LUMA_JOURNAL"])
    assert (entry.key, entry.phase, entry.path) == ("cat", Phase.COMPLETED, str(here / "cat.mp4"))


async def test_generate_into_folder(command, here):
    """An output that ends in a slash is a folder, which is created."""
    code, out, err = await command("generate", "cat dance", "-o", "new/clips/")
    path = Path(out.strip())
    assert (code, path.parent, path.stem in err) == (0, Path("new/clips"), True), err
    assert (here / path).read_bytes() == file_bytes()


async def test_generate_same_key(command, here, gateway):
    """The same key fetches what exists; a different request with it is refused."""
    await command("generate", "cat dance", "-o", "cat.mp4", "--key", "cat")
    code, out, err = await command("generate", "cat dance", "-o", "copy.mp4", "--key", "cat")
    assert (code, out, "Bought before: generation" in err) == (0, "copy.mp4\n", True)
    code, _, err = await command("generate", "dog dance", "-o", "dog.mp4", "--key", "cat")
    assert (code, "different request" in err) == (2, True)
    assert len(gateway.charges) == 1


async def test_generate_detach(command, here, gateway):
    """`--detach` prints the id and leaves; the file is downloaded later, and the key buys nothing again."""
    code, out, err = await command("generate", "cat dance", "--detach", "--key", "cat")
    generation_id = out.strip()
    assert (code, f"generation {generation_id}, key cat" in err, list(here.iterdir())) == (0, True, [])
    assert f"luma-async download {generation_id}" in err
    code, out, _ = await command("generate", "cat dance", "--detach", "--key", "cat", "--json")
    assert (code, json.loads(out)["id"], json.loads(out)["key"]) == (0, generation_id, "cat")
    code, _, err = await command("generate", "cat dance", "--detach", "-o", "cat.mp4")
    assert (code, "--output: cannot be used with --detach" in err, len(gateway.charges)) == (2, True, 1)
    code, out, _ = await command("download", generation_id, "-o", "cat.mp4")
    assert (code, out) == (0, "cat.mp4\n")


async def test_generate_extra(command, here, gateway):
    """`--extra` sends further fields as JSON and `--notify-hook` an address; no other form of `--extra` is sent."""
    hook = ("--notify-hook", "https://me.example/hook")
    code, _, err = await command("generate", "cat dance", "--extra", "seed=7", "--extra", 'tag="red"', *hook)
    assert code == 0, err
    body = gateway.charges[0].body
    assert (body["seed"], body["tag"], body["notify_hook"]) == (7, "red", "https://me.example/hook")
    for values in (["seed"], ["seed=red"], ["=7"], ["seed=7", "seed=8"]):
        flags = [part for value in values for part in ("--extra", value)]
        code, _, err = await command("generate", "cat dance", *flags)
        assert (code, "--extra: " in err) == (2, True), err
    assert len(gateway.charges) == 1


@pytest.mark.parametrize(
    ("data", "reason"), [(b"cat dance\n", None), (b" \n", "is empty"), (b"\xff\xfe", "is not UTF-8 text")]
)
async def test_prompt_from_stdin(command, here, gateway, monkeypatch, data, reason):
    """The prompt `-` is read from standard input, which must not be empty."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, _, err = await command("generate", "-", "--detach")
    assert code == (0 if reason is None else 2), err
    if reason is not None:
        assert f"prompt: standard input {reason}" in err
    entries = await entries_of(os.environ["LUMA_JOURNAL"]) if reason is None else []
    assert [entry.request["prompt"] for entry in entries] == (["cat dance"] if reason is None else [])


async def test_quoted_settings(command, here, gateway, monkeypatch):
    """Quotes around the values of variables are removed, with a warning that does not show the key."""
    key = os.environ["LUMA_API_KEY"]
    for name in ("LUMA_API_KEY", "LUMA_BASE_URL", "LUMA_DIALECT", "LUMA_JOURNAL"):
        monkeypatch.setenv(name, f'"{os.environ[name]}"')
    code, _, err = await command("generate", "cat dance", "--detach")
    assert (code, len(gateway.charges)) == (0, 1), err
    assert all(f"{name} has quotes" in err for name in ("LUMA_API_KEY", "LUMA_BASE_URL"))
    assert key not in err


async def test_generate_options(command, here, gateway):
    """Every option is sent; a frame is a URL, an image file or a generation."""
    (here / "tiger.jpg").write_bytes(b"\xff\xd8\xff\xe0 tiger")
    options = ["--aspect-ratio", "9:16", "--frame0", "tiger.jpg", "--frame1", "id:g-1", "--loop", "--expand-prompt"]
    code, _, err = await command("generate", "cat dance", *options)
    assert code == 0, err
    body = gateway.charges[0].body
    assert (body["prompt"], body["aspect_ratio"], body["loop"], body["expand_prompt"]) == (
        "cat dance",
        "9:16",
        True,
        True,
    )
    assert body["keyframes"]["frame0"]["url"].startswith("data:image/jpeg;base64,")
    assert body["keyframes"]["frame1"] == {"type": "generation", "id": "g-1"}
    code, _, _ = await command("generate", "dog", "--edition", "2024", "--frame0", "https://example.com/x.jpg")
    assert gateway.charges[1].body["image_url"] == "https://example.com/x.jpg"


@pytest.mark.parametrize("edition", [[], ["--edition", "auto"], ["--edition", "2024"]], ids=["none", "auto", "2024"])
async def test_generate_with_model(command, here, gateway, edition):
    """A model, a resolution and a duration need no `--edition`."""
    options = ["--model", "ray-v2", "--resolution", "720p", "--duration", "5s", *edition]
    code, _, err = await command("generate", "cat dance", *options)
    assert code == 0, err
    body = gateway.charges[0].body
    assert (body["model_name"], body["resolution"], body["duration"]) == ("ray-v2", "720p", "5s")


async def test_refused_model(command, here, gateway):
    """A relay of 2025 only refuses the fields of 2024, and the message says which options they come from."""
    gateway.behaviour.edition = "2025"
    code, _, err = await command("generate", "cat dance", "--model", "ray-v2")
    assert (code, len(gateway.charges)) == (1, 0)
    assert "because it has model" in err


async def test_generate_json(command, here):
    """With `--json` it prints one document with the path and the key."""
    code, out, _ = await command("generate", "cat dance", "--json", "--key", "cat")
    document = json.loads(out)
    assert (code, document["key"], document["state"]) == (0, "cat", "completed")
    assert (here / document["path"]).exists()
    assert "raw" not in document


REFUSED_BEFORE_PAYING = {
    "a bad ratio": (["--aspect-ratio", "wide"], "--aspect-ratio"),
    "an empty prompt": (None, "prompt"),
    "no picture": (["--frame0", "none.jpg"], "--frame0: none.jpg"),
    "a bad id": (["--frame0", "id:../x"], "--frame0: "),
    "a bad key": (["--key", "a\nb"], "key"),
    "a negative timeout": (["--timeout=-1"], "argument --timeout: must be a number of seconds"),
    "no timeout at all": (["--timeout", "nan"], "argument --timeout: must be a number of seconds"),
    "no address": (["--frame0", "ftp://x/y"], "--frame0: "),
    "a file with a slash": (["-o", "there.mp4/"], "there.mp4 is not a folder"),
    "a file that exists": (["-o", "there.mp4"], "there.mp4"),
    "a folder that does not": (["-o", "nowhere/cat.mp4"], "nowhere"),
    "a folder without files": (["-o", "/proc/cat.mp4"], "no file can be written to /proc"),
    "a name without room": (["-o", "a" * 246 + ".mp4"], "the name is too long"),
    "a name too long by itself": (["-o", "a" * 300], "the name is too long"),
    "a folder's name too long": (["-o", "a" * 300 + "/cat.mp4"], "too long"),
    "a field of another edition": (["--model", "ray-2", "--edition", "2025"], "model"),
    "an address that is none": (["--base-url", "relay"], "--base-url must be an address"),
}


@pytest.mark.parametrize("name", REFUSED_BEFORE_PAYING)
async def test_generate_invalid(command, here, gateway, name):
    """Wrong usage is exit code 2 with the name of the argument, and nothing is sent."""
    (here / "there.mp4").write_bytes(b"mine")
    options, words = REFUSED_BEFORE_PAYING[name]
    code, out, err = await command("generate", "" if options is None else "cat dance", *(options or []))
    assert (code, out) == (2, "")
    assert words in err
    assert gateway.counts.total() == 0
    assert (here / "there.mp4").read_bytes() == b"mine"


async def test_file_appears_after_purchase(command, here, gateway):
    """A file that appears after the purchase is exit code 1: code 2 means that nothing was sent."""

    def put_there(body):
        (here / "cat.mp4").write_bytes(b"mine")
        return body

    gateway.inject(reshapes(put_there), on="submit")
    code, out, err = await command("generate", "cat dance", "-o", "cat.mp4")
    assert (code, out, (here / "cat.mp4").read_bytes()) == (1, "", b"mine")
    assert "cat.mp4 exists" in err
    assert "is paid. To fetch it: luma-async download" in err
    assert len(gateway.charges) == 1


async def test_generate_overwrite(command, here):
    """`--overwrite` replaces an existing file."""
    (here / "cat.mp4").write_bytes(b"old")
    code, _, _ = await command("generate", "cat dance", "-o", "cat.mp4", "--overwrite")
    assert (code, (here / "cat.mp4").read_bytes()) == (0, file_bytes())


@pytest.mark.parametrize(
    ("prepare", "code", "words"),
    [
        (
            lambda gateway: gateway.scripts.update({"cat dance": fails("moderated", after=0.1)}),
            1,
            "moderated",
        ),
        (lambda gateway: gateway.scripts.update({"cat dance": rejects()}), 1, "Reword the prompt"),
        (lambda gateway: gateway.scripts.update({"cat dance": stalls()}), 3, "the timeout did not stop it"),
        (lambda gateway: gateway.scripts.update({"cat dance": watermarked_only(after=0.1)}), 1, "watermark"),
        (lambda gateway: gateway.inject(out_of_credit()), 4, "Top up"),
        (lambda gateway: gateway.inject(server_error(401)), 4, "Check that the API key is valid"),
        (lambda gateway: gateway.inject(drop_after_reading()), 6, "in-doubt"),
    ],
    ids=["failed", "rejected", "running", "watermarked", "no credit", "wrong key", "in doubt"],
)
async def test_generate_exit_codes(command, here, gateway, prepare, code, words):
    """Each kind of failure has its exit code, and the last line says what to do."""
    prepare(gateway)
    seconds = "0.3" if code == 3 else "30"
    got, out, err = await command("generate", "cat dance", "--timeout", seconds, "-o", "cat.mp4")
    assert (got, out) == (code, "")
    assert words in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("luma-async: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("missing", ["LUMA_API_KEY", "LUMA_BASE_URL"])
async def test_missing_setting(command, here, monkeypatch, missing):
    """A missing setting is exit code 2 with the variable to set."""
    monkeypatch.delenv(missing)
    code, _, err = await command("generate", "cat dance")
    assert (code, missing in err) == (2, True)


async def test_ctrl_c_while_waiting(here, start, gateway):
    """Ctrl-C is exit code 130 with the id and how to fetch the video later."""
    gateway.scripts["cat dance"] = stalls()
    process = await start("generate", "cat dance")
    await read_until(process.stderr, "Accepted")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert "is paid and keeps running" in err.decode()
    assert "Traceback" not in err.decode()
    (entry,) = await entries_of(os.environ["LUMA_JOURNAL"])
    assert entry.phase is Phase.ACCEPTED


@pytest.mark.parametrize(
    "names",
    [["SIGTERM"], ["SIGTERM"] * 2, ["SIGHUP", "SIGTERM"], ["SIGINT", "SIGHUP"], ["SIGTERM", "SIGINT"]],
)
@pytest.mark.usefixtures("hang_ups_count")
async def test_signals_during_submit(here, start, gateway, names):
    """After a signal during the POST, the response is awaited and recorded.

    `timeout` signals its child and then the child's group, so that two signals arrive.
    """
    go_on = asyncio.Event()
    gateway.inject(held(go_on))
    process = await start("generate", "cat dance")
    while not gateway.charges:
        await asyncio.sleep(0.01)
    first, *more = names
    process.send_signal(getattr(signal, first))
    await read_until(process.stderr, "Interrupted during the submit")
    for name in more:
        process.send_signal(getattr(signal, name))
    go_on.set()
    _, err = await process.communicate()
    assert process.returncode == 128 + getattr(signal, names[0]), err
    [entry] = await entries_of(os.environ["LUMA_JOURNAL"])
    assert (entry.phase, entry.generation_id) == (Phase.ACCEPTED, gateway.charges[0].generation_id)


async def test_nohup(here, gateway):
    """A process that ignores SIGHUP continues after it."""
    gateway.inject(late(0.5))
    line = f"trap '' HUP; exec {shlex.join(COMMAND)} generate 'cat dance' -o cat.mp4"
    process = await asyncio.create_subprocess_shell(line)
    while not gateway.charges:
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    assert await process.wait() == 0
    assert (here / "cat.mp4").read_bytes() == file_bytes()


def test_signal_handlers_kept(here):
    """`main()` restores the signal handlers of the program that calls it."""
    kept = {signal.SIGTERM: lambda *_: None, signal.SIGHUP: signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in kept.items()}
    try:
        assert main(["status"]) == 0
        assert {number: signal.getsignal(number) for number in kept} == kept
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def test_closed_output_streams(here, gateway):
    """With both output streams closed (`>&-`), the video is downloaded all the same."""
    line = f"exec {shlex.join(COMMAND)} generate 'cat dance' -o cat.mp4 1>&- 2>&-"
    process = await asyncio.create_subprocess_shell(line)
    assert await process.wait() == 0
    assert (here / "cat.mp4").read_bytes() == file_bytes()


async def test_generate_json_timeout(command, here, gateway):
    """With `--json`, a wait that ended early prints the id and the key."""
    gateway.scripts["slow"] = stalls()
    code, out, _ = await command("generate", "slow", "--timeout", "0.1", "--json")
    told = json.loads(out)
    assert (code, told["id"], bool(told["key"])) == (3, gateway.charges[0].generation_id, True)
    assert "is paid, and the timeout did not stop it" in told["error"]


async def test_empty_frame(command, here, gateway):
    """An empty `--frame0`, from an unset variable, is refused before anything is bought."""
    code, _, err = await command("generate", "cat dance", "--frame0", "")
    assert (code, "--frame0" in err, gateway.charges) == (2, True, ()), err


async def test_gateway_command(command, start, here, monkeypatch):
    """It prints the settings of a client, serves it, and counts the charges."""
    process = await start("gateway", "--port", "0", "--seconds", "0.1", "--api-key", "sk-mine")
    settings = dict(pair.split("=") for pair in (await process.stdout.readline()).decode().split())
    assert settings["LUMA_API_KEY"] == "sk-mine"
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, out, err = await command("generate", "cat dance", "-o", "cat.mp4")
    assert (code, out) == (0, "cat.mp4\n"), err
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert "1 charges, " in err.decode()
    assert "Traceback" not in err.decode()


async def test_help_of_every_command(command, capsys):
    """`--help` lists all commands, and each command has its own, without settings."""
    for arguments in ([], *([name] for name in COMMANDS)):
        with pytest.raises(SystemExit) as stopped:
            main([*arguments, "--help"])
        out = capsys.readouterr().out
        assert stopped.value.code == 0
        assert out.startswith("usage: luma-async")
        assert all(name in out for name in (arguments or COMMANDS))


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["generate"], ["generate", "x", "--api-key", "sk-1"], ["status", "--phase", "lost?"]]
)
def test_wrong_usage(arguments, capsys):
    """A wrong command line is exit code 2 with what is wrong and the command that prints the usage."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error, help_line = capsys.readouterr().err.splitlines()
    assert error.startswith("luma-async")
    assert help_line.endswith("--help")


async def test_unusable_journal(command, here, monkeypatch, tmp_path):
    """A journal that cannot be created is exit code 1 with one line, and nothing is sent."""
    (tmp_path / "folder.db").mkdir()
    monkeypatch.setenv("LUMA_JOURNAL", str(tmp_path / "folder.db"))
    code, _, err = await command("generate", "cat dance")
    assert (code, err.startswith("luma-async: "), len(err.splitlines())) == (1, True, 1)


async def test_gateway_port_unavailable(command, gateway):
    """A port that cannot be used is exit code 2 with what to do."""
    code, _, err = await command("gateway", "--port", gateway.port)
    assert (code, "--port 0 picks a free port" in err) == (2, True), err
