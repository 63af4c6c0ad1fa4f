"""A simulated service without sockets, to measure what the schedule of the real watcher costs."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter

import attrs

from luma_async._poll.durations import PRIOR
from luma_async._poll.watcher import Watcher
from luma_async._wire.dialect import STILL_RUNNING, Row
from luma_async.values.events import Emitter
from luma_async.values.models import Generation, State, Video


class VirtualClock(asyncio.SelectorEventLoop):
    """An event loop without sockets, whose clock jumps to the next timer."""

    def __init__(self):
        super().__init__()
        self._now = 0.0
        self._selector.select = self._skip

    def _skip(self, timeout):
        self._now += timeout or 0.0
        return []

    def time(self):
        return self._now


async def _find_no_origin(tracked):
    """There is no journal."""


def imagine(coroutine):
    """Run a coroutine on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualClock) as runner:
        return runner.run(coroutine)


EARLY_FAILURE_S = 4.0
"""When an early failure comes, on average."""

DONE = Video(url="https://example.com/video.mp4")


class Dialect:
    """Reads the rows of the simulated service."""

    def peek(self, raw):
        return None if raw["done"] else STILL_RUNNING

    def generation(self, raw):
        if raw["done"]:
            return Generation(id=raw["id"], state=State.COMPLETED, video=DONE)
        return Generation(id=raw["id"], state=State.PROCESSING)


class Service:
    """A `Fetcher` that counts its calls, and answers at once from the moments at which generations end."""

    def __init__(self, batch_size=1):
        self.size = batch_size
        self.max_ids = batch_size
        self.ends = {}
        self.requests = self.rows = 0
        self.per_second = Counter()

    async def fetch_many(self, ids, *, retry, failed_before):
        now = asyncio.get_running_loop().time()
        self.requests += 1
        self.rows += len(ids)
        self.per_second[math.floor(now)] += 1
        return {key: Row(id=key, raw={"id": key, "done": now >= self.ends[key]}) for key in ids}


@attrs.frozen
class Cost:
    """What waiting cost, and how late the ends were known."""

    requests: float
    """Requests for each generation."""
    rows: float
    """Rows of their answers for each generation."""
    delay_s: float
    """Seconds from the end of a generation until the watcher knew it, on average."""
    late_s: float
    """The 95th percentile of that delay."""
    peak: int
    """Requests in the busiest second."""
    early_delay_s: float
    """The average delay of generations that ended within ten seconds."""


async def watch(durations, policy, *, batch_size=1, gap_s=0.0, prior=PRIOR, jitter=None, watchers=None):
    """Wait for generations with these durations, started `gap_s` apart. It must run on a virtual clock."""
    jitter = jitter or random.Random(1)
    service = Service(batch_size)
    watcher = Watcher(
        fetcher=service,
        dialect=Dialect(),
        policy=policy,
        random=jitter.random,
        events=Emitter(),
        on_final=lambda _: None,
        find_origin=_find_no_origin,
        on_lost=lambda _: None,
        prior=prior,
    )
    if watchers is not None:
        watchers.append(watcher)
    loop = asyncio.get_running_loop()
    delays, early = [], []

    async def wait_for(number, duration):
        await asyncio.sleep(number * gap_s)
        tracked = watcher.tracked(str(number))
        tracked.submitted_at_s, tracked.submitted_here = loop.time(), True
        service.ends[tracked.id] = loop.time() + duration
        await watcher.wait(tracked, timeout_s=None)
        delays.append(loop.time() - service.ends[tracked.id])
        if duration < 10:
            early.append(delays[-1])

    async with asyncio.TaskGroup() as group:
        for number, duration in enumerate(durations):
            group.create_task(wait_for(number, duration))
    await watcher.aclose()
    delays.sort()
    count = len(delays)
    return Cost(
        requests=service.requests / count,
        rows=service.rows / count,
        delay_s=sum(delays) / count,
        late_s=delays[int(count * 0.95)],
        peak=max(service.per_second.values()),
        early_delay_s=sum(early) / len(early) if early else math.nan,
    )


def durations(count, *, median_s=60.0, p95_s=180.0, early=0.0, seed=3):
    """Draw random durations: log-normal, with a share that ends early."""
    jitter = random.Random(seed)
    spread = math.log(p95_s / median_s) / 1.645
    return [
        jitter.expovariate(1 / EARLY_FAILURE_S)
        if jitter.random() < early
        else jitter.lognormvariate(math.log(median_s), spread)
        for _ in range(count)
    ]
