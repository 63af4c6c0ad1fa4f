"""How many submits may start: so many at once, and in the long run the rate, in whatever order they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._core.limiting import Rate, next_start


def starts(arrivals, rate):
    """Return when each submit starts that comes at these moments, one after the other."""
    arrival_at, started = 0.0, []
    for now in arrivals:
        began = max(now, started[-1] if started else now)
        wait_s, arrival_at = next_start(arrival_at, began, rate)
        started.append(began + wait_s)
    return started


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Rate(per_second=1), [100, 101, 102, 103]),
        (Rate(per_second=1, burst=3), [100, 100, 100, 101]),
        (Rate(per_second=0.5, burst=2), [100, 100, 102, 104]),
        (Rate(per_second=4, burst=1), [100, 100.25, 100.5, 100.75]),
    ],
)
def test_a_burst_and_then_the_rate(rate, expected):
    """Four that come together start as the rate and its burst say."""
    assert starts([100.0] * 4, rate) == pytest.approx(expected)


def test_time_that_was_not_used_is_saved_up_to_the_burst():
    """After a long pause the burst is there again, and no more."""
    assert starts([0, 0, 0, 1000, 1000, 1000], Rate(per_second=1, burst=2)) == pytest.approx(
        [0, 0, 1, 1000, 1000, 1001]
    )


def test_an_endless_burst_limits_nothing():
    """`burst=math.inf` lets everybody start at once."""
    assert starts([5.0] * 50, Rate(per_second=1, burst=float("inf"))) == [5.0] * 50


rates = st.builds(
    Rate,
    per_second=st.floats(0.01, 100, allow_nan=False),
    burst=st.floats(1, 20, allow_nan=False),
)
moments = st.lists(st.floats(0, 1000, allow_nan=False), min_size=1, max_size=40).map(sorted)


@given(arrivals=moments, rate=rates)
def test_no_window_holds_more_than_the_burst_and_the_rate(arrivals, rate):
    """Between any two starts, however chosen: at most burst + rate * time of them."""
    started = starts(arrivals, rate)
    for first in range(len(started)):
        for last in range(first, len(started)):
            seconds = started[last] - started[first]
            assert last - first + 1 <= rate.burst + rate.per_second * seconds + 1e-6


@given(arrivals=moments, rate=rates)
def test_nobody_waits_longer_than_the_rate_asks(arrivals, rate):
    """Nobody starts before coming, in another order, or later than one interval after the one before."""
    started = starts(arrivals, rate)
    assert started == sorted(started)
    for number, (came, start) in enumerate(zip(arrivals, started, strict=True)):
        earliest = max(came, started[number - 1] + 1 / rate.per_second if number else came)
        assert came <= start <= earliest + 1e-6


@given(arrival_at=st.floats(0, 1000), now=st.floats(0, 1000), rate=rates)
def test_whoever_has_waited_may_start(arrival_at, now, rate):
    """After the wait there is nothing left to wait for, and time never runs backwards."""
    wait_s, later = next_start(arrival_at, now, rate)
    assert wait_s >= 0
    again_s, _ = next_start(arrival_at, now + wait_s, rate)
    assert again_s <= 1e-9
    assert later > now
