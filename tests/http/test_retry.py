"""When to repeat: what is worth it, how long to wait, and who pays for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._http.retry import (
    MAX_NAMED_DELAY_S,
    RetryQuota,
    delay_before,
    repeat_safe_call,
    repeat_submit,
)
from luma_async.values.errors import (
    GenerationNotFound,
    InvalidRequest,
    JournalError,
    NoResponse,
    NotSent,
    OutOfCredit,
    PromptRejected,
    RateLimited,
    Refused,
    ServiceUnavailable,
    SubmitInDoubt,
    Unauthorized,
    UnreadableResponse,
)
from luma_async.values.settings import RetryPolicy

POLICY = RetryPolicy(attempts=5, first_delay=0.5, max_delay=8, connect_retry_for=30)
PASSING = [NotSent(), NoResponse(), RateLimited(status=429), ServiceUnavailable(status=503)]
STANDING = [
    Unauthorized(status=401),
    OutOfCredit(status=403),
    InvalidRequest(status=400),
    PromptRejected(status=400),
    GenerationNotFound(status=404),
    Refused(status=409),
    UnreadableResponse(),
    JournalError(),
]


def safe(error, *, attempt=1, elapsed_s=0.0, deadline_s=30.0, jitter=0.5, policy=POLICY):
    return repeat_safe_call(
        error, attempt=attempt, elapsed_s=elapsed_s, deadline_s=deadline_s, policy=policy, jitter=jitter
    )


def submit(error, *, attempt=1, elapsed_s=0.0, jitter=0.5, policy=POLICY):
    return repeat_submit(error, attempt=attempt, elapsed_s=elapsed_s, policy=policy, jitter=jitter)


@pytest.mark.parametrize(
    ("attempt", "bound_s"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 8), (100, 8), (10_000, 8)]
)
def test_delay_bound_doubles(attempt, bound_s):
    """Full jitter: from 0 to 0.5, 1, 2, 4, then 8 seconds."""
    assert delay_before(attempt, POLICY, 0.0) == 0
    assert delay_before(attempt, POLICY, 0.5) == bound_s / 2
    assert delay_before(attempt, POLICY, 1.0) == bound_s


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_max_delay(attempt, jitter):
    """For any attempt and jitter the delay lies between 0 and `max_delay`."""
    assert 0 <= delay_before(attempt, POLICY, jitter) <= POLICY.max_delay


@pytest.mark.parametrize("named_s", [0, 1, 7.5, MAX_NAMED_DELAY_S])
def test_named_delay(named_s):
    """`Retry-After` is waited for, with jitter added, so that callers do not return together."""
    assert delay_before(1, POLICY, 0.0, named_s) == named_s
    assert delay_before(1, POLICY, 1.0, named_s) == named_s + 0.5


def test_named_delay_over_a_minute():
    """A named delay of more than a minute is not waited for."""
    assert delay_before(1, POLICY, 0.5, MAX_NAMED_DELAY_S + 0.1) is None
    assert safe(RateLimited(status=429, retry_after_s=61), deadline_s=1000) is None
    assert submit(RateLimited(status=429, retry_after_s=61)) is None


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_free_call_is_repeated(error):
    """A free call is repeated if nothing was sent, no answer came, or the service limits or fails."""
    assert safe(error) == 0.25


@pytest.mark.parametrize("error", STANDING, ids=lambda error: type(error).__name__)
def test_free_call_is_refused(error):
    """A free call that was refused otherwise is not repeated."""
    assert safe(error) is None


def test_free_call_bounds():
    """A free call is sent five times at most, and never after the deadline."""
    assert [safe(NoResponse(), attempt=attempt, jitter=0) for attempt in range(1, 7)] == [0, 0, 0, 0, None, None]
    assert safe(NoResponse(), elapsed_s=29.7, jitter=0.5) == 0.25
    assert safe(NoResponse(), elapsed_s=29.75, jitter=0.5) is None
    assert safe(NoResponse(), elapsed_s=31) is None
    assert safe(RateLimited(status=429, retry_after_s=29), jitter=0) == 29
    assert safe(RateLimited(status=429, retry_after_s=30), jitter=0) is None


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_unsent_submit_bound(jitter):
    """A submit that was not sent is repeated for half a minute, however often."""
    delays = [submit(NotSent(), attempt=attempt, jitter=jitter) for attempt in (1, 5, 6, 1000)]
    assert None not in delays
    assert submit(NotSent(), attempt=1000, elapsed_s=30.1, jitter=jitter) is None
    assert submit(NotSent(), elapsed_s=29.5, jitter=jitter) is not None
    assert submit(NotSent(), elapsed_s=29.8, jitter=jitter) is None


def test_unsent_submit_delay():
    """Between two attempts to connect at least half of the bound passes."""
    assert submit(NotSent(), attempt=1, jitter=0.0) == 0.25
    assert submit(NotSent(), attempt=5, jitter=0.0) == 4
    assert submit(NotSent(), attempt=5, jitter=1.0) == 8


def test_refused_submit_bound():
    """A submit that was answered 429 or 503 is sent five times at most, after `Retry-After`."""
    error = RateLimited(status=429, retry_after_s=3)
    assert submit(error, jitter=0) == 3
    assert submit(error, attempt=4, elapsed_s=10_000, jitter=0) == 3
    assert submit(error, attempt=5, jitter=0) is None
    assert submit(ServiceUnavailable(status=503), attempt=4, jitter=1) == 4


def test_doubt_is_never_repeated():
    """A submit in doubt is never repeated."""
    assert submit(SubmitInDoubt(key="k")) is None
    assert submit(JournalError()) is None
    assert submit(NoResponse()) is None


def test_single_attempt():
    """`attempts=1` allows no repetition after an answer."""
    once = RetryPolicy(attempts=1, connect_retry_for=0)
    assert safe(NoResponse(), policy=once) is None
    assert submit(RateLimited(status=429), policy=once) is None
    assert submit(NotSent(), policy=once) is None


def test_quota_tokens():
    """A hundred tokens: a repetition costs five, and a success returns one."""
    quota = RetryQuota()
    assert quota.refund() is quota
    spent = 0
    while (less := quota.spend()) is not None:
        quota, spent = less, spent + 1
    assert spent == 20
    for _ in range(4):
        quota = quota.refund()
        assert quota.spend() is None
    assert quota.refund().spend() is not None


@given(steps=st.lists(st.booleans(), max_size=300))
def test_quota_bounds(steps):
    """The tokens stay between 0 and the capacity."""
    quota = RetryQuota()
    for success in steps:
        quota = quota.refund() if success else (quota.spend() or quota)
        assert 0 <= quota.tokens <= quota.capacity
