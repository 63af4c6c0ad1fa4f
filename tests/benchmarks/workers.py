"""What a purchase through the queue costs the database: `python tests/benchmarks/workers.py [COUNT]`.

COUNT purchases, by two workers in processes of their own, over a PostgreSQL of their own and a fake gateway in this
process. Each is submitted, waited for and downloaded. Printed are the costs of one purchase, and what a million of them
a day would need if each took ninety seconds.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from postgres_server import PostgresServer  # noqa: E402 - it is in the folder of the tests

from luma_async.contrib.procrastinate import open_queue, queue_submit  # noqa: E402 - after the path
from luma_async.testing import FakeGateway, succeeds  # noqa: E402

WORKERS, CONCURRENCY = 2, 20
RENDER_S = 5.0
A_DAY, RENDERS_S = 1_000_000, 90.0
COUNTERS = {
    "rows inserted": "SELECT sum(n_tup_ins) FROM pg_stat_user_tables",
    "rows updated": "SELECT sum(n_tup_upd) FROM pg_stat_user_tables",
    "rows deleted": "SELECT sum(n_tup_del) FROM pg_stat_user_tables",
    "transactions": "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
    "WAL bytes": "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn",
}


async def counted(dsn):
    """Return the counters of the server."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        # Backends report what they did at most once a second.
        await asyncio.sleep(1.5)
        rows = {name: await (await connection.execute(sql)).fetchone() for name, sql in COUNTERS.items()}
    return {name: float(row[0] or 0) for name, row in rows.items()}


async def size_of(dsn):
    """Return the bytes on disk of the journal and of the queue, and the connections of the workers."""
    size = "SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_stat_user_tables WHERE relname LIKE %s"
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        sizes = [
            int((await (await connection.execute(size, (name,))).fetchone())[0]) for name in ("luma%", "procrastinate%")
        ]
        count = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return *sizes, int((await (await connection.execute(count)).fetchone())[0])


def videos_in(folder):
    return len([path for path in Path(folder).iterdir() if path.suffix == ".mp4"])


async def run(server, count, folder):
    dsn = server.new_schema()
    async with FakeGateway(script=succeeds(after=RENDER_S), record=False) as gateway:
        app = await open_queue(dsn)
        began_at = time.perf_counter()
        for number in range(count):
            await queue_submit(app, f"prompt {number}", key=f"key-{number}", download_to=f"{folder}/")
        queued_s = time.perf_counter() - began_at
        await app.close_async()
        before = await counted(dsn)
        began_at = time.perf_counter()
        environ = {"LUMA_API_KEY": gateway.api_key, "LUMA_BASE_URL": gateway.base_url, "LUMA_JOURNAL": dsn}
        command = [sys.executable, "-m", "luma_async", "worker", "-q", "--concurrency", str(CONCURRENCY)]
        workers = [await asyncio.create_subprocess_exec(*command, env=os.environ | environ) for _ in range(WORKERS)]
        connections = 0
        while videos_in(folder) < count:
            await asyncio.sleep(0.5)
            connections = max(connections, (await size_of(dsn))[2])
        wall_s = time.perf_counter() - began_at
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [await worker.wait() for worker in workers] == [0] * WORKERS
        after = await counted(dsn)
        journal_bytes, queue_bytes, _ = await size_of(dsn)
        assert len(gateway.charges) == count
        report(
            {name: (after[name] - before[name]) / count for name in COUNTERS},
            count=count,
            queued_s=queued_s,
            wall_s=wall_s,
            looks=gateway.counts["tasks"] + gateway.counts["query"],
            connections=connections,
            journal_bytes=journal_bytes,
            queue_bytes=queue_bytes,
        )


def report(costs, *, count, queued_s, wall_s, looks, connections, journal_bytes, queue_bytes):
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{count} purchases, {WORKERS} workers: queued in {queued_s:.1f} s, finished in {wall_s:.1f} s")
    per_day, per_s = A_DAY / 1e9, A_DAY / 86_400
    for name, cost in costs.items():
        print(f"{name:15} {cost:10.1f} each  {cost * per_s:12.0f} a second at a million a day")
    print(f"{'looks':15} {looks / count:10.3f} each (videos of {RENDER_S:.0f} s)")
    pending = per_s * RENDERS_S
    print(f"videos of {RENDERS_S:.0f} s: {pending:.0f} unfinished, {-(-pending // 50):.0f} requests for each look")
    print(f"CPU of workers  {(cpu.ru_utime + cpu.ru_stime) / count * 1e3:10.1f} ms each, with their start")
    print(f"journal         {journal_bytes / count:10.0f} bytes each {journal_bytes / count * per_day:10.1f} GB a day")
    print(f"queue           {queue_bytes / 1e6:10.1f} MB in the end")
    print(f"WAL             {costs['WAL bytes'] * per_day:10.1f} GB a day")
    print(f"connections     {connections / WORKERS:10.1f} for each worker at most")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with PostgresServer.temporary() as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(server, count, folder))


if __name__ == "__main__":
    main()
