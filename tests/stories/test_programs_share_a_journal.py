"""Four programs over one journal in PostgreSQL: one bill, one program that polls for all, and limits for all together.

The program is `fleet_worker.py`; the gateway that counts runs in this process. `nox -s fleet` runs the stories at full
size: two thousand jobs, and twenty kills at each step (`LUMA_ASYNC_FLEET`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from bisect import bisect_left
from pathlib import Path

import attrs
import pytest
from ledger import balance
from stories.killable import STEPS

from luma_async import Phase, PostgresJournal
from luma_async.testing import FakeGateway, succeeds

FULL = "LUMA_ASYNC_FLEET" in os.environ
PROGRAM = Path(__file__).with_name("fleet_worker.py")
PROGRAMS = 4
RECOVERY_S = 15
"""How soon the survivors have to finish."""
AS_LEADER = STEPS[1:13]
"""The steps without downloads. A program leads only after it has begun."""
AS_FOLLOWER = STEPS[:9]
"""The steps of a program that does not poll."""
SHOWN = {"after the claim is written", "after the request is sent", "while waiting", "while the result is written"}
"""The steps of the suite."""


@attrs.define
class Worker:
    """Runs the program in processes that it forks, one after the other."""

    server: subprocess.Popen

    @classmethod
    def start(cls):
        command = [sys.executable, "-W", "error", str(PROGRAM)]
        return cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def begin(self, gateway, dsn, numbers, *, folder=None, step=None, per_minute=None, in_flight=None):
        order = {
            "journal": dsn,
            "numbers": list(numbers),
            "step": step,
            "folder": folder and str(folder),
            "per_minute": per_minute,
            "in_flight": in_flight,
            "environ": {"LUMA_API_KEY": gateway.api_key, "LUMA_BASE_URL": gateway.base_url},
        }
        print(json.dumps(order), file=self.server.stdin, flush=True)
        self.server.stdout.readline()

    async def end(self):
        """Wait for its end; return the exit code."""
        print(file=self.server.stdin, flush=True)
        return int(await asyncio.to_thread(self.server.stdout.readline))


@pytest.fixture(scope="module")
def workers():
    made = [Worker.start() for _ in range(PROGRAMS)]
    yield made
    for worker in made:
        worker.server.communicate()


async def run(workers, gateway, dsn, jobs, **limits):
    """Let each program buy its share and wait for it, and for the share of another."""
    for number, worker in enumerate(workers):
        mine, other = range(number, jobs, PROGRAMS), range((number + 1) % PROGRAMS, jobs, PROGRAMS)
        worker.begin(gateway, dsn, [*mine, *other], **limits)
    assert await asyncio.gather(*(worker.end() for worker in workers)) == [0] * PROGRAMS


async def books(gateway, dsn):
    """Balance the books; return the numbers of charges, accepted entries and doubts, and the phases of what is paid."""
    journal = PostgresJournal(dsn)
    found = await balance(gateway, journal)
    phases = {entry.phase for entry in await journal.entries() if entry.generation_id}
    await journal.aclose()
    return *found, phases


def looks(gateway):
    return gateway.counts["tasks"] + gateway.counts["query"]


@pytest.mark.timeout(600)
async def test_one_program_polls_for_all(workers, postgres_dsn):
    """Four programs buy each job once, and together send at most one status request for ten jobs of some seconds."""
    jobs, seconds = (2000, 3) if FULL else (200, 2)
    async with FakeGateway(script=succeeds(after=seconds)) as gateway:
        await run(workers, gateway, postgres_dsn, jobs)
        charges, accepted, doubts, _ = await books(gateway, postgres_dsn)
        at = [charge.at for charge in gateway.charges]
    per_second = jobs / (max(at) - min(at))
    print(f"{jobs} jobs: {charges} charges, {looks(gateway) / jobs:.3f} looks a job, {per_second:.0f} submits a second")
    assert (charges, accepted, doubts) == (jobs, jobs, 0)
    assert looks(gateway) <= 0.1 * jobs
    if FULL:
        assert per_second >= 10


@pytest.mark.timeout(120)
async def test_rate_of_all_programs(workers, postgres_dsn):
    """With a limit of fifty submits a second, four programs together send at most 55 in any second."""
    jobs = 1000 if FULL else 150
    async with FakeGateway(script=succeeds(after=1)) as gateway:
        await run(workers, gateway, postgres_dsn, jobs, per_minute=3000)
        at = sorted(charge.at for charge in gateway.charges)
    most = max(bisect_left(at, moment + 1) - number for number, moment in enumerate(at))
    print(f"{len(at)} submits, at most {most} in a second, {jobs / (at[-1] - at[0]):.1f} on average")
    assert len(at) == jobs
    assert most <= 55


@pytest.mark.timeout(120)
async def test_window_of_all_programs(workers, postgres_dsn):
    """With a window of ten, no submit of four programs meets a service on which ten generations are running."""
    jobs = 400 if FULL else 40
    refused = []
    gateway = FakeGateway(
        script=succeeds(after=0.3),
        free_slots=10,
        on_request=lambda seen, status, _: refused.append(seen) if status == 429 else None,
    )
    async with gateway:
        await run(workers, gateway, postgres_dsn, jobs, in_flight=10)
        assert len(gateway.charges) == jobs
    assert refused == []


async def opened(folder, number):
    """Wait until so many programs have opened their sessions."""
    while len(list(folder.glob("*.open"))) < number:
        await asyncio.sleep(0.02)


STORIES = [*((step, "leader") for step in AS_LEADER), *((step, "follower") for step in AS_FOLLOWER)]
JOBS = 100


@pytest.mark.timeout(60)
@pytest.mark.parametrize("turn", range(20 if FULL else 1))
@pytest.mark.parametrize(("step", "role"), [story for story in STORIES if FULL or story[0] in SHOWN])
async def test_killed_among_programs(workers, postgres_dsn, tmp_path, step, role, turn):
    """A program is killed at a step: the survivors finish within 15 s all that is not in doubt."""
    victim, *survivors = workers
    async with FakeGateway(script=succeeds(after=1)) as gateway:

        def begin(worker, **options):
            first = workers.index(worker) * JOBS // PROGRAMS
            worker.begin(gateway, postgres_dsn, [*range(first, JOBS), *range(first)], folder=tmp_path, **options)

        # The first to open leads.
        order = [victim, *survivors] if role == "leader" else [*survivors, victim]
        for number, worker in enumerate(order, 1):
            begin(worker, step=STEPS.index(step) if worker is victim else None)
            if number == 1:
                await opened(tmp_path, 1)
        await opened(tmp_path, PROGRAMS - (step == "before anything"))
        (tmp_path / "go").touch()
        assert await victim.end() == -signal.SIGKILL, "the step was never reached"
        began = asyncio.get_running_loop().time()
        assert await asyncio.gather(*(worker.end() for worker in survivors)) == [0] * len(survivors)
        took = asyncio.get_running_loop().time() - began
        _, accepted, doubts, phases = await books(gateway, postgres_dsn)
    print(f"{role} killed {step}, turn {turn}: {took:.1f} s, {doubts} in doubt")
    assert phases <= {Phase.COMPLETED}
    assert accepted + doubts == JOBS
    assert took < RECOVERY_S
