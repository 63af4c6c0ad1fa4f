"""When to look: tables and properties of the schedule, without a loop."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import PollPolicy
from luma_async._poll.durations import PRIOR, DurationModel
from luma_async._poll.schedule import (
    JITTER,
    MAX_FIRST_LOOK_DELAY_S,
    MAX_INTERVAL_S,
    MIN_INTERVAL_S,
    Hints,
    before_deadline,
    first_delay,
    interval,
    next_delay,
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


def test_exponential_intervals_grow_by_their_factor_up_to_the_last():
    """Looking whenever the interval at the present age is over gives first, first·factor, first·factor², … last."""
    policy = PollPolicy.exponential(1, 10, 2)
    age, intervals = 0.0, []
    for _ in range(6):
        intervals.append(interval(policy, PRIOR, age, 1))
        age += intervals[-1]
    assert intervals == [1, 2, 4, 8, 10, 10]


def test_fixed_intervals_are_what_the_user_said():
    """Neither age nor company nor an estimate changes a fixed interval."""
    policy = PollPolicy.fixed(7)
    assert {interval(policy, PRIOR, age, weight) for age in (0, 50, 5000) for weight in (1, 50)} == {7}
    assert next_delay(policy, 7, 0.5, Hints(estimate_s=60)) == 7


def test_adaptive_intervals_follow_the_hazard():
    """Looks are dense where the end is likely, and rare before that and long after."""
    policy = PollPolicy.adaptive(0.5)
    model = attrs.evolve(PRIOR, early_weight=0.0)
    young, likely, old = (interval(policy, model, age, 1) for age in (1, 60, 3600))
    assert likely < young
    assert likely < old
    assert likely == pytest.approx(math.sqrt(2 * 0.5 / model.hazard(63)), rel=0.05)


def test_company_makes_looks_denser():
    """Fifty that share a request are looked at √50 times as often, within the floor."""
    policy = PollPolicy.adaptive(50)
    alone, together = interval(policy, PRIOR, 60, 1), interval(policy, PRIOR, 60, 50)
    assert together < alone / 4


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
def test_hints_are_honoured_within_bounds(hints, delay_s):
    """An estimate moves the next look, a named delay is obeyed, failures back off, a missing link is asked for soon."""
    assert next_delay(PollPolicy.exponential(10, 60, 1), 10, 0.5, hints) == delay_s


@given(POLICIES, MODELS, st.floats(0, DAY_S), st.integers(1, 50))
def test_an_interval_stays_between_its_floor_and_its_ceiling(policy, model, age, weight):
    """Whatever the model has learned, no look comes before the floor, and none is put off beyond the ceiling."""
    length = interval(policy, model, age, weight)
    if policy.kind == "adaptive":
        assert max(MIN_INTERVAL_S, age / 100) <= length + 1e-9 or length == MAX_INTERVAL_S
        assert length <= MAX_INTERVAL_S
    else:
        assert min(policy.first, policy.last) <= length <= policy.last


@given(POLICIES, st.floats(0.2, 300), JITTERS, st.builds(Hints, estimate_s=st.none() | st.floats(0, 1e6)))
def test_a_delay_is_never_shorter_than_the_floor(policy, length, jitter, hints):
    """Jitter takes its share and an estimate three quarters at the most."""
    delay = next_delay(policy, length, jitter, hints)
    floor = length * (1 - JITTER) / (4 if policy.kind != "fixed" and hints.estimate_s is not None else 1)
    assert delay >= floor - 1e-9


@given(st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 1e4))
def test_no_look_is_planned_after_the_deadline(now, delay, left):
    """A look falls on what the schedule says, or on a moment before the deadline."""
    deadline = now + left
    due = before_deadline(now + delay, now, deadline)
    assert due <= deadline
    assert due <= now + delay or due >= now
    assert before_deadline(now + delay, now, None) == now + delay


@given(MODELS, st.sampled_from([1, 7, 50]), st.floats(0.05, 5))
def test_the_number_of_looks_in_a_day_is_bounded(model, weight, worth):
    """Even one that never ends is looked at a few thousand times a day at most, however sure the model was."""
    policy, age, looks = PollPolicy.adaptive(worth), 0.0, 0
    while age < DAY_S and looks < 5000:
        age += interval(policy, model, age, weight) * (1 - JITTER)
        looks += 1
    assert looks < 2500


@given(st.integers(1, 5000), JITTERS, st.floats(1, 60))
def test_first_looks_at_what_was_bought_before_are_spread(number, jitter, length):
    """The more there are the wider they are spread, up to half a minute, and never beyond their interval."""
    assert 0 <= first_delay(length, jitter, number) <= min(length, number * 0.02, MAX_FIRST_LOOK_DELAY_S)


@given(st.floats(0, 1e6), st.floats(0.2, 300))
def test_a_slot_is_at_or_just_after_the_moment(due, length):
    """A slot never comes early, and is late by no more than 1/64 of the interval."""
    assert due - 1e-6 <= slot_of(due, length) <= due + length / 64 + 1e-6


@given(st.floats(0, 1e5), st.floats(1, 60), st.floats(1, 60))
def test_slots_of_different_intervals_coincide(due, one, other):
    """The slots of a long interval are among those of a short one."""
    short, long = sorted((one, other))
    moment = slot_of(due, long)
    assert slot_of(moment, short) == moment
