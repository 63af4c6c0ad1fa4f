"""What a journal that outlives the program costs a client that submits: `python tests/benchmarks/journal.py [COUNT]`.

COUNT submits with keys, a hundred at a time, against a fast gateway, once with `MemoryJournal`, once with
`SqliteJournal`, and once with `PostgresJournal` if PostgreSQL is installed. The gateway is pinned to one core and the
client to another; runs are interleaved, and medians of three are printed, with ratios. Then the journals alone: how
many changes a second they make durable, and how long each of 300 at once takes; and the same from two processes that
share a journal. The CPU time is the client's.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROUNDS = 3
sys.path.append(str(HERE.parent))
from postgres_server import PostgresServer, binaries  # noqa: E402 - it is in the folder of the tests

SHARED = ("sqlite", "postgres") if binaries() else ("sqlite",)
JOURNALS = ("memory", *SHARED)
RECORDS = 20_000
AT_ONCE = 300


def make_journal(name, place):
    from luma_async import MemoryJournal, PostgresJournal, SqliteJournal

    return {"memory": lambda _: MemoryJournal(), "sqlite": SqliteJournal, "postgres": PostgresJournal}[name](place)


@contextmanager
def places(server):
    """Yield a function that returns a new place for a journal."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(1000))
        yield lambda name: server.new_schema() if name == "postgres" else f"{folder}/{next(numbers)}.db"


@contextmanager
def measured():
    """Measure the wall and CPU time of a block, of all threads of this process."""
    cost = {}
    before, began_at = time.process_time(), time.perf_counter()
    yield cost
    cost.update(wall_s=time.perf_counter() - began_at, cpu_s=time.process_time() - before)


async def submits(journal, base_url, count):
    """Submit under keys, as fast as the session lets them through."""
    from luma_async import LumaSession

    async with LumaSession("sk-bench", base_url=base_url, journal=journal) as luma:
        # The first loads what submits need; that is no cost of the journal.
        await luma.submit("prompt", key=f"bench/{os.getpid()}")
        with measured() as cost:
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(luma.submit(f"prompt {number}", key=f"bench/{os.getpid()}/{number}"))
    return cost


async def records(journal, _base_url, count):
    """Claim and accept, so many at once, without a gateway."""
    from luma_async import Entry, Phase
    from luma_async._journal import lifecycle

    took_s = []
    numbers = iter(range(count // 2))
    request = {"class": "VideoRequest", "prompt": "cat dance", "aspect_ratio": "16:9"}

    async def change(key, step):
        began_at = time.perf_counter()
        await journal.change(key, step)
        took_s.append(time.perf_counter() - began_at)

    async def work():
        for number in numbers:
            key, now = f"bench/{owner}/{number}", datetime.now(UTC)
            entry = Entry(key=key, phase=Phase.SENDING, service="rixapi", digest="0" * 64, request=request, owner=owner)
            await change(key, lifecycle.claim(entry, at=now))
            await change(key, lifecycle.accept(f"{owner}-{number}", at=now))

    owner = await journal.enter()
    with measured() as cost:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    await journal.leave(owner)
    return {**cost, "p50_ms": statistics.median(took_s) * 1000}


def client(what, name, base_url, count, place):
    """Do one run in this process, and print what it cost."""
    if what == "submits" and "SHARED" not in os.environ:
        os.sched_setaffinity(0, {1 % os.cpu_count()})
    journal = make_journal(name, place)
    print(json.dumps(asyncio.run({"submits": submits, "records": records}[what](journal, base_url, count))))


def run(what, name, count, place, processes=1):
    """Do one run, in processes of their own, against a gateway of its own."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "light_gateway.py"), "60", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        arguments = [sys.executable, __file__, what, name, base_url, str(count), place]
        env = os.environ | ({"SHARED": "1"} if processes > 1 else {})
        clients = [subprocess.Popen(arguments, stdout=subprocess.PIPE, env=env) for _ in range(processes)]
        reports = [json.loads(client.communicate(timeout=300)[0]) for client in clients]
        return {figure: max(report[figure] for report in reports) for figure in reports[0]}
    finally:
        server.stdin.close()
        server.wait()


def medians(what, count, new_place, names=JOURNALS, processes=1):
    """Interleave the journals, and return the middle of each figure."""
    runs = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            runs[name].append(run(what, name, count // processes, new_place(name), processes))
    return {
        name: {figure: statistics.median(one[figure] for one in reports) for figure in reports[0]}
        for name, reports in runs.items()
    }


def main(count, new_place):
    """Print all tables."""
    middle = medians("submits", count, new_place)
    print(f"{count} submits; medians of {ROUNDS}")
    print(f"{'journal':10} {'wall s':>8} {'CPU s':>8} {'x memory':>8} {'CPU':>8} {'x sqlite':>8} {'CPU':>8}")
    for name, one in middle.items():
        ratios = [one[figure] / middle[floor][figure] for floor in ("memory", "sqlite") for figure in one]
        print(f"{name:10} {one['wall_s']:8.2f} {one['cpu_s']:8.2f}", *(f"{ratio:8.2f}" for ratio in ratios))
    middle = medians("submits", count, new_place, SHARED, 2)
    print(f"\n{count} submits from 2 processes")
    for name, one in middle.items():
        print(f"{name:10} {one['wall_s']:8.2f} {one['cpu_s']:8.2f}")
    for processes in (1, 2):
        print(f"\n{RECORDS} changes, {AT_ONCE} at once in each of {processes} processes")
        for name, one in medians("records", RECORDS, new_place, SHARED, processes).items():
            rate = f"{RECORDS / one['wall_s']:.0f} durable changes a second"
            print(f"{name:10} {rate}, CPU {one['cpu_s']:.2f} s, each takes {one['p50_ms']:.1f} ms")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        client(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        with PostgresServer.temporary() as server, places(server) as new_place:
            main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, new_place)
