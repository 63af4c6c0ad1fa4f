"""`luma-async batch`: from a file of prompts to a folder of videos."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import select
import shlex
import signal
import sys
from functools import partial

import pytest
from holding import finish_all
from terminal import COMMAND

from luma_async import LumaSession, PollPolicy
from luma_async.cli import progress
from luma_async.cli.main import main
from luma_async.testing import (
    ALWAYS,
    drop_after_reading,
    estimates,
    fails,
    file_bytes,
    late,
    rejects,
    reshapes,
    server_error,
    stalls,
    succeeds,
)


@pytest.fixture
def gateway_options():
    return {"script": estimates(succeeds(after=0.1))}


@pytest.fixture
def run(here, command):
    """Run `batch` in `here`; return its exit code and both outputs."""
    return partial(command, "batch")


def results(here, out="out"):
    return [json.loads(line) for line in (here / out / "results.jsonl").read_text().splitlines()]


async def test_text_file(run, here, gateway):
    """Each line becomes a video in the folder, next to the results and a page; a second run buys nothing."""
    (here / "prompts.txt").write_text("a cat\n\n a dog \n", encoding="utf-8")
    code, out, err = await run("prompts.txt", "--out", "out")
    assert (code, out) == (0, "")
    assert "2/2  a " in err
    assert "2 of 2 done" in err
    found = sorted(results(here), key=lambda row: row["index"])
    assert [(row["prompt"], row["line"], row["state"]) for row in found] == [
        ("a cat", 1, "completed"),
        ("a dog", 3, "completed"),
    ]
    assert all((here / row["path"]).read_bytes() == file_bytes() for row in found)
    page = (here / "out" / "gallery.html").read_text()
    assert all(f'data-src="{(here / row["path"]).name}"' in page for row in found)
    asked = gateway.counts.total()
    assert (await run("prompts.txt", "--out", "out"))[0] == 0
    assert gateway.counts.total() == asked
    assert (await run("prompts.txt", "--out", "another"))[0] == 0
    assert len(gateway.charges) == 4


async def test_csv_columns(run, here, gateway):
    """The columns of a CSV file set the fields of the request, the key and the file name."""
    (here / "frame.jpg").write_bytes(b"\xff\xd8\xff picture")
    (here / "prompts.csv").write_text(
        "prompt,aspect_ratio,loop,frame0,key,output\n"
        '"a cat, dancing",9:16,true,frame.jpg,cat-1,cats/one.mp4\n'
        "a dog,,,,,\n",
        encoding="utf-8",
    )
    code, out, _ = await run("prompts.csv", "--out", "out", "--json", "--max-in-flight", "2")
    assert code == 0
    rows = {row["prompt"]: row for row in map(json.loads, out.splitlines())}
    assert rows["a cat, dancing"]["key"] == "cat-1"
    assert rows["a cat, dancing"]["path"] == "out/cats/one.mp4"
    assert (here / "out" / "cats" / "one.mp4").read_bytes() == file_bytes()
    body = next(charge.body for charge in gateway.charges if charge.prompt == "a cat, dancing")
    assert (body["aspect_ratio"], body["loop"]) == ("9:16", True)
    assert body["keyframes"]["frame0"]["url"].startswith("data:image/jpeg;base64,")


async def test_output_is_folder(run, here):
    """An output that ends in a slash, or is an existing folder, is a folder, which several rows may use."""
    (here / "out" / "dogs").mkdir(parents=True)
    text = "prompt,output\na cat,cats/all/\nb cat,cats/all/\na dog,dogs\n"
    (here / "p.csv").write_text(text, encoding="utf-8")
    code, _, err = await run("p.csv", "--out", "out", "--file-name", "{slug}-{index}.{ext}")
    assert code == 0, err
    files = [str(path.relative_to(here / "out")) for path in (here / "out").glob("**/*.mp4")]
    assert sorted(files) == ["cats/all/a-cat-0.mp4", "cats/all/b-cat-1.mp4", "dogs/a-dog-2.mp4"]


async def test_file_name(run, here):
    """`--file-name` is the template of the names of the files; an invalid template ends the command."""
    (here / "prompts.txt").write_text("a cat\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out", "--file-name", "{index:02d} {prompt}.{ext}")
    assert code == 2
    assert "--file-name: has the unknown field {prompt}; there are {index}, {slug}" in err
    assert not (here / "out").exists()
    code, _, _ = await run("prompts.txt", "--out", "out", "--file-name", "{index:02d} {slug}.{ext}")
    assert code == 0
    assert (here / "out" / "00 a-cat.mp4").read_bytes() == file_bytes()


async def test_dry_run(run, here, gateway):
    """It prints what would be submitted and what is done, makes no request and creates no file."""
    (here / "prompts.txt").write_text("a cat\na dog\n", encoding="utf-8")
    code, out, err = await run("prompts.txt", "--out", "out", "--dry-run")
    assert code == 0
    assert out.splitlines() == ["send  new         a cat", "send  new         a dog"]
    assert "would submit 2; 0 are completed, 0 are paid and running." in err
    assert not (here / "out").exists()
    assert gateway.counts.total() == 0
    (here / "fewer.txt").write_text("a cat\n", encoding="utf-8")
    await run("fewer.txt", "--out", "out")
    asked = gateway.counts.total()
    code, out, err = await run("prompts.txt", "--out", "out", "--dry-run", "--json")
    assert [json.loads(line)["standing"] for line in out.splitlines()] == ["completed", "new"]
    assert [json.loads(line)["buys"] for line in out.splitlines()] == [False, True]
    assert "would submit 1; 1 are completed, 0 are paid and running." in err
    assert gateway.counts.total() == asked


async def test_invalid_rows(run, here, gateway):
    """A file with invalid rows is refused as a whole, with the line and field of each, before anything is sent."""
    (here / "prompts.csv").write_text(
        "prompt,aspect_ratio,frame0,concepts\na cat,wide,,\na dog,,missing.jpg,\na cow,,,dolly_zoom\na hen,,,\n",
        encoding="utf-8",
    )
    code, _, err = await run("prompts.csv", "--out", "out")
    assert code == 2
    assert "line 2, aspect_ratio: " in err
    assert "line 3, frame0: " in err
    assert "line 4, concepts: " in err
    assert "line 5" not in err
    assert gateway.counts.total() == 0


async def test_some_failed(run, here, gateway):
    """Some failures are exit code 5, with reasons in the results; another run sends only what was refused."""
    gateway.scripts |= {"bad": fails("Job failed", after=0.1), "rude": rejects()}
    gateway.inject(drop_after_reading(), when=lambda seen: seen.body["prompt"] == "lost")
    (here / "prompts.txt").write_text("good\nbad\nrude\nlost\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out")
    assert code == 5
    assert "1 of 4 done, 2 failed, 1 in doubt" in err
    assert {row["prompt"]: row["kind"] for row in results(here)} == {
        "good": None,
        "bad": "GenerationFailed",
        "rude": "PromptRejected",
        "lost": "SubmitInDoubt",
    }
    gateway.scripts["rude"] = estimates(succeeds(after=0.1))
    gateway.scripts["bad"] = estimates(succeeds(after=0.1))
    assert (await run("prompts.txt", "--out", "out"))[0] == 5
    assert len(gateway.charges) == 4
    assert (await run("prompts.txt", "--out", "out", "--retry-failed"))[0] == 5
    assert len(gateway.charges) == 5
    assert sum(row["kind"] is None for row in results(here)) == 3


async def test_all_in_doubt(run, here, gateway):
    """If all submits are in doubt, the exit code is 6, and the command to settle them is printed."""
    gateway.inject(drop_after_reading(), times=2)
    (here / "prompts.txt").write_text("lost\ngone\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "my clips")
    assert code == 6
    assert "luma-async in-doubt --journal 'my clips/jobs.db'" in err


async def test_folder_name_not_utf8(run, here, gateway):
    """A folder name that is not UTF-8 is escaped in the results, and the video is downloaded."""
    (here / "prompts.txt").write_text("a cat\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "caf\udce9")
    assert code == 0, err
    [row] = results(here, "caf\udce9")
    assert (here / row["path"]).read_bytes() == file_bytes()


async def test_two_runs_in_one_folder(run, here, gateway):
    """Two runs in one folder buy each video once, and every line of the results is complete."""
    gateway.scripts["slow"] = estimates(succeeds(after=1))
    (here / "prompts.txt").write_text("a cat\na dog\nslow\n", encoding="utf-8")
    first = asyncio.ensure_future(run("prompts.txt", "--out", "out"))
    noted = here / "out" / "results.jsonl"
    while not noted.exists() or len(results(here)) < 2:
        await asyncio.sleep(0.01)
    codes = {(await run("prompts.txt", "--out", "out"))[0], (await first)[0]}
    assert codes <= {0, 5}
    assert {row["prompt"] for row in results(here)} == {"a cat", "a dog", "slow"}
    assert sum(path.suffix == ".mp4" for path in (here / "out").iterdir()) == 3
    assert len(gateway.charges) == 3


@pytest.mark.parametrize(
    "name",
    [
        "cat.mp4",
        "deep/cat.mp4",
        "results.jsonl",
        "jobs.db",
        "./gallery.html",
        "cat.mp4/x.mp4",
        "cat.mp4/",
        "jobs.db/",
        "results.jsonl/x.mp4",
    ],
)
async def test_output_exists(run, here, gateway, name):
    """An output that exists or is reserved is refused with its line before anything is paid, and the file is kept."""
    strange = here / "out" / "deep"
    strange.mkdir(parents=True)
    for path in (strange / "cat.mp4", here / "out" / "cat.mp4"):
        path.write_text("mine")
    (here / "p.csv").write_text(f"prompt,output\na dog,dog.mp4\na cat,{name}\n", encoding="utf-8")
    code, _, err = await run("p.csv", "--out", "out")
    assert (code, gateway.charges) == (2, ())
    assert "line 3, output:" in err
    assert (strange / "cat.mp4").read_text() == "mine"


IMPOSSIBLE_OUTPUTS = {
    "no room for the suffixes": ("a" * 246 + ".mp4", "too long"),
    "a folder's name": ("a" * 300 + "/cat.mp4", "too long"),
    "a link out of the folder": ("link/cat.mp4", "leads out of the folder"),
    "a linked folder": ("link", "leads out of the folder"),
    "a linked folder with a slash": ("link/", "leads out of the folder"),
    "a new folder below a link": ("link/deep/cat.mp4", "leads out of the folder"),
    "a link to nothing": ("nothing.mp4", "not a regular file"),
    "a named pipe": ("pipe", "not a regular file"),
}


@pytest.mark.parametrize(("name", "words"), IMPOSSIBLE_OUTPUTS.values(), ids=IMPOSSIBLE_OUTPUTS.keys())
async def test_output_cannot_be_written(run, here, gateway, name, words):
    """An output where no file can be written, or that leads out of the folder, is refused before anything is paid."""
    for folder in ("elsewhere", "out"):
        (here / folder).mkdir()
    (here / "out" / "link").symlink_to(here / "elsewhere")
    (here / "out" / "nothing.mp4").symlink_to(here / "nowhere")
    os.mkfifo(here / "out" / "pipe")
    (here / "p.csv").write_text(f"prompt,output\na dog,dog.mp4\na cat,{name}\n", encoding="utf-8")
    code, _, err = await run("p.csv", "--out", "out")
    assert (code, gateway.charges) == (2, ())
    assert "line 3, output:" in err
    assert words in err
    assert [*(here / "elsewhere").iterdir()] == []


async def test_output_folder_becomes_link(run, here, gateway):
    """A folder that becomes a symbolic link after the purchase fails its row alone, and nothing is written there."""
    (here / "elsewhere").mkdir()
    gateway.inject(server_error(410), on="file", times=ALWAYS)
    rows = [{"prompt": "a", "output": "deep/a.mp4"}, {"prompt": "b"}]
    (here / "p.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert (await run("p.jsonl", "--out", "out"))[0] == 1
    gateway.clear_faults()
    (here / "out" / "deep").rmdir()
    (here / "out" / "deep").symlink_to(here / "elsewhere")
    code, _, err = await run("p.jsonl", "--out", "out")
    assert code == 5, err
    assert {row["line"]: row["kind"] for row in results(here)} == {1: "DownloadError", 2: None}
    assert [*(here / "elsewhere").iterdir()] == []
    assert len(gateway.charges) == 2


RESULTS_OBSTACLES = {
    "symbolic link": lambda path, mine: path.symlink_to(mine),
    "second name": lambda path, mine: path.hardlink_to(mine),
    "named pipe": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
}


@pytest.mark.parametrize("obstacle", RESULTS_OBSTACLES)
async def test_results_are_no_file(run, here, gateway, obstacle):
    """Results are never written through a link: the command ends before anything is paid."""
    (here / "out").mkdir()
    (here / "mine").write_text("mine")
    RESULTS_OBSTACLES[obstacle](here / "out" / "results.jsonl", here / "mine")
    (here / "prompts.txt").write_text("a cat\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out")
    assert (code, gateway.charges) == (2, ())
    assert "results.jsonl cannot be written" in err
    assert (here / "mine").read_text() == "mine"


async def test_output_exists_on_retry(run, here, gateway):
    """The outputs of rows that are bought again are checked again."""
    gateway.scripts |= {"rude": rejects(), "bad": fails("Job failed", after=0.1)}
    (here / "p.csv").write_text("prompt,output\nrude,rude.mp4\nbad,bad.mp4\n", encoding="utf-8")
    assert (await run("p.csv", "--out", "out"))[0] == 1
    for name in ("rude.mp4", "bad.mp4"):
        (here / "out" / name).write_text("mine")
    code, _, err = await run("p.csv", "--out", "out")
    assert (code, "line 2, output:" in err, "line 3, output:" in err, len(gateway.charges)) == (2, True, False, 1), err
    code, _, err = await run("p.csv", "--out", "out", "--retry-failed")
    assert (code, "line 3, output:" in err, len(gateway.charges)) == (2, True, 1), err


async def test_output_below_a_file(run, here, gateway):
    """A row whose output would be below another row's file fails alone; both stay paid once."""
    rows = [{"prompt": "a", "output": "a.mp4"}, {"prompt": "b", "output": "a.mp4/b.mp4"}, {"prompt": "c"}]
    (here / "p.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    code, _, err = await run("p.jsonl", "--out", "out", "--max-in-flight", "1")
    assert code == 5, err
    assert [row["kind"] for row in results(here)] == [None, "DownloadError", None]
    assert (await run("p.jsonl", "--out", "out"))[0] == 5
    assert len(gateway.charges) == 3


async def test_nothing_done_exit_code(run, here, gateway):
    """If all failed, the exit code is 1; a refused key stops the batch with exit code 4."""
    gateway.scripts["rude"] = rejects()
    (here / "prompts.txt").write_text("rude\n", encoding="utf-8")
    assert (await run("prompts.txt", "--out", "out"))[0] == 1
    gateway.inject(server_error(401), times=ALWAYS)
    (here / "prompts.txt").write_text("a cat\na dog\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out")
    assert code == 4
    assert "API key" in err
    assert "The batch was stopped: 0 bought in this run" in err
    assert "run the same command again; it buys only what is missing" in err


async def test_timeout(run, here, gateway):
    """A video that outlasts `--timeout` is exit code 3; it is paid and keeps running."""
    gateway.scripts["slow"] = stalls()
    (here / "prompts.txt").write_text("slow\na cat\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out", "--timeout", "0.3")
    assert code == 3
    assert "is paid, and the timeout did not stop it" in err


async def test_foreign_gallery_page(run, here):
    """A gallery.html of another program is kept, a message says so, and the batch succeeds."""
    (here / "prompts.txt").write_text("a cat\n", encoding="utf-8")
    (here / "out").mkdir()
    (here / "out" / "gallery.html").write_text("mine", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out")
    assert (code, "The page of clips could not be written" in err) == (0, True)
    assert (here / "out" / "gallery.html").read_text(encoding="utf-8") == "mine"


async def test_standard_input(here, gateway):
    """`batch -` reads prompts from standard input in the format that `--format` names."""
    code, _ = await _child("batch", "-", "--out", "out", "--format", "jsonl", feed=b'{"prompt": "a cat"}\n"a dog"\n')
    assert code == 0
    assert {row["prompt"] for row in results(here)} == {"a cat", "a dog"}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
async def test_signal_while_reading_input(here, gateway, name):
    """While the command reads standard input, one signal ends it."""
    read, write = os.pipe()
    child = await asyncio.create_subprocess_exec(
        *COMMAND, "batch", "-", "--out", "out", stdin=read, env=dict(os.environ)
    )
    os.write(write, b"x" * 10_000)
    # The pipe is empty, so the command has begun to read.
    while select.select([read], [], [], 0)[0]:
        await asyncio.sleep(0.01)
    child.send_signal(getattr(signal, name))
    ended = await child.wait()
    os.close(read)
    os.close(write)
    assert ended in {130, -signal.SIGTERM}
    assert gateway.requests == ()


async def test_closed_standard_input(here, gateway):
    """With standard input closed (`<&-`), `batch -` has no prompts: that is an error, and nothing is bought."""
    line = f"exec {shlex.join(COMMAND)} batch - --out out <&-"
    child = await asyncio.create_subprocess_shell(line, stderr=asyncio.subprocess.PIPE)
    _, err = await child.communicate()
    assert (child.returncode, b"has no prompts" in err, gateway.charges) == (2, True, ()), err


async def test_image_lost_after_purchase(run, here, gateway):
    """An image that disappears after another row was bought is exit code 5: code 2 means that nothing was bought."""
    (here / "frame.jpg").write_bytes(b"\xff\xd8\xff picture")
    (here / "prompts.csv").write_text("prompt,frame0\na cat,\na dog,frame.jpg\n", encoding="utf-8")

    def remove(body):
        (here / "frame.jpg").unlink()
        return body

    gateway.inject(reshapes(remove), on="submit")
    code, _, err = await run("prompts.csv", "--out", "out", "--max-in-flight", "1")
    assert (code, len(gateway.charges)) == (5, 1), err
    assert "frame.jpg" in err
    assert "1 of 2 done" in err


async def test_ctrl_c(here, gateway):
    """Ctrl-C prints how many are paid and running, with exit code 130; the same command then buys nothing twice."""
    gateway.scripts["slow"] = estimates(stalls())
    (here / "prompts.txt").write_text("slow\na cat\n", encoding="utf-8")
    code, err = await _child("batch", "prompts.txt", "--out", "out", interrupt_when=lambda: gateway.counts["file"])
    assert code == 130, err
    assert re.search("[01] of 2 have ended, [12] are paid and keep running", err)
    assert "run the same command again" in err
    finish_all(gateway)
    code, err = await _child("batch", "prompts.txt", "--out", "out")
    assert code == 0, err
    assert len(gateway.charges) == 2


async def test_ctrl_c_during_submits(here, gateway):
    """After Ctrl-C the responses of submits that were sent are awaited and counted as paid."""
    gateway.scripts["slow"] = stalls()
    gateway.inject(late(0.5), times=2)
    (here / "prompts.txt").write_text("slow\nslow\n", encoding="utf-8")
    code, err = await _child("batch", "prompts.txt", "--out", "out", interrupt_when=lambda: len(gateway.charges) == 2)
    assert code == 130, err
    assert "0 of 2 have ended, 2 are paid and keep running" in err


async def _child(*arguments, feed=b"", interrupt_when=None):
    child = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    if interrupt_when is not None:
        while not interrupt_when():
            await asyncio.sleep(0.05)
        child.send_signal(signal.SIGINT)
    _, err = await child.communicate(feed)
    return child.returncode, err.decode()


async def test_live_display(here, gateway, monkeypatch):
    """On a terminal there is one bar, at most ten rows of running videos, and a line for each failure."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    gateway.scripts["cat 3"] = rejects()
    assert progress._draws()
    most = 0
    with progress.batch_progress(30) as shown:
        async with LumaSession(on_event=shown.observe, poll=PollPolicy.fixed(0.05)) as luma:
            batch = luma.batch([f"cat {number}" for number in range(30)], max_in_flight=30)
            shown.follow(batch)
            async for outcome in batch:
                shown.ended(outcome, outcome.error and str(outcome.error))
                most = max(most, len(shown._rows._rows))
    assert 0 < most <= 10
    assert "cat 3: HTTP 400" in terminal.getvalue()
    assert "29 done" in terminal.getvalue()


async def test_running_is_not_failed(run, here, gateway):
    """What is paid and running is reported apart from failures, also by a dry run."""
    gateway.scripts["slow"] = stalls()
    (here / "fewer.txt").write_text("good\n", encoding="utf-8")
    assert (await run("fewer.txt", "--out", "out"))[0] == 0
    (here / "prompts.txt").write_text("good\nslow\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out", "--timeout", "0")
    assert code == 3
    assert "1 of 2 done, 1 paid and still running, 0 failed, 0 in doubt" in err
    assert "wait for what is still running" in err
    assert "--retry-failed" not in err
    code, out, err = await run("prompts.txt", "--out", "out", "--dry-run")
    assert out.splitlines() == ["keep  completed   good", "keep  running     slow"]
    assert "would submit 0; 1 are completed, 1 are paid and running." in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.txt",), "missing.txt: No such file"),
        (("prompts.json",), "use --format: text, csv, tsv, jsonl"),
    ],
)
async def test_unreadable_prompt_file(run, here, gateway, arguments, words):
    """A missing file or an unknown format is exit code 2, and nothing is sent."""
    (here / "prompts.json").write_text('[{"prompt": "a cat"}]', encoding="utf-8")
    code, _, err = await run(*arguments, "--out", "out")
    assert (code, words in err) == (2, True), err
    assert gateway.counts.total() == 0


def test_max_in_flight_not_a_number(capsys):
    """The message of a wrong `--max-in-flight` quotes it and says what is accepted."""
    with pytest.raises(SystemExit):
        main(["batch", "prompts.txt", "--out", "out", "--max-in-flight", "lots"])
    assert "must be auto or a number of at least 1, not 'lots'" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--timeout=-1"], ["--max-in-flight", "0"]])
async def test_wrong_call_changes_nothing(command, here, gateway, flags):
    """An empty file and wrong flags are refused before anything of an earlier run is overwritten."""
    (here / "clips").mkdir()
    (here / "clips" / "results.jsonl").write_text("earlier\n")
    (here / "prompts.txt").write_text("cat dance\n" if flags else "\n")
    code, out, err = await command("batch", "prompts.txt", "--out", "clips", *flags)
    assert (code, out, (flags[0].partition("=")[0] if flags else "has no prompts") in err) == (2, "", True), err
    assert [path.name for path in (here / "clips").iterdir()] == ["results.jsonl"]
    assert (here / "clips" / "results.jsonl").read_text() == "earlier\n"
    assert not gateway.charges
