"""When to look: the schedule without a loop, then what it costs the watcher on a virtual clock."""

from __future__ import annotations

import math
import random
import statistics

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagined import durations, imagine, watch

from luma_async import PollPolicy
from luma_async._poll.durations import EARLY_WEIGHT, PRIOR, DurationModel
from luma_async._poll.schedule import (
    JITTER,
    MAX_FIRST_LOOK_DELAY_S,
    MAX_INTERVAL_S,
    MIN_INTERVAL_S,
    Hints,
    before_deadline,
    first_delay,
    interval,
    joins,
    next_delay,
    share_of_request,
    slot_of,
)

DAY_S = 86_400.0
JITTERS = st.floats(0, 1)
MODELS = st.builds(
    DurationModel,
    log_median=st.floats(math.log(0.5), math.log(7200)),
    spread=st.floats(0.1, 2),
    early_weight=st.floats(0, 0.3),
)
POLICIES = st.one_of(
    st.builds(PollPolicy.adaptive, st.floats(0.01, 20)),
    st.builds(PollPolicy.fixed, st.floats(0.2, 300)),
    st.builds(PollPolicy.exponential, st.floats(0.2, 5), st.floats(5, 300), st.floats(1, 3)),
)


def test_exponential_intervals():
    """Exponential intervals are first, first·factor, first·factor² and so on, up to last."""
    policy = PollPolicy.exponential(1, 10, 2)
    age, intervals = 0.0, []
    for _ in range(6):
        intervals.append(interval(policy, PRIOR, age, 1))
        age += intervals[-1]
    assert intervals == [1, 2, 4, 8, 10, 10]


def test_fixed_intervals():
    """Neither the age, nor the size of a group, nor an estimate changes a fixed interval."""
    policy = PollPolicy.fixed(7)
    assert {interval(policy, PRIOR, age, weight) for age in (0, 50, 5000) for weight in (1, 50)} == {7}
    assert next_delay(policy, 7, 0.5, Hints(estimate_s=60)) == 7


def test_adaptive_intervals():
    """Looks are frequent where the end is likely, and rare before that and long after."""
    policy = PollPolicy.adaptive(0.5)
    model = attrs.evolve(PRIOR, early_weight=0.0)
    young, likely, old = (interval(policy, model, age, 1) for age in (1, 60, 3600))
    assert likely < young
    assert likely < old
    assert likely == pytest.approx(math.sqrt(2 * 0.5 / model.hazard(63)), rel=0.05)


def test_group_interval():
    """Fifty that share a request pay a fiftieth of it and a row each, so they are looked at twice as often as one."""
    assert share_of_request(1) == 1
    assert share_of_request(50) == pytest.approx(1 / 50 + 0.2, rel=0.02)
    policy = PollPolicy.adaptive(5)
    alone, together = interval(policy, PRIOR, 60, 1), interval(policy, PRIOR, 60, 50)
    assert alone / 3 < together < alone / 2


@given(st.integers(0, 100_000), st.integers(1, 60), st.integers(0, 64), st.integers(1, 12))
def test_groups_of_like_intervals_join(now, interval_s, part, count):
    """Of two small groups with like intervals, one always joins the other."""
    later = now + part / 64 * interval_s
    assert joins(later, interval_s, count, now) or joins(now + interval_s, interval_s, count, later)


def test_joining_pays_its_row():
    """The more share a request, the closer is the moment from which a generation joins another request."""
    nearest_s = [max(s for s in range(100) if joins(s, 100, count, 0)) for count in (1, 10, 50)]
    assert nearest_s == [89, 53, 27]


@pytest.mark.parametrize(
    ("hints", "delay_s"),
    [
        (Hints(), 10),
        (Hints(estimate_s=30), 30),
        (Hints(estimate_s=5), 5),
        (Hints(estimate_s=0), 2.5),
        (Hints(estimate_s=9999), MAX_INTERVAL_S),
        (Hints(retry_after_s=25), 25),
        (Hints(retry_after_s=3), 10),
        (Hints(failures=1), 10),
        (Hints(failures=5), 16),
        (Hints(failures=400), 30),
        (Hints(looks_without_link=True), 2),
        (Hints(looks_without_link=True, retry_after_s=9), 9),
    ],
)
def test_hints(hints, delay_s):
    """An estimate, `Retry-After`, failures and a missing link move the next look, within bounds."""
    assert next_delay(PollPolicy.exponential(10, 60, 1), 10, 0.5, hints) == delay_s


@given(POLICIES, MODELS, st.floats(0, DAY_S), st.integers(1, 50))
def test_interval_bounds(policy, model, age, weight):
    """Whatever the model has learned, an interval stays between its minimum and its maximum."""
    length = interval(policy, model, age, weight)
    if policy.kind == "adaptive":
        assert max(MIN_INTERVAL_S, age / 100) <= length + 1e-9 or length == MAX_INTERVAL_S
        assert length <= MAX_INTERVAL_S
    else:
        assert min(policy.first, policy.last) <= length <= policy.last


@given(POLICIES, st.floats(0.2, 300), JITTERS, st.builds(Hints, estimate_s=st.none() | st.floats(0, 1e6)))
def test_delay_minimum(policy, length, jitter, hints):
    """Jitter shortens a delay by its share, an estimate by three quarters at most."""
    delay = next_delay(policy, length, jitter, hints)
    floor = length * (1 - JITTER) / (4 if policy.kind != "fixed" and hints.estimate_s is not None else 1)
    assert delay >= floor - 1e-9


@given(st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 1e4))
def test_look_before_deadline(now, delay, left):
    """A look comes when the schedule says, or earlier to come before the deadline."""
    deadline = now + left
    due = before_deadline(now + delay, now, deadline)
    assert due <= deadline
    assert due <= now + delay or due >= now
    assert before_deadline(now + delay, now, None) == now + delay


@given(MODELS, st.sampled_from([1, 7, 50]), st.floats(0.05, 5))
def test_looks_in_a_day(model, weight, worth):
    """A generation that never ends is looked at 2,500 times a day at most, whatever the model."""
    policy, age, looks = PollPolicy.adaptive(worth), 0.0, 0
    while age < DAY_S and looks < 5000:
        age += interval(policy, model, age, weight) * (1 - JITTER)
        looks += 1
    assert looks < 2500


@given(st.integers(1, 5000), JITTERS, st.floats(1, 60))
def test_first_looks_are_spread(number, jitter, length):
    """First looks at earlier purchases are spread over half a minute at most, and over their interval at most."""
    assert 0 <= first_delay(length, jitter, number) <= min(length, number * 0.02, MAX_FIRST_LOOK_DELAY_S)


@given(st.floats(0, 1e6), st.floats(0.2, 300))
def test_slot_is_at_or_after_moment(due, length):
    """A slot is never early, and late by no more than 1/64 of the interval."""
    assert due - 1e-6 <= slot_of(due, length) <= due + length / 64 + 1e-6


@given(st.floats(0, 1e5), st.floats(1, 60), st.floats(1, 60))
def test_slots_of_intervals_coincide(due, one, other):
    """The slots of a long interval are also slots of a short one."""
    short, long = sorted((one, other))
    moment = slot_of(due, long)
    assert slot_of(moment, short) == moment


WITHOUT_EARLY_FAILURES = DurationModel(early_weight=0.0)
COUNT = 1000


def cost(policy, lasting=None, **options):
    return imagine(watch(lasting if lasting is not None else durations(COUNT), policy, **options))


def test_adaptive_against_fixed():
    """At the same mean delay, adaptive sends at least 14 % fewer requests than a fixed interval."""
    ours = cost(PollPolicy.adaptive(), prior=WITHOUT_EARLY_FAILURES)
    fixed = cost(PollPolicy.fixed(2 * ours.delay_s))
    assert ours.requests * ours.delay_s <= 0.86 * fixed.requests * fixed.delay_s


def test_adaptive_against_exponential():
    """At the mean delay of an exponential schedule from 1 to 30 s, adaptive sends at least 60 % fewer requests."""
    exponential = cost(PollPolicy.exponential(1, 30, 1.5))
    ours = cost(PollPolicy.adaptive(3.3), prior=WITHOUT_EARLY_FAILURES)
    assert ours.delay_s == pytest.approx(exponential.delay_s, rel=0.1)
    assert ours.requests * ours.delay_s <= 0.4 * exponential.requests * exponential.delay_s


def test_delay_of_early_failures():
    """Early failures are seen within five seconds on average, because the model expects them."""
    lasting = durations(2000, early=0.05)
    assert cost(PollPolicy.adaptive(), lasting).early_delay_s <= 5
    assert cost(PollPolicy.adaptive(), lasting, prior=WITHOUT_EARLY_FAILURES).early_delay_s > 5
    assert EARLY_WEIGHT > 0


@pytest.mark.parametrize("duration", [2, 5])
def test_delay_of_short_clips(duration):
    """With nothing learned, a clip of 2 or 5 s is known within 3 s on average, for two more requests at most."""
    policy = PollPolicy.adaptive()
    runs = [cost(policy, [duration], jitter=random.Random(seed)) for seed in range(300)]
    before = DurationModel(early_weight=EARLY_WEIGHT)
    usual = [cost(policy, [duration], jitter=random.Random(seed), prior=before) for seed in range(300)]
    assert statistics.mean(run.delay_s for run in runs) <= 3
    assert statistics.mean(run.requests for run in runs) <= statistics.mean(run.requests for run in usual) + 2


@pytest.mark.parametrize("factor", [1 / 3, 3])
@pytest.mark.parametrize("gap_s", [0, 3], ids=["together", "apart"])
def test_watcher_with_wrong_prior(factor, gap_s):
    """From a prior that is wrong by a factor of three, the watcher's median is within a fifth after 120 generations."""
    prior = attrs.evolve(PRIOR, log_median=PRIOR.log_median + math.log(factor))
    watchers = []
    cost(PollPolicy.adaptive(), durations(120), gap_s=gap_s, prior=prior, watchers=watchers)
    model = watchers[0].learner.model("")
    assert math.exp(model.log_median) == pytest.approx(60, rel=0.2)


def test_looks_of_a_thousand():
    """Of a thousand single queries a quarter is sent in one second at most, of shared requests 25."""
    lasting = durations(COUNT)
    assert cost(PollPolicy.adaptive(), lasting).peak <= COUNT / 4
    assert cost(PollPolicy.adaptive(), lasting, batch_size=50).peak <= 25


def test_shared_requests():
    """Fifty that share requests are known sooner than fifty that do not, with a third of the requests."""
    alone = cost(PollPolicy.adaptive(), durations(50))
    together = cost(PollPolicy.adaptive(), durations(50), batch_size=50)
    assert together.requests < alone.requests / 3
    assert together.delay_s < alone.delay_s


def test_rows_of_shared_requests():
    """Of 400 that share requests, each costs less than one request and 30 rows, and is known within 1.5 s."""
    shared = cost(PollPolicy.adaptive(), durations(400), batch_size=50)
    assert shared.requests < 1
    assert shared.rows < 30
    assert shared.delay_s < 1.5


def test_two_groups_become_one():
    """Generations that began at different times end up in the same requests."""
    constant = [300.0] * 40
    together = cost(PollPolicy.fixed(10), constant, batch_size=50)
    apart = cost(PollPolicy.fixed(10), constant, batch_size=50, gap_s=0.2)
    assert apart.requests * 40 <= together.requests * 40 + 10
