"""How durations are learned: from intervals, with a prior, and with those that still run."""

from __future__ import annotations

import math
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._poll.durations import (
    MAX_REMEMBERED,
    MAX_SAMPLED,
    PRIOR,
    DurationModel,
    FittedModel,
    HazardTable,
    Observed,
)


def seen(duration, every_s):
    """What a look every so many seconds sees of a finish."""
    after = math.floor(duration / every_s) * every_s
    return Observed(after_s=after, until_s=after + every_s)


def learn(learned, finishes):
    for finish in finishes:
        learned = learned.after(finish)
        if learned.stale:
            learned = learned.fitted([])
    return learned


@pytest.mark.parametrize("factor", [1 / 3, 3])
@pytest.mark.parametrize("every_s", [1, 5, 20])
def test_a_wrong_prior_is_outgrown_in_120_finishes(factor, every_s):
    """From a prior three times off in either direction, the median is within a fifth after 120 finishes."""
    jitter = random.Random(5)
    prior = attrs.evolve(PRIOR, log_median=PRIOR.log_median + math.log(factor))
    finishes = [seen(jitter.lognormvariate(PRIOR.log_median, PRIOR.spread), every_s) for _ in range(120)]
    model = learn(FittedModel.from_prior(prior), finishes).model
    assert math.exp(model.log_median) == pytest.approx(60, rel=0.2)
    assert model.spread == pytest.approx(PRIOR.spread, rel=0.2)


def test_without_those_that_still_run_the_first_finishes_would_deceive():
    """Of a thousand that began together the first fifty are short; counting the rest keeps the law near the truth."""
    jitter = random.Random(5)
    ends = sorted(jitter.lognormvariate(PRIOR.log_median, PRIOR.spread) for _ in range(1000))
    now = ends[49]
    learned = FittedModel.from_prior(PRIOR)
    for end in ends[:50]:
        learned = learned.after(seen(end, 1))
    deceived = learned.fitted([]).model
    told = learned.fitted([now] * 950).model
    assert math.exp(deceived.log_median) < 30
    assert 45 < math.exp(told.log_median) < 80


def test_early_failures_do_not_shorten_the_law():
    """A tenth that fails within seconds is taken for what it is."""
    jitter = random.Random(5)
    finishes = [
        seen(
            jitter.expovariate(1 / 4)
            if jitter.random() < 0.1
            else jitter.lognormvariate(PRIOR.log_median, PRIOR.spread),
            1,
        )
        for _ in range(300)
    ]
    assert math.exp(learn(FittedModel.from_prior(PRIOR), finishes).model.log_median) == pytest.approx(60, rel=0.2)


def test_fitting_grows_rare_as_finishes_grow_many():
    """The law is fitted again when it knows a fifth less than there is: some forty times for 2,000 finishes."""
    learned, fits = FittedModel.from_prior(PRIOR), 0
    for _ in range(2000):
        learned = learned.after(Observed(after_s=50, until_s=51))
        if learned.stale:
            learned, fits = learned.fitted([]), fits + 1
    assert 20 < fits < 60


def test_old_finishes_fade():
    """When a service becomes three times faster, the law follows, however many finishes came before."""
    jitter = random.Random(5)
    slow = [seen(jitter.lognormvariate(math.log(90), 0.3), 1) for _ in range(MAX_REMEMBERED)]
    fast = [seen(jitter.lognormvariate(math.log(30), 0.3), 1) for _ in range(2 * MAX_REMEMBERED)]
    model = learn(learn(FittedModel.from_prior(PRIOR), slow), fast).model
    assert math.exp(model.log_median) < 45


def test_many_running_are_taken_by_sample():
    """Ten thousand that still run weigh what they weigh, at the price of a sample."""
    learned = learn(FittedModel.from_prior(PRIOR), [seen(60, 1)] * 100)
    few, many = learned.fitted([200.0] * MAX_SAMPLED), learned.fitted([200.0] * (50 * MAX_SAMPLED))
    assert few.model.log_median < many.model.log_median


@given(
    st.floats(math.log(0.5), math.log(7200)),
    st.floats(0.1, 2),
    st.floats(0, 0.3),
    st.floats(0.01, 200_000),
)
def test_a_hazard_is_finite_and_not_negative(log_median, spread, early_weight, age):
    """Far out in a tail, where floats run out, too."""
    hazard = DurationModel(log_median=log_median, spread=spread, early_weight=early_weight).hazard(age)
    assert math.isfinite(hazard)
    assert hazard >= 0


@given(st.floats(0, 100_000), st.floats(math.log(2), math.log(600)))
def test_the_table_reads_both_ways(age, log_median):
    """R and its inverse belong together."""
    table = HazardTable.of(DurationModel(log_median=log_median))
    assert table.age_at(table.integral_at(age)) == pytest.approx(age, rel=0.01, abs=0.05)


def test_the_table_is_the_integral():
    """R(t) is ∫√h, here against a plain sum."""
    total, step = 0.0, 0.01
    for number in range(12_000):
        total += math.sqrt(PRIOR.hazard((number + 0.5) * step)) * step
    assert PRIOR.hazard_table.integral_at(120) == pytest.approx(total, rel=0.01)


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=40),
    st.lists(st.floats(0, 1e5), max_size=20),
)
def test_any_finishes_give_a_usable_law(intervals, running):
    """Whatever is seen, the median and the spread stay finite."""
    learned = FittedModel.from_prior(PRIOR)
    for one, other in intervals:
        learned = learned.after(Observed(after_s=min(one, other), until_s=max(one, other)))
    model = learned.fitted(running).model
    assert math.isfinite(model.log_median)
    assert 0.09 < model.spread < 20
