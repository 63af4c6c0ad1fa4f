"""What a failed look means for those who wait."""

from __future__ import annotations

import pytest

from luma_async import (
    GenerationNotFound,
    InvalidRequest,
    NoResponse,
    OutOfCredit,
    PollPolicy,
    ServiceUnavailable,
    Unauthorized,
    UnreadableResponse,
)
from luma_async._poll.failures import (
    MAX_KEPT_FAILURES,
    FailureRun,
    KeepLooking,
    KeptFailing,
    StopWaiting,
    after_failure,
)

POLICY = PollPolicy.fixed(1, max_outage=300, not_found_grace=30)


def judge(error, *, run=None, known=True, unknown_since_s=None, asked_at_s=100.0, now_s=100.0):
    return after_failure(
        error,
        run,
        known=known,
        unknown_since_s=unknown_since_s,
        asked_at_s=asked_at_s,
        now_s=now_s,
        policy=POLICY,
    )


@pytest.mark.parametrize("error", [Unauthorized(status=401), OutOfCredit(status=403)])
def test_a_refused_key_ends_a_wait_at_once(error):
    """Waiting will not make a key valid."""
    assert judge(error) == StopWaiting(error)


@pytest.mark.parametrize(
    ("unknown_since_s", "lost"), [(None, False), (100.0, False), (71.0, False), (70.0, True), (0.0, True)]
)
def test_an_id_that_was_bought_or_seen_has_to_stay_unknown_for_the_grace(unknown_since_s, lost):
    """Replicas lag behind each other; after half a minute an id that nobody knows is lost."""
    error = GenerationNotFound(status=400)
    since_s = 100.0 if unknown_since_s is None else unknown_since_s
    expected = StopWaiting(error, lost=True) if lost else KeepLooking(None, unknown_since_s=since_s)
    assert judge(error, unknown_since_s=unknown_since_s) == expected


def test_an_id_that_nobody_here_bought_or_saw_is_unknown_at_once():
    """A mistyped id is told of without delay."""
    error = GenerationNotFound(status=400)
    assert judge(error, known=False) == StopWaiting(error, lost=False)


def test_the_grace_counts_from_the_question_and_not_from_its_answer():
    """An answer that was long on its way tells what was so when it was asked for."""
    error = GenerationNotFound(status=400)
    assert judge(error, unknown_since_s=100.0, asked_at_s=101.0, now_s=500.0) == KeepLooking(
        None, unknown_since_s=100.0
    )


def test_a_failure_between_makes_the_grace_begin_anew():
    """A relay that restarts may know nothing before and after; only what it says in one breath counts."""
    assert judge(ServiceUnavailable(status=502), unknown_since_s=90.0).unknown_since_s is None


def test_an_unknown_id_in_between_ends_no_run_of_failures():
    """An id that is gone, at a gateway that breaks every second time: the wait ends all the same."""
    run, unknown_since_s, now_s = None, None, 0.0
    verdicts = []
    for number in range(400):
        now_s += 1
        error = ServiceUnavailable(status=502) if number % 2 else GenerationNotFound(status=400)
        what = judge(error, run=run, unknown_since_s=unknown_since_s, asked_at_s=now_s, now_s=now_s)
        verdicts.append(what)
        if isinstance(what, StopWaiting):
            break
        run, unknown_since_s = what.run, what.unknown_since_s
    assert isinstance(verdicts[-1].reason, KeptFailing)
    assert 300 <= now_s <= 303


@pytest.mark.parametrize(
    "error",
    [
        NoResponse(message="gone"),
        ServiceUnavailable(status=502),
        UnreadableResponse(message="garbage"),
        InvalidRequest(status=400),
    ],
)
def test_everything_else_is_waited_out_until_patience_ends(error):
    """A run of failures counts from its first; when it has lasted as long as the patience, the wait ends."""
    first = judge(error, now_s=100)
    assert first == KeepLooking(FailureRun(since_s=100, failures=(error,), count=1))
    second = judge(error, run=first.run, now_s=399)
    assert second.run.count == 2
    last = judge(error, run=second.run, now_s=400)
    assert last == StopWaiting(KeptFailing((error,) * 3))


def test_an_error_tells_of_the_newest_failures():
    """Five of them are enough to see a pattern, and no run grows without bound."""
    run = None
    for number in range(20):
        run = judge(ServiceUnavailable(status=500 + number), run=run).run
    assert [one.status for one in run.failures] == [515, 516, 517, 518, 519]
    assert len(run.failures) == MAX_KEPT_FAILURES
    assert run.count == 20
