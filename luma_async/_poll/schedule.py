"""When to look at a running generation: pure functions of its age, the duration model, the policy and the hints.

A look costs a request, and waiting for the next look costs time. If one request is worth κ seconds of delay
(`PollPolicy.request_cost`) and h(t) is the hazard of finishing at age t, the cheapest looks are spaced so that
∫√(h/2κ) dt grows by one from each look to the next: δ(t) = √(2κ/h(t)) (Keller 1974; within a per cent of the optimum).
So looks are rare where a finish is unlikely, and frequent where it is likely.

A request for n generations costs more than one for a single generation, because each row has to be made, sent and
read: κ(1 + r(n-1)), with r = `ROW_COST`. Each generation pays its share of that, κ((1-r)/n + r). So many that wait
together are looked at more often *and* with fewer requests each, but not as if their rows were free. A callback that
is delivered with probability p would leave (1-p) of the hazard to be found by looking.

Several callers that start together must not send their requests together: the first look falls on a random part of
its interval, and every later one is moved a little.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from luma_async._poll.durations import DurationModel
    from luma_async.values.settings import PollPolicy

ROW_COST = 0.2
"""What each further row of a request costs, compared with the request. Measured, a request costs the client 0.3-0.4 ms
of CPU time and a row 0.1-0.2 ms; at a relay a row is a query of its database and a kilobyte. With a fifth, 400 videos
are known 1.4 s late on average, with 28 rows each. If rows were free, it would be 0.5 s and 70 rows."""
MIN_INTERVAL_S = 1.0
"""No adaptive interval is shorter: to know of a video that took a minute a second earlier is not worth a request."""
MIN_SHARE_OF_AGE = 0.01
"""No adaptive interval is shorter than a hundredth of the age, so an outlier is not polled densely for a day."""
MAX_INTERVAL_S = 60.0
"""No adaptive interval is longer, whatever the model or the service says."""
JITTER = 0.15
"""How far a look is moved, as a share of its interval, to either side. With a tenth, a thousand that started together
still bunch up whenever the model is fitted again."""
MAX_SHORTENING = 4.0
"""A service's estimate may shorten an interval to a quarter: if it always says "now", polling stays bounded."""
MAX_RETRY_AFTER_S = 300.0
"""A `Retry-After` is obeyed up to five minutes: a mistake of the operator must not stop polling for a day."""
FIRST_LOOK_SPACING_S = 0.02
"""Each earlier purchase lengthens the time over which their first looks are spread by this much."""
MAX_FIRST_LOOK_DELAY_S = 30.0
"""No first look at an earlier purchase comes later than that."""

_MAX_HASTE = 3.0
_FIRST_BACKOFF_S = 1.0
_MAX_BACKOFF_S = 30.0
_LINK_DELAY_S = 2.0
_LAST_LOOK_S = 1.0
_MIN_SLOTTED_S = 0.0625


@attrs.frozen(kw_only=True)
class Hints:
    """What the last look said about the next one."""

    estimate_s: float | None = None
    """Seconds that the service expects the generation to take from now."""
    retry_after_s: float | None = None
    """Seconds that the service asks to wait before the next request."""
    failures: int = 0
    """How many looks in a row have failed."""
    looks_without_link: bool = False
    """Whether it is completed, and only its link is missing."""


NO_HINTS = Hints()


def share_of_request(count: int) -> float:
    """Return what each of `count` generations pays for their request, compared with a request for a single one."""
    return (1 - ROW_COST) / count + ROW_COST


def interval(
    policy: PollPolicy, model: DurationModel, age_s: float, shared_by: int, part: float = 1.0, pressure: float = 1.0
) -> float:
    """Return the seconds between a look at this age and the next, before jitter and hints.

    Args:
        policy: the shape of the schedule.
        model: how long generations of this kind take.
        age_s: seconds since the submit.
        shared_by: how many generations share the request.
        part: how much of the way to the next look; a random part of it is a random phase.
        pressure: how much a second of delay costs, compared with one that one caller feels: submits may wait for this
            end. Then a third of a second is worth a request.
    """
    if policy.kind == "adaptive":
        step = part * math.sqrt(2 * policy.request_cost * share_of_request(shared_by) / pressure)
        least_s = MIN_INTERVAL_S / min(pressure, _MAX_HASTE)
        table = model.hazard_table
        free_s = table.age_at(table.integral_at(age_s) + step) - age_s
        return min(max(free_s, least_s * part, age_s * MIN_SHARE_OF_AGE), MAX_INTERVAL_S)
    # The n-th of the intervals first·factorⁿ begins at the age where first + age·(factor-1) is as long.
    return part * min(policy.first + age_s * (policy.factor - 1), policy.last)


def first_delay(interval_s: float, jitter: float, waiting_for_first_look: int) -> float:
    """Return the seconds until the first look at what was purchased in an earlier session or elsewhere.

    It may have finished long ago, so it is looked at soon, but not everything at once.

    Args:
        interval_s: the interval that would pass otherwise.
        jitter: a random number from 0 to 1.
        waiting_for_first_look: how many earlier purchases wait for their first look.
    """
    return min(interval_s, waiting_for_first_look * FIRST_LOOK_SPACING_S, MAX_FIRST_LOOK_DELAY_S) * jitter


def next_delay(policy: PollPolicy, interval_s: float, jitter: float, hints: Hints = NO_HINTS) -> float:
    """Return the seconds until the next look, with jitter and everything that the last look said.

    Args:
        policy: the shape of the schedule; a fixed interval is what the user asked for, and no estimate changes it.
        interval_s: what `interval()` says.
        jitter: a random number from 0 to 1.
        hints: what the last look said.
    """
    delay_s = min(interval_s, _LINK_DELAY_S) if hints.looks_without_link else interval_s
    if hints.estimate_s is not None and policy.kind != "fixed":
        delay_s = min(max(hints.estimate_s, delay_s / MAX_SHORTENING), max(MAX_INTERVAL_S, delay_s))
    if hints.failures:
        # 2**6 is beyond the maximum already.
        delay_s = max(delay_s, min(_FIRST_BACKOFF_S * 2.0 ** min(hints.failures - 1, 6), _MAX_BACKOFF_S))
    delay_s *= 1 + JITTER * (2 * jitter - 1)
    return max(delay_s, min(hints.retry_after_s or 0.0, MAX_RETRY_AFTER_S))


def before_deadline(due_at_s: float, now_s: float, deadline_at_s: float | None) -> float:
    """Move a look to just before the moment at which a waiter's time is up, so that the waiter gets a fresh state."""
    if deadline_at_s is None or due_at_s <= deadline_at_s - _LAST_LOOK_S:
        return due_at_s
    last_at_s = deadline_at_s - _LAST_LOOK_S
    return last_at_s if last_at_s >= now_s + MIN_INTERVAL_S else min(due_at_s, deadline_at_s)


def joins(due_at_s: float, interval_s: float, shared_by: int, now_s: float) -> bool:
    """Whether a generation that is due later joins a request that has room now.

    It would pay its row only. A look x intervals after the last, at the cost r of a row and not c of a share, is worth
    that if r/c + x² < 2x (compare the costs per second of both intervals). So it joins in the last √(1 - r/c) of its
    interval: in the last 0.89 of it if it is alone, in the last 0.27 if fifty share its requests.
    """
    return due_at_s - now_s <= interval_s * math.sqrt(1 - ROW_COST / share_of_request(shared_by))


@lru_cache(maxsize=16)  # generations that shared a request nearly always ask for the same slot
def slot_of(due_at_s: float, interval_s: float) -> float:
    """Return the shared moment at or after `due_at_s`: looks with like intervals fall on few distinct moments.

    Their distance is a power of two, at most 1/64 of the interval, so the moments of different intervals coincide.
    """
    _, exponent = math.frexp(max(interval_s, _MIN_SLOTTED_S))
    width_s = math.ldexp(1.0, exponent - 7)
    return math.ceil(due_at_s / width_s) * width_s
