"""How many generations a request may look at, as a service shows it."""

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
        (UnreadableResponse(message="a page", body_excerpt="<html>"), 50, 1),
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
def test_what_a_refused_look_teaches(error, asked, size):
    """No such call: single queries. Too many: half as many. Anything else says nothing about how many."""
    assert Capacity(50).after(error, asked) == Capacity(size)


def test_one_at_a_time_is_not_shared():
    """Width 1 is the single query."""
    assert not Capacity(1).shared
    assert Capacity(2).shared


@given(st.lists(st.integers(), max_size=300), st.integers(1, 60))
def test_chunks_are_as_few_as_possible_and_lose_nothing(items, size):
    """All items, in order, in the smallest number of chunks; what room is left fits into the last one."""
    pieces = chunks(items, size)
    assert [item for piece in pieces for item in piece] == items
    assert len(pieces) == -(-len(items) // size)
    assert 0 <= room_left(len(items), size) < size
    assert len(chunks(items + [0] * room_left(len(items), size), size)) == len(pieces)


@given(st.integers(0, 100_000), st.integers(1, 60), st.integers(0, 64))
def test_two_groups_of_like_intervals_always_meet(now, interval, part):
    """Whatever their distance, one of two groups is near enough to come along with the other."""
    later = now + part / 64 * interval
    assert joins(later, interval, now) or joins(now + interval, interval, later)


@pytest.mark.parametrize(
    ("error", "size"),
    [
        (Refused(status=404), 1),
        (InvalidRequest(status=400), 1),
        (UnreadableResponse(message="a page", body_excerpt="<html>"), 1),
        (ServiceUnavailable(status=502), 100),
        (RateLimited(status=429), 100),
    ],
)
def test_a_list_that_is_not_there_is_not_asked_for_again(error, size):
    """A service without a list is asked one by one; one in trouble is asked again."""
    assert Capacity(100).after_page(error) == Capacity(size)


@pytest.mark.parametrize(
    ("fruitless", "left", "has_more", "worth"),
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
def test_another_page_is_read_while_it_is_cheaper_than_single_queries(fruitless, left, has_more, worth):
    """Pages in vain are risked in proportion to what they may save."""
    assert worth_another_page(fruitless, left, has_more=has_more) is worth


def test_a_page_is_no_longer_than_it_needs_to_be():
    """Room for those that are waited for and for as many others, up to what the service allows."""
    assert page_limit(2, 100) == 14
    assert page_limit(1000, 100) == 100
