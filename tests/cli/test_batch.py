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


async def test_a_file_of_prompts_becomes_a_folder_of_videos(run, here, gateway):
    """A prompt a line; the folder holds the files, a line for each outcome, and the journal. Twice costs once."""
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


async def test_a_table_names_keys_fields_and_files(run, here, gateway):
    """Columns of a CSV reach the request, the key of the purchase and the name of the file."""
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


async def test_a_dry_run_submits_nothing_and_leaves_no_trace(run, here, gateway):
    """It prints what would be sent and what is done already, and makes no file."""
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


async def test_every_bad_row_is_named_before_anything_is_sent(run, here, gateway):
    """A file with mistakes is refused as a whole, with the line and the field of each, before the first paid submit."""
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


async def test_some_failures_are_exit_code_five(run, here, gateway):
    """What failed is in the results with its reason; running again sends what was refused, and only that."""
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


async def test_nothing_but_doubts_is_exit_code_six(run, here, gateway):
    """As for one: maybe paid, and to be settled; the command to paste is in the last lines."""
    gateway.inject(drop_after_reading(), times=2)
    (here / "prompts.txt").write_text("lost\ngone\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "my clips")
    assert code == 6
    assert "luma-async in-doubt --journal 'my clips/jobs.db'" in err


async def test_a_folder_may_have_any_name(run, here, gateway):
    """What a name holds that is no text is escaped in the results; nothing that was paid ends in how it is noted."""
    (here / "prompts.txt").write_text("a cat\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "caf\udce9")
    assert code == 0, err
    [row] = results(here, "caf\udce9")
    assert (here / row["path"]).read_bytes() == file_bytes()


async def test_two_runs_share_a_folder(run, here, gateway):
    """A second run begins the results anew, and each line stays whole; a file that one fetches is left to it."""
    gateway.scripts["slow"] = estimates(succeeds(after=2))
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
    "name", ["cat.mp4", "deep/cat.mp4", "results.jsonl", "jobs.db", "./gallery.html", "cat.mp4/x.mp4"]
)
async def test_a_place_that_is_taken_is_named_before_anything_is_paid(run, here, gateway, name):
    """What somebody else put there stays, and no video is bought that would have no place."""
    strange = here / "out" / "deep"
    strange.mkdir(parents=True)
    for path in (strange / "cat.mp4", here / "out" / "cat.mp4"):
        path.write_text("mine")
    (here / "p.csv").write_text(f"prompt,output\na dog,dog.mp4\na cat,{name}\n", encoding="utf-8")
    code, _, err = await run("p.csv", "--out", "out")
    assert (code, gateway.charges) == (2, ())
    assert "line 3, output:" in err
    assert (strange / "cat.mp4").read_text() == "mine"


async def test_a_place_that_is_taken_meanwhile_is_named_too(run, here, gateway):
    """What was refused or has failed is bought anew, and its place is looked at again."""
    gateway.scripts |= {"rude": rejects(), "bad": fails("Job failed", after=0.1)}
    (here / "p.csv").write_text("prompt,output\nrude,rude.mp4\nbad,bad.mp4\n", encoding="utf-8")
    assert (await run("p.csv", "--out", "out"))[0] == 1
    for name in ("rude.mp4", "bad.mp4"):
        (here / "out" / name).write_text("mine")
    code, _, err = await run("p.csv", "--out", "out")
    assert (code, "line 2, output:" in err, "line 3, output:" in err, len(gateway.charges)) == (2, True, False, 1), err
    code, _, err = await run("p.csv", "--out", "out", "--retry-failed")
    assert (code, "line 3, output:" in err, len(gateway.charges)) == (2, True, 1), err


async def test_a_file_without_a_place_fails_alone(run, here, gateway):
    """An output below another row's file is that row's failure; the rest comes, and both stay paid once."""
    rows = [{"prompt": "a", "output": "a.mp4"}, {"prompt": "b", "output": "a.mp4/b.mp4"}, {"prompt": "c"}]
    (here / "p.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    code, _, err = await run("p.jsonl", "--out", "out", "--max-in-flight", "1")
    assert code == 5, err
    assert [row["kind"] for row in results(here)] == [None, "DownloadError", None]
    assert (await run("p.jsonl", "--out", "out"))[0] == 5
    assert len(gateway.charges) == 3


async def test_all_failures_are_exit_code_one_and_a_bad_key_is_four(run, here, gateway):
    """Nothing done is a failure like any other; a key that is not taken stops the batch and says so."""
    gateway.scripts["rude"] = rejects()
    (here / "prompts.txt").write_text("rude\n", encoding="utf-8")
    assert (await run("prompts.txt", "--out", "out"))[0] == 1
    gateway.inject(server_error(401), times=ALWAYS)
    (here / "prompts.txt").write_text("a cat\na dog\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out")
    assert code == 4
    assert "API key" in err


async def test_what_still_runs_is_exit_code_three(run, here, gateway):
    """A video that outlasts --timeout is paid and runs on; the next run fetches it."""
    gateway.scripts["slow"] = stalls()
    (here / "prompts.txt").write_text("slow\na cat\n", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out", "--timeout", "1")
    assert code == 3
    assert "keeps running and is paid" in err


async def test_a_page_that_is_not_ours_is_left_alone(run, here):
    """Somebody else's gallery.html stands, a sentence says so, and the batch is done all the same."""
    (here / "prompts.txt").write_text("a cat\n", encoding="utf-8")
    (here / "out").mkdir()
    (here / "out" / "gallery.html").write_text("mine", encoding="utf-8")
    code, _, err = await run("prompts.txt", "--out", "out")
    assert (code, "The page of clips could not be written" in err) == (0, True)
    assert (here / "out" / "gallery.html").read_text(encoding="utf-8") == "mine"


async def test_standard_input_is_read(here, gateway):
    """`-` takes what another program prints, in any of the formats."""
    code, _ = await _child("batch", "-", "--out", "out", "--format", "jsonl", feed=b'{"prompt": "a cat"}\n"a dog"\n')
    assert code == 0
    assert {row["prompt"] for row in results(here)} == {"a cat", "a dog"}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
async def test_whoever_types_may_end_it(here, gateway, name):
    """While it reads standard input one signal is enough."""
    read, write = os.pipe()
    child = await asyncio.create_subprocess_exec(
        *COMMAND, "batch", "-", "--out", "out", stdin=read, env=dict(os.environ)
    )
    os.write(write, b"x" * 10_000)
    # What it has read is gone from the pipe: it reads on.
    while select.select([read], [], [], 0)[0]:
        await asyncio.sleep(0.01)
    child.send_signal(getattr(signal, name))
    ended = await child.wait()
    os.close(read)
    os.close(write)
    assert ended in {130, -signal.SIGTERM}
    assert gateway.requests == ()


async def test_a_closed_standard_input_holds_nothing(here, gateway):
    """A shell's `<&-`: nothing is bought, and nothing breaks."""
    line = f"exec {shlex.join(COMMAND)} batch - --out out <&-"
    child = await asyncio.create_subprocess_shell(line, stderr=asyncio.subprocess.PIPE)
    _, err = await child.communicate()
    assert (child.returncode, b"0 of 0 done" in err, gateway.charges) == (0, True, ()), err


async def test_an_input_that_breaks_after_something_was_bought_is_no_wrong_use(run, here, gateway):
    """Exit code 2 says that nothing was bought; here a picture went away after the row before it was."""
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


async def test_ctrl_c_says_what_runs_on_and_how_to_go_on(here, gateway):
    """Interrupted, it counts what is paid and running, exits with 130, and the same command pays for nothing twice."""
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


async def test_what_has_left_when_interrupted_counts_as_paid(here, gateway):
    """The answers that were on their way are waited for, and are in the count."""
    gateway.scripts["slow"] = stalls()
    gateway.inject(late(1), times=2)
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


async def test_a_terminal_shows_one_bar_and_few_rows(here, gateway, monkeypatch):
    """With somebody watching, a bar counts all and at most ten rows show what runs; failures leave a line."""

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


async def test_what_runs_on_is_not_called_failed(run, here, gateway):
    """Nobody is led to buy once more what is paid and being made; a dry run tells it apart too."""
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
        (("missing.txt",), "FILE: missing.txt: No such file"),
        (("prompts.json",), "pass --format: text, csv, jsonl"),
    ],
)
async def test_a_file_that_cannot_be_meant_is_wrong_use(run, here, gateway, arguments, words):
    """Exit code 2, and nothing is sent."""
    (here / "prompts.json").write_text('[{"prompt": "a cat"}]', encoding="utf-8")
    code, _, err = await run(*arguments, "--out", "out")
    assert (code, words in err) == (2, True), err
    assert gateway.counts.total() == 0


def test_a_number_that_is_none_is_named(capsys):
    """In the words of the command line."""
    with pytest.raises(SystemExit):
        main(["batch", "prompts.txt", "--out", "out", "--max-in-flight", "lots"])
    assert "'lots' is not a number or auto" in capsys.readouterr().err
