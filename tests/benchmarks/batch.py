"""What a batch costs beside handles waited for by hand: `python tests/benchmarks/batch.py [COUNT …]`.

Both submit COUNT generations of 5 to 6 s at once and wait for all of them, with one look a second, against gateways
of their own. Runs are interleaved; medians of three are printed, and their ratio.
"""

from __future__ import annotations

import statistics
import sys

from waiting import ROUNDS, run

CLIENTS = ("ours", "batch")


def main(counts):
    """Print a line for each count."""
    print(f"{'generations':>11} {'by hand, CPU ms/job':>20} {'batch, CPU ms/job':>18} {'ratio':>6} {'peak MB':>12}")
    for count in counts:
        runs = {name: [] for name in CLIENTS}
        for _ in range(ROUNDS):
            for name in CLIENTS:
                runs[name].append(run(name, count))
        cpu_s, peak_mb = (
            [statistics.median(report[field] for report in runs[name]) for name in CLIENTS]
            for field in ("cpu_s", "peak_mb")
        )
        by_hand_ms, batch_ms = (1000 * one / count for one in cpu_s)
        memory = " / ".join(f"{one:.0f}" for one in peak_mb)
        print(f"{count:11} {by_hand_ms:20.3f} {batch_ms:18.3f} {batch_ms / by_hand_ms:6.2f} {memory:>12}", flush=True)


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or [1000, 5000])
