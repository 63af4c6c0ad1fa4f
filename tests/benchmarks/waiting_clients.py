"""The programs that `waiting.py` compares. Each submits generations and waits for them.

python waiting_clients.py NAME BASE_URL COUNT [SPEED]

With SPEED, generations last as long as real videos, and the clock of the event loop runs that much faster, so that
every client waits, times out and keeps connections in proportion. Delays are printed in seconds of that clock. Clients
then poll as their programs do with real videos: see `REAL_TICKS_S`.
"""

import asyncio
import importlib
import json
import os
import resource
import selectors
import sys
import tempfile
import time

TICK_S = 1.0
SPEED = float(sys.argv[4]) if len(sys.argv) > 4 else None
REAL_TICKS_S = {"floor": 5.0, "bare": 5.0, "lumaai+100": 3.0, "luma-agents+100": 3.0}
"""How often clients poll real videos; the SDKs as the example in Luma's documentation does."""
CHUNK = 50


async def ours(base_url, count, note, *, journal=None):
    """This library, as in a user's program: with one look a second, or as it polls real videos."""
    from luma_async import LumaSession, PollPolicy

    async def run(luma, number):
        handle = await luma.submit(f"prompt {number}")
        note((await handle).prompt)

    policy = PollPolicy.fixed(TICK_S) if SPEED is None else PollPolicy.adaptive()
    session = LumaSession("sk-bench", base_url=base_url, poll=policy, journal=journal)
    async with session as luma, asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(run(luma, number))


async def ours_sqlite(base_url, count, note):
    """This library, with a journal in a file."""
    with tempfile.TemporaryDirectory() as folder:
        await ours(base_url, count, note, journal=f"{folder}/journal.db")


async def batch(base_url, count, note):
    """This library's batch, with all items in flight."""
    from luma_async import LumaSession, PollPolicy

    session = LumaSession("sk-bench", base_url=base_url, poll=PollPolicy.fixed(TICK_S))
    async with session as luma:
        async for outcome in luma.batch((f"prompt {number}" for number in range(count)), max_in_flight=count):
            note(outcome.generation.prompt)


def aiohttp_session():
    import aiohttp

    connector = aiohttp.TCPConnector(limit=100)
    return aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer sk-bench"})


async def submit_bare(http, base_url, number):
    body = {"prompt": f"prompt {number}", "aspect_ratio": "16:9"}
    async with http.post(f"{base_url}/luma/generations", json=body) as response:
        return json.loads(await response.read())["id"]


async def floor(base_url, count, note):
    """A hand-written loop: each second one query for fifty ids, structured with cattrs. It handles no errors."""
    import attrs
    import cattrs

    @attrs.frozen
    class Video:
        url: str
        download_url: str
        width: int
        height: int

    @attrs.frozen
    class Generation:
        id: str
        state: str
        prompt: str
        video: Video | None

    converter = cattrs.Converter()
    async with aiohttp_session() as http:
        async with asyncio.TaskGroup() as group:
            submits = [group.create_task(submit_bare(http, base_url, number)) for number in range(count)]
        pending = [submit.result() for submit in submits]

        async def look(ids):
            async with http.post(f"{base_url}/luma/tasks", json={"ids": ids}) as response:
                rows = json.loads(await response.read())["data"]
            return [converter.structure(row["data"], Generation) for row in rows]

        while pending:
            await asyncio.sleep(TICK_S)
            async with asyncio.TaskGroup() as group:
                looks = [
                    group.create_task(look(pending[start : start + CHUNK])) for start in range(0, len(pending), CHUNK)
                ]
            seen = [generation for done in looks for generation in done.result()]
            for generation in seen:
                if generation.state == "completed":
                    note(generation.prompt)
            pending = [generation.id for generation in seen if generation.state != "completed"]


async def bare(base_url, count, note):
    """Plain aiohttp: one GET for each generation and second."""

    async def run(http, number):
        generation_id = await submit_bare(http, base_url, number)
        while True:
            await asyncio.sleep(TICK_S)
            async with http.get(f"{base_url}/luma/generations/{generation_id}") as response:
                body = json.loads(await response.read())
            if body["state"] == "completed":
                return note(body["prompt"])

    async with aiohttp_session() as http, asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(run(http, number))


async def official(base_url, count, note, *, places=None, **options):
    """The official SDK, as in its documentation."""
    from lumaai import AsyncLumaAI

    gate = asyncio.Semaphore(places or count)
    client = AsyncLumaAI(auth_token="sk-bench", base_url=f"{base_url}/dream-machine/v1", **options)

    async def run(number):
        async with gate:
            generation = await client.generations.create(prompt=f"prompt {number}", model="ray-2")
        while generation.state != "completed":
            await asyncio.sleep(TICK_S)
            async with gate:
                generation = await client.generations.get(id=generation.id)
        note(generation.request.prompt)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(run(number))
    await client.close()


async def lumaai_gated(base_url, count, note):
    """The official SDK behind a semaphore of 100."""
    await official(base_url, count, note, places=100)


async def luma_agents_gated(base_url, count, note):
    """The official SDK of the Agents API behind a semaphore of 100."""
    from luma_agents import AsyncLuma

    gate = asyncio.Semaphore(100)
    client = AsyncLuma(auth_token="sk-bench", base_url=f"{base_url}/agents/v1")

    async def run(number):
        async with gate:
            generation = await client.generations.create(prompt=f"prompt {number}", model="ray-3.2", type="video")
        while generation.state != "completed":
            await asyncio.sleep(TICK_S)
            async with gate:
                generation = await client.generations.get(generation.id)
        note(generation.model)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(run(number))
    await client.close()


async def lumaai_aiohttp(base_url, count, note):
    """The official SDK over aiohttp."""
    from lumaai import DefaultAioHttpClient

    await official(base_url, count, note, http_client=DefaultAioHttpClient())


CLIENTS = {
    "floor": floor,
    "ours": ours,
    "ours+sqlite": ours_sqlite,
    "batch": batch,
    "bare": bare,
    "lumaai+100": lumaai_gated,
    "lumaai[aiohttp]": lumaai_aiohttp,
    "luma-agents+100": luma_agents_gated,
}


class Loading:
    """Measures the CPU time of imports, wherever in the program they happen."""

    def __init__(self):
        self.cpu_s = 0.0
        self._load = importlib._bootstrap._find_and_load
        self._depth = 0
        importlib._bootstrap._find_and_load = self

    def __call__(self, *args):
        """Import a module; modules that it imports are included in its time."""
        began_s = time.process_time()
        self._depth += 1
        try:
            return self._load(*args)
        finally:
            self._depth -= 1
            if not self._depth:
                self.cpu_s += time.process_time() - began_s


class FastSelector(selectors.DefaultSelector):
    """Waits a fraction of the time that it is asked to."""

    def select(self, timeout=None):
        return super().select(timeout / SPEED if timeout else timeout)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock runs faster."""

    def __init__(self):
        super().__init__(FastSelector())
        self._clock_resolution *= SPEED

    def time(self):
        return super().time() * SPEED


def main(name, base_url, count):
    """Run a client and print what it cost."""
    delays = []
    loading = Loading()

    def note(end):
        delays.append((time.monotonic() - float(end)) * (SPEED or 1))

    began_at = time.monotonic()
    used_before = resource.getrusage(resource.RUSAGE_SELF)
    with asyncio.Runner(loop_factory=FastLoop if SPEED else None) as runner:
        runner.run(CLIENTS[name](base_url, count, note))
    used = resource.getrusage(resource.RUSAGE_SELF)
    delays.sort()
    report = {
        "done": len(delays),
        "cpu_s": used.ru_utime + used.ru_stime,
        "running_s": used.ru_utime + used.ru_stime - used_before.ru_utime - used_before.ru_stime - loading.cpu_s,
        "wall_s": time.monotonic() - began_at,
        "mean_s": sum(delays) / len(delays),
        "p95_s": delays[int(len(delays) * 0.95)],
        "p50_s": delays[len(delays) // 2],
        "p99_s": delays[int(len(delays) * 0.99)],
        "peak_mb": used.ru_maxrss / 1024,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    os.sched_setaffinity(0, {1 % os.cpu_count()})
    if SPEED:
        TICK_S = REAL_TICKS_S.get(sys.argv[1], TICK_S)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
