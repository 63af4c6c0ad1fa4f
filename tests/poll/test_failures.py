"""What a failed look means for the waiters."""

from __future__ import annotations

import pytest

from luma_async import (
    ConfigurationError,
    GenerationNotFound,
    InvalidRequest,
    NoResponse,
    NotSent,
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
UNKNOWN = GenerationNotFound(status=400)
UNAVAILABLE = ServiceUnavailable(status=502)


def after(error, run=None, *, known=True, unknown_since_s=None, asked_at_s=100.0, now_s=100.0):
    return after_failure(
        error,
        run,
        known=known,
        unknown_since_s=unknown_since_s,
        asked_at_s=asked_at_s,
        now_s=now_s,
        policy=POLICY,
    )


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized(status=401),
        OutOfCredit(status=403),
        ConfigurationError(message="The proxy is not supported."),
        NotSent(message="The certificate is not trusted.", permanent=True),
    ],
)
def test_failure_that_stays(error):
    """A rejected key, a wrong setting or an untrusted certificate ends the wait at once."""
    assert after(error) == StopWaiting(error)


@pytest.mark.parametrize(
    ("unknown_since_s", "lost"), [(None, False), (100.0, False), (71.0, False), (70.0, True), (0.0, True)]
)
def test_known_id_within_grace(unknown_since_s, lost):
    """An id that was submitted or seen is lost only after it has stayed unknown for the grace."""
    since_s = 100.0 if unknown_since_s is None else unknown_since_s
    expected = StopWaiting(UNKNOWN, lost=True) if lost else KeepLooking(None, unknown_since_s=since_s)
    assert after(UNKNOWN, unknown_since_s=unknown_since_s) == expected


def test_unknown_id_without_grace():
    """An id that was neither submitted nor seen here is reported at once, as not lost."""
    assert after(UNKNOWN, known=False) == StopWaiting(UNKNOWN, lost=False)


def test_grace_counts_from_request():
    """The grace compares when the requests were sent, not when their answers came."""
    expected = KeepLooking(None, unknown_since_s=100.0)
    assert after(UNKNOWN, unknown_since_s=100.0, asked_at_s=101.0, now_s=500.0) == expected


def test_grace_after_other_failure():
    """Another failure restarts the grace: the answers before and after it may come from different replicas."""
    assert after(UNAVAILABLE, unknown_since_s=90.0).unknown_since_s is None


def test_unknown_id_in_outage():
    """An unknown id between other failures does not interrupt them: the wait ends after `max_outage`."""
    run, unknown_since_s = None, None
    for now_s in range(1, 400):
        error = UNKNOWN if now_s % 2 else UNAVAILABLE
        result = after(error, run, unknown_since_s=unknown_since_s, asked_at_s=now_s, now_s=now_s)
        if isinstance(result, StopWaiting):
            break
        run, unknown_since_s = result.run, result.unknown_since_s
    assert isinstance(result.reason, KeptFailing)
    assert 300 <= now_s <= 303


@pytest.mark.parametrize(
    "error",
    [
        NoResponse(message="gone"),
        UNAVAILABLE,
        UnreadableResponse(message="garbage"),
        InvalidRequest(status=400),
    ],
)
def test_outage_ends_wait(error):
    """Other failures are tolerated until they have lasted for `max_outage`, counted from the first."""
    first = after(error, now_s=100)
    assert first == KeepLooking(FailureRun(since_s=100, failures=(error,), count=1))
    second = after(error, first.run, now_s=399)
    assert second.run.count == 2
    assert after(error, second.run, now_s=400) == StopWaiting(KeptFailing((error,) * 3))


def test_run_keeps_newest_failures():
    """A run keeps the five newest failures, so it does not grow without bound."""
    run = None
    for number in range(20):
        run = after(ServiceUnavailable(status=500 + number), run).run
    assert [failure.status for failure in run.failures] == [515, 516, 517, 518, 519]
    assert len(run.failures) == MAX_KEPT_FAILURES
    assert run.count == 20
