"""How many generations may be in flight, and the slots of a batch's items."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luma_async import RixAPI
from luma_async._batch.window import FIRST_SIZE, InFlight, Slot, Window
from luma_async.values.settings import KnownLimits

OFFICIAL = KnownLimits(max_in_flight=10, submits_per_minute=20)


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
def test_first_window(wanted, known, expected):
    """None is the known limit of the service, "auto" starts low, a number is start and ceiling, inf is no bound."""
    assert Window.starting(wanted, known) == expected


@pytest.mark.parametrize(("earlier", "size"), [(None, FIRST_SIZE), (9.4, 9.4), (0.0, 1.0), (-3.0, 1.0), (1e9, 200.0)])
def test_first_window_after_hint(earlier, size):
    """An "auto" window starts with what an earlier session found, within bounds; a number is what the user set."""
    assert Window.starting("auto", OFFICIAL, earlier) == Window(size=size)
    assert Window.starting(30, OFFICIAL, earlier) == Window(size=30, ceiling=30)


def test_limits_of_a_relay():
    """No page names a limit of relays, so a batch finds it out."""
    assert RixAPI().limits == KnownLimits(max_in_flight="auto", submits_per_minute=math.inf)


def test_window_growth():
    """Eight accepted submits at a full window of eight make it nearly nine; with room to spare they show nothing."""
    grown = Window(size=8)
    for _ in range(8):
        grown = grown.accepted(8)
    assert 8.9 < grown.size < 9.01
    assert Window(size=8).accepted(6) == Window(size=8)
    assert Window(size=8, ceiling=8).accepted(8) == Window(size=8, ceiling=8)


@pytest.mark.parametrize(
    ("size", "unfinished", "shrunk"),
    [(9, 8, 8.1), (40, 8, 8.1), (5, 8, 4.5), (1, 0, 1), (math.inf, 20, 18.9)],
)
def test_window_after_a_429(size, unfinished, shrunk):
    """The window falls below what was tried, whatever its size was, and never below 1."""
    assert Window(size=size).rate_limited(unfinished).size == pytest.approx(shrunk)


@settings(max_examples=25)
@given(st.integers(1, 60), st.sampled_from(["auto", 3, 200, math.inf]))
def test_window_settles_at_the_cap(cap, wanted):
    """From any start, a few hundred submits later the window is full whenever the cap is, and seldom above it."""
    size = Window.starting(wanted, KnownLimits())
    refused = 0
    for _ in range(2000):
        in_flight = min(cap, int(min(size.size, cap)))
        if size.admits(in_flight):
            size = size.rate_limited(in_flight)
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


def test_429s_sent_together():
    """Three 429s at once shrink the window once, a later 429 shrinks it again, an accepted submit ends the row."""
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


def test_slot_of_an_earlier_purchase():
    """A generation found in the journal is in flight, and neither widens the window nor ends a row of 429s."""
    in_flight = InFlight(Window(size=2))
    slot = Slot(in_flight)
    slot.acquire()
    in_flight.used, in_flight.rate_limits = 2, 3
    slot.accepted(now=False)
    assert (in_flight.unfinished, in_flight.window.size, in_flight.rate_limits) == (1, 2, 3)
