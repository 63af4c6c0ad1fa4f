"""How clients find a cap that nobody tells: `python tests/benchmarks/limits.py [JOBS]`.

Each client does the same jobs against a service whose hidden cap moves from 8 to 3 to 16, in virtual time. "exact" is
a batch that knows the cap at every moment; wall times are given as multiples of its own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import looptime

sys.path.insert(0, str(Path(__file__).parents[1]))

from moving_cap import CLIENTS, play


def in_virtual_time(coroutine):
    # Loopback answers within a turn or two, so waiting longer for it would be waiting for nothing.
    loop = looptime.new_event_loop(start=0.0, noop_cycles=4)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def main(jobs):
    """Print a row for each client."""
    print(f"{jobs} jobs of 30-90 s; hidden cap 8, then 3, then 16; 5 % fail, 2 % rejected, 1 % of answers lost")
    columns = ("429s", "per job", "wall s", "x exact", "requests/job", "charges", "real s")
    print(f"{'client':14} " + " ".join(f"{name:>12}" for name in columns))
    best_s = None
    for name, client in CLIENTS.items():
        began_at = time.monotonic()
        run = in_virtual_time(play(client, jobs))
        best_s = best_s or run.wall_s
        assert run.ended == jobs, run
        print(
            f"{name:14} {run.limited:12} {run.limited / jobs:12.3f} {run.wall_s:12.0f} {run.wall_s / best_s:12.3f} "
            f"{run.requests / jobs:12.2f} {len(run.gateway.charges):12} {time.monotonic() - began_at:12.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
