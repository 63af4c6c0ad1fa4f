"""How many generations a request may hold, as a service shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    GenerationNotFound,
    InvalidRequest,
    NoResponse,
    RateLimited,
    Refused,
    ServiceUnavailable,
    UnreadableResponse,
)
from luma_async._poll.grouping import Capacity, chunks, joins, page_limit, room_left, worth_another_page


@pytest.mark.parametrize(
    ("error", "asked", "size"),
    [
        (Refused(status=404), 50, 1),
        (Refused(status=405), 50, 1),
        (ServiceUnavailable(status=501), 50, 1),
        (UnreadableResponse(message="a page", html=True), 50, 1),
        (UnreadableResponse(message="drifted", paths=("data",), body_excerpt="{}"), 50, 50),
        (UnreadableResponse(message="cut", body_excerpt='{"data": ['), 50, 50),
        (InvalidRequest(status=413), 50, 25),
        (InvalidRequest(status=400), 9, 4),
        (InvalidRequest(status=400), 4, 2),
        (InvalidRequest(status=413), 3, 1),
        (GenerationNotFound(status=400), 2, 1),
        (InvalidRequest(status=413), 200, 50),
        (ServiceUnavailable(status=500), 50, 50),
        (RateLimited(status=429), 50, 50),
        (NoResponse(message="gone"), 50, 50),
    ],
)
def test_capacity_after_error(error, asked, size):
    """A missing call leaves single queries, a rejected number is halved, other errors change nothing."""
    assert Capacity(50).after(error, asked) == Capacity(size)


def test_capacity_shared():
    """A capacity of 1 is the single query."""
    assert not Capacity(1).shared
    assert Capacity(2).shared


@given(st.lists(st.integers(), max_size=300), st.integers(1, 60))
def test_chunks(items, size):
    """Chunks hold all items in order, are as few as possible, and `room_left()` more need no further chunk."""
    pieces = chunks(items, size)
    assert [item for piece in pieces for item in piece] == items
    assert len(pieces) == -(-len(items) // size)
    assert 0 <= room_left(len(items), size) < size
    assert len(chunks(items + [0] * room_left(len(items), size), size)) == len(pieces)


@given(st.integers(0, 100_000), st.integers(1, 60), st.integers(0, 64))
def test_groups_of_like_intervals_join(now, interval, part):
    """Of two groups with like intervals, one always joins the other."""
    later = now + part / 64 * interval
    assert joins(later, interval, now) or joins(now + interval, interval, later)


@pytest.mark.parametrize(
    ("error", "size"),
    [
        (Refused(status=404), 1),
        (InvalidRequest(status=400), 1),
        (UnreadableResponse(message="a page", html=True), 1),
        (ServiceUnavailable(status=502), 100),
        (RateLimited(status=429), 100),
    ],
)
def test_capacity_after_page(error, size):
    """A service without a list gets single queries; a failing service is asked for its list again."""
    assert Capacity(100).after_page(error) == Capacity(size)


@pytest.mark.parametrize(
    ("sparse_pages", "missing", "has_more", "worth"),
    [
        (0, 40, True, True),
        (0, 40, False, False),
        (0, 1, True, False),
        (1, 40, True, True),
        (4, 40, True, True),
        (5, 40, True, False),
        (1, 9, True, False),
        (1, 10, True, True),
    ],
)
def test_worth_another_page(sparse_pages, missing, has_more, worth):
    """The more ids are missing, the more pages with few hits are accepted."""
    assert worth_another_page(sparse_pages, missing, has_more=has_more) is worth


def test_page_limit():
    """A page has room for twice as many as are missing, plus ten, up to what the service allows."""
    assert page_limit(2, 100) == 14
    assert page_limit(1000, 100) == 100
