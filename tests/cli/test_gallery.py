"""`luma-async gallery`: write a page of a journal."""

from __future__ import annotations

import asyncio
import json
import webbrowser

import pytest

from luma_async import LumaSession, PollPolicy, SqliteJournal
from luma_async.cli.main import main
from luma_async.testing import FakeGateway, succeeds


@pytest.fixture
def clips(tmp_path):
    """A folder with a journal and one clip, as a program leaves it."""
    folder = tmp_path / "clips"
    folder.mkdir()

    async def buy():
        async with FakeGateway(script=succeeds(after=0.05)) as gateway:
            session = LumaSession(
                gateway.api_key, base_url=gateway.base_url, journal=folder / "jobs.db", poll=PollPolicy.fixed(0.05)
            )
            async with session as luma:
                await (await luma.submit("cat dance", key="cat")).download(folder)

    asyncio.run(buy())
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A default journal that is not the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMA_JOURNAL", str(tmp_path / "own.db"))


def test_gallery_of_folder(clips, capsys):
    """The page of a folder with a journal is written to it and plays its clips."""
    assert main(["gallery", str(clips)]) == 0
    page = clips / "gallery.html"
    assert capsys.readouterr().out == f"{page}\n"
    (clip,) = clips.glob("*.mp4")
    assert f'data-src="{clip.name}"' in page.read_text()
    assert "cat dance" in page.read_text()


def test_gallery_json(clips, capsys):
    """With `--json` it prints the path and the number of entries."""
    assert main(["gallery", str(clips), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(clips / "gallery.html"), "entries": 1}


def test_gallery_of_named_journal(clips, tmp_path):
    """`--journal` shows the clips of a journal in another folder."""
    assert main(["gallery", "--journal", str(clips / "jobs.db")]) == 0
    assert 'data-src="clips/' in (tmp_path / "gallery.html").read_text()


def test_gallery_without_journal(tmp_path, capsys):
    """Without a journal it is exit code 2 with its path, and no page is written."""
    assert main(["gallery"]) == 2
    assert "own.db" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_gallery_of_default_journal(clips, tmp_path):
    """A folder without a journal shows the default journal."""
    (clips / "jobs.db").rename(tmp_path / "own.db")
    assert main(["gallery"]) == 0
    assert "cat dance" in (tmp_path / "gallery.html").read_text()


@pytest.mark.parametrize("opens", [True, False])
def test_gallery_open(clips, capsys, monkeypatch, opens):
    """`--open` passes the page to the browser; without a browser a message says so."""
    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or opens)
    assert main(["gallery", str(clips), "--open"]) == 0
    assert asked == [(clips / "gallery.html").as_uri()]
    assert ("No browser" in capsys.readouterr().err) is not opens


def test_gallery_keeps_journal(clips):
    """Writing a page does not change the journal."""

    async def read():
        journal = SqliteJournal(clips / "jobs.db")
        owner = await journal.enter()
        try:
            return await journal.entries()
        finally:
            await journal.leave(owner)
            await journal.aclose()

    before = asyncio.run(read())
    main(["gallery", str(clips)])
    assert asyncio.run(read()) == before
