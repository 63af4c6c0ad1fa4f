"""The commands that only Luma's own format has, and the journal of both formats."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from luma_async import SqliteJournal
from luma_async.testing import drop_after_reading, drop_before_reading

URL = "https://media.example/a.jpg"


@pytest.fixture
def dialect():
    return "dream-machine"


@pytest.fixture
async def source(command, here, gateway):
    """The id of a finished video."""
    code, _, said = await command("generate", "a source")
    assert code == 0, said
    return gateway.charges[0].generation_id


async def entries(path):
    journal = SqliteJournal(path)
    try:
        return await journal.entries()
    finally:
        await journal.aclose()


async def test_flags_in_video_body(command, here, gateway):
    """`--concepts`, `--notify-hook` and `--extra` are sent as the service names them."""
    flags = ("--concepts", "dolly_zoom, orbit", "--notify-hook", "https://me.example/hook")
    code, _, err = await command("generate", "a cat", *flags, "--extra", "seed=7", "--extra", 'tags=["a", "b"]')
    assert code == 0, err
    [charge] = gateway.charges
    assert {name: charge.body[name] for name in ("concepts", "callback_url", "seed", "tags")} == {
        "concepts": [{"key": "dolly_zoom"}, {"key": "orbit"}],
        "callback_url": "https://me.example/hook",
        "seed": 7,
        "tags": ["a", "b"],
    }


async def test_image(command, here, gateway):
    """It sends every field, and the file is a picture."""
    code, printed, _ = await command(
        *("image", "a cat", "--aspect-ratio", "1:1", "--format", "jpg", "--image-ref", URL, "--style-ref", URL),
        *("--character-ref", URL, "--modify", URL, "-o", "cat.jpg"),
    )
    assert (code, printed) == (0, "cat.jpg\n")
    [charge] = gateway.charges
    assert (charge.kind, dict(charge.body)) == (
        "image",
        {
            "model": "photon-1",
            "prompt": "a cat",
            "aspect_ratio": "1:1",
            "image_ref": [{"url": URL}],
            "style_ref": [{"url": URL}],
            "character_ref": {"identity0": {"images": [URL]}},
            "modify_image_ref": {"url": URL},
            "format": "jpg",
        },
    )
    assert (here / "cat.jpg").read_bytes()[:3] == b"\xff\xd8\xff"


async def test_image_file_name(command, here, gateway):
    """Without a name, the file is named after the generation, with a picture's extension."""
    code, printed, _ = await command("image", "a cat")
    assert (code, printed) == (0, f"{gateway.charges[0].generation_id}.jpg\n")


async def test_upscale(command, source, gateway):
    """It sends the resolution."""
    code, _, _ = await command("upscale", source, "--resolution", "4k")
    assert code == 0
    assert (gateway.charges[-1].kind, dict(gateway.charges[-1].body)) == ("upscale", {"resolution": "4k"})


async def test_reframe(command, here, gateway):
    """Videos and pictures are reframed, with the pixels that are given."""
    code, _, _ = await command("reframe", URL, "--aspect-ratio", "9:16", "--first-frame", URL, "--x-start", "7")
    assert (code, gateway.charges[0].kind) == (0, "reframe_video")
    assert gateway.charges[0].body["x_start"] == 7
    code, printed, _ = await command("reframe", URL, "--image", "--format", "png", "--prompt", "a garden")
    assert (code, gateway.charges[1].kind) == (0, "reframe_image")
    assert gateway.charges[1].body["aspect_ratio"] == "16:9"
    assert printed.endswith(".jpg\n")


async def test_modify(command, here, gateway):
    """It sends the mode and the prompt."""
    code, _, _ = await command("modify", URL, "--mode", "flex_2", "--prompt", "at night")
    assert (code, gateway.charges[0].kind) == (0, "modify")
    assert (gateway.charges[0].body["mode"], gateway.charges[0].body["prompt"]) == ("flex_2", "at night")


async def test_unsupported_field(command, here, gateway):
    """A field that the format does not have is exit code 2 with its flag, and nothing is sent."""
    code, printed, said = await command("generate", "a cat", "--expand-prompt")
    assert (code, printed, gateway.requests) == (2, "", ())
    assert "--expand-prompt" in said
    code, _, said = await command("reframe", URL, "--format", "png")
    assert (code, gateway.requests) == (2, ())


@pytest.mark.parametrize(
    "words",
    [
        ("image", "a cat"),
        ("upscale", "some-id"),
        ("reframe", URL),
        ("modify", URL, "--mode", "flex_1"),
        ("list",),
        ("delete", "some-id", "--yes"),
    ],
    ids=lambda words: words[0],
)
async def test_unsupported_by_relay(command, here, gateway, words):
    """In the relay's format these commands are exit code 2, and nothing is sent."""
    code, printed, said = await command(*words, "--dialect", "rixapi")
    assert (code, printed, gateway.requests) == (2, "", ())
    assert "rixapi does not support" in said


async def test_list(command, source, gateway):
    """It prints a table, or one line of JSON for each generation."""
    code, printed, _ = await command("list")
    head, row = printed.splitlines()
    assert (code, head.split()) == (0, ["STATE", "GENERATION", "CREATED", "MODEL", "PROMPT"])
    assert row.split()[:2] == ["completed", source]
    assert row.endswith("ray-2  a source")
    code, printed, _ = await command("list", "--json")
    assert [json.loads(line)["id"] for line in printed.splitlines()] == [source]


async def test_list_pages(command, here, gateway):
    """`list` prints the newest first, as many as asked for; `--all` reads to the end."""
    for number in range(3):
        await command("image", f"cat {number}")
    newest = [charge.generation_id for charge in gateway.charges][::-1]

    async def listed(*words):
        return [json.loads(line)["id"] for line in (await command("list", "--json", *words))[1].splitlines()]

    assert await listed("--limit", "2") == newest[:2]
    assert await listed("--limit", "2", "--offset", "2") == newest[2:]
    assert await listed("--all", "--limit", "1") == newest
    assert (await command("list", "--limit", "101"))[0] == 2


async def test_delete_asks(command, source, gateway, monkeypatch):
    """On a terminal, `delete` asks, and only a yes deletes."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, printed, said = await command("delete", source)
    assert (code, printed, gateway.counts["delete"]) == (1, "", 0)
    assert source in said
    assert "Nothing was deleted" in said
    monkeypatch.setattr(sys, "stdin", Terminal("Yes\n"))
    code, printed, _ = await command("delete", source)
    assert (code, printed) == (0, f"{source}\n")
    assert gateway.generations[source].deleted


async def test_delete_without_terminal(command, source, gateway, monkeypatch):
    """Without a terminal, `delete` needs `--yes`."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, _, said = await command("delete", source)
    assert (code, gateway.counts["delete"]) == (2, 0)
    assert "--yes" in said


async def test_delete_many(command, source, gateway):
    """An unknown id does not stop the others; some failures are exit code 5."""
    code, printed, said = await command("delete", "--yes", "unknown-id", source)
    assert (code, printed) == (5, f"{source}\n")
    assert "unknown-id: HTTP 404" in said
    code, printed, _ = await command("delete", "--yes", "--json", source)
    assert code == 1
    document = json.loads(printed)
    assert (document["id"], document["deleted"]) == (source, False)
    assert "404" in document["error"]


async def test_account_credits(command, source, gateway):
    """The account's balance at Luma is in cents."""
    code, printed, _ = await command("account", "--json")
    assert (code, json.loads(printed)) == (0, {"account": {"balance_cents": 99_990.0}})


async def test_reconcile(command, here, gateway, tmp_path):
    """A lost response is found in the service's list; the others stay in doubt with a reason."""
    for prompt, key, fault in (("a cat", "cat", drop_after_reading()), ("a dog", "dog", drop_before_reading())):
        gateway.inject(fault)
        code, _, _ = await command("generate", prompt, "--key", key)
        assert code == 6
    code, printed, said = await command("in-doubt", "reconcile")
    assert (code, printed) == (0, f"cat is generation {gateway.charges[0].generation_id}\n")
    assert "dog stays in doubt: the service lists no generation that matches." in said
    assert "1 found, 1 still in doubt." in said
    code, printed, _ = await command("in-doubt", "reconcile", "--json")
    assert (code, json.loads(printed)) == (
        0,
        {"key": "dog", "id": None, "reason": "the service lists no generation that matches."},
    )
    known = {entry.key: entry.generation_id for entry in await entries(os.environ["LUMA_JOURNAL"])}
    assert known == {"cat": gateway.charges[0].generation_id, "dog": None}


async def test_reconcile_json(command, here, gateway):
    """With `--json`, each settled submit is a document with its key and id."""
    gateway.inject(drop_after_reading())
    await command("generate", "a cat", "--key", "cat")
    code, printed, _ = await command("in-doubt", "--json", "reconcile")
    expected = {"key": "cat", "id": gateway.charges[0].generation_id, "reason": None}
    assert (code, json.loads(printed)) == (0, expected)


async def test_format_from_journal(command, here, gateway, monkeypatch):
    """What was bought in Luma's format is resumed and settled in it without `--dialect`."""
    gateway.inject(drop_after_reading())
    await command("generate", "a cat", "--key", "cat")
    monkeypatch.delenv("LUMA_DIALECT")
    code, printed, _ = await command("in-doubt")
    assert code == 0
    assert "cat" in printed
    code, _, _ = await command("in-doubt", "resolve", "cat", gateway.charges[0].generation_id)
    assert code == 0
    code, printed, said = await command("resume", "-o", "clips")
    assert code == 0, said
    assert printed == f"clips/{gateway.charges[0].generation_id}.mp4\n"


async def test_flags_before_journal(command, source, gateway):
    """A typed address or format comes before the journal's."""
    code, _, said = await command("resume", "--dialect", "rixapi", "-o", "clips")
    assert (code, "0 paid" in said) == (0, True)
    code, _, said = await command("in-doubt", "--base-url", gateway.base_url, "--dialect", "dream-machine")
    assert code == 0
