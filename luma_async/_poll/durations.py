"""How long generations take: a law per kind of generation, learned from the ones that have finished.

A duration is log-normal, mixed with a small part of generations that fail early (moderation, unreadable frames). What
is ever seen of a finish is an interval: not final at one look, final at the next. Learning is expectation
maximisation over those intervals, with a prior that counts as a few finishes and fades as real ones come.

What the schedule needs of a law is only R(t) = ∫₀ᵗ √h, with h the hazard: the chance of finishing in the next moment,
given that it has not finished yet. It is tabulated once per law.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

EARLY_MEAN_S = 4.0
"""How soon early failures come, on average: seconds."""
EARLY_WEIGHT = 0.08
"""How many generations fail early. Rather more than the one in twenty that do: a failure that the first looks miss is
seen only when successes are due, and with 8 % it is seen within five seconds on average, for 3 % more requests."""

PRIOR_WEIGHT = 6.0
"""Finishes that the prior counts for: a dozen real ones outweigh it, two unlucky ones do not."""
MAX_REMEMBERED = 2000
"""Finishes learned from; beyond that the older half fades, since models change."""
MAX_SAMPLED = 200
"""Running generations that a fit looks at; more of them are taken by sample."""

_FIRST_AGE_S = 0.05
_LAST_AGE_S = 172_800.0
_AGE_STEP = 1.05
_CLASS_WIDTH = 0.1
"""Ages are told apart by a tenth of their logarithm: finer than any law can be known."""
_SMALLEST_SPREAD = 0.1
"""Services that take just as long each time still differ by a tenth."""
_ROUNDS = 4
"""Rounds of expectation maximisation from the law before: the rest is below the noise of a few finishes."""
_SQRT2 = math.sqrt(2)
_SQRT2PI = math.sqrt(2 * math.pi)
_LOG_FIRST_AGE = math.log(_FIRST_AGE_S)
_NOTHING = 1e-250
_HARDLY = 1e-12


@attrs.frozen(kw_only=True)
class DurationModel:
    """The law of one kind of generation's duration."""

    log_median: float = math.log(60.0)
    """Natural logarithm of the median, seconds. A minute is what videos take."""
    spread: float = math.log(3.0) / 1.645
    """Standard deviation of the logarithm: one in twenty takes three times the median."""
    early_weight: float = EARLY_WEIGHT
    """The share that fails early."""

    @cached_property
    def roots(self) -> HazardTable:
        """The table of R(t)."""
        return HazardTable.of(self)

    def hazard(self, age_s: float) -> float:
        """Return the chance per second of finishing at this age, given that it has not finished before."""
        z = (math.log(age_s) - self.log_median) / self.spread
        late = 1 - self.early_weight
        alive = late * 0.5 * math.erfc(z / _SQRT2) + self.early_weight * math.exp(-age_s / EARLY_MEAN_S)
        if alive < _NOTHING:
            # The tail of the log-normal, where both of its parts are too small for a float.
            return z / (self.spread * age_s)
        ending = late * math.exp(-z * z / 2) / (_SQRT2PI * self.spread * age_s)
        return (ending + self.early_weight * math.exp(-age_s / EARLY_MEAN_S) / EARLY_MEAN_S) / alive


PRIOR = DurationModel()
"""What is believed of a kind of generation that nobody has seen finish."""


@attrs.frozen
class HazardTable:
    """R(t) = ∫₀ᵗ √h of a law, as a table to read in both directions."""

    ages_s: tuple[float, ...]
    """Ages, seconds, rising."""
    sums: tuple[float, ...]
    """R at each of them, rising."""

    @classmethod
    def of(cls, law: DurationModel) -> HazardTable:
        """Tabulate a law."""
        count = math.ceil(math.log(_LAST_AGE_S / _FIRST_AGE_S) / math.log(_AGE_STEP)) + 1
        ages = [_FIRST_AGE_S * _AGE_STEP**number for number in range(count)]
        roots = [math.sqrt(law.hazard(age)) for age in ages]
        total = ages[0] * roots[0]
        ages_s, sums = [0.0, ages[0]], [0.0, total]
        for before, after in zip(range(count), range(1, count), strict=False):
            total += (ages[after] - ages[before]) * (roots[before] + roots[after]) / 2
            ages_s.append(ages[after])
            sums.append(total)
        return cls(tuple(ages_s), tuple(sums))

    def at(self, age_s: float) -> float:
        """Return R at an age."""
        return _read(self.ages_s, self.sums, age_s)

    def age_of(self, total: float) -> float:
        """Return the age at which R reaches `total`."""
        return _read(self.sums, self.ages_s, total)


def _read(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """Read a table between its rows; beyond its end it goes on as its last two rows do."""
    row = min(bisect_right(xs, x), len(xs) - 1)
    rise = (ys[row] - ys[row - 1]) / max(xs[row] - xs[row - 1], 1e-12)
    return ys[row - 1] + (x - xs[row - 1]) * rise


@attrs.frozen(kw_only=True)
class Observed:
    """One finish, as far as it was seen."""

    after_s: float
    """The age at which it was last seen unfinished; 0 when it never was."""
    until_s: float
    """The age at which it was first seen finished; infinite for one that still runs."""


@attrs.frozen(kw_only=True)
class FittedModel:
    """A law, and the finishes that it was learned from."""

    prior: DurationModel = PRIOR
    """What was believed before any finish."""
    law: DurationModel = PRIOR
    """What is believed now."""
    counts: Mapping[tuple[int, int], float] = attrs.field(factory=dict[tuple[int, int], float])
    """How many finishes fell between which two classes of ages; the law knows them."""
    unread: tuple[Observed, ...] = ()
    """Those that the law does not know yet."""
    total: int = 0
    """How many there were, ever."""

    @classmethod
    def nothing(cls, prior: DurationModel) -> FittedModel:
        """Begin with a prior."""
        return cls(prior=prior, law=prior)

    @property
    def stale(self) -> bool:
        """Whether the law is worth fitting again: it knows a fifth less than there is."""
        return len(self.unread) * 5 >= min(self.total, MAX_REMEMBERED)

    def after(self, finish: Observed) -> FittedModel:
        """Take a finish in."""
        return attrs.evolve(self, unread=(*self.unread, finish), total=self.total + 1)

    def fitted(self, running_s: Sequence[float]) -> FittedModel:
        """Fit the law to all that is known.

        Args:
            running_s: the ages of those that still run. Without them the first finishes of many that began together
                would look like the whole, and the law would be far too short.
        """
        counts: dict[tuple[int, int], float] = dict(self.counts)
        for finish in self.unread:
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
        return attrs.evolve(self, counts=counts, unread=(), law=fit(self.prior, self.law, weights))


_OPEN = 1 << 20
"""The class of an age that is not known yet."""


def _class_of(finish: Observed) -> tuple[int, int]:
    return _age_class(finish.after_s), _OPEN if math.isinf(finish.until_s) else _age_class(finish.until_s) + 1


def _age_class(age_s: float) -> int:
    return max(0, math.floor(math.log(max(age_s, _FIRST_AGE_S) / _FIRST_AGE_S) / _CLASS_WIDTH))


def _log_age(number: int) -> float:
    return _LOG_FIRST_AGE + number * _CLASS_WIDTH


def fit(prior: DurationModel, law: DurationModel, weights: Mapping[tuple[int, int], float]) -> DurationModel:
    """Fit a log-normal to interval-censored finishes, beginning from `law`.

    Each round spreads every finish over its interval as the law before says, leaves to the early failures what is
    more likely theirs, and takes the mean and the spread of the whole together with the prior.
    """
    for _ in range(_ROUNDS):
        weight = PRIOR_WEIGHT
        first = PRIOR_WEIGHT * prior.log_median
        second = PRIOR_WEIGHT * (prior.log_median**2 + prior.spread**2)
        for (low, high), number in weights.items():
            share, mean, square = _expected(law, low, high)
            share *= number
            weight += share
            first += share * mean
            second += share * square
        middle = first / weight
        spread = math.sqrt(max(second / weight - middle**2, _SMALLEST_SPREAD**2))
        law = attrs.evolve(law, log_median=middle, spread=spread)
    return law


def _expected(law: DurationModel, low: int, high: int) -> tuple[float, float, float]:
    """Return how far a finish is the log-normal's, and the mean and mean square of its logarithm if so."""
    a = (_log_age(low) - law.log_median) / law.spread if low else -math.inf
    b = (_log_age(high) - law.log_median) / law.spread if high != _OPEN else math.inf
    mass = 0.5 * (math.erfc(a / _SQRT2) - math.erfc(b / _SQRT2))
    early = law.early_weight * (_early_after(low) - _early_after(high))
    if mass < _HARDLY:
        # Too unlikely for this law to say where in the interval: its nearer end, unless it was an early failure.
        nearer = _log_age(low if a > 0 else high)
        return (0.0 if early > mass else 1.0), nearer, nearer * nearer
    pa, pb = _bell(a), _bell(b)
    tilt = (pa - pb) / mass
    bend = ((a * pa if low else 0.0) - (b * pb if high != _OPEN else 0.0)) / mass
    mean = law.log_median + law.spread * tilt
    square = law.log_median**2 + 2 * law.log_median * law.spread * tilt + law.spread**2 * (1 + bend)
    whole = (1 - law.early_weight) * mass
    return whole / (whole + early), mean, square


def _early_after(number: int) -> float:
    """Return the share of early failures that come after an age."""
    if number == _OPEN:
        return 0.0
    return math.exp(-math.exp(_log_age(number)) / EARLY_MEAN_S) if number else 1.0


def _bell(z: float) -> float:
    return 0.0 if math.isinf(z) else math.exp(-z * z / 2) / _SQRT2PI
