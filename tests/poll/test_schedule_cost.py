"""What the real watcher costs on imagined generations, and what it buys; the clock is virtual, so minutes take none."""

from __future__ import annotations

import math

import attrs
import pytest
from imagined import durations, imagine, watch

from luma_async import PollPolicy
from luma_async._poll.durations import EARLY_WEIGHT, PRIOR, DurationModel

LONELY = DurationModel(early_weight=0.0)
COUNT = 1000


def cost(policy, lasting=None, **options):
    return imagine(watch(lasting if lasting is not None else durations(COUNT), policy, **options))


def test_adaptive_beats_a_fixed_interval():
    """At equal mean delay it asks at least 14 % less often; both scale as 1/delay, which evens out the rest."""
    ours = cost(PollPolicy.adaptive(), prior=LONELY)
    fixed = cost(PollPolicy.fixed(2 * ours.delay_s))
    assert ours.requests * ours.delay_s <= 0.86 * fixed.requests * fixed.delay_s


def test_adaptive_beats_doubling_by_far():
    """At the mean delay of an exponential schedule from 1 to 30 s it asks at least 60 % less often."""
    exponential = cost(PollPolicy.exponential(1, 30, 1.5))
    ours = cost(PollPolicy.adaptive(3.3), prior=LONELY)
    assert ours.delay_s == pytest.approx(exponential.delay_s, rel=0.1)
    assert ours.requests * ours.delay_s <= 0.4 * exponential.requests * exponential.delay_s


def test_early_failures_are_seen_within_five_seconds():
    """Expecting early failures shows them within five seconds on average; not expecting them does not."""
    lasting = durations(2000, early=0.05)
    assert cost(PollPolicy.adaptive(), lasting).early_delay_s <= 5
    assert cost(PollPolicy.adaptive(), lasting, prior=LONELY).early_delay_s > 5
    assert EARLY_WEIGHT > 0


@pytest.mark.parametrize("factor", [1 / 3, 3])
@pytest.mark.parametrize("gap_s", [0, 3], ids=["all at once", "one by one"])
def test_a_wrong_prior_is_outgrown(factor, gap_s):
    """From a prior three times off in either direction, 120 generations later the law is within a fifth."""
    prior = attrs.evolve(PRIOR, log_median=PRIOR.log_median + math.log(factor))
    watchers = []
    cost(PollPolicy.adaptive(), durations(120), gap_s=gap_s, prior=prior, watchers=watchers)
    model = watchers[0].learner.model("")
    assert math.exp(model.log_median) == pytest.approx(60, rel=0.2)


def test_a_thousand_at_once_do_not_come_back_at_once():
    """One by one, no second sees more than a quarter of them; in shared requests, no more than 25 requests."""
    lasting = durations(COUNT)
    assert cost(PollPolicy.adaptive(), lasting).peak <= COUNT / 4
    assert cost(PollPolicy.adaptive(), lasting, batch_size=50).peak <= 25


def test_company_is_cheap_and_quick():
    """Fifty in flight that share requests are known sooner, for a fraction of the requests."""
    alone = cost(PollPolicy.adaptive(), durations(50))
    together = cost(PollPolicy.adaptive(), durations(50), batch_size=50)
    assert together.requests < alone.requests / 3
    assert together.delay_s < alone.delay_s


def test_two_groups_become_one():
    """Generations that began apart end up in the same requests."""
    constant = [300.0] * 40
    together = cost(PollPolicy.fixed(10), constant, batch_size=50)
    apart = cost(PollPolicy.fixed(10), constant, batch_size=50, gap_s=0.2)
    assert apart.requests * 40 <= together.requests * 40 + 10
