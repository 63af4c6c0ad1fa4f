"""The commands of the official format: what each buys, prints and returns, run as a person would run it."""

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


async def test_a_picture(command, here, gateway):
    """A picture is bought with what was wished, and put on disk as one."""
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


async def test_a_picture_is_named_after_its_id(command, here, gateway):
    """Without a name the file is called after the generation, with the ending of a picture."""
    code, printed, _ = await command("image", "a cat")
    assert (code, printed) == (0, f"{gateway.charges[0].generation_id}.jpg\n")


async def test_more_pixels(command, source, gateway):
    """A video is bought again in a higher resolution."""
    code, _, _ = await command("upscale", source, "--resolution", "4k")
    assert code == 0
    assert (gateway.charges[-1].kind, dict(gateway.charges[-1].body)) == ("upscale", {"resolution": "4k"})


async def test_another_ratio(command, here, gateway):
    """Videos and pictures are reframed, with pixels where they are given."""
    code, _, _ = await command("reframe", URL, "--aspect-ratio", "9:16", "--first-frame", URL, "--x-start", "7")
    assert (code, gateway.charges[0].kind) == (0, "reframe_video")
    assert gateway.charges[0].body["x_start"] == 7
    code, printed, _ = await command("reframe", URL, "--image", "--format", "png", "--prompt", "a garden")
    assert (code, gateway.charges[1].kind) == (0, "reframe_image")
    assert gateway.charges[1].body["aspect_ratio"] == "16:9"
    assert printed.endswith(".jpg\n")


async def test_another_style(command, here, gateway):
    """A video is bought in another style."""
    code, _, _ = await command("modify", URL, "--mode", "flex_2", "--prompt", "at night")
    assert (code, gateway.charges[0].kind) == (0, "modify")
    assert (gateway.charges[0].body["mode"], gateway.charges[0].body["prompt"]) == ("flex_2", "at night")


async def test_a_wish_that_the_format_has_not_is_refused(command, here, gateway):
    """What cannot be carried is named, with the code of wrong use, and nothing is sent."""
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
        ("in-doubt", "reconcile"),
    ],
    ids=lambda words: words[0],
)
async def test_a_relay_has_none_of_it(command, here, gateway, words):
    """In the relay's format these are no operations, and `--dialect` decides; nothing is sent."""
    code, printed, said = await command(*words, "--dialect", "rixapi")
    assert (code, printed, gateway.requests) == (2, "", ())
    assert "rixapi has no" in said


async def test_the_list(command, source, gateway):
    """The account's generations are a table for people and a line of JSON each for programs."""
    code, printed, _ = await command("list")
    head, row = printed.splitlines()
    assert (code, head.split()) == (0, ["STATE", "GENERATION", "CREATED", "MODEL", "PROMPT"])
    assert row.split()[:2] == ["completed", source]
    assert row.endswith("ray-2  a source")
    code, printed, _ = await command("list", "--json")
    assert [json.loads(line)["id"] for line in printed.splitlines()] == [source]


async def test_a_part_of_the_list(command, here, gateway):
    """The newest come first, as many as wanted; `--all` reads to the end."""
    for number in range(3):
        await command("image", f"cat {number}")
    newest = [charge.generation_id for charge in gateway.charges][::-1]

    async def listed(*words):
        return [json.loads(line)["id"] for line in (await command("list", "--json", *words))[1].splitlines()]

    assert await listed("--limit", "2") == newest[:2]
    assert await listed("--limit", "2", "--offset", "2") == newest[2:]
    assert await listed("--all", "--limit", "1") == newest
    assert (await command("list", "--limit", "101"))[0] == 2


async def test_deleting_asks(command, source, gateway, monkeypatch):
    """Somebody at a terminal is asked, and only a yes deletes."""

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


async def test_deleting_without_a_terminal_needs_a_yes(command, source, gateway, monkeypatch):
    """Where nobody can be asked, nothing is deleted without `--yes`."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, _, said = await command("delete", source)
    assert (code, gateway.counts["delete"]) == (2, 0)
    assert "--yes" in said


async def test_deleting_several(command, source, gateway):
    """One that is unknown stops no other, and the exit code says that some failed."""
    code, printed, said = await command("delete", "--yes", "unknown-id", source)
    assert (code, printed) == (5, f"{source}\n")
    assert "unknown-id: HTTP 404" in said
    code, printed, _ = await command("delete", "--yes", "--json", source)
    assert code == 1
    document = json.loads(printed)
    assert (document["id"], document["deleted"]) == (source, False)
    assert "404" in document["error"]


async def test_a_balance(command, source, gateway):
    """The account's balance at Luma is in cents."""
    code, printed, _ = await command("account", "--json")
    assert (code, json.loads(printed)) == (0, {"account": {"balance_cents": 99_990.0}})


async def test_a_doubt_settles_itself(command, here, gateway, tmp_path):
    """A lost answer is found in the service's list, and the rest stays with its reason."""
    for prompt, key, fault in (("a cat", "cat", drop_after_reading()), ("a dog", "dog", drop_before_reading())):
        gateway.inject(fault)
        code, _, _ = await command("generate", prompt, "--key", key)
        assert code == 6
    code, printed, said = await command("in-doubt", "reconcile")
    assert (code, printed) == (0, f"cat is generation {gateway.charges[0].generation_id}\n")
    assert "dog stays in doubt: the service lists nothing like it." in said
    assert "1 found, 1 still in doubt." in said
    code, printed, _ = await command("in-doubt", "reconcile", "--json")
    assert (code, json.loads(printed)) == (
        0,
        {"key": "dog", "id": None, "reason": "the service lists nothing like it."},
    )
    known = {entry.key: entry.generation_id for entry in await entries(os.environ["LUMA_JOURNAL"])}
    assert known == {"cat": gateway.charges[0].generation_id, "dog": None}


async def test_what_settles_itself_is_told_as_json(command, here, gateway):
    """A program is told the key and what it bought."""
    gateway.inject(drop_after_reading())
    await command("generate", "a cat", "--key", "cat")
    code, printed, _ = await command("in-doubt", "--json", "reconcile")
    expected = {"key": "cat", "id": gateway.charges[0].generation_id, "reason": None}
    assert (code, json.loads(printed)) == (0, expected)


async def test_a_journal_knows_the_format(command, here, gateway, monkeypatch):
    """What was bought in the official format is resumed and settled in it, whatever the environment has forgotten."""
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


async def test_what_is_typed_comes_before_what_a_journal_knows(command, source, gateway):
    """With an address or a format on the command line, the journal is not asked for them."""
    code, _, said = await command("resume", "--dialect", "rixapi", "-o", "clips")
    assert (code, "0 paid" in said) == (0, True)
    code, _, said = await command("in-doubt", "--base-url", gateway.base_url, "--dialect", "dream-machine")
    assert code == 0
