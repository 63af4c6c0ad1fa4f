"""A batch finds the limit of a service with few 429s, and loses no item.

The test runs a hundred jobs; with `LUMA_ASYNC_JOBS=1000` a thousand, with a tight limit on the time.
"""

from __future__ import annotations

import os

import pytest
from ledger import balance
from moving_cap import auto, exact, play

from luma_async import Phase, PollPolicy

JOBS = int(os.environ.get("LUMA_ASYNC_JOBS", "100"))
LIMITED_PER_JOB = 0.25
SLOWER = 1.15 if JOBS >= 1000 else 1.5
"""Growing from four to eight takes a few rounds, which is much for a hundred jobs."""


@pytest.mark.looptime(noop_cycles=4)
@pytest.mark.timeout(1200)
async def test_auto_follows_hidden_limit():
    """With a limit of 8, then 3, then 16, "auto" gets few 429s, loses little time, and pays each job once."""
    best = await play(exact, JOBS, PollPolicy.fixed(4))
    run = await play(auto, JOBS, PollPolicy.fixed(4))
    print(f"429s per job {run.limited / JOBS:.3f}, {run.wall_s / best.wall_s:.3f} times the time of the exact limit")
    assert run.ended == JOBS == len(run.keys)
    assert min(run.done, run.failed, run.rejected, run.in_doubt) > 0
    _, accepted, doubtful = await balance(run.gateway, run.journal)
    assert (accepted, doubtful) == (run.done + run.failed, run.in_doubt)
    phases = [entry.phase for entry in await run.journal.entries()]
    assert phases.count(Phase.REFUSED) == run.rejected
    assert run.limited <= LIMITED_PER_JOB * JOBS
    assert run.wall_s <= SLOWER * best.wall_s
