"""What each schedule costs: `python tests/benchmarks/schedule.py [COUNT]`.

The real watcher waits for simulated generations on a virtual clock (log-normal durations, median 60 s, 95th
percentile 180 s). It prints the requests and rows for each generation, and how late its end is known.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

import attrs
from imagined import durations, imagine, watch

from luma_async import PollPolicy
from luma_async._poll import schedule
from luma_async._poll.durations import PRIOR, DurationModel

WITHOUT_EARLY_FAILURES = DurationModel(early_weight=0.0)


def main(count):
    """Print the tables."""
    lasting = durations(count)

    def run(policy, what=lasting, **options):
        return imagine(watch(what, policy, **options))

    def show(name, cost, note=""):
        early = "" if math.isnan(cost.early_delay_s) else f"{cost.early_delay_s:6.1f}"
        print(
            f"{name:44} {cost.requests:8.2f} {cost.rows:8.1f} {cost.delay_s:7.2f} {cost.late_s:7.2f} {early:>6} "
            f"{cost.peak:6d}  {note}"
        )

    print(f"{count} generations, all started at once, one request for each look; early-failure weight 0")
    print(f"{'schedule':44} {'req/job':>8} {'rows/job':>8} {'mean s':>7} {'p95 s':>7} {'early':>6} {'peak/s':>6}")
    for worth in (0.125, 0.25, 0.5, 1.0):
        ours = run(PollPolicy.adaptive(worth), prior=WITHOUT_EARLY_FAILURES)
        show(f"adaptive({worth})", ours)
        fixed = run(PollPolicy.fixed(2 * ours.delay_s))
        saved = 1 - ours.requests * ours.delay_s / (fixed.requests * fixed.delay_s)
        show(f"  fixed({2 * ours.delay_s:.1f})", fixed, f"adaptive sends {saved:.1%} fewer requests at the same delay")
    exponential = run(PollPolicy.exponential(1, 30, 1.5))
    ours = run(PollPolicy.adaptive(3.3), prior=WITHOUT_EARLY_FAILURES)
    show("adaptive(3.3)", ours)
    saved = 1 - ours.requests * ours.delay_s / (exponential.requests * exponential.delay_s)
    show("  exponential(1, 30, 1.5)", exponential, f"adaptive sends {saved:.1%} fewer requests at the same delay")

    early = durations(count, early=0.05)
    print("\nOne in twenty fails early, after 4 s on average")
    for weight in (0.0, 0.05, PRIOR.early_weight):
        show(
            f"adaptive(), early weight {weight}",
            run(PollPolicy.adaptive(), early, prior=DurationModel(early_weight=weight)),
        )

    print("\nShared requests, fifty generations in each")
    for number, gap_s in ((50, 0.0), (1000, 0.0), (1000, 0.3)):
        for size in (1, 50):
            show(
                f"adaptive(), {number} started {gap_s} s apart, {size} a request",
                run(PollPolicy.adaptive(), durations(number), batch_size=size, gap_s=gap_s),
            )

    print("\n400 at once, fifty in each request, by what a row costs (a request for one costs 1)")
    for row_cost in (1e-6, 0.1, schedule.ROW_COST, 0.3):
        with patch.object(schedule, "ROW_COST", row_cost):
            show(f"adaptive(), a row costs {row_cost:.1f}", run(PollPolicy.adaptive(), durations(400), batch_size=50))

    print("\nLearning from a prior that is wrong by a factor of three (true values: median 60 s, spread 0.67)")
    for factor in (1 / 3, 3):
        prior = attrs.evolve(PRIOR, log_median=PRIOR.log_median + math.log(factor))
        watchers = []
        run(PollPolicy.adaptive(), durations(120), prior=prior, gap_s=3, watchers=watchers)
        model = watchers[0].learner.model("")
        median_s = math.exp(model.log_median)
        print(f"from {math.exp(prior.log_median):5.0f} s: median {median_s:.1f} s, spread {model.spread:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
