"""One of several programs that buy and wait over one journal. The stories of fleets run it, and do not import it.

It reads what to do from its input, a JSON object in each line:
`{"journal": …, "numbers": […], "step": …, "folder": …, "per_minute": …, "in_flight": …, "environ": {…}}`. For each line
it forks, so that no run has to import everything again. The child opens a session. If there is a FOLDER, it says so by
a file there, and waits for the file `go`. Then it submits a prompt for each number under a key with this number, and
waits until it is completed, also if another program has bought it. At a STEP it kills itself,
as `killable.py` does. The parent prints the child's process id, waits for an empty line, and prints the exit code.
"""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path

import killable

from luma_async import Limits, LumaSession, PollPolicy, RixAPI, SubmitInDoubt

AT_ONCE = 16
"""Submits at once: enough to keep a connection to the journal busy."""


async def start_together(folder):
    """Wait until the test lets all programs start."""
    (folder / f"{os.getpid()}.open").touch()
    while not any(folder.glob("go")):
        await asyncio.sleep(0.02)


async def main(order, reach):
    reach("before anything")

    def on_event(event):
        if (name := type(event).__name__) in killable.EVENTS:
            reach(killable.EVENTS[name])

    session = LumaSession(
        os.environ["LUMA_API_KEY"],
        base_url=os.environ["LUMA_BASE_URL"],
        dialect=RixAPI(),
        journal=killable.ReportingPostgres(order["journal"], reach),
        poll=PollPolicy.fixed(0.2) if order["step"] is not None else PollPolicy(),
        limits=Limits(
            requests=AT_ONCE,
            submits_per_minute=order["per_minute"] or math.inf,
            max_in_flight=order["in_flight"] or math.inf,
        ),
        trace_configs=[killable.tracing(reach)],
        on_event=on_event,
    )
    room = asyncio.Semaphore(AT_ONCE)

    async def buy(luma, number):
        async with room:
            try:
                handle = await luma.submit(f"prompt {number}", key=f"key-{number}")
            except SubmitInDoubt:
                return
        await handle.wait()

    async with session as luma, asyncio.TaskGroup() as group:
        if order["folder"]:
            await start_together(Path(order["folder"]))
        for number in order["numbers"]:
            group.create_task(buy(luma, number))


if __name__ == "__main__":
    killable.serve(main)
