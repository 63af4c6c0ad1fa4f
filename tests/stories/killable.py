"""A program that buys videos and is killed on the way. The stories of sudden death run it, and do not import it.

It reads what to do from its input, a JSON object in each line:
`{"journal": …, "count": …, "step": …, "folder": …, "environ": {…}}`. For each line it forks, so that no run has to
import everything again. The child submits COUNT prompts under COUNT keys, waits for all, and downloads the files if
there is a FOLDER. If a STEP is given, it kills itself there with SIGKILL; the steps are numbered in the order in which
a purchase reaches them. The parent prints the child's process id, waits for an empty line, and prints the exit code.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module

import aiohttp

from luma_async import (
    Agents,
    InvalidInput,
    Limits,
    LumaError,
    LumaSession,
    PollPolicy,
    PostgresJournal,
    RixAPI,
    SqliteJournal,
)
from luma_async._submit.attempt import Attempts

STEPS = (
    "before anything",
    "before the claim is written",
    "while the claim is written",
    "after the claim is written",
    "after the request is sent",
    "after the answer's headers came",
    "before the acceptance is written",
    "while the acceptance is written",
    "after the acceptance is written",
    "while waiting",
    "before the result is written",
    "while the result is written",
    "after the result is written",
    "while a file is downloaded",
    "after a file is complete",
)
DIALECTS = {dialect.name: dialect for dialect in (RixAPI(), Agents())}
WRITES = {"claim": "claim", "accept": "acceptance", "finish": "result"}
"""What each step of the life cycle writes."""


def kill_at(step):
    """Return a function that kills this process when it is called with the name of the step."""

    def reach(name):
        if STEPS[step] == name:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


class Reports:
    """Makes a journal report what it writes."""

    def __init__(self, place, reach):
        super().__init__(place)
        self._reach = reach

    async def change(self, key, step):
        written = WRITES.get(step.__qualname__.split(".")[0])

        def inside(standing):
            self._reach(f"while the {written} is written")
            return step(standing)

        self._reach(f"before the {written} is written")
        entry = await super().change(key, inside)
        self._reach(f"after the {written} is written")
        return entry


class ReportingFile(Reports, SqliteJournal):
    """A journal in a file that reports what it writes."""


class ReportingPostgres(Reports, PostgresJournal):
    """A journal in PostgreSQL that reports what it writes."""


def instrumented(place, reach):
    """Return the journal at a path or an address, which reports what it writes."""
    return (ReportingPostgres if "://" in str(place) else ReportingFile)(place, reach)


def tracing(reach):
    """Return an aiohttp trace that reports how far a paid POST has come."""

    def at(name):
        async def tell(_session, _context, params):
            if params.method == "POST" and params.url.path.endswith("/generations"):
                reach(name)

        return tell

    config = aiohttp.TraceConfig()
    config.on_request_chunk_sent.append(at("after the request is sent"))
    config.on_request_end.append(at("after the answer's headers came"))
    return config


EVENTS = {
    "Polled": "while waiting",
    "Downloading": "while a file is downloaded",
    "Downloaded": "after a file is complete",
}
"""The steps that events show."""


async def main(order, reach):
    path, count, folder = order["journal"], order["count"], order["folder"]
    reach("before anything")

    def on_event(event):
        if (name := type(event).__name__) in EVENTS:
            reach(EVENTS[name])

    journal = instrumented(path, reach)
    session = LumaSession(
        os.environ["LUMA_API_KEY"],
        base_url=os.environ["LUMA_BASE_URL"],
        dialect=DIALECTS[os.environ["DIALECT"]],
        journal=journal,
        poll=PollPolicy.fixed(0.1),
        # As fast as it goes: what a service allows is another story.
        limits=Limits(requests=8, submits_per_minute=math.inf, max_in_flight=1000),
        trace_configs=[tracing(reach)],
        on_event=on_event,
    )
    async with session as luma:
        handles = []
        calls = [luma.submit(f"prompt {number}", key=f"key-{number}") for number in range(count)]
        for call in asyncio.as_completed(calls):
            try:
                handles.append(await call)
            except LumaError:
                continue
        async for outcome in luma.as_completed(handles):
            if folder and outcome.generation:
                # InvalidInput: an earlier life has downloaded it.
                with suppress(InvalidInput):
                    await outcome.handle.download(folder)


def claim_too_late():
    """Write the claim after the POST, which this library never does. The stories must notice."""

    async def claim_nothing(self, intent):
        intent.may_have_left = True

    original = Attempts._handle_answer

    async def handle_answer(self, intent, answer, *, claimed):
        return await original(self, intent, answer, claimed=False)

    Attempts._claim = claim_nothing
    Attempts._handle_answer = handle_answer


def run(order, work):
    """Run what a line says, in a process of its own."""
    os.environ.update(order["environ"])
    if os.environ.get("CLAIM_TOO_LATE"):
        claim_too_late()
    reach = kill_at(order["step"]) if order["step"] is not None else lambda _: None
    asyncio.run(work(order, reach))


def serve(work):
    """Fork a child for each line. Wait for it at the empty line only, so that its process id stays its own."""
    # A session imports it when it opens; the children shall not wait for that.
    import_module("luma_async._journal.postgres.link")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(json.loads(line), work)
            except Exception:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve(main)
