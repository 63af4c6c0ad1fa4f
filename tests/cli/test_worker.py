"""`luma-async enqueue` and `luma-async worker`: a queue for people who write no Python."""

from __future__ import annotations

import asyncio
import json
import signal

import aiohttp
import pytest
from holding import held
from postgres_server import PASSWORD

from luma_async import PostgresJournal
from luma_async.testing import drop_after_reading


@pytest.fixture
async def journal(here, postgres_dsn, monkeypatch):
    """An empty journal in PostgreSQL, which commands use by default."""
    monkeypatch.setenv("LUMA_JOURNAL", postgres_dsn)
    made = PostgresJournal(postgres_dsn)
    yield made
    await made.aclose()


async def asked(port):
    """Return the status and the document of a health check, as soon as it is answered."""
    async with aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.get(f"http://127.0.0.1:{port}/health") as answer:
                    return answer.status, await answer.json()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def line_with(process, word):
    """Read what a process prints on stderr up to a line with this word."""
    while word not in (line := (await process.stderr.readline()).decode()):
        assert line, f"it ended without {word!r}"
    return line


@pytest.mark.timeout(90)
async def test_enqueue_and_worker(journal, here, command, start, gateway):
    """What is queued from a file is bought once and downloaded, also if the file is queued again with a new row."""
    prompts = here / "prompts.csv"
    prompts.write_text("prompt,output,key\ncat dance,cats/cat.mp4,\ndog dance,,dog\n")
    code, out, err = await command("enqueue", "prompts.csv", "-o", "videos")
    assert (code, out) == (0, "Queued 2 prompts.\n"), err
    prompts.write_text(prompts.read_text() + "cow dance,cow.mp4,\n")
    assert json.loads((await command("enqueue", "prompts.csv", "-o", "videos", "--json"))[1])["queued"] == 3
    worker = await start("worker", "--concurrency", "2")
    folder = here / "videos"
    while len(list(folder.rglob("*.mp4"))) < 3:
        await asyncio.sleep(0.1)
    worker.send_signal(signal.SIGTERM)
    assert await worker.wait() == 0
    assert sorted(charge.prompt for charge in gateway.charges) == ["cat dance", "cow dance", "dog dance"]
    assert {"cow.mp4", "cats"} < {path.name for path in folder.iterdir()}
    assert (await journal.get("dog")).generation_id is not None


@pytest.mark.timeout(90)
async def test_worker_stops_in_order(journal, command, start, gateway, unused_tcp_port, here):
    """After SIGTERM a worker takes nothing more, is not healthy, records the answer to its POST, and exits with 0."""
    go_on, accepted = asyncio.Event(), asyncio.Event()
    gateway.inject(held(go_on, accepted))
    (here / "prompts.txt").write_text("first\nsecond\n")
    await command("enqueue", "prompts.txt")
    worker = await start("worker", "--concurrency", "1", "--health", str(unused_tcp_port))
    await accepted.wait()
    status, document = await asked(unused_tcp_port)
    assert (status, document["status"], document["failed"]) == (200, "ok", 0)
    worker.send_signal(signal.SIGTERM)
    await line_with(worker, "Stopping")
    assert (await asked(unused_tcp_port))[0] == 503
    go_on.set()
    assert await worker.wait() == 0
    [entry] = await journal.entries()
    assert entry.generation_id == gateway.charges[0].generation_id
    assert len(gateway.charges) == 1


@pytest.mark.timeout(90)
async def test_second_signal_is_hard(journal, command, start, gateway, here):
    """A second signal ends a worker at once; what it was sending is in doubt."""
    go_on, accepted = asyncio.Event(), asyncio.Event()
    gateway.inject(held(go_on, accepted))
    (here / "prompts.txt").write_text("first\n")
    await command("enqueue", "prompts.txt")
    worker = await start("worker")
    await accepted.wait()
    worker.send_signal(signal.SIGTERM)
    await line_with(worker, "Stopping")
    worker.send_signal(signal.SIGTERM)
    assert await worker.wait() == -signal.SIGTERM
    go_on.set()
    code, out, _ = await command("in-doubt")
    assert code == 0
    assert "first" in out


@pytest.mark.timeout(90)
async def test_worker_reports_a_doubt(journal, command, start, gateway, here):
    """A worker names a purchase in doubt and the command that settles it, without a traceback or a password."""
    gateway.inject(drop_after_reading())
    (here / "prompts.csv").write_text("prompt,key\ncat dance,cat\n")
    await command("enqueue", "prompts.csv")
    worker = await start("worker")
    line = await line_with(worker, "queue the key cat again")
    assert "luma-async in-doubt" in line
    worker.send_signal(signal.SIGINT)
    _, rest = await worker.communicate()
    assert worker.returncode == 0
    assert b"Traceback" not in rest
    assert PASSWORD not in line + rest.decode()


@pytest.mark.timeout(90)
async def test_health_without_a_database(here, start, command, monkeypatch, unused_tcp_port, gateway_env):
    """A health check says 503 and why while the database does not answer."""
    from postgres_server import PostgresServer

    with PostgresServer.temporary() as server:
        monkeypatch.setenv("LUMA_JOURNAL", server.new_schema())
        worker = await start("worker", "--health", str(unused_tcp_port))
        assert (await asked(unused_tcp_port))[0] == 200
        await asyncio.to_thread(server.stop)
        assert await asked(unused_tcp_port) == (503, {"status": "failing", "error": "JournalError"})
        await asyncio.to_thread(server.start)
        while (await asked(unused_tcp_port))[0] != 200:
            await asyncio.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        assert await worker.wait() == 0


@pytest.mark.parametrize("words", [("worker",), ("enqueue", "prompts.txt")])
async def test_queue_needs_postgres(here, command, words):
    """Over a journal file, the commands of the queue say what they need."""
    (here / "prompts.txt").write_text("cat dance\n")
    code, _, err = await command(*words)
    assert code == 2
    assert "postgresql://" in err


async def test_worker_with_a_used_port(journal, command, unused_tcp_port_factory):
    """A port for health checks that is in use is a mistake."""
    port = unused_tcp_port_factory()
    server = await asyncio.start_server(lambda _, writer: writer.close(), port=port)
    code, _, err = await command("worker", "--health", port)
    server.close()
    assert code == 2
    assert f"--health {port}" in err
