"""The queue over Procrastinate: each purchase is paid once, whatever the engine repeats and whichever worker dies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from contrib.killable_worker import QUEUE_STEPS
from holding import finish_all, held
from ledger import balance
from postgres_server import PostgresServer
from procrastinate.exceptions import ConnectorException
from stories.killable import STEPS

from luma_async import (
    ImageKeyframe,
    InvalidInput,
    JournalError,
    Keyframes,
    LumaSession,
    PollPolicy,
    PostgresJournal,
    VideoRequest,
)
from luma_async.contrib import procrastinate as queue
from luma_async.testing import drop_after_reading, fails, stalls, succeeds

KILLABLE = Path(__file__).with_name("killable_worker.py")
WORKED_ON = {"luma:submit", "luma:finish"}


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Look every second, repeat at once, and take a silent worker for dead soon."""
    for name in ("_EVERY_LOOK", "_EVERY_RESCUE"):
        monkeypatch.setattr(queue, name, "* * * * * *")
    monkeypatch.setattr(queue, "_HEARTBEAT_S", 0.2)
    monkeypatch.setattr(queue, "_DEAD_S", 1.0)
    monkeypatch.setattr(queue, "_RECONNECT_S", 0.1)
    monkeypatch.setattr(queue._RETRY, "exponential_wait", 0)


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=0)}


@pytest.fixture
async def journal(postgres_dsn):
    made = PostgresJournal(postgres_dsn)
    yield made
    await made.aclose()


@pytest.fixture
def session_options():
    return {}


@pytest.fixture
async def app(postgres_dsn):
    made = await queue.open_queue(postgres_dsn)
    yield made
    await made.close_async()


@asynccontextmanager
async def worker_of(app, luma, concurrency=2):
    """Run a worker of this process during a block."""
    queue.add_steps(app, luma)
    worker = asyncio.create_task(queue.run_worker(app, concurrency=concurrency))
    try:
        yield
    finally:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker


@pytest.fixture
def working(app, luma, monkeypatch):
    """A function that runs a worker of this process during a block, also more than once."""
    add = queue.add_steps
    monkeypatch.setattr(queue, "add_steps", lambda *where: add(*where) if "luma:submit" not in app.tasks else None)
    return lambda concurrency=2: worker_of(app, luma, concurrency)


async def steps(app, **which):
    """Return the steps of purchases in the queue, by their status."""
    found = await app.job_manager.list_jobs_async(**which)
    return [(each.task_name, each.status) for each in found if each.task_name in WORKED_ON]


async def until(condition):
    """Wait until a condition holds."""
    while not await condition():
        await asyncio.sleep(0.05)


async def test_queued_purchase(app, working, gateway, tmp_path, luma):
    """A queued purchase is bought, waited for and downloaded, and leaves nothing in the queue."""
    await queue.queue_submit(app, "cat dance", key="cat", download_to=f"{tmp_path}/new/cat.mp4", aspect_ratio="1:1")
    async with working():
        await until(lambda: exists(tmp_path / "new" / "cat.mp4"))
        await until(lambda: emptied(app))
    assert [charge.prompt for charge in gateway.charges] == ["cat dance"]
    assert (await luma.find("cat")).request["aspect_ratio"] == "1:1"


async def exists(path):
    return path.exists()


async def emptied(app):
    return not await steps(app)


async def failed(app):
    return await steps(app) and {status for _, status in await steps(app)} == {"failed"}


async def test_key_queued_twice(app, working, gateway, tmp_path):
    """A key that is queued again is bought once, also after its video is on disk."""
    for _ in range(2):
        for name in "ab":
            await queue.queue_submit(app, f"prompt {name}", key=name, download_to=f"{tmp_path}/{name}.mp4")
        async with working():
            await until(lambda: emptied(app))
    assert len(gateway.charges) == 2
    assert len(list(tmp_path.glob("*.mp4"))) == 2


async def test_step_repeated_by_engine(app, working, gateway, monkeypatch, tmp_path):
    """A step that fails after the service accepted is repeated by the engine, and sends nothing again."""
    defer, failures = app.job_manager.defer_job_async, iter(range(3))

    async def fail_first(**arguments):
        if next(failures, None) is not None:
            raise ConnectorException
        return await defer(**arguments)

    await queue.queue_submit(app, "cat", key="cat", download_to=f"{tmp_path}/")
    monkeypatch.setattr(app.job_manager, "defer_job_async", fail_first)
    async with working():
        await until(lambda: emptied(app))
    assert next(failures, None) is None
    assert gateway.counts["submit"] == 1
    assert len(list(tmp_path.glob("*.mp4"))) == 1


async def test_doubt_is_not_repeated(app, working, gateway, luma, caplog):
    """A doubt ends its step as failed, with a message that says how to settle it, and is not sent again."""
    gateway.inject(drop_after_reading())
    await queue.queue_submit(app, "cat", key="cat")
    async with working():
        await until(lambda: failed(app))
        assert "in-doubt" in caplog.text
        assert "queue the key cat again" in caplog.text
        [doubt] = await luma.doubts.list()
        await luma.doubts.resolve(doubt.key, generation_id=gateway.charges[0].generation_id)
        await queue.queue_submit(app, "cat", key="cat")
        await until(lambda: failed_only_once(app))
    assert gateway.counts["submit"] == 1


async def failed_only_once(app):
    return await steps(app) == [("luma:submit", "failed")]


async def test_failed_generation(app, working, gateway, caplog):
    """A generation that fails at the service ends its step as failed, with the reason in the log."""
    gateway.scripts["cat"] = fails("the cat ran away", after=0.5)
    await queue.queue_submit(app, "cat", key="cat")
    async with working():
        await until(lambda: failed(app))
    assert "cat has failed" in caplog.text
    assert "the cat ran away" in caplog.text


async def test_no_slot_while_rendering(app, working, gateway, tmp_path):
    """Fifty videos render at once although two steps may run at once: a wait holds no place of a worker."""
    for number in range(50):
        gateway.scripts[f"cat {number}"] = stalls()
        await queue.queue_submit(app, f"cat {number}", key=f"key-{number}", download_to=f"{tmp_path}/")

    async def all_wait():
        return await steps(app) == [("luma:finish", "todo")] * 50

    async with working(concurrency=2):
        await until(all_wait)
        assert await queue.queue_counts(app) == {"queued": 0, "waiting": 50, "running": 0, "failed": 0}
        assert len(gateway.charges) == 50
        finish_all(gateway)
        await until(lambda: emptied(app))
    assert len(list(tmp_path.glob("*.mp4"))) == 50


async def test_leader_that_does_not_poll(app, gateway, open_session, monkeypatch):
    """If the leader does not poll, the look asks for what takes long, so that its step ends."""
    monkeypatch.setattr(queue, "_BACKSTOP_S", 1)
    monkeypatch.setattr(queue, "_OVERDUE_S", 0.0)
    async with open_session(poll=PollPolicy.fixed(3600)) as luma, worker_of(app, luma):
        await queue.queue_submit(app, "cat", key="cat")
        await until(lambda: is_submitted(gateway))
        await until(lambda: emptied(app))
    assert gateway.counts["submit"] == 1


async def is_submitted(gateway):
    return gateway.counts["submit"] == 1


async def test_slow_answer_frees_worker(app, working, gateway, monkeypatch):
    """A submit whose answer is slow frees its worker, and is not sent again when its step runs again."""
    monkeypatch.setattr(queue, "_SUBMIT_S", 0.2)
    go_on = asyncio.Event()
    gateway.inject(held(go_on))
    await queue.queue_submit(app, "slow", key="slow")
    await queue.queue_submit(app, "fast", key="fast")

    async def both_charged():
        return len(gateway.charges) == 2

    async with working(concurrency=1):
        await until(both_charged)
        go_on.set()
        monkeypatch.setattr(queue, "_AGAIN_S", 0)
        await until(lambda: emptied(app))
    assert sorted(charge.prompt for charge in gateway.charges) == ["fast", "slow"]


async def test_other_journal_buys_nothing(app, working, gateway, open_session, tmp_path, caplog):
    """A worker over another journal refuses to finish what its journal does not know, and sends nothing."""
    request = {"class": "VideoRequest", "prompt": "cat", "aspect_ratio": "16:9"}
    task = app.configure_task("luma:finish", queue=queue.QUEUE)
    await task.defer_async(key="cat", request=request, generation_id="of-another-journal", download_to=None)
    async with working():
        await until(lambda: failed(app))
    assert "same journal" in caplog.text
    assert gateway.counts["submit"] == 0


async def test_picture_is_not_queued(app):
    """A request that contains a picture is refused before anything is queued."""
    picture = ImageKeyframe(
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    with pytest.raises(InvalidInput, match="no pictures"):
        await queue.queue_submit(app, VideoRequest("cat", keyframes=Keyframes(frame0=picture)), key="cat")
    assert await steps(app) == []


def test_extra_is_not_installed():
    """Without the extra, the import says what to install."""
    code = "import sys; sys.modules['procrastinate'] = None; import luma_async.contrib.procrastinate"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConfigurationError" in done.stderr
    assert "pip install luma-async[procrastinate]" in done.stderr


async def test_queue_without_a_server(unused_tcp_port):
    """A database that cannot be reached is a JournalError."""
    with pytest.raises(JournalError):
        await queue.open_queue(f"postgresql://127.0.0.1:{unused_tcp_port}/x?connect_timeout=1")


async def test_tables_created_at_once(postgres_dsn):
    """Several workers that start over an empty database create the tables once."""
    apps = await asyncio.gather(*(queue.open_queue(postgres_dsn) for _ in range(4)))
    assert all([await app.check_connection_async() for app in apps])
    for app in apps:
        await app.close_async()


@pytest.mark.timeout(90)
async def test_worker_after_an_outage(postgres_server, gateway, tmp_path):
    """A worker whose database was stopped and started goes on by itself, and pays nothing twice."""
    with PostgresServer.temporary() as server:
        dsn = server.new_schema()
        app = await queue.open_queue(dsn)
        async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=dsn) as luma:
            queue.add_steps(app, luma)
            worker = asyncio.create_task(queue.run_worker(app))
            await queue.queue_submit(app, "before", key="before", download_to=f"{tmp_path}/before.mp4")
            await until(lambda: exists(tmp_path / "before.mp4"))
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await queue.queue_submit(app, "after", key="after", download_to=f"{tmp_path}/after.mp4")
            await until(lambda: exists(tmp_path / "after.mp4"))
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
        await app.close_async()
    assert sorted(charge.prompt for charge in gateway.charges) == ["after", "before"]


async def test_cancelled_during_an_outage(app, monkeypatch):
    """A worker that is cancelled while its database fails ends, although the engine raises the failure only."""
    running = asyncio.Event()

    async def run_worker_async(**_):
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectorException from None

    monkeypatch.setattr(app, "run_worker_async", run_worker_async)
    worker = asyncio.create_task(queue.run_worker(app))
    await running.wait()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


NEVER = {"before anything", "while waiting"}
"""Steps that a worker does not come to, or that are before its work."""
KILLS = [step for step in (*STEPS, *QUEUE_STEPS) if step not in NEVER]
IN_DOUBT = {"after the claim is written", "after the request is sent", "after the answer's headers came"} | {
    f"{when} the acceptance is written" for when in ("before", "while")
}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("step", KILLS)
async def test_worker_killed(step, app, open_session, gateway, gateway_env, postgres_dsn, tmp_path, journal):
    """When a worker is killed, another finishes its purchase, or it is in doubt; it is paid at most once."""
    await queue.queue_submit(app, "cat", key="cat", download_to=f"{tmp_path}/cat.mp4")
    killed = await asyncio.create_subprocess_exec(sys.executable, str(KILLABLE), postgres_dsn, step)
    assert await killed.wait() == -signal.SIGKILL
    # Opened only now, because the leader alone records results.
    async with open_session() as luma, worker_of(app, luma):
        if step in IN_DOUBT:
            await until(lambda: failed(app))
        else:
            await until(lambda: exists(tmp_path / "cat.mp4"))
            await until(lambda: emptied(app))
    charges, accepted, doubtful = await balance(gateway, journal)
    assert accepted + doubtful == 1
    assert charges <= 1
    assert doubtful == (step in IN_DOUBT)
