"""How many submits may start, and how many generations may be in flight."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luma_async import Limits, RixAPI
from luma_async._batch.window import InFlight, Slot
from luma_async._submit.limits import FIRST_SIZE, Rate, Window, next_start, rate, window
from luma_async.values.settings import KnownLimits

OFFICIAL = KnownLimits(max_in_flight=10, submits_per_minute=20)


def starts(bound, arrivals):
    """Return when submits that arrive at these moments start, one after the other."""
    arrival_at, started = -math.inf, []
    for now in arrivals:
        wait_s, arrival_at = next_start(arrival_at, now, bound)
        started.append(now + wait_s)
    return started


@pytest.mark.parametrize(
    ("bound", "started"),
    [
        (Rate(per_second=1), [0, 1, 2, 3, 4]),
        (Rate(per_second=1, burst=3), [0, 0, 0, 1, 2]),
        (Rate(per_second=0.5, burst=2), [0, 0, 2, 4, 6]),
    ],
)
def test_a_burst_goes_at_once_and_the_rest_at_the_rate(bound, started):
    """Five that arrive together: as many as the burst at once, then one at a time."""
    assert starts(bound, [0] * 5) == started


@given(
    st.floats(0.1, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 100), min_size=2, max_size=60).map(sorted),
)
def test_no_stretch_of_time_sees_more_than_the_rate_and_the_burst(per_second, burst, arrivals):
    """In any stretch of t seconds at most burst + t · rate submits start, and none starts before it arrives."""
    bound = Rate(per_second=per_second, burst=burst)
    started = starts(bound, arrivals)
    assert all(at >= arrival for at, arrival in zip(started, arrivals, strict=True))
    for first in range(len(started)):
        for last in range(first, len(started)):
            allowed = burst + (started[last] - started[first]) * per_second
            assert last - first + 1 <= allowed + 1e-6


@pytest.mark.parametrize(
    ("wanted", "known", "expected"),
    [
        (None, KnownLimits(), Window(size=FIRST_SIZE)),
        ("auto", OFFICIAL, Window(size=FIRST_SIZE)),
        (None, OFFICIAL, Window(size=10, ceiling=10)),
        (30, OFFICIAL, Window(size=30, ceiling=30)),
        (math.inf, OFFICIAL, Window(size=math.inf)),
    ],
)
def test_where_a_window_begins(wanted, known, expected):
    """None is what the service is known to bear, "auto" begins low, a number is start and ceiling, inf is no bound."""
    assert window(wanted, known) == expected


@pytest.mark.parametrize(
    ("limits", "known", "expected"),
    [
        (Limits(), KnownLimits(), None),
        (Limits(submits_per_minute=math.inf), OFFICIAL, None),
        (Limits(), OFFICIAL, Rate(per_second=1 / 3, burst=1)),
        (Limits(submits_per_minute=60, burst=5), OFFICIAL, Rate(per_second=1, burst=5)),
    ],
)
def test_which_rate_holds(limits, known, expected):
    """None is what the service is known to bear, inf is none, a number is that number."""
    assert rate(limits, known) == expected


def test_a_relay_is_known_to_bear_nothing_in_particular():
    """No page names a limit of relays, so a batch finds out by itself."""
    assert RixAPI().limits == KnownLimits(max_in_flight="auto", submits_per_minute=math.inf)


def test_a_window_that_is_used_up_grows_by_about_one_a_windowful():
    """Eight accepted submits at a full window of eight make it nearly nine; with room to spare they prove nothing."""
    grown = Window(size=8)
    for _ in range(8):
        grown = grown.accepted(8)
    assert 8.9 < grown.size < 9.01
    assert Window(size=8).accepted(6) == Window(size=8)
    assert Window(size=8, ceiling=8).accepted(8) == Window(size=8, ceiling=8)


@pytest.mark.parametrize(
    ("size", "in_flight", "shrunk"),
    [(9, 8, 8.1), (40, 8, 8.1), (5, 8, 4.5), (1, 0, 1), (math.inf, 20, 18.9)],
)
def test_a_429_shows_what_the_service_bears(size, in_flight, shrunk):
    """The window falls below what was tried, from wherever it was, and never below one."""
    assert Window(size=size).refused(in_flight).size == pytest.approx(shrunk)


@settings(max_examples=25)
@given(st.integers(1, 60), st.sampled_from(["auto", 3, 200, math.inf]))
def test_a_window_settles_at_any_cap(cap, wanted):
    """Whatever it begins with, a few hundred submits later it is full whenever the cap is, and seldom above it."""
    size = window(wanted, KnownLimits())
    refused = 0
    for _ in range(2000):
        in_flight = min(cap, int(min(size.size, cap)))
        if size.admits(in_flight):
            size = size.refused(in_flight)
            refused += 1
        else:
            size = size.accepted(in_flight)
    if size.ceiling > cap:
        assert 0.9 * (cap + 1) - 1e-6 <= size.size < cap + 2
        assert refused <= 2000 / max(1, 0.08 * (cap + 1) ** 2) + 60


def test_slot_released_once():
    """Completing and releasing twice counts once, and a released slot wakes the batches."""
    in_flight = InFlight(Window(size=2))
    slots = [Slot(in_flight), Slot(in_flight)]
    for slot in slots:
        slot.acquire()
        slot.accepted(now=True)
    assert in_flight.full
    for _ in range(2):
        slots[0].completed()
    assert (in_flight.used, in_flight.unfinished) == (2, 1)
    for _ in range(2):
        slots[0].release()
    assert (in_flight.used, in_flight.unfinished, in_flight.full) == (1, 1, False)


def test_refusals_of_sends_that_left_together_count_once():
    """Three 429s at once shrink the window once; a later one shrinks it again; an accepted submit ends the row."""
    in_flight = InFlight(Window(size=10))
    slots = [Slot(in_flight) for _ in range(6)]
    for slot in slots:
        slot.acquire()
    for slot in slots[:2]:
        slot.accepted(now=True)
    assert [slot.rate_limited() for slot in slots[2:5]] == [1, 1, 1]
    assert in_flight.window.size == pytest.approx(2.7)
    slots[2].acquire()
    assert slots[2].rate_limited() == 2
    slots[5].accepted(now=True)
    assert in_flight.rate_limits == 0


def test_what_was_bought_earlier_proves_nothing_about_today():
    """A generation found in the journal is in flight, and neither widens the window nor ends a row of refusals."""
    in_flight = InFlight(Window(size=2))
    slot = Slot(in_flight)
    slot.acquire()
    in_flight.used, in_flight.rate_limits = 2, 3
    slot.accepted(now=False)
    assert (in_flight.unfinished, in_flight.window.size, in_flight.rate_limits) == (1, 2, 3)
