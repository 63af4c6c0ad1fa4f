"""A claim is written only to the journal that other programs find at its path, and that only its user can read."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from contextlib import closing

import pytest
from broken_disk import no_chmod
from ledger import balance

from luma_async import JournalError, LumaSession, SqliteJournal


@pytest.fixture
def path(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "jobs.db"


def session(gateway, path):
    return LumaSession(gateway.api_key, base_url=gateway.base_url, journal=path)


def next_to(path, suffix):
    return path.with_name(path.name + suffix)


def remove(*suffixes):
    def run(path):
        for suffix in suffixes:
            next_to(path, suffix).unlink()

    return run


def replace_by_a_copy(path):
    shutil.copy(path, next_to(path, ".new"))
    next_to(path, ".new").replace(path)


def replace_by_another(path):
    remove("", "-wal", "-shm")(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE other (x)")


def replace_log(path):
    shutil.copy(next_to(path, "-wal"), next_to(path, ".new"))
    next_to(path, ".new").replace(next_to(path, "-wal"))


def truncate(suffix=""):
    return lambda path: os.truncate(next_to(path, suffix), 0)


def move_folder(path):
    path.parent.rename(path.parent.with_name("moved"))


def replace_folder(path):
    move_folder(path)
    path.parent.mkdir()
    path.touch()


TAKEN_AWAY = {
    "removed": remove(""),
    "all-removed": remove("", "-wal", "-shm"),
    "log-removed": remove("-wal"),
    "log-and-index-removed": remove("-wal", "-shm"),
    "index-removed": remove("-shm"),
    "log-replaced": replace_log,
    "log-truncated": truncate("-wal"),
    "renamed": lambda path: path.rename(next_to(path, ".old")),
    "replaced-by-a-copy": replace_by_a_copy,
    "replaced-by-another": replace_by_another,
    "truncated": truncate(),
    "folder-moved": move_folder,
    "folder-replaced": replace_folder,
}


@pytest.mark.parametrize("take_away", TAKEN_AWAY.values(), ids=TAKEN_AWAY)
async def test_journal_taken_away(gateway, path, take_away):
    """Once its files are removed, moved, replaced or truncated, a submit raises JournalError and sends nothing."""
    async with session(gateway, path) as luma:
        await luma.submit("first", key="k1")
        take_away(path)
        for _ in range(2):
            with pytest.raises(JournalError, match="nothing is sent"):
                await luma.submit("second", key="k2")
    assert [charge.prompt for charge in gateway.charges] == ["first"]


@pytest.mark.parametrize("of_folder", [False, True], ids=["file", "folder"])
async def test_link_to_journal_retargeted(gateway, path, tmp_path, of_folder):
    """A path that leads to another file than the open one stops submits, for a link to the file or to its folder."""
    target, link = (path.parent, tmp_path / "link") if of_folder else (path, tmp_path / "link.db")
    link.symlink_to(target)
    async with session(gateway, link / path.name if of_folder else link) as luma:
        await luma.submit("first", key="k1")
        link.unlink()
        link.symlink_to(target.with_name("elsewhere"))
        with pytest.raises(JournalError, match="moved or replaced"):
            await luma.submit("second", key="k2")
    assert [charge.prompt for charge in gateway.charges] == ["first"]


async def test_journal_put_back(gateway, path):
    """When the folder is back at its path, the same session goes on submitting."""
    async with session(gateway, path) as luma:
        await luma.submit("first", key="k1")
        move_folder(path)
        with pytest.raises(JournalError):
            await luma.submit("second", key="k2")
        path.parent.with_name("moved").rename(path.parent)
        await luma.submit("second", key="k2")
    journal = SqliteJournal(path)
    assert await balance(gateway, journal) == (2, 2, 0)
    await journal.aclose()


async def test_replaced_while_opening(path):
    """A database that is replaced between its first look and its opening is not used."""
    journal = SqliteJournal(path)
    await journal.entries()
    await journal.aclose()
    connect = sqlite3.connect

    def replace_first(*args, **options):
        replace_by_a_copy(path)
        return connect(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", replace_first)
        with pytest.raises(JournalError, match="while it was opened"):
            await journal.entries()


@pytest.mark.parametrize("mode", ["TRUNCATE", "RESTART", "FULL"])
async def test_checkpoint_by_another_program(gateway, path, mode):
    """A checkpoint by a backup program, which may truncate the log, does not stop submits."""
    async with session(gateway, path) as luma:
        await luma.submit("first", key="k1")
        with closing(sqlite3.connect(path)) as other:
            assert other.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0] == 0
        await luma.submit("second", key="k2")
    assert len(gateway.charges) == 2


async def test_vacuum_by_another_program(gateway, path):
    """A VACUUM by another program does not stop submits."""
    async with session(gateway, path) as luma:
        await luma.submit("first", key="k1")
        with closing(sqlite3.connect(path)) as other:
            other.execute("VACUUM")
        await luma.submit("second", key="k2")
    assert len(gateway.charges) == 2


def modes(path):
    files = [next_to(path, suffix) for suffix in ("", "-wal", "-shm")]
    return {stat.S_IMODE(file.stat().st_mode) for file in files if file.exists()}


async def crashed(path, mode):
    """Make a journal as a killed program leaves it, with SQLite's files next to it, and give all of them this mode."""
    journal = SqliteJournal(path)
    await journal.entries()
    copies = path.parent.with_name("copies")
    await asyncio.to_thread(shutil.copytree, path.parent, copies)
    await journal.aclose()
    shutil.rmtree(path.parent)
    copies.rename(path.parent)
    for suffix in ("", "-wal", "-shm"):
        next_to(path, suffix).chmod(mode)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o602], ids=oct)
async def test_journal_that_others_may_use(path, mode):
    """Opening a journal takes all permissions of other users from it and from the files next to it."""
    await crashed(path, mode)
    journal = SqliteJournal(path)
    await journal.entries()
    assert modes(path) == {0o600}
    await journal.aclose()


async def test_permissions_cannot_be_changed(path):
    """A journal that others may read and this user may not change is refused, with the command that changes it."""
    await crashed(path, 0o644)
    journal = SqliteJournal(path)
    with no_chmod(), pytest.raises(JournalError, match="chmod 600"):
        await journal.entries()
    assert modes(path) == {0o644}


async def test_permissions_of_another_file(path):
    """A file that is not a journal keeps its permissions."""
    path.write_text("notes " * 100)
    path.chmod(0o644)
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match="not a journal"):
        await journal.entries()
    assert modes(path) == {0o644}
