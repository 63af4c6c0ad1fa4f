"""A journal's file in every state: usable, or refused by an error that says what to do."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime

import attrs
import pytest
from broken_disk import before_open, no_growth, sqlite_execute

from luma_async import (
    Entry,
    JournalBusy,
    JournalError,
    JournalTooNew,
    KeyConflict,
    LumaSession,
    Phase,
    Spent,
    SqliteJournal,
)
from luma_async._journal import lifecycle
from luma_async._journal.sqlite import owners as owner_lock
from luma_async._journal.sqlite import schema as sqlite_schema
from luma_async._journal.sqlite import writer as writer_thread
from luma_async._journal.sqlite.forks import fork_lock
from luma_async._journal.sqlite.table import MAX_HINTS

NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
async def journal(path):
    made = SqliteJournal(path)
    yield made
    await made.aclose()


def claim(key, owner="0" * 16):
    return lifecycle.claim(Entry(key=key, phase=Phase.SENDING, service="rixapi", digest="d", owner=owner), at=NOW)


async def used(path):
    """Make a journal, write an entry, and close it."""
    journal = SqliteJournal(path)
    await journal.change("cat", claim("cat"))
    await journal.aclose()


def raw(path, *statements):
    """Change a database without the journal."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


async def refusal(path):
    """Return the error of a session that cannot use this file."""
    session = LumaSession("sk-test", base_url="http://127.0.0.1:9", journal=path)
    with pytest.raises(JournalError) as caught:
        async with session:
            pass
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value.__context__, sqlite3.Error)
    return caught.value


async def test_file_permissions(journal, path):
    """The database, SQLite's files next to it and the owners are readable by their user only, with any umask."""
    before = os.umask(0)
    try:
        owner = await journal.enter()
        await journal.change("cat", claim("cat", owner))
    finally:
        os.umask(before)
    modes = {file.name: mode_of(file) for file in path.parent.iterdir()}
    assert modes == {"jobs.db": 0o600, "jobs.db-wal": 0o600, "jobs.db-shm": 0o600, "jobs.db.owners": 0o700}
    assert mode_of(path.parent / "jobs.db.owners" / owner) == 0o600
    await journal.leave(owner)
    assert [file.name for file in path.parent.iterdir()] == ["jobs.db"]


async def test_commits_are_synced(path):
    """Write-ahead logging with a sync at each commit: a power cut loses no claim whose POST has left."""
    connection = sqlite_schema.open_file(path)
    modes = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    connection.close()
    assert modes == ["wal", 2]


NOT_OURS = {
    "a text": lambda path: path.write_text("dear diary"),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "tables of another application": lambda path: raw(path, "CREATE TABLE recipes (name)"),
    "another application's number": lambda path: raw(path, "PRAGMA application_id = 77"),
    "another application's tables": lambda path: raw(path, "CREATE TABLE entries (x)", "PRAGMA application_id = 77"),
    "a write-ahead log of others": lambda path: raw(path, "PRAGMA journal_mode = WAL", "CREATE TABLE recipes (name)"),
}


@pytest.mark.parametrize("make", NOT_OURS.values(), ids=NOT_OURS)
async def test_file_not_a_journal(path, make):
    """A file that is not a journal is refused and not changed."""
    make(path)
    before = path.read_bytes()
    assert "not a journal" in str(await refusal(path))
    assert path.read_bytes() == before
    assert not (path.parent / "jobs.db.owners").exists()


async def test_path_is_a_folder(tmp_path):
    """A path of a folder is refused with a message that says so."""
    assert "folder" in str(await refusal(tmp_path))


async def test_path_is_a_pipe(path):
    """A path that is neither file nor folder is refused; opening it does not block."""
    os.mkfifo(path)
    assert "not a journal" in str(await refusal(path))


async def test_folder_missing(tmp_path):
    """A missing folder is most likely a typing error: it is named, not created."""
    assert "create it first" in str(await refusal(tmp_path / "nowhere" / "jobs.db"))
    assert list(tmp_path.iterdir()) == []


async def test_folder_is_a_file(tmp_path):
    """A path below a file is refused."""
    (tmp_path / "file").touch()
    assert "its folder is a file" in str(await refusal(tmp_path / "file" / "jobs.db"))


async def test_newer_schema(path):
    """A file of a later version raises JournalTooNew, which says to update."""
    await used(path)
    raw(path, "PRAGMA user_version = 99")
    error = await refusal(path)
    assert isinstance(error, JournalTooNew)
    assert "update luma_async" in str(error)


async def test_older_schema(path):
    """A file of the first version is brought up to date when it is opened, and keeps its entries."""
    columns = "key, phase, service, generation_id, digest, owner, attempts, sent_at, updated_at, reason, request"
    at = NOW.isoformat()
    raw(
        path,
        *sqlite_schema.STEPS[0],
        f"INSERT INTO entries ({columns}) VALUES ('cat', 'accepted', 's', 'g', 'd', '', 1, '{at}', '{at}', '', '{{}}')",
        f"PRAGMA application_id = {sqlite_schema.APPLICATION_ID}",
        "PRAGMA user_version = 1",
    )
    journals = [SqliteJournal(path) for _ in range(4)]
    found = await asyncio.gather(*(journal.get("cat") for journal in journals))
    spent = await journals[0].spent("s", [None])
    for journal in journals:
        await journal.aclose()
    assert {(entry.phase, entry.price, entry.charges) for entry in found} == {(Phase.ACCEPTED, None, 1)}
    assert spent == [Spent(purchases=1, unpriced=1)]


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a database without tables"])
async def test_creation_after_a_crash(path, left):
    """A file that a crash left without tables gets its tables."""
    if left == "an empty file":
        path.touch(mode=0o600)
    elif left == "a database without tables":
        raw(path, "VACUUM")
    await used(path)
    journal = SqliteJournal(path)
    assert [entry.key for entry in await journal.entries()] == ["cat"]
    await journal.aclose()


async def test_damaged_file(path):
    """A claim in a damaged file raises an error that says what to do."""
    await used(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096 * 3)
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match="restore a copy"):
        await journal.change("cat", claim("cat"))
    await journal.aclose()


@pytest.mark.parametrize("column", ["phase", "request", "generation", "sent_at"])
async def test_damaged_entry(journal, path, column):
    """An entry that cannot be read is named, and counts neither as paid nor as unpaid."""
    await journal.change("cat", claim("cat"))
    raw(path, f"UPDATE entries SET {column} = 'mauled'")
    for call in (journal.get("cat"), journal.change("cat", claim("cat")), journal.entries()):
        with pytest.raises(JournalError, match=r"'cat' cannot be read.*restore a copy"):
            await call


async def test_file_locked(journal, path, monkeypatch):
    """A file that is locked for too long raises JournalBusy, is unchanged, and is usable afterwards."""
    monkeypatch.setattr(sqlite_schema, "BUSY_S", 0.2)
    await journal.change("cat", claim("cat"))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalBusy, match="end that program"):
        await journal.change("dog", claim("dog"))
    assert [entry.key for entry in await journal.entries()] == ["cat"]
    holder.execute("ROLLBACK")
    assert (await journal.change("dog", claim("dog"))).phase is Phase.SENDING
    holder.close()


async def test_new_file_locked(path, monkeypatch):
    """A file that is locked before it has tables raises JournalBusy."""
    monkeypatch.setattr(sqlite_schema, "BUSY_S", 0.2)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert isinstance(await refusal(path), JournalBusy)
    holder.close()


def test_concurrent_creation(path):
    """A new file that several threads open at once gets its tables once, and works for all."""
    start = threading.Barrier(8)

    def make(_):
        start.wait()
        with closing(sqlite_schema.open_file(path)) as connection:
            return connection.execute("SELECT count(*) FROM entries").fetchone()[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(make, range(8))) == [0] * 8


async def test_wal_switch_retried(path):
    """The switch to write-ahead logging is retried while another process makes its own."""
    attempts = []

    def fail_three_times(sql):
        if "journal_mode" in sql and len(attempts) < 3:
            attempts.append(sql)
            busy = sqlite3.OperationalError("database is locked")
            busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise busy

    with sqlite_execute(fail_three_times):
        connection = sqlite_schema.open_file(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(attempts) == 3
    connection.close()


async def test_full_disk(journal, path):
    """Claims that do not fit on the disk fail, entries stay readable, and with room it works again."""
    await journal.change("cat", claim("cat"))
    with no_growth(path.with_name("jobs.db-wal")):
        calls = [asyncio.ensure_future(journal.change(f"key-{n}", claim(f"key-{n}"))) for n in range(5)]
        await asyncio.wait(calls)
        entries = await journal.entries()
    for call in calls:
        assert isinstance(call.exception(), JournalError)
        assert "full" in str(call.exception())
    assert [entry.key for entry in entries] == ["cat"]
    assert (await journal.change("dog", claim("dog"))).phase is Phase.SENDING


async def test_sqlite_full(journal, path, monkeypatch):
    """SQLITE_FULL undoes the whole transaction, and each of its callers gets the error."""
    real = writer_thread.open_file

    def tiny(path):
        connection = real(path)
        connection.execute("PRAGMA max_page_count = 8")
        return connection

    monkeypatch.setattr(writer_thread, "open_file", tiny)
    calls = [asyncio.ensure_future(journal.change(f"{n}" * 199, claim(f"{n}" * 199))) for n in range(10)]
    calls += [asyncio.ensure_future(journal.change(f"key-{n}", claim(f"key-{n}"))) for n in range(200)]
    await asyncio.wait(calls)
    stood = [call for call in calls if call.exception() is None]
    assert len(await journal.entries()) == len(stood) < len(calls)
    assert all("make room" in str(call.exception()) for call in calls if call not in stood)


async def test_read_only_file(journal, monkeypatch):
    """A read-only file can be read; a claim raises an error that says what is missing."""
    await journal.change("cat", claim("cat"))
    await journal.aclose()
    real = writer_thread.open_file

    def read_only(path):
        connection = real(path)
        connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr(writer_thread, "open_file", read_only)
    assert (await journal.get("cat")).key == "cat"
    with pytest.raises(JournalError, match="give this user write permission"):
        await journal.change("dog", claim("dog"))


AS_NOBODY = """
    import asyncio, os, sqlite3, sys, tempfile
    from luma_async import JournalError, SqliteJournal

    async def enter(path):
        journal = SqliteJournal(path)
        owner = await journal.enter()
        await journal.leave(owner)

    # Once as this user, so that everything is imported before a change to a user who may not read it.
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(enter(folder + "/jobs.db"))
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        asyncio.run(enter(sys.argv[1]))
    except JournalError as error:
        print(error)
"""


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(None, 0o555), (0o444, 0o755), (0o000, 0o755)])
def test_missing_permissions(tmp_path_factory, tmp_path, file_mode, folder_mode):
    """A read-only folder, a read-only file and an unreadable file each raise an error that says what to allow."""
    folder = tmp_path_factory.getbasetemp() / tmp_path.name / "shared"
    folder.mkdir()
    for above in (folder, *folder.parents[:4]):
        if above.stat().st_uid == os.getuid() and above != above.parent:
            above.chmod(above.stat().st_mode | 0o711)
    if file_mode is not None:
        asyncio.run(used(folder / "jobs.db"))
        (folder / "jobs.db").chmod(file_mode)
    folder.chmod(folder_mode)
    program = [sys.executable, "-c", textwrap.dedent(AS_NOBODY), str(folder / "jobs.db")]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    folder.chmod(0o755)
    assert "give this user write permission for the file and its folder" in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_thread_ends(journal, monkeypatch):
    """If the thread ends, each caller gets an error, and the next call starts another thread."""
    await journal.change("cat", claim("cat"))

    def end(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(writer_thread.WriterThread, "_execute", end)
        calls = [asyncio.ensure_future(journal.change(f"key-{n}", claim(f"key-{n}"))) for n in range(5)]
        await asyncio.wait(calls, timeout=10)
        for thread in threading.enumerate():
            if thread.name == "luma_async journal":
                thread.join()
    assert all(isinstance(call.exception(), JournalError) for call in calls)
    assert [entry.key for entry in await journal.entries()] == ["cat"]


async def test_opening_again(path):
    """After an error at opening the same journal works once the cause is gone."""
    path.mkdir()
    journal = SqliteJournal(path)
    for _ in range(2):
        with pytest.raises(JournalError):
            await journal.enter()
    path.rmdir()
    owner = await journal.enter()
    assert await journal.alive(owner)
    await journal.leave(owner)
    await journal.aclose()


async def test_names_of_one_file(tmp_path, path, monkeypatch):
    """A link and a relative path have the same entries and owners, and a change of folder changes nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(path)
    journals = [SqliteJournal(path), SqliteJournal("link.db"), SqliteJournal("./jobs.db")]
    monkeypatch.chdir("/")
    owners = [await journal.enter() for journal in journals]
    await journals[0].change("cat", claim("cat", owners[0]))
    for journal in journals:
        assert [await journal.alive(owner) for owner in owners] == [True, True, True]
        with pytest.raises(KeyConflict):
            await journal.change("cat", claim("cat"))
    for journal in journals:
        await journal.aclose()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["jobs.db", "link.db"]


async def test_step_with_another_key(journal):
    """A step that returns another key's entry overwrites nothing."""
    cat = await journal.change("cat", claim("cat"))
    with pytest.raises(JournalError):
        await journal.change("dog", lambda _: attrs.evolve(cat, phase=Phase.REFUSED))
    assert await journal.entries() == [cat]


async def test_owners_cannot_be_locked(journal, path):
    """Where owners cannot be locked, nothing is sent."""
    path.with_name("jobs.db.owners").touch()
    with pytest.raises(JournalError, match=r"jobs\.db"):
        await journal.enter()


LIVING = """
    import asyncio, os, sys, time
    from luma_async import SqliteJournal

    print(asyncio.run(SqliteJournal(sys.argv[1]).enter()), flush=True)
    if sys.argv[2] == "alone" or os.fork() == 0:
        print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["alone", "forks"])
def test_owner_of_a_dead_process(path, how):
    """An owner is alive as long as its process, not as long as a forked child; its file is removed."""
    journal = SqliteJournal(path)
    program = [sys.executable, "-c", textwrap.dedent(LIVING), str(path), how]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        name = child.stdout.readline().strip()
        child.stdout.readline()
        try:
            assert asyncio.run(journal.alive(name))
            child.kill()
            child.wait()
            assert not asyncio.run(journal.alive(name))
            assert not (path.parent / "jobs.db.owners" / name).exists()
        finally:
            # Its forked child, if any, is still running.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    asyncio.run(journal.aclose())


async def test_files_of_dead_owners(journal, path):
    """Entering removes the files of dead owners and keeps those of living owners."""
    living = SqliteJournal(path)
    owner = await living.enter()
    folder = path.parent / "jobs.db.owners"
    for number in range(20):
        (folder / f"{number:016x}").touch()
    (folder / "notes.txt").touch()
    mine = await journal.enter()
    assert {file.name for file in folder.iterdir()} == {owner, mine, "notes.txt"}
    await living.aclose()


async def test_owner_removed_before_its_lock(journal, path, monkeypatch):
    """An owner whose file is removed between creation and lock creates it again."""
    real, swept = owner_lock._lock, []

    def sweep_first(file, *, shared=False):
        if not shared and not swept:
            swept.extend((path.parent / "jobs.db.owners").iterdir())
            swept[0].unlink()
        real(file, shared=shared)

    monkeypatch.setattr(owner_lock, "_lock", sweep_first)
    owner = await journal.enter()
    assert [file.name for file in swept] == [owner]
    assert (path.parent / "jobs.db.owners" / owner).exists()
    assert await SqliteJournal(path).alive(owner)


async def test_owners_folder_removed(journal, path):
    """The folder is created again when the last owner removes it while another enters."""
    with before_open("jobs.db.owners", (path.parent / "jobs.db.owners").rmdir):
        assert await journal.alive(await journal.enter())


LOOKING = """
import asyncio
import sys
from luma_async import SqliteJournal

async def look():
    journal = SqliteJournal(sys.argv[1])
    print(*[entry.key for entry in await journal.entries()])
    await journal.aclose()

asyncio.run(look())
"""


async def keys_elsewhere(path):
    """Return the keys that another process sees, which opens the file and closes it again."""
    program = [sys.executable, "-c", LOOKING, str(path)]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.split()


async def test_file_opened_twice(journal, path):
    """Closing a second journal on a file drops no locks: no other process removes SQLite's log."""
    await journal.enter()
    await journal.change("cat", claim("cat"))
    second = SqliteJournal(path)
    assert len(await second.entries()) == 1
    await second.aclose()
    assert await keys_elsewhere(path) == ["cat"]
    # The last process that closes the file removes SQLite's log; a process that only read it does not.
    assert path.with_name("jobs.db-wal").exists()
    await journal.change("dog", claim("dog"))
    assert await keys_elsewhere(path) == ["cat", "dog"]


FORKING = """
    import asyncio, os, sys
    from luma_async import JournalError, SqliteJournal

    path, elsewhere = sys.argv[1], sys.argv[1] + "-other"
    journal = SqliteJournal(path)

    async def keys(journal):
        try:
            return [entry.key for entry in await journal.entries()]
        except JournalError as error:
            return str(error)

    owner = asyncio.run(journal.enter())
    if os.fork() == 0:
        print(asyncio.run(keys(journal)), flush=True)
        print(asyncio.run(keys(SqliteJournal(path))), flush=True)
        print(asyncio.run(keys(SqliteJournal(elsewhere))), flush=True)
        sys.exit()
    os.wait()
    print(asyncio.run(keys(journal)), asyncio.run(journal.alive(owner)), flush=True)
    asyncio.run(journal.leave(owner))
    if os.fork() == 0:
        print(asyncio.run(keys(SqliteJournal(path))), flush=True)
        sys.exit()
    os.wait()
"""


def test_journal_in_a_forked_child(path):
    """A file that was open at a fork raises JournalError in the child, and stays usable in the parent."""
    asyncio.run(used(path))
    program = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKING), str(path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=20, check=False)
    in_child, by_path, other_file, in_parent, after_closing = done.stdout.splitlines()
    assert "Open the journal after forking" in in_child, done.stderr
    assert by_path == in_child
    assert other_file == "[]"
    assert in_parent == "['cat'] True"
    assert after_closing == "['cat']"


def test_fork_while_another_thread_asks(path):
    """A command waits until a fork in another thread is over, so that no lock is copied while it is held."""
    journal = SqliteJournal(path)
    with fork_lock:
        asking = threading.Thread(target=lambda: asyncio.run(used_by(journal)))
        asking.start()
        asking.join(0.2)
        assert asking.is_alive()
        assert not path.exists()
    asking.join(10)
    assert not asking.is_alive()


async def used_by(journal):
    await journal.entries()
    await journal.aclose()


def test_event_loop_closed_early(path):
    """Results for a closed event loop are dropped, and the journal works in the next loop."""
    journal = SqliteJournal(path)
    gone = asyncio.new_event_loop()
    gone.run_until_complete(journal.enter())
    change = gone.create_task(journal.change("cat", claim("cat")))
    gone.run_until_complete(asyncio.sleep(0))
    change.cancel()
    gone.run_until_complete(asyncio.wait([change]))
    gone.close()
    assert asyncio.run(journal.get("dog")) is None
    asyncio.run(journal.aclose())


async def test_commit_fails(journal):
    """When a commit fails, each caller of the transaction gets the error, and nothing was changed."""
    broken = []

    def fail(sql):
        if sql == "COMMIT" and broken:
            raise sqlite3.OperationalError("disk I/O error")

    with sqlite_execute(fail):
        await journal.change("cat", claim("cat"))
        broken.append(True)
        calls = [asyncio.ensure_future(journal.change(f"key-{n}", claim(f"key-{n}"))) for n in range(3)]
        await asyncio.wait(calls)
    assert all(isinstance(call.exception(), JournalError) for call in calls)
    broken.clear()
    assert [entry.key for entry in await journal.entries()] == ["cat"]
    # The undone change is not in the cache either.
    assert (await journal.change("key-0", claim("key-0"))).attempts == 1


async def test_claim_changed_by_another_process(journal, path):
    """A cached claim is read again when another process wrote to the file."""
    await journal.change("cat", claim("cat"))
    other = SqliteJournal(path)
    await other.change("cat", lifecycle.accept("gen-1", at=NOW))
    seen = []
    await journal.change("cat", lambda standing: seen.append(standing) or standing)
    assert [entry.phase for entry in seen] == [Phase.ACCEPTED]
    await other.aclose()


async def test_note_after_session_closed(gateway, tmp_path):
    """A note after the end of the session does not open the journal again."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=tmp_path / "jobs.db") as luma:
        handle = await luma.submit("cat dance")
        note = luma._engine.recorder.downloaded
    before = asyncio.all_tasks(), threading.active_count()
    note(handle.id, tmp_path / "cat.mp4")
    assert (asyncio.all_tasks(), threading.active_count()) == before


async def test_file_without_hints(tmp_path):
    """A file of an earlier schema gets the table of hints when it is opened, and keeps its entries."""
    path = tmp_path / "jobs.db"
    await used(path)
    raw(path, "DROP TABLE hints", "PRAGMA user_version = 2")
    journal = SqliteJournal(path)
    entry = await journal.get("cat")
    assert entry is not None
    assert entry.phase is Phase.SENDING
    await journal.keep_hints("rixapi", {"running": "4"})
    assert await journal.hints("rixapi") == {"running": "4"}
    await journal.aclose()


async def test_number_of_hints_bounded(tmp_path):
    """A file keeps the newest hints of a service, not all that were ever written."""
    journal = SqliteJournal(tmp_path / "jobs.db")
    for number in range(MAX_HINTS + 5):
        await journal.keep_hints("rixapi", {f"duration {number}": "60"})
    kept = await journal.hints("rixapi")
    assert len(kept) == MAX_HINTS
    assert f"duration {MAX_HINTS + 4}" in kept
    await journal.aclose()
