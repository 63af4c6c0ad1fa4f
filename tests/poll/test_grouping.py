"""How many generations a request may hold, as a service shows it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagined import imagine

from luma_async import (
    GenerationNotFound,
    InvalidRequest,
    NoResponse,
    NotSent,
    OutOfCredit,
    RateLimited,
    Refused,
    ServiceUnavailable,
    Unauthorized,
    UnreadableResponse,
)
from luma_async._poll.fetcher import Fetcher
from luma_async._poll.grouping import (
    MAX_PAUSE_S,
    Sharing,
    chunks,
    needs_check,
    page_limit,
    room_left,
    smaller_size,
    worth_another_page,
)
from luma_async._wire.dialect import Row
from luma_async.values.events import Emitter


@pytest.mark.parametrize(
    ("error", "asked", "size"),
    [
        (Refused(status=404), 50, 1),
        (Refused(status=405), 50, 1),
        (InvalidRequest(status=415), 50, 1),
        (InvalidRequest(status=422), 50, 1),
        (ServiceUnavailable(status=500), 50, 1),
        (UnreadableResponse(message="a page", html=True), 50, 1),
        (NoResponse(message="gone"), 50, 1),
        (InvalidRequest(status=413), 50, 25),
        (InvalidRequest(status=400), 9, 4),
        (InvalidRequest(status=400), 4, 2),
        (InvalidRequest(status=413), 3, 1),
        (GenerationNotFound(status=400), 50, 25),
    ],
)
def test_smaller_size(error, asked, size):
    """A number that may be too large is halved; any other failure leaves single requests."""
    assert smaller_size(error, asked) == size


@pytest.mark.parametrize(
    ("error", "first", "repeated"),
    [
        (Refused(status=404), False, True),
        (InvalidRequest(status=413), False, True),
        (ServiceUnavailable(status=500), False, True),
        (NoResponse(message="gone"), False, True),
        (UnreadableResponse(message="a page", html=True), False, True),
        (RateLimited(status=429), False, False),
        (NotSent(message="no route"), False, False),
        (GenerationNotFound(status=400), True, True),
        (Unauthorized(status=401), True, True),
        (OutOfCredit(status=403), True, True),
    ],
)
def test_failure_needs_check(error, first, repeated):
    """A failure is checked when it is repeated, or if it would end the waits; never if the service limits requests."""
    assert needs_check(error, repeated=False) is first
    assert needs_check(error, repeated=True) is repeated


def test_only_repetition_counts():
    """A failure is a repetition if its request was sent after another failure, without a success in between."""
    state = Sharing.full(50)
    assert not state.is_repeated(50, 100.0)
    state = state.after_failure(101.0)
    assert not state.is_repeated(50, 100.0), "sent at the same time as the first"
    assert state.is_repeated(50, 101.0)
    assert not state.after_success(50, 102.0).is_repeated(50, 101.0)


def test_full_size_after_pause():
    """After the pause the full size is tried once; the pause doubles up to an hour if that fails."""
    state, now_s, pauses = Sharing.full(50), 0.0, []
    for _ in range(8):
        state = state.reduced(10, now_s).reduced(12, now_s)
        assert state.size_at(now_s) == 10
        pauses.append(state.retry_at_s - now_s)
        now_s = state.retry_at_s
        assert state.size_at(now_s) == 50
        assert state.is_repeated(50, now_s)
        assert not state.after_success(10, now_s).is_repeated(10, now_s)
    assert pauses == [120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_pause_after_recovery():
    """After a successful try the full size stays, and a later pause is short again."""
    state = Sharing.full(50).reduced(1, 0.0).reduced(1, 120.0)
    state = state.after_success(50, 400.0)
    assert state.size_at(400.0) == 50
    assert not state.is_repeated(50, 400.0)
    assert state.reduced(1, 5000.0).retry_at_s == 5000.0 + 120.0


def test_success_during_pause():
    """A success with a larger size, whose request was sent before the pause, sets that size and not the full one."""
    state = Sharing.full(50).reduced(8, 0.0).after_success(9, 0.0)
    assert (state.size_at(1.0), state.size_at(120.0)) == (9, 50)


class Dialect:
    """Sends queries that tell which ids they are about."""

    max_ids = 50

    def supports(self, operation):
        return operation == "query_many"

    def get(self, generation_id):
        return (generation_id,)

    def get_many(self, ids):
        return tuple(ids)


class Queries:
    """Answers for some ids, or raises; the ids of a query for many are more than one."""

    def __init__(self):
        self.count = 0
        self.many_error = self.one_error = None
        self.limit = 50

    async def ask_once(self, ids):
        self.count += 1
        error = self.one_error or (self.many_error if len(ids) > 1 else None)
        if error is not None:
            raise error
        if len(ids) > self.limit:
            raise InvalidRequest(status=413)
        rows = [Row(id=generation_id, raw={}) for generation_id in ids]
        return rows if len(ids) > 1 else rows[0]


JOBS = [str(number) for number in range(100)]
LOOK_EVERY_S = 30.0


async def look(fetcher, failed):
    """Look at all jobs as the watcher does; return those without an answer."""
    without_answer = set()
    for group in chunks(JOBS, fetcher.max_ids):
        found = await fetcher.fetch_many(group, retry=False, failed_before=not failed.isdisjoint(group))
        for generation_id in group:
            if generation_id not in found:
                found |= await fetcher.fetch_many([generation_id], retry=False, failed_before=False)
            if not isinstance(found[generation_id], Row):
                without_answer.add(generation_id)
    return without_answer


ERRORS = st.sampled_from(
    [
        ServiceUnavailable(status=500),
        Refused(status=404),
        InvalidRequest(status=413),
        InvalidRequest(status=415),
        Unauthorized(status=401),
        GenerationNotFound(status=400),
        RateLimited(status=429),
        NotSent(message="no route"),
        UnreadableResponse(message="a page", html=True),
    ]
)
PHASES = st.lists(
    st.tuples(st.integers(1, 40), st.none() | ERRORS, st.none() | ERRORS, st.sampled_from([1, 7, 50])), max_size=8
)


@given(PHASES)
def test_bound_and_recovery(phases):
    """However a service fails, a job costs little more than a request a look, and shared requests come back.

    While single requests work, no job is without an answer twice in a row, unless the service limits requests.
    """

    async def run():
        queries = Queries()
        fetcher = Fetcher(queries=queries, dialect=Dialect(), concurrency=8, events=Emitter())
        failed, looks = set(), 0
        for count, queries.many_error, queries.one_error, queries.limit in phases:
            for _ in range(count):
                before, failed = failed, await look(fetcher, failed)
                looks += 1
                if queries.one_error is None and not isinstance(queries.many_error, RateLimited | NotSent):
                    assert not before & failed
                await asyncio.sleep(LOOK_EVERY_S)
        assert queries.count <= len(JOBS) * (looks + 2 * len(phases) + 2)
        queries.many_error = queries.one_error = None
        queries.limit = 50
        await asyncio.sleep(MAX_PAUSE_S)
        await look(fetcher, failed)
        queries.count = 0
        assert not await look(fetcher, set())
        assert queries.count == 2

    imagine(run())


@given(st.lists(st.integers(), max_size=300), st.integers(1, 60))
def test_chunks(items, size):
    """Chunks hold all items in order, are as few as possible, and `room_left()` more need no further chunk."""
    pieces = chunks(items, size)
    assert [item for piece in pieces for item in piece] == items
    assert len(pieces) == -(-len(items) // size)
    assert 0 <= room_left(len(items), size) < size
    assert len(chunks(items + [0] * room_left(len(items), size), size)) == len(pieces)


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
