"""`luma-async gallery`: from a journal on disk to a page, without a request."""

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
    """The command line's own journal is not the one of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMA_JOURNAL", str(tmp_path / "own.db"))


def test_a_folder_with_a_journal_needs_no_option(clips, capsys):
    """The page stands in the folder, its path on stdout, and the clip in it."""
    assert main(["gallery", str(clips)]) == 0
    page = clips / "gallery.html"
    assert capsys.readouterr().out == f"{page}\n"
    (clip,) = clips.glob("*.mp4")
    assert f'data-src="{clip.name}"' in page.read_text()
    assert "cat dance" in page.read_text()


def test_json_says_where_and_how_many(clips, capsys):
    """One document on stdout."""
    assert main(["gallery", str(clips), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(clips / "gallery.html"), "entries": 1}


def test_a_journal_can_be_named(clips, tmp_path):
    """The page goes to one folder, what it shows comes from another's journal."""
    assert main(["gallery", "--journal", str(clips / "jobs.db")]) == 0
    assert 'data-src="clips/' in (tmp_path / "gallery.html").read_text()


def test_without_a_journal_nothing_is_written(tmp_path, capsys):
    """Wrong use: exit code 2, a message that names the file, and no page."""
    assert main(["gallery"]) == 2
    assert "own.db" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_lines_own_journal_is_the_last_resort(clips, tmp_path):
    """A folder without a journal shows what `luma-async generate` bought."""
    (clips / "jobs.db").rename(tmp_path / "own.db")
    assert main(["gallery"]) == 0
    assert "cat dance" in (tmp_path / "gallery.html").read_text()


@pytest.mark.parametrize("opens", [True, False])
def test_open_shows_it(clips, capsys, monkeypatch, opens):
    """The browser gets the page's address; where there is none, a sentence says so and the page stands."""
    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or opens)
    assert main(["gallery", str(clips), "--open"]) == 0
    assert asked == [(clips / "gallery.html").as_uri()]
    assert ("No browser" in capsys.readouterr().err) is not opens


def test_looking_changes_nothing(clips):
    """The journal says afterwards what it said before."""

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
