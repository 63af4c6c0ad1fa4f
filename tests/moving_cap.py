"""A service with a hidden limit that changes, and clients that have to find it.

The limit is 8 for the first 60 % of the jobs, 3 for the next 10 %, then 16. One generation in twenty fails, one submit
in fifty is rejected, one response in a hundred is lost. The prompt decides which, so that all clients get the same.
"""

from __future__ import annotations

import asyncio
import random

import attrs

from luma_async import (
    GenerationFailed,
    LumaSession,
    MemoryJournal,
    PollPolicy,
    PromptRejected,
    RateLimited,
    Retried,
    RetryPolicy,
    SubmitInDoubt,
)
from luma_async.testing import ALWAYS, FakeGateway, drop_after_reading, fails, rejects, succeeds

SHORTEST_S, LONGEST_S = 30, 90


def number_of(prompt):
    return int(prompt.split()[-1])


def script_of(prompt):
    number = number_of(prompt)
    if number % 50 == 3:
        return rejects()
    after_s = random.Random(number).uniform(SHORTEST_S, LONGEST_S)
    return fails(after=after_s) if number % 20 == 7 else succeeds(after=after_s)


def is_lost(seen):
    return number_of(seen.body["prompt"]) % 100 == 41


def cap_at(share):
    return 8 if share < 0.6 else 3 if share < 0.7 else 16


@attrs.define
class Run:
    """The results of one client."""

    done: int = 0
    failed: int = 0
    rejected: int = 0
    in_doubt: int = 0
    limited: int = 0
    """429s."""
    wall_s: float = 0.0
    requests: int = 0
    keys: set = attrs.field(factory=set)
    gateway: FakeGateway = None
    journal: MemoryJournal = attrs.field(factory=MemoryJournal)

    @property
    def ended(self):
        return self.done + self.failed + self.rejected + self.in_doubt

    def count(self, error):
        kinds = {
            type(None): "done",
            GenerationFailed: "failed",
            PromptRejected: "rejected",
            SubmitInDoubt: "in_doubt",
        }
        name = kinds[type(error)]
        setattr(self, name, getattr(self, name) + 1)

    def observe(self, event):
        if isinstance(event, Retried) and isinstance(event.error, RateLimited):
            self.limited += 1


class FollowsTheCap:
    """A window that knows the limit at any time, as no client can: the best possible result."""

    def __init__(self, gateway):
        self._gateway = gateway

    @property
    def size(self):
        return float(self._gateway.free_slots)

    def admits(self, used):
        return used < self._gateway.free_slots

    def accepted(self, _used):
        return self

    def rate_limited(self, _unfinished):
        return self


async def _take(batch, run):
    async for outcome in batch:
        run.count(outcome.error)
        run.keys.add(outcome.key)


async def auto(luma, prompts, run):
    await _take(luma.batch(prompts, name="run", max_in_flight="auto"), run)


async def fixed(luma, prompts, run):
    await _take(luma.batch(prompts, name="run", max_in_flight=16), run)


async def exact(luma, prompts, run):
    batch = luma.batch(prompts, name="run", max_in_flight=1)
    batch._in_flight.window = FollowsTheCap(run.gateway)
    await _take(batch, run)


async def _by_hand(luma, prompt, run, jitter):
    """Retry after a random delay that grows, as most programs do."""
    attempt = 0
    while True:
        try:
            handle = await luma.submit(prompt)
            break
        except RateLimited:
            run.limited += 1
            attempt += 1
            await asyncio.sleep(jitter.uniform(0, min(60, 2**attempt)))
        except (PromptRejected, SubmitInDoubt) as error:
            return run.count(error)
    try:
        await handle.wait()
    except GenerationFailed as error:
        return run.count(error)
    return run.count(None)


async def gathered(luma, prompts, run):
    jitter = random.Random(1)
    await asyncio.gather(*(_by_hand(luma, prompt, run, jitter) for prompt in prompts))


async def semaphore(luma, prompts, run):
    jitter, places = random.Random(1), asyncio.Semaphore(20)

    async def one(prompt):
        async with places:
            await _by_hand(luma, prompt, run, jitter)

    await asyncio.gather(*(one(prompt) for prompt in prompts))


CLIENTS = {"exact": exact, "auto": auto, "fixed 16": fixed, "semaphore 20": semaphore, "gather": gathered}


async def play(client, jobs, poll=None):
    """Run the jobs of one client, in virtual time."""
    run = Run()

    def script(prompt, number):
        gateway.free_slots = cap_at((number + 1) / jobs)
        return script_of(prompt)

    gateway = run.gateway = FakeGateway(script=script, free_slots=cap_at(0), record=False)
    gateway.inject(drop_after_reading(), times=ALWAYS, when=is_lost)
    by_hand = client in {gathered, semaphore}
    loop = asyncio.get_running_loop()
    async with (
        gateway,
        LumaSession(
            gateway.api_key,
            base_url=gateway.base_url,
            journal=run.journal,
            poll=poll or PollPolicy.adaptive(),
            retry=RetryPolicy(attempts=1 if by_hand else 5),
            on_event=run.observe,
        ) as luma,
    ):
        began_at = loop.time()
        await client(luma, [f"prompt {number}" for number in range(jobs)], run)
        run.wall_s = loop.time() - began_at
    run.requests = gateway.counts.total()
    return run
