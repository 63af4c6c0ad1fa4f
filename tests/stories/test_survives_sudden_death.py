"""Killing the program at any moment costs nothing but time: no charge is made twice, and no paid job is lost.

The program that is killed is `killable.py`; the gateway that counts charges runs in this process. The suite kills the
program at every step and at twenty random moments, with and without downloads; `nox -s kills` does so at five hundred
(`LUMA_ASYNC_KILLS`).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from ledger import balance
from stories.killable import DIALECTS, STEPS

from luma_async import Phase, PostgresJournal, SqliteJournal
from luma_async._download.part_file import is_intact
from luma_async.testing import ALWAYS, AgentsBehaviour, FakeGateway, hang, late, succeeds

PROGRAM = Path(__file__).with_name("killable.py")
KILLS = int(os.environ.get("LUMA_ASYNC_KILLS", "20"))
LIVES = 10
"""Kills for each journal, one after the other."""
INTENTS = 4
"""Further purchases in each run."""
AT_ONCE = 2
"""Concurrent programs: one for each core of a small machine."""
LONGEST_LIFE_S = 0.25
"""After this time most purchases of a run are accepted; earlier kills come at all their steps."""


class Programs:
    """Runs the program, as often as needed, in processes forked from one that has imported everything."""

    def __init__(self, dialect, place, server):
        self.dialect, self.place = dialect, place
        self._server = server
        self._addresses = {}
        self._idle = [
            subprocess.Popen(
                [sys.executable, "-W", "error", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(AT_ONCE)
        ]

    async def run(self, gateway, path, count, *, step=None, kill_after_s=None, **environ):
        """Run it to its end or its kill; return its exit code."""
        environ |= {"LUMA_API_KEY": gateway.api_key, "LUMA_BASE_URL": gateway.base_url, "DIALECT": self.dialect}
        folder = path.with_suffix(".files")
        order = {"journal": self._place(path), "count": count, "step": step, "environ": environ}
        order["folder"] = str(folder) if folder.exists() else None
        server = self._idle.pop()
        code = await asyncio.to_thread(self._run, server, json.dumps(order), kill_after_s)
        self._idle.append(server)
        assert code in {0, -signal.SIGKILL}
        return code

    def _place(self, path):
        """Return the path of a journal, or the address that stands for it."""
        if self._server is None:
            return str(path)
        if path not in self._addresses:
            self._addresses[path] = self._server.new_schema()
        return self._addresses[path]

    def journal(self, path):
        """Return the journal that the programs use."""
        return (SqliteJournal if self._server is None else PostgresJournal)(self._place(path))

    def _run(self, server, order, kill_after_s):
        print(order, file=server.stdin, flush=True)
        child = int(server.stdout.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)
        print(file=server.stdin, flush=True)
        return int(server.stdout.readline())

    def close(self):
        for server in self._idle:
            server.communicate()


@pytest.fixture(
    scope="module", params=[*((dialect, "file") for dialect in DIALECTS), ("rixapi", "postgres")], ids="-".join
)
def programs(request):
    server = request.getfixturevalue("postgres_server") if "postgres" in request.param else None
    made = Programs(*request.param, server)
    yield made
    made.close()


def unlimited(seconds):
    """Return a gateway whose generations take so long, and which limits no submits."""
    agents = AgentsBehaviour(submits_per_minute=None, max_unfinished=None)
    return FakeGateway(script=succeeds(after=seconds), agents=agents)


async def balanced(programs, gateway, path):
    """Balance the books after a kill: nothing paid twice, and nothing paid that the journal calls unpaid."""
    journal = programs.journal(path)
    owner = await journal.enter()
    _, accepted, doubtful = await balance(gateway, journal)
    entries = {entry.key: entry for entry in await journal.entries()}
    await journal.leave(owner)
    paid = {charge.prompt.replace("prompt ", "key-") for charge in gateway.charges}
    forgotten = [key for key in paid if key not in entries or entries[key].phase in {Phase.NOT_SENT, Phase.REFUSED}]
    assert forgotten == [], f"paid and forgotten: {forgotten}"
    return accepted, doubtful, entries


async def completed(programs, gateway, path, count):
    """Run the program to its end: accepted purchases are completed, all others are in doubt."""
    assert await programs.run(gateway, path, count) == 0
    accepted, doubtful, entries = await balanced(programs, gateway, path)
    assert accepted + doubtful == count
    assert {entry.phase for entry in entries.values() if entry.generation_id} <= {Phase.COMPLETED}
    if (folder := path.with_suffix(".files")).exists():
        paid = {entry.generation_id for entry in entries.values() if entry.generation_id}
        assert {file.name for file in folder.iterdir()} == {f"{generation_id}.mp4" for generation_id in paid}
        assert all([await is_intact(file, "mp4") for file in folder.iterdir()])
    return doubtful


def downloads_to_folder(path, *, downloads):
    """Make the folder next to a journal to which the program then downloads."""
    if downloads:
        path.with_suffix(".files").mkdir()


def duplicates(gateway):
    return sum(charges - 1 for charges in Counter(charge.prompt for charge in gateway.charges).values())


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[name.replace(" ", "-") for name in STEPS])
async def test_killed_at_each_step(programs, tmp_path, step):
    """Killed at a given step and run again: nothing is charged twice, nothing paid is unknown, the rest completes."""
    path = tmp_path / "jobs.db"
    downloads_to_folder(path, downloads="a file" in STEPS[step])
    async with unlimited(0.2) as gateway:
        assert await programs.run(gateway, path, INTENTS, step=step) == -signal.SIGKILL, "the step was never reached"
        await balanced(programs, gateway, path)
        await completed(programs, gateway, path, INTENTS)


async def lives(programs, gateway, path, jitter, longest_s=LONGEST_LIFE_S, **environment):
    """Kill the program at random moments, run after run, each with further purchases."""
    for life in range(1, LIVES + 1):
        await programs.run(gateway, path, life * INTENTS, kill_after_s=jitter.random() * longest_s, **environment)
        yield life


@pytest.mark.timeout(60 + 2 * KILLS)
@pytest.mark.parametrize("downloads", [False, True], ids=["bought", "downloaded"])
async def test_killed_at_any_moment(programs, tmp_path, downloads):
    """Killed again and again at random moments, and then run to its end: the books balance each time."""
    room = asyncio.Semaphore(AT_ONCE)
    kills, doubts = 0, 0

    async def chain(number):
        nonlocal kills, doubts
        path, jitter = tmp_path / f"{number}.db", random.Random(number)
        downloads_to_folder(path, downloads=downloads)
        async with room, unlimited(0.02 if downloads else 0.2) as gateway:
            gateway.inject(late(0.05), times=ALWAYS, when=lambda _: jitter.random() < 0.5)
            longest_s = 0.6 if downloads or programs.place == "postgres" else LONGEST_LIFE_S
            async for _ in lives(programs, gateway, path, jitter, longest_s):
                await balanced(programs, gateway, path)
                kills += 1
            doubts += await completed(programs, gateway, path, LIVES * INTENTS)

    async with asyncio.TaskGroup() as group:
        for number in range(-(-KILLS // LIVES)):
            group.create_task(chain(number))
    books = f"{kills * INTENTS} purchases, {doubts} in doubt, none paid twice, none lost"
    print(f"{programs.dialect} over {programs.place}: {kills} kills, {books}")
    assert kills >= KILLS
    # Of so many kills some must have come between a claim and its answer, or they prove nothing.
    assert doubts > 0 or kills < 100


async def test_killed_with_a_late_claim(programs, tmp_path):
    """With the claim written after the POST, kills at random moments make the same program pay twice."""
    async with unlimited(0.2) as gateway:
        gateway.inject(hang(charged=True), times=ALWAYS)
        async for _ in lives(programs, gateway, tmp_path / "jobs.db", random.Random(1), 4, CLAIM_TOO_LATE="1"):
            if duplicates(gateway):
                break
        assert duplicates(gateway) > 0


async def test_killed_once_with_a_late_claim(programs, tmp_path):
    """With the claim written after the POST, a kill after the answer's headers makes it pay twice."""
    path, step = tmp_path / "jobs.db", STEPS.index("after the answer's headers came")
    async with unlimited(0.2) as gateway:
        await programs.run(gateway, path, INTENTS, step=step, CLAIM_TOO_LATE="1")
        await programs.run(gateway, path, INTENTS, CLAIM_TOO_LATE="1")
        assert duplicates(gateway) > 0


async def test_two_programs_at_once(programs, tmp_path):
    """Two processes that run the same two hundred keys on one new file make two hundred charges."""
    count, path = 200, tmp_path / "jobs.db"
    async with unlimited(0.2) as gateway:
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(programs.run(gateway, path, count)) for _ in range(2)]
        assert [end.result() for end in ends] == [0, 0]
        accepted, doubtful, _ = await balanced(programs, gateway, path)
        assert (len(gateway.charges), accepted, doubtful) == (count, count, 0)
