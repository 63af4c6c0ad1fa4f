"""A program that buys videos and is killed on the way: run by the stories of sudden death, never imported by them.

    python killable.py JOURNAL COUNT [STEP]

It submits COUNT prompts under COUNT keys, waits for all, and prints nothing. With a STEP it kills itself there with
SIGKILL: the steps are numbered in the order in which a submit reaches them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import aiohttp
from luma_async._io.sqlite_journal import SqliteJournal

from luma_async import LumaError, LumaSession, PollPolicy
from luma_async.attempts import Attempts

STEPS = (
    "before anything",
    "before the claim is written",
    "after the claim is written",
    "after the request is sent",
    "after the answer's headers came",
    "before the acceptance is written",
    "after the acceptance is written",
    "while waiting",
    "before the result is written",
    "after the result is written",
)


def kill_at(step):
    """Return a function that kills this process when it is called with the name of the step."""

    def reach(name):
        if STEPS[step] == name:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


class Instrumented(SqliteJournal):
    """A journal that tells when it writes; which write is which shows in the phase that it leads to."""

    def __init__(self, path, reach):
        super().__init__(path)
        self._reach = reach

    async def change(self, key, step):
        before, after = {
            "claim": ("before the claim is written", "after the claim is written"),
            "accept": ("before the acceptance is written", "after the acceptance is written"),
            "finish": ("before the result is written", "after the result is written"),
        }.get(step.__qualname__.split(".")[0], ("", ""))
        self._reach(before)
        entry = await super().change(key, step)
        self._reach(after)
        return entry


def tracing(reach):
    """Let aiohttp tell how far a POST has come."""

    def at(name):
        async def tell(_session, _context, params):
            if getattr(params, "method", "POST") == "POST":
                reach(name)

        return tell

    config = aiohttp.TraceConfig()
    config.on_request_chunk_sent.append(at("after the request is sent"))
    config.on_request_end.append(at("after the answer's headers came"))
    return config


async def main(path, count, reach):
    reach("before anything")
    journal = Instrumented(path, reach)

    def on_event(event):
        if type(event).__name__ == "Looked":
            reach("while waiting")

    async with LumaSession(
        journal=journal, poll=PollPolicy.fixed(0.1), trace_configs=[tracing(reach)], on_event=on_event
    ) as luma:
        handles = []
        calls = [luma.submit(f"prompt {number}", key=f"key-{number}") for number in range(count)]
        for call in asyncio.as_completed(calls):
            try:
                handles.append(await call)
            except LumaError:
                continue
        async for _ in luma.as_completed(handles):
            pass
    await journal.aclose()


def claim_too_late():
    """Do what this library never does: write the claim after the POST. The stories must notice."""

    async def claim_nothing(self, intent):
        intent.exposed = True

    original = Attempts._settle

    async def settle(self, intent, answer, *, claimed):
        return await original(self, intent, answer, claimed=False)

    Attempts._claim = claim_nothing
    Attempts._settle = settle


if __name__ == "__main__":
    if os.environ.get("CLAIM_TOO_LATE"):
        claim_too_late()
    chosen = kill_at(int(sys.argv[3])) if len(sys.argv) > 3 else lambda _: None
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), chosen))
