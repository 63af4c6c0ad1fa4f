"""`luma-async status`, `in-doubt` and `resume`: the commands that read the journal."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from luma_async import (
    Entry,
    Generation,
    ImageKeyframe,
    KeyConflict,
    Keyframes,
    LumaSession,
    Phase,
    SqliteJournal,
    State,
    Video,
)
from luma_async._journal import lifecycle
from luma_async._journal.fingerprint import canonical_form, digest
from luma_async._journal.lifecycle import Step
from luma_async.cli.main import main
from luma_async.testing import fails
from luma_async.values.requests import VideoRequest

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def path(tmp_path, monkeypatch):
    path = tmp_path / "state" / "jobs.db"
    monkeypatch.setenv("LUMA_JOURNAL", str(path))
    monkeypatch.setenv("LUMA_API_KEY", "sk-fake")
    monkeypatch.delenv("LUMA_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
async def journal(path):
    path.parent.mkdir()
    made = SqliteJournal(path)
    yield made
    await made.aclose()


async def write(journal, key, *steps, prompt=None, base_url="https://relay.example"):
    """Write the claim of a program that has ended, and what became of it."""
    form = canonical_form(VideoRequest(prompt or f"{key} dance"))
    service = f"rixapi {base_url}"
    intent = Entry(key=key, phase=Phase.SENDING, service=service, digest=digest(form), request=form, owner="0" * 16)
    for step in (lifecycle.claim(intent, at=NOW), *steps):
        await journal.change(key, step)


def size_of(path):
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if file.is_file())


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


async def test_missing_journal(path, command):
    """A journal that does not exist is empty, and is not created."""
    for what in ("status", "in-doubt"):
        code, out, err = await command(what)
        assert code == 0
        assert "no journal" in err
        assert out == ""
    assert not path.exists()


async def test_status_table(journal, command):
    """One line for each purchase, oldest first; long prompts are shortened."""
    await write(journal, "cat", lifecycle.accept("gen-1", at=NOW))
    await write(journal, "scenes/2024", prompt="a very long prompt that goes on and on\nand on")
    code, out, err = await command("status")
    assert (code, err) == (0, "")
    time = f"{NOW.astimezone():%Y-%m-%d %H:%M %z}"
    assert out.splitlines() == [
        "PHASE     KEY          GENERATION  UPDATED                 PROMPT",
        f"accepted  cat          gen-1       {time}  cat dance",
        f"sending   scenes/2024              {time}  a very long prompt that goes on and on …",
    ]


async def test_status_selection(journal, command):
    """A key or an id selects an entry; `--sort` and `--limit` order and shorten the list."""
    for key in ("dog", "cat", "ant"):
        await write(journal, key, lifecycle.accept(f"gen-{key}", at=NOW))

    async def keys(*arguments):
        code, out, _ = await command("status", "--json", *arguments)
        return code, [entry["key"] for entry in lines(out)]

    assert await keys("cat") == await keys("gen-cat") == (0, ["cat"])
    assert await keys("bird") == (1, [])
    assert await keys("--sort", "key") == (0, ["ant", "cat", "dog"])
    assert await keys("--limit", "2") == (0, ["cat", "ant"])


async def test_journal_export(journal, command):
    """The export has every entry, and a spreadsheet computes none of its cells."""
    await write(journal, "cat", lifecycle.accept("gen-1", at=NOW), prompt="=1+1")
    _, out, _ = await command("journal", "export")
    assert [(entry["key"], entry["request"]["prompt"]) for entry in lines(out)] == [("cat", "=1+1")]
    code, out, _ = await command("journal", "export", "--format", "csv")
    (row,) = csv.DictReader(out.splitlines())
    assert (code, row["key"], row["generation_id"], row["prompt"]) == (0, "cat", "gen-1", "'=1+1")


async def test_export_without_secrets(journal, command):
    """The export holds no query, password or path of a hook that could open anything; `--full-urls` prints them."""
    link = "https://name:canary1@cdn.example/clip.mp4?sig=canary2#canary3"
    ended = Generation(id="gen-1", state=State.COMPLETED, video=Video(url=link))
    form = canonical_form(
        VideoRequest(
            "a cat",
            keyframes=Keyframes(frame0=ImageKeyframe("https://cdn.example/cat.png?token=canary4")),
            notify_hook="https://chat.example/hooks/canary5",
        )
    )
    intent = Entry(key="cat", phase=Phase.SENDING, service="rixapi https://relay.example", digest="d", request=form)
    for step in (lifecycle.claim(intent, at=NOW), lifecycle.accept("gen-1", at=NOW), lifecycle.finish(ended, at=NOW)):
        await journal.change("cat", step)
    for words in (["jsonl"], ["csv"]):
        _, out, _ = await command("journal", "export", "--format", *words)
        assert "canary" not in out
        assert "https://cdn.example/cat.png" in out
    _, out, _ = await command("journal", "export", "--full-urls")
    assert {f"canary{number}" for number in range(1, 6)} == set(re.findall(r"canary\d", out))


async def test_prune(journal, command, path):
    """Pruning drops prompts and answers of what ended long ago, keeps what is unfinished, and can be repeated."""
    ended = Generation(id="gen-1", state=State.COMPLETED, created_at=NOW, prompt="p" * 100_000)
    await write(journal, "cat", lifecycle.accept("gen-1", at=NOW), lifecycle.finish(ended, at=NOW), prompt="p" * 5000)
    await write(journal, "dog", lifecycle.end_without_generation(Step.DOUBT, "cut off", at=NOW))
    await write(journal, "cow", lifecycle.accept("gen-3", at=NOW))
    before, size = await journal.entries(), size_of(path)
    assert "1 of 3" in (await command("journal", "prune", "--older-than", "30d", "--dry-run"))[2]
    assert await journal.entries() == before
    assert "0 of 3" in (await command("journal", "prune", "--older-than", "9999d"))[2]
    assert "1 of 3" in (await command("journal", "prune", "--older-than", "30d"))[2]
    cat, dog, cow = await journal.entries()
    assert (dog, cow) == tuple(before[1:])
    assert (cat.request, cat.generation) == ({"class": "VideoRequest"}, None)
    assert attrs.evolve(before[0], request=cat.request, generation=None) == cat
    assert size_of(path) < size - 100_000
    assert "0 of 3" in (await command("journal", "prune", "--older-than", "30d"))[2]
    assert (await command("status"))[0] == (await command("journal", "export", "--format", "csv"))[0] == 0


@pytest.mark.parametrize("days", ["", "0.5d", "-3d", "d", "90h", "99999d"])
async def test_prune_checks_days(path, command, days):
    """A wrong age is refused before the journal is opened."""
    assert (await command("journal", "prune", f"--older-than={days}"))[0] == 2
    assert not path.exists()


async def test_pruned_key_buys_nothing(gateway, path):
    """A key that was pruned names its generation, and another request under it is refused."""
    path.parent.mkdir()
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=path) as luma:
        bought = await luma.submit("a cat", key="cat")
        await bought.wait()
    journal = SqliteJournal(path)
    await journal.change("cat", lifecycle.prune(before=datetime.now(UTC) + timedelta(days=1)))
    await journal.aclose()
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=path) as luma:
        assert (await luma.submit("a cat", key="cat")).id == bought.id
        assert (await (await luma.submit("a cat", key="cat")).wait()).final
        with pytest.raises(KeyConflict):
            await luma.submit("a dog", key="cat")
    assert len(gateway.charges) == 1


@pytest.mark.parametrize(
    ("typed", "meant"), [(["statsu"], "status"), (["status", "--phsae", "lost"], "--phase"), (["zzz"], None)]
)
def test_did_you_mean(path, capsys, typed, meant):
    """A mistyped command or flag names the one that was probably meant."""
    with pytest.raises(SystemExit, match="2"):
        main(typed)
    err = capsys.readouterr().err
    assert (f"Did you mean {meant}?" if meant else "invalid choice") in err


async def test_status_json(journal, command):
    """One document for each entry without the service's response; `--phase` selects."""
    ended = Generation(id="gen-1", state=State.COMPLETED, created_at=NOW, raw={"huge": "answer"})
    await write(journal, "cat", lifecycle.accept("gen-1", at=NOW), lifecycle.finish(ended, at=NOW))
    await write(journal, "dog", lifecycle.end_without_generation(Step.DOUBT, "the answer was cut off", at=NOW))
    code, out, _ = await command("status", "--json")
    cat, dog = lines(out)
    assert code == 0
    assert (cat["key"], cat["phase"], cat["generation"]["state"]) == ("cat", "completed", "completed")
    assert cat["sent_at"] == cat["generation"]["created_at"] == "2025-01-02T03:04:05+00:00"
    assert (dog["phase"], dog["reason"], dog["request"]["prompt"]) == (
        "in_doubt",
        "the answer was cut off",
        "dog dance",
    )
    assert "huge" not in out
    assert "owner" not in cat
    _, out, _ = await command("status", "--json", "--phase", "in_doubt", "--phase", "lost")
    assert [entry["key"] for entry in lines(out)] == ["dog"]


@pytest.mark.parametrize(
    ("spoil", "advice"),
    [
        (lambda path: path.write_text("dear diary"), "Use --journal to name another file"),
        (
            lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 99").connection.close(),
            "update luma_async",
        ),
    ],
    ids=["not a journal", "too new"],
)
async def test_unreadable_journal(journal, path, command, spoil, advice):
    """A file that is not a usable journal is exit code 1 with what to do."""
    await write(journal, "cat")
    await journal.aclose()
    spoil(path)
    code, out, err = await command("status")
    assert (code, out) == (1, "")
    assert str(path) in err
    assert advice in err


async def test_in_doubt_list(journal, command):
    """What may be paid is listed, as a table and as JSON, without an address."""
    await write(journal, "cat", lifecycle.accept("gen-1", at=NOW))
    await write(journal, "dog", lifecycle.end_without_generation(Step.DOUBT, "the answer was cut off", at=NOW))
    await write(journal, "bird")
    code, out, err = await command("in-doubt")
    assert code == 0
    assert out.splitlines() == [
        "KEY   SENT              PROMPT      WHY",
        "dog   2025-01-02 03:04  dog dance   the answer was cut off",
        "bird  2025-01-02 03:04  bird dance  the program that sent it ended before the answer came.",
    ]
    assert "resubmit KEY --accept-duplicate-risk" in err
    code, out, _ = await command("in-doubt", "--json")
    assert [entry["key"] for entry in lines(out)] == ["dog", "bird"]


@pytest.fixture
def no_settings(monkeypatch):
    """Neither an address nor a key is set."""
    for name in ("LUMA_API_KEY", "LUMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


async def test_doubts_without_settings(journal, command, no_settings):
    """Listing and abandoning doubts needs the journal only, whatever services they are at."""
    doubt = lifecycle.end_without_generation(Step.DOUBT, "the answer was cut off", at=NOW)
    await write(journal, "dog", doubt)
    await write(journal, "cat", doubt, base_url="https://other.example")
    code, out, err = await command("in-doubt")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()] == ["KEY", "dog", "cat"]
    assert "rixapi https://other.example" in out
    _, out, _ = await command("in-doubt", "--json", "--base-url", "https://other.example/")
    assert [entry["key"] for entry in lines(out)] == ["cat"]
    for key in ("dog", "cat"):
        code, _, err = await command("in-doubt", "abandon", key)
        assert code == 0, err
    assert {entry.phase for entry in await journal.entries()} == {Phase.ABANDONED}


async def test_abandon_while_sending(journal, command, no_settings):
    """A submit whose program still runs is neither listed nor abandoned."""
    form = canonical_form(VideoRequest("cat dance"))
    owner = await journal.enter()
    intent = Entry(
        key="cat",
        phase=Phase.SENDING,
        service="rixapi https://a.example",
        digest=digest(form),
        request=form,
        owner=owner,
    )
    await journal.change("cat", lifecycle.claim(intent, at=NOW))
    assert await command("in-doubt") == (0, "", "Nothing is in doubt.\n")
    code, _, err = await command("in-doubt", "abandon", "cat")
    assert (code, "it is being sent" in err) == (2, True)
    assert (await journal.get("cat")).phase is Phase.SENDING
    await journal.leave(owner)


async def test_wrong_id_stays_in_doubt(journal, gateway, command):
    """If the service does not know the id, the message says that the submit is still in doubt."""
    await write(journal, "cat", base_url=gateway.base_url)
    code, _, err = await command("in-doubt", "resolve", "cat", "unknown")
    assert (code, "Generation unknown: " in err, err.endswith("cat is still in doubt.\n")) == (1, True, True), err


async def test_reconcile_without_list(journal, gateway, command):
    """At a service without a list, `list` and `reconcile` say so, with what to do, and are exit code 2."""
    await write(journal, "cat", base_url=gateway.base_url)
    code, _, err = await command("in-doubt", "reconcile")
    assert (code, err.count("luma-async")) == (2, 2)
    assert "The dialect rixapi does not support `in-doubt reconcile`, because the service has no list" in err
    assert err.endswith("then settle it: luma-async in-doubt\n")
    code, _, err = await command("list", "--base-url", gateway.base_url)
    assert (code, err.endswith("To list what was bought with this journal: luma-async status\n")) == (2, True)
    assert gateway.requests == ()


async def test_reconcile_several_services(journal, command):
    """`reconcile` asks one service; with doubts at several it lists them, and with none it asks none."""
    await journal.entries()
    assert await command("in-doubt", "reconcile") == (0, "", "Nothing is in doubt.\n")
    await write(journal, "cat")
    await write(journal, "dog", base_url="https://other.example")
    code, _, err = await command("in-doubt", "reconcile")
    assert (code, "at 2 services. Use --base-url and --dialect" in err) == (2, True)
    assert "rixapi https://other.example, rixapi https://relay.example" in err


async def test_empty_journal(journal, command):
    """An empty journal and an empty selection are a sentence and no table."""
    await journal.entries()
    assert await command("status") == (0, "", "The journal holds no purchases.\n")
    await write(journal, "cat")
    assert await command("status", "--phase", "lost") == (0, "", "The journal has no entry in this phase.\n")


async def test_json_of_wait_and_status(journal, gateway, command):
    """`wait --json` and `status --json` print a generation with the same fields."""
    await bought(journal, gateway, "cat")
    [made] = gateway.generations
    _, out, _ = await command("wait", made, "--json")
    (waited,) = lines(out)
    (entry,) = lines((await command("status", "--json"))[1])
    assert entry["generation"] == waited


async def test_in_doubt_decisions(journal, gateway, command):
    """Each decision settles its submit and says so; only `resubmit` sends anything."""
    handle = await buy(gateway, "elsewhere")
    for key in ("found", "again", "closed"):
        await write(journal, key, base_url=gateway.base_url)
    code, out, err = await command("in-doubt", "resolve", "found", handle.id, "--json")
    assert (code, lines(out)) == (0, [{"id": handle.id, "key": "found"}])
    assert "luma-async resume" in err
    code, _, err = await command("in-doubt", "resubmit", "again", "--accept-duplicate-risk")
    assert code == 0
    assert gateway.charges[-1].generation_id in err
    code, out, err = await command("in-doubt", "abandon", "closed", "--json")
    assert (code, lines(out)[0]["phase"]) == (0, "abandoned")
    assert "never submitted again" in err
    assert [charge.prompt for charge in gateway.charges] == ["elsewhere", "again dance"]
    assert [entry.phase for entry in await journal.entries()] == [Phase.ACCEPTED, Phase.ACCEPTED, Phase.ABANDONED]


async def buy(gateway, prompt):
    """Buy without a journal."""
    from luma_async import LumaSession

    async with LumaSession(gateway.api_key, base_url=gateway.base_url) as luma:
        return await luma.submit(prompt)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("resubmit", "cat"), 2, "--accept-duplicate-risk"),
        (("abandon", "nobody"), 2, "no entry"),
        (("resolve", "cat", "../admin"), 2, "GENERATION"),
        (("resolve", "cat", "unknown"), 1, "Check the id"),
        (("abandon", "dog"), 2, "nothing to abandon"),
    ],
)
async def test_invalid_decision(journal, gateway, command, arguments, code, reason):
    """Wrong usage is exit code 2, other failures 1; nothing is sent and nothing changes."""
    await write(journal, "cat", base_url=gateway.base_url)
    await write(journal, "dog", lifecycle.accept("gen-1", at=NOW), base_url=gateway.base_url)
    before = await journal.entries()
    ended, out, err = await command("in-doubt", "--base-url", gateway.base_url, *arguments)
    assert (ended, out) == (code, "")
    assert reason in err
    assert await journal.entries() == before
    assert gateway.charges == ()


async def test_flags_around_decision(journal, path, command, monkeypatch):
    """Flags may be typed before or after the decision."""
    await write(journal, "cat")
    await write(journal, "dog")
    monkeypatch.setenv("LUMA_JOURNAL", str(path.with_name("another.db")))
    for arguments in (("--journal", path, "abandon", "cat"), ("abandon", "dog", "--journal", path)):
        code, _, err = await command("in-doubt", *arguments)
        assert code == 0, err
    assert {entry.phase for entry in await journal.entries()} == {Phase.ABANDONED}
    assert not path.with_name("another.db").exists()


async def test_resume(journal, path, gateway, command, tmp_path):
    """Every unfinished generation becomes a file, and doubts are counted."""
    await bought(journal, gateway, "cat", "dog")
    await write(journal, "lost", base_url=gateway.base_url)
    code, out, err = await command("resume", "-o", "clips")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == sorted(
        f"{generation_id}.mp4" for generation_id in gateway.generations
    )
    assert len(out.splitlines()) == 2
    assert "2 paid and unfinished" in err
    assert "1 in doubt" in err
    code, out, err = await command("resume", "-o", "clips")
    assert (code, out) == (0, "")
    assert "0 paid and unfinished" in err


async def test_resume_not_downloaded(journal, gateway, command):
    """Completed generations without a file are counted, and downloaded with `--not-downloaded`."""
    await bought(journal, gateway, "cat")
    [made] = gateway.generations
    code, _, err = await command("wait", made)
    assert code == 0, err
    code, out, err = await command("resume", "-o", "clips")
    assert (code, out) == (0, "")
    assert "1 completed and never downloaded. To download them: luma-async resume --not-downloaded" in err
    code, out, err = await command("resume", "-o", "clips", "--not-downloaded")
    assert (code, out) == (0, f"clips/{made}.mp4\n"), err
    code, out, err = await command("resume", "-o", "clips", "--not-downloaded")
    assert (code, out, "never downloaded" in err) == (0, "", False)
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("what", ["wait", "download", "link"])
async def test_address_from_journal(journal, gateway, command, what):
    """For a generation in the journal, no address is needed."""
    await bought(journal, gateway, "cat")
    [made] = gateway.generations
    await command("wait", made)
    code, out, err = await command(what, made)
    assert (code, bool(out)) == (0, True), err


async def test_phase_with_space(journal, command):
    """`--phase` accepts what the table and the JSON print, and the name of the command."""
    await write(journal, "dog", lifecycle.end_without_generation(Step.DOUBT, "the answer was cut off", at=NOW))
    for spelling in ("in doubt", "in_doubt", "in-doubt"):
        _, out, _ = await command("status", "--json", "--phase", spelling)
        assert [entry["key"] for entry in lines(out)] == ["dog"]


async def test_nothing_in_doubt(journal, command):
    """If nothing is in doubt, the command says so."""
    await write(journal, "cat", lifecycle.accept("gen-1", at=NOW))
    assert await command("in-doubt") == (0, "", "Nothing is in doubt.\n")


async def test_resume_some_failed(journal, gateway, command):
    """One failure stops no other download, and the exit code is 5."""
    gateway.scripts["bad"] = fails("moderated", after=0.1)
    await bought(journal, gateway, "bad", "cat")
    code, out, _ = await command("resume", "--json")
    told = {line["key"]: line for line in lines(out)}
    assert code == 5
    assert "moderated" in told["bad"]["error"]
    assert told["bad"]["path"] is None
    assert told["cat"]["error"] is None
    assert told["cat"]["path"].endswith(".mp4")


async def bought(journal, gateway, *prompts):
    """Buy over the journal, and close without waiting."""
    from luma_async import LumaSession

    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as luma:
        for prompt in prompts:
            await luma.submit(prompt, key=prompt)


async def test_resume_without_address(journal, path, command):
    """Without an address in the journal or the environment, it is exit code 2."""
    code, _, err = await command("resume")
    assert code == 2
    assert "LUMA_BASE_URL" in err
