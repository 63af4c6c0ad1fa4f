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
def test_delays_are_drawn_below_a_bound_that_doubles(attempt, bound_s):
    """Full jitter: anything from nothing to 0.5, 1, 2, 4, then 8 seconds."""
    assert delay_before(attempt, POLICY, 0.0) == 0
    assert delay_before(attempt, POLICY, 0.5) == bound_s / 2
    assert delay_before(attempt, POLICY, 1.0) == bound_s


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_no_delay_is_longer_than_the_policy_says(attempt, jitter):
    """Whatever the attempt and the luck, the delay lies between nothing and `max_delay`."""
    assert 0 <= delay_before(attempt, POLICY, jitter) <= POLICY.max_delay


@pytest.mark.parametrize("named_s", [0, 1, 7.5, MAX_NAMED_DELAY_S])
def test_a_named_delay_is_obeyed(named_s):
    """`Retry-After` is waited out in full, with the jitter on top, so that not all come back at once."""
    assert delay_before(1, POLICY, 0.0, named_s) == named_s
    assert delay_before(1, POLICY, 1.0, named_s) == named_s + 0.5


def test_a_delay_of_more_than_a_minute_is_reported_instead():
    """A service that wants to be left alone for longer is not waited for."""
    assert delay_before(1, POLICY, 0.5, MAX_NAMED_DELAY_S + 0.1) is None
    assert safe(RateLimited(status=429, retry_after_s=61), deadline_s=1000) is None
    assert submit(RateLimited(status=429, retry_after_s=61)) is None


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_a_safe_call_is_repeated_where_that_helps(error):
    """Nothing sent, no answer, limited, in trouble: all of these may pass."""
    assert safe(error) == 0.25


@pytest.mark.parametrize("error", STANDING, ids=lambda error: type(error).__name__)
def test_a_safe_call_that_was_told_no_is_not_repeated(error):
    """An answer that says no in any other way will say it again."""
    assert safe(error) is None


def test_a_safe_call_is_bounded_by_number_and_by_time():
    """Five sends in all, and none begins after the deadline."""
    assert [safe(NoResponse(), attempt=attempt, jitter=0) for attempt in range(1, 7)] == [0, 0, 0, 0, None, None]
    assert safe(NoResponse(), elapsed_s=29.7, jitter=0.5) == 0.25
    assert safe(NoResponse(), elapsed_s=29.75, jitter=0.5) is None
    assert safe(NoResponse(), elapsed_s=31) is None
    assert safe(RateLimited(status=429, retry_after_s=29), jitter=0) == 29
    assert safe(RateLimited(status=429, retry_after_s=30), jitter=0) is None


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_a_submit_that_did_not_leave_is_bounded_by_time_alone(jitter):
    """A gateway's restart takes a while whatever the number of attempts: half a minute of trying."""
    delays = [submit(NotSent(), attempt=attempt, jitter=jitter) for attempt in (1, 5, 6, 1000)]
    assert None not in delays
    assert submit(NotSent(), attempt=1000, elapsed_s=30.1, jitter=jitter) is None
    assert submit(NotSent(), elapsed_s=29.5, jitter=jitter) is not None
    assert submit(NotSent(), elapsed_s=29.8, jitter=jitter) is None


def test_a_refused_connection_is_not_hammered():
    """At least half of the bound passes between two attempts to connect: the answer comes at once."""
    assert submit(NotSent(), attempt=1, jitter=0.0) == 0.25
    assert submit(NotSent(), attempt=5, jitter=0.0) == 4
    assert submit(NotSent(), attempt=5, jitter=1.0) == 8


def test_what_the_service_turned_away_is_bounded_by_number():
    """Five sends of a submit that was answered 429 or 503, and `Retry-After` obeyed."""
    error = RateLimited(status=429, retry_after_s=3)
    assert submit(error, jitter=0) == 3
    assert submit(error, attempt=4, elapsed_s=10_000, jitter=0) == 3
    assert submit(error, attempt=5, jitter=0) is None
    assert submit(ServiceUnavailable(status=503), attempt=4, jitter=1) == 4


def test_no_delay_ever_repeats_a_doubt():
    """A submit whose fate is unknown is never sent again, whoever asks."""
    assert submit(SubmitInDoubt(key="k")) is None
    assert submit(JournalError()) is None
    assert submit(NoResponse()) is None


def test_one_attempt_means_no_repetition():
    """`attempts=1` switches repeating off for what the service answered."""
    once = RetryPolicy(attempts=1, connect_retry_for=0)
    assert safe(NoResponse(), policy=once) is None
    assert submit(RateLimited(status=429), policy=once) is None
    assert submit(NotSent(), policy=once) is None


def test_a_quota_pays_for_twenty_repetitions_and_then_for_one_in_five():
    """A hundred tokens, five a repetition, one back for a success, never more than there can be."""
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
def test_a_quota_stays_within_its_bounds(steps):
    """Whatever succeeds and fails, the tokens lie between nothing and the capacity."""
    quota = RetryQuota()
    for success in steps:
        quota = quota.refund() if success else (quota.spend() or quota)
        assert 0 <= quota.tokens <= quota.capacity
