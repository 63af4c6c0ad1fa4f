"""How durations are learned: from intervals, with a prior, and with the generations that still run."""

from __future__ import annotations

import math
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._poll.durations import (
    EARLY_WEIGHT,
    MAX_REMEMBERED,
    MAX_SAMPLED,
    PRIOR,
    DurationModel,
    FittedModel,
    HazardTable,
    Observed,
)


def seen(duration, every_s):
    """What looks at a fixed interval show of a finish."""
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
def test_wrong_prior(factor, every_s):
    """From a prior that is wrong by a factor of three, the median is within a fifth after 120 finishes."""
    jitter = random.Random(5)
    prior = attrs.evolve(PRIOR, log_median=PRIOR.log_median + math.log(factor))
    finishes = [seen(jitter.lognormvariate(PRIOR.log_median, PRIOR.spread), every_s) for _ in range(120)]
    model = learn(FittedModel.from_prior(prior), finishes).model
    assert math.exp(model.log_median) == pytest.approx(60, rel=0.2)
    assert model.spread == pytest.approx(PRIOR.spread, rel=0.2)


def test_running_ones_count():
    """The first fifty finishes of a thousand are short; the ages of the others keep the model near the truth."""
    jitter = random.Random(5)
    ends = sorted(jitter.lognormvariate(PRIOR.log_median, PRIOR.spread) for _ in range(1000))
    now = ends[49]
    learned = FittedModel.from_prior(PRIOR)
    for end in ends[:50]:
        learned = learned.after(seen(end, 1))
    without_running = learned.fitted([]).model
    with_running = learned.fitted([now] * 950).model
    assert math.exp(without_running.log_median) < 30
    assert 45 < math.exp(with_running.log_median) < 80


def test_early_failures():
    """A tenth that fails within seconds does not shorten the model."""
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


def test_early_share_fades():
    """The share that is expected to finish early falls to the usual one as finishes come, and never below a prior's."""
    model = learn(FittedModel.from_prior(PRIOR), [seen(60, 1)] * 300).model
    assert EARLY_WEIGHT < model.early_weight < EARLY_WEIGHT + 0.01
    none = attrs.evolve(PRIOR, early_weight=0.0)
    assert learn(FittedModel.from_prior(none), [seen(60, 1)] * 300).model.early_weight == 0


def test_number_of_fits():
    """The model is fitted again when a fifth of the finishes is new: about forty times for 2,000 finishes."""
    learned, fits = FittedModel.from_prior(PRIOR), 0
    for _ in range(2000):
        learned = learned.after(Observed(after_s=50, until_s=51))
        if learned.stale:
            learned, fits = learned.fitted([]), fits + 1
    assert 20 < fits < 60


def test_old_finishes_fade():
    """When a service becomes three times faster, the model follows, however many finishes came before."""
    jitter = random.Random(5)
    slow = [seen(jitter.lognormvariate(math.log(90), 0.3), 1) for _ in range(MAX_REMEMBERED)]
    fast = [seen(jitter.lognormvariate(math.log(30), 0.3), 1) for _ in range(2 * MAX_REMEMBERED)]
    model = learn(learn(FittedModel.from_prior(PRIOR), slow), fast).model
    assert math.exp(model.log_median) < 45


def test_many_running_ones_are_sampled():
    """Of very many running generations a sample is used, which counts as much as all of them."""
    learned = learn(FittedModel.from_prior(PRIOR), [seen(60, 1)] * 100)
    few, many = learned.fitted([200.0] * MAX_SAMPLED), learned.fitted([200.0] * (50 * MAX_SAMPLED))
    assert few.model.log_median < many.model.log_median


@given(
    st.floats(math.log(0.5), math.log(7200)),
    st.floats(0.1, 2),
    st.floats(0, 0.3),
    st.floats(0.01, 200_000),
)
def test_hazard_is_finite(log_median, spread, early_weight, age):
    """A hazard is finite and not negative, even where floats underflow."""
    hazard = DurationModel(log_median=log_median, spread=spread, early_weight=early_weight).hazard(age)
    assert math.isfinite(hazard)
    assert hazard >= 0


@given(st.floats(0, 100_000), st.floats(math.log(2), math.log(600)))
def test_hazard_table_inverse(age, log_median):
    """`age_at()` is the inverse of `integral_at()`."""
    table = HazardTable.of(DurationModel(log_median=log_median))
    assert table.age_at(table.integral_at(age)) == pytest.approx(age, rel=0.01, abs=0.05)


def test_hazard_table_integral():
    """The table holds ∫√h, compared with a plain sum."""
    total, step = 0.0, 0.01
    for number in range(12_000):
        total += math.sqrt(PRIOR.hazard((number + 0.5) * step)) * step
    assert PRIOR.hazard_table.integral_at(120) == pytest.approx(total, rel=0.01)


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=40),
    st.lists(st.floats(0, 1e5), max_size=20),
)
def test_any_finishes_are_usable(intervals, running):
    """Whatever is seen, the median and the spread stay finite."""
    learned = FittedModel.from_prior(PRIOR)
    for one, other in intervals:
        learned = learned.after(Observed(after_s=min(one, other), until_s=max(one, other)))
    model = learned.fitted(running).model
    assert math.isfinite(model.log_median)
    assert 0.09 < model.spread < 20
