"""How long generations take: a model for each kind of generation, learned from those that have finished.

A duration is log-normal, mixed with a small share of generations that fail early (moderation, unfittedable frames).
What is seen of a finish is only an interval: not final at one look, final at the next. Learning is expectation
maximisation over those intervals, with a prior that counts as a few finishes and fades as real finishes come.

What the schedule needs of a model is only R(t) = ∫₀ᵗ √h, with h the hazard: the chance of finishing in the next
moment, given that it has not finished yet. It is tabulated once for each model.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EARLY_MEAN_S = 8.0
"""The mean age of an early finish, seconds. Early failures come after 4 s on average, short clips after 2 to 10 s."""
EARLY_WEIGHT = 0.08
"""The share that is expected to fail early: more than the one in twenty that does. A failure that the first looks miss
is seen only when successes are due; with 8 % it is seen within five seconds on average, for 3 % more requests."""
UNKNOWN_EARLY_WEIGHT = 0.25
"""The share that is expected to finish early while nothing is known of a kind: some models make a clip in seconds. With
it, clips that take 2 or 5 s are known within three seconds on average. It fades to `EARLY_WEIGHT` as finishes come."""

PRIOR_WEIGHT = 6.0
"""How many finishes the prior counts as: a dozen real finishes outweigh it, two unusual ones do not."""
MAX_REMEMBERED = 2000
"""Finishes to learn from; beyond that the older half fades, because services change."""
MAX_SAMPLED = 200
"""Running generations that a fit uses; of more of them it uses a sample."""

_FIRST_AGE_S = 0.05
_LAST_AGE_S = 172_800.0
_AGE_STEP = 1.05
_CLASS_WIDTH = 0.1
"""Ages are classified by a tenth of their logarithm: finer than any model can be known."""
_MIN_SPREAD = 0.1
"""Even a service that always takes as long varies by a tenth."""
_ROUNDS = 4
"""Rounds of expectation maximisation from the model before: more change less than a few finishes do."""
_SQRT2 = math.sqrt(2)
_SQRT2PI = math.sqrt(2 * math.pi)
_LOG_FIRST_AGE = math.log(_FIRST_AGE_S)
_MIN_ALIVE = 1e-250
_MIN_MASS = 1e-12


@attrs.frozen(kw_only=True)
class DurationModel:
    """How long one kind of generation takes."""

    log_median: float = math.log(60.0)
    """Natural logarithm of the median, seconds. A video takes about a minute."""
    spread: float = math.log(3.0) / 1.645
    """Standard deviation of the logarithm: one in twenty takes more than three times the median."""
    early_weight: float = UNKNOWN_EARLY_WEIGHT
    """The share that finishes early."""

    @cached_property
    def hazard_table(self) -> HazardTable:
        """The table of R(t)."""
        return HazardTable.of(self)

    def hazard(self, age_s: float) -> float:
        """Return the chance per second of finishing at this age, given that it has not finished before."""
        z = (math.log(age_s) - self.log_median) / self.spread
        late = 1 - self.early_weight
        alive = late * 0.5 * math.erfc(z / _SQRT2) + self.early_weight * math.exp(-age_s / EARLY_MEAN_S)
        if alive < _MIN_ALIVE:
            # The tail of the log-normal, where both parts of the quotient are too small for a float.
            return z / (self.spread * age_s)
        ending = late * math.exp(-z * z / 2) / (_SQRT2PI * self.spread * age_s)
        return (ending + self.early_weight * math.exp(-age_s / EARLY_MEAN_S) / EARLY_MEAN_S) / alive

    def to_hint(self) -> dict[str, float]:
        """Return the numbers that a later session starts with."""
        return attrs.asdict(self)

    @classmethod
    def from_hint(cls, hint: Mapping[str, float]) -> DurationModel | None:
        """Return the model of a hint; None if a number is missing or out of bounds."""
        usable = hint.keys() == _HINT_BOUNDS.keys() and all(
            low <= hint[name] <= high for name, (low, high) in _HINT_BOUNDS.items()
        )
        return cls(**hint) if usable else None


_HINT_BOUNDS = {
    "log_median": (math.log(0.5), math.log(86_400.0)),
    "spread": (_MIN_SPREAD, 3.0),
    "early_weight": (0.0, UNKNOWN_EARLY_WEIGHT),
}
"""The least and the greatest number of each name in a hint."""

PRIOR = DurationModel()
"""The model of a kind of generation that this session has not seen finish."""


@attrs.frozen
class HazardTable:
    """R(t) = ∫₀ᵗ √h of a model, as a table to read in both directions."""

    ages_s: tuple[float, ...]
    """Ages, seconds, rising."""
    sums: tuple[float, ...]
    """R at each of them, rising."""

    @classmethod
    def of(cls, model: DurationModel) -> HazardTable:
        """Tabulate a model."""
        count = math.ceil(math.log(_LAST_AGE_S / _FIRST_AGE_S) / math.log(_AGE_STEP)) + 1
        ages = [_FIRST_AGE_S * _AGE_STEP**number for number in range(count)]
        roots = [math.sqrt(model.hazard(age)) for age in ages]
        total = ages[0] * roots[0]
        ages_s, sums = [0.0, ages[0]], [0.0, total]
        for before, after in zip(range(count), range(1, count), strict=False):
            total += (ages[after] - ages[before]) * (roots[before] + roots[after]) / 2
            ages_s.append(ages[after])
            sums.append(total)
        return cls(tuple(ages_s), tuple(sums))

    def integral_at(self, age_s: float) -> float:
        """Return R at an age."""
        return _read(self.ages_s, self.sums, age_s)

    def age_at(self, total: float) -> float:
        """Return the age at which R reaches `total`."""
        return _read(self.sums, self.ages_s, total)


def _read(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """Interpolate between the rows of a table; beyond its end, extrapolate from the last two."""
    row = min(bisect_right(xs, x), len(xs) - 1)
    rise = (ys[row] - ys[row - 1]) / max(xs[row] - xs[row - 1], 1e-12)
    return ys[row - 1] + (x - xs[row - 1]) * rise


@attrs.frozen(kw_only=True)
class Observed:
    """A finish, as far as looks have shown it."""

    after_s: float
    """The age at which it was last seen unfinished; 0 if it never was."""
    until_s: float
    """The age at which it was first seen finished; infinite if it still runs."""


@attrs.frozen(kw_only=True)
class FittedModel:
    """A model, and the finishes that it was learned from."""

    prior: DurationModel = PRIOR
    """The model before any finish."""
    model: DurationModel = PRIOR
    """The model now."""
    counts: Mapping[tuple[int, int], float] = attrs.field(factory=dict[tuple[int, int], float])
    """How many finishes fell between which two classes of ages, of those that the model includes."""
    unfitted: tuple[Observed, ...] = ()
    """Finishes that the model does not include yet."""
    total: int = 0
    """How many finishes there were in all."""

    @classmethod
    def from_prior(cls, prior: DurationModel) -> FittedModel:
        """Start with a prior."""
        return cls(prior=prior, model=prior)

    @property
    def stale(self) -> bool:
        """Whether the model is worth fitting again: a fifth of the finishes is new."""
        return len(self.unfitted) * 5 >= min(self.total, MAX_REMEMBERED)

    def after(self, finish: Observed) -> FittedModel:
        """Add a finish."""
        return attrs.evolve(self, unfitted=(*self.unfitted, finish), total=self.total + 1)

    def fitted(self, running_s: Iterable[float]) -> FittedModel:
        """Fit the model to all that is known.

        Args:
            running_s: the ages of the generations that still run. Without them the first finishes of many that
                started together would be taken for all, and the model would be far too short.
        """
        running_s = list(running_s)
        counts: dict[tuple[int, int], float] = dict(self.counts)
        for finish in self.unfitted:
            counts[_class_of(finish)] = counts.get(_class_of(finish), 0.0) + 1
        known = sum(counts.values())
        if known > MAX_REMEMBERED:
            counts = {ages: number / 2 for ages, number in counts.items()}
            known /= 2
        weights = dict(counts)
        for age_s in running_s[:: max(1, len(running_s) // MAX_SAMPLED)]:
            ages = _class_of(Observed(after_s=age_s, until_s=math.inf))
            share = known / self.total * max(1.0, len(running_s) / MAX_SAMPLED)
            weights[ages] = weights.get(ages, 0.0) + share
        model = attrs.evolve(self.model, early_weight=self._early_weight())
        return attrs.evolve(self, counts=counts, unfitted=(), model=fit(self.prior, model, weights))

    def _early_weight(self) -> float:
        """Return the share that is expected to finish early: that of the prior at first, then what is usual."""
        first = self.prior.early_weight
        usual = min(first, EARLY_WEIGHT)
        return usual + (first - usual) * PRIOR_WEIGHT / (PRIOR_WEIGHT + self.total)


_OPEN = 1 << 20
"""The class of an age that is still unknown."""


def _class_of(finish: Observed) -> tuple[int, int]:
    return _age_class(finish.after_s), _OPEN if math.isinf(finish.until_s) else _age_class(finish.until_s) + 1


def _age_class(age_s: float) -> int:
    return max(0, math.floor(math.log(max(age_s, _FIRST_AGE_S) / _FIRST_AGE_S) / _CLASS_WIDTH))


def _log_age(number: int) -> float:
    return _LOG_FIRST_AGE + number * _CLASS_WIDTH


def fit(prior: DurationModel, model: DurationModel, weights: Mapping[tuple[int, int], float]) -> DurationModel:
    """Fit a log-normal to interval-censored finishes, starting from `model`.

    Each round distributes every finish over its interval as the model before says, except for the share that is
    more likely an early failure, and takes the mean and the spread of all of them together with the prior.
    """
    for _ in range(_ROUNDS):
        weight = PRIOR_WEIGHT
        first = PRIOR_WEIGHT * prior.log_median
        second = PRIOR_WEIGHT * (prior.log_median**2 + prior.spread**2)
        for (low, high), number in weights.items():
            share, mean, square = _expected(model, low, high)
            share *= number
            weight += share
            first += share * mean
            second += share * square
        middle = first / weight
        spread = math.sqrt(max(second / weight - middle**2, _MIN_SPREAD**2))
        model = attrs.evolve(model, log_median=middle, spread=spread)
    return model


def _expected(model: DurationModel, low: int, high: int) -> tuple[float, float, float]:
    """Return the share of a finish that is no early failure, and the mean and mean square of its logarithm."""
    a = (_log_age(low) - model.log_median) / model.spread if low else -math.inf
    b = (_log_age(high) - model.log_median) / model.spread if high != _OPEN else math.inf
    mass = 0.5 * (math.erfc(a / _SQRT2) - math.erfc(b / _SQRT2))
    early = model.early_weight * (_early_after(low) - _early_after(high))
    if mass < _MIN_MASS:
        # Too unlikely for this model to say where in the interval: take the nearer end, unless it is an early failure.
        nearer = _log_age(low if a > 0 else high)
        return (0.0 if early > mass else 1.0), nearer, nearer * nearer
    pa, pb = _bell(a), _bell(b)
    tilt = (pa - pb) / mass
    bend = ((a * pa if low else 0.0) - (b * pb if high != _OPEN else 0.0)) / mass
    mean = model.log_median + model.spread * tilt
    square = model.log_median**2 + 2 * model.log_median * model.spread * tilt + model.spread**2 * (1 + bend)
    whole = (1 - model.early_weight) * mass
    return whole / (whole + early), mean, square


def _early_after(number: int) -> float:
    """Return the share of early failures that come after a class of ages."""
    if number == _OPEN:
        return 0.0
    return math.exp(-math.exp(_log_age(number)) / EARLY_MEAN_S) if number else 1.0


def _bell(z: float) -> float:
    return 0.0 if math.isinf(z) else math.exp(-z * z / 2) / _SQRT2PI


class DurationLearner:
    """The models of a session, by the kind of generation.

    Args:
        prior: the model of a kind before any generation of it has finished.

    A model that an earlier session has learned takes the place of the prior. So it counts as a few finishes only, and
    a service that has changed is learned again soon.
    """

    def __init__(self, prior: DurationModel) -> None:
        self._prior = prior
        self._earlier: dict[str, DurationModel] = {}
        self._fitted: dict[str, FittedModel] = {}

    def use_earlier(self, kind: str, model: DurationModel) -> None:
        """Start with what an earlier session has learned of a kind."""
        self._earlier[kind] = model

    def learned(self) -> dict[str, DurationModel]:
        """Return the models of the kinds that this session has seen finish."""
        return {kind: fitted.model for kind, fitted in self._fitted.items()}

    def model(self, kind: str) -> DurationModel:
        """Return how long generations of one kind take."""
        fitted = self._fitted.get(kind)
        return fitted.model if fitted is not None else self._first(kind)

    def add(self, kind: str, finish: Observed, running_s: Iterable[float]) -> None:
        """Learn from a finish.

        Args:
            kind: the kind of generation.
            finish: when it finished.
            running_s: the ages of the generations of this kind that still run; read only when the model is fitted.
        """
        fitted = (self._fitted.get(kind) or FittedModel.from_prior(self._first(kind))).after(finish)
        self._fitted[kind] = fitted.fitted(running_s) if fitted.stale else fitted

    def _first(self, kind: str) -> DurationModel:
        return self._earlier.get(kind, self._prior)
