"""When to look at a pending generation: pure functions of its age, the law of its kind, the policy and the hints.

Looking costs a request; not looking costs knowing later. If one request is worth κ seconds of delay
(`PollPolicy.request_cost`) and h(t) is the hazard of finishing at age t, the cheapest looks are spaced so that
∫√(h/2κ) dt grows by one from each to the next: δ(t) = √(2κ/h(t)) (Keller 1974; within a per cent of the optimum).
So looks are rare where nothing is likely to happen and dense where it is.

A request that looks at m generations costs each of them κ/m, which is the same as m times the hazard: many that wait
together are looked at more often *and* with fewer requests each. A callback that is delivered with probability p
leaves (1-p) of the hazard to be found by looking. Both are the `weight` of the functions below.

Several callers that begin together must not come together: the first look falls on a random part of its interval,
and every later one is moved a little.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from luma_async._poll.durations import DurationModel
    from luma_async.values.settings import PollPolicy

SHORTEST_S = 1.0
"""No adaptive interval is shorter: a video that took a minute is not worth knowing a second earlier."""
SHORTEST_SHARE_OF_AGE = 0.01
"""Nor shorter than a hundredth of the age: an outlier that outlives its law is not chased for a day."""
LONGEST_S = 60.0
"""No adaptive interval is longer, whatever the law or the service says."""
JITTER = 0.15
"""How far a look is moved, as a share of its interval, to either side. With a tenth, a thousand that began together
still bunch up whenever the law is fitted again."""
HINT_STRETCH = 4.0
"""A service's estimate may shorten an interval to a quarter: one that always says "now" is not asked all the time."""

LONGEST_NAMED_S = 300.0
"""A service is left alone for no longer when it names a time: a slip of its operator must blind nobody for a day."""

SPREAD_S = 0.02
"""How far apart the first looks at what was bought earlier are, on average: fifty a second, whatever the number."""
LONGEST_SPREAD_S = 30.0
"""Nobody waits longer than that for the first look."""

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0
_LINK_DELAY_S = 2.0
_LAST_LOOK_S = 1.0
_SHORTEST_SLOTTED_S = 0.0625


@attrs.frozen(kw_only=True)
class Hints:
    """What the last look said about the next one."""

    estimate_s: float | None = None
    """Seconds that the service expects it to take from now."""
    retry_after_s: float | None = None
    """Seconds that the service wants to be left alone."""
    failures: int = 0
    """How many looks in a row have failed."""
    looks_without_link: bool = False
    """Whether it is completed, and only its link is missing."""


NO_HINTS = Hints()


def interval(policy: PollPolicy, law: DurationModel, age_s: float, weight: float, part: float = 1.0) -> float:
    """Return the seconds between a look at this age and the next, before jitter and hints.

    Args:
        policy: the shape of the schedule.
        law: how long generations of this kind take.
        age_s: seconds since the submit.
        weight: how many generations share the request, times the share of finishes that no callback tells.
        part: how much of the way to the next look; a random part of it is a random phase.
    """
    if policy.kind == "adaptive":
        step = part * math.sqrt(2 * policy.request_cost / weight)
        roots = law.roots
        free_s = roots.age_of(roots.at(age_s) + step) - age_s
        return min(max(free_s, SHORTEST_S * part, age_s * SHORTEST_SHARE_OF_AGE), LONGEST_S)
    # The n-th of the intervals first·factorⁿ begins at the age where first + age·(factor-1) is as long.
    return part * min(policy.first + age_s * (policy.factor - 1), policy.last)


def first_delay(interval_s: float, jitter: float, bought_before: int) -> float:
    """Return the seconds until the first look at what was bought in an earlier session or elsewhere.

    It may have finished long ago, so it is looked at soon, but not all of it at once.

    Args:
        interval_s: the interval that would pass otherwise.
        jitter: a random number from 0 to 1.
        bought_before: how many such wait for their first look.
    """
    return min(interval_s, bought_before * SPREAD_S, LONGEST_SPREAD_S) * jitter


def next_delay(policy: PollPolicy, interval_s: float, jitter: float, hints: Hints = NO_HINTS) -> float:
    """Return the seconds until the next look, with jitter and everything that the last one said.

    Args:
        policy: the shape of the schedule; a fixed interval is what its user said, and no estimate changes it.
        interval_s: what `interval()` says.
        jitter: a random number from 0 to 1.
        hints: what the last look said.
    """
    delay_s = min(interval_s, _LINK_DELAY_S) if hints.looks_without_link else interval_s
    if hints.estimate_s is not None and policy.kind != "fixed":
        delay_s = min(max(hints.estimate_s, delay_s / HINT_STRETCH), max(LONGEST_S, delay_s))
    if hints.failures:
        # 2**6 is beyond the longest already.
        delay_s = max(delay_s, min(_FIRST_BACKOFF_S * 2.0 ** min(hints.failures - 1, 6), _LONGEST_BACKOFF_S))
    delay_s *= 1 + JITTER * (2 * jitter - 1)
    return max(delay_s, min(hints.retry_after_s or 0.0, LONGEST_NAMED_S))


def before_deadline(due_at: float, now: float, deadline_at: float | None) -> float:
    """Move a look to just before the moment at which somebody stops waiting, so that they leave with fresh news."""
    if deadline_at is None or due_at <= deadline_at - _LAST_LOOK_S:
        return due_at
    last_at = deadline_at - _LAST_LOOK_S
    return last_at if last_at >= now + SHORTEST_S else min(due_at, deadline_at)


@lru_cache(maxsize=16)  # what was looked at together nearly always asks for the same one
def slot_of(due_at: float, interval_s: float) -> float:
    """Return the shared moment at or after `due_at`: looks with like intervals fall on few distinct moments.

    Their distance is a power of two, at most 1/64 of the interval, so those of different intervals coincide.
    """
    _, exponent = math.frexp(max(interval_s, _SHORTEST_SLOTTED_S))
    width = math.ldexp(1.0, exponent - 7)
    return math.ceil(due_at / width) * width
