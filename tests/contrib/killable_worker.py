"""A worker that kills itself at a step. The tests of the queue run it, and do not import it.

Its arguments are the address of the journal and the name of the step; the service is set in the environment. It prints
a line when its first purchase has been queued.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stories.killable import EVENTS, STEPS, instrumented, kill_at, tracing

from luma_async import LumaSession
from luma_async.contrib import procrastinate as queue

QUEUE_STEPS = (
    "before the wait is queued",
    "after the wait is queued",
    "before the finish is queued",
    "after the finish is queued",
)
"""What it does between what the journal records, as far as a purchase comes there."""


def at(step):
    """Return a function that kills this process when it is called with the name of the step."""
    if step in STEPS:
        return kill_at(STEPS.index(step))

    def reach(name):
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def reporting(app, reach):
    """Make an app report what it queues for `finish`."""
    configure = app.configure_task

    def configure_task(name, **options):
        deferrer = configure(name, **options)
        if name != "luma:finish":
            return deferrer
        what = "wait" if "schedule_in" in options else "finish"
        defer = deferrer.defer_async

        async def defer_async(**arguments):
            reach(f"before the {what} is queued")
            await defer(**arguments)
            reach(f"after the {what} is queued")

        deferrer.defer_async = defer_async
        return deferrer

    app.configure_task = configure_task


async def main(dsn, step):
    reach = at(step)

    def on_event(event):
        if (name := type(event).__name__) in EVENTS:
            reach(EVENTS[name])

    app = await queue.open_queue(dsn)
    reporting(app, reach)
    luma = LumaSession(journal=instrumented(dsn, reach), trace_configs=[tracing(reach)], on_event=on_event)
    async with luma:
        queue.add_steps(app, luma)
        await queue.run_worker(app, concurrency=1)


if __name__ == "__main__":
    queue._EVERY_LOOK = queue._EVERY_RESCUE = "* * * * * *"
    asyncio.run(main(*sys.argv[1:]))
