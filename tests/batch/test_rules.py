"""What a batch decides: keys, stops, pauses and estimates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    ExtendRequest,
    ImageKeyframe,
    JournalBusy,
    KeyConflict,
    Keyframes,
    NotSent,
    OutOfCredit,
    PromptRejected,
    RateLimited,
    RetryPolicy,
    SessionClosed,
    SubmitInDoubt,
    Unauthorized,
    VideoRequest,
)
from luma_async._batch.keys import KeyCounter, derive_key, retry_key
from luma_async._batch.rules import (
    MAX_DOUBTS_IN_A_ROW,
    MIN_PAUSE_S,
    BatchProgress,
    Durations,
    count_doubts,
    pause_after_rate_limit,
    stops_batch,
)
from luma_async._journal.fingerprint import canonical_form
from luma_async.values.validators import MAX_KEY_LENGTH

GOLDEN = [
    ("75f7c0509e9308a817a029da610453d658e72967dd5928badc591d2a74ca813a", "cats", VideoRequest("a cat")),
    (
        "fa5eb6e8a7c79756291a4f7ec77f69f8bd4c2c49628eb8845b268e564b051e36",
        "猫/2025",
        VideoRequest("猫が踊る", aspect_ratio="9:16", loop=True, extra={"seed": 7}),
    ),
    (
        "7ea41787e71a3052423d18cb189483a9e127433980493489e556c0ec949e9a62",
        "cats",
        ExtendRequest("some-id", "it sleeps"),
    ),
]


def key_of(name, request):
    return derive_key(name, canonical_form(request))


@pytest.mark.parametrize(("key", "name", "wanted"), GOLDEN)
def test_golden_keys(key, name, wanted):
    """Keys are golden: other keys would submit the batches of users again."""
    assert key_of(name, wanted) == key


def test_key_depends_on_name_and_request():
    """Another name, class or field gives another key; an explicit default gives the same key."""
    keys = [
        key_of("cats", VideoRequest("a cat")),
        key_of("dogs", VideoRequest("a cat")),
        key_of("cats", VideoRequest("a dog")),
        key_of("cats", VideoRequest("a cat", aspect_ratio="1:1")),
        key_of("cats", VideoRequest("a cat", loop=False)),
        key_of("cats", ExtendRequest("some-id", "a cat")),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of("cats", VideoRequest("a cat", aspect_ratio="16:9", loop=None, concepts=())) == keys[0]


def test_keys_of_equal_items():
    """The first of equal items keeps its key; the others are numbered, in each run alike."""

    def number():
        counter = KeyCounter()
        return [counter.make_unique(key * 64) for key in "abaab"], counter.duplicates

    keys, duplicates = number()
    assert keys == ["a" * 64, "b" * 64, f"{'a' * 64}.2", f"{'a' * 64}.3", f"{'b' * 64}.2"]
    assert duplicates == 3
    assert number() == (keys, duplicates)


def test_retry_key():
    """The first purchase has the bare key, the second ends in ~2."""
    assert [retry_key("cat", number) for number in (1, 2, 3)] == ["cat", "cat~2", "cat~3"]


def test_retry_key_of_long_key():
    """If key and number are too long, the digest of the key replaces it."""
    keys = [retry_key("k" * 199 + end, 2) for end in "ab"]
    assert retry_key("k" * 200, 1) == "k" * 200
    assert retry_key("k" * 198, 2) == "k" * 198 + "~2"
    assert keys == [retry_key("k" * 199 + end, 2) for end in "ab"]
    assert len(set(keys)) == 2
    assert max(map(len, keys)) <= MAX_KEY_LENGTH


REFUSED = {"status": 400}
DOUBT = SubmitInDoubt(key="cat", fresh=True)
OLD_DOUBT = SubmitInDoubt(key="cat")
ENTRY = object()


@pytest.mark.parametrize(
    ("error", "stops"),
    [
        (Unauthorized(status=401), True),
        (OutOfCredit(status=403), True),
        (JournalBusy(message="held"), True),
        (SessionClosed(), True),
        (PromptRejected(**REFUSED), False),
        (KeyConflict(entry=ENTRY, reason="taken"), False),
        (NotSent(message="no network"), False),
        (DOUBT, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_stops_batch(error, stops):
    """Only errors that every further item would meet stop a batch."""
    assert stops_batch(error) is stops


UNSENT = NotSent(message="no network")


@pytest.mark.parametrize(
    ("errors", "accepted", "stops"),
    [
        ([UNSENT] * 5, 0, True),
        ([UNSENT] * 4, 0, False),
        ([UNSENT] * 5, 1, False),
        ([*[UNSENT] * 4, PromptRejected(**REFUSED), UNSENT], 0, False),
        ([PromptRejected(**REFUSED), *[UNSENT] * 5], 0, True),
        ([*[UNSENT] * 2, DOUBT, *[UNSENT] * 2], 0, False),
    ],
)
def test_stop_when_unreachable(errors, accepted, stops):
    """Five items in a row that could not be sent stop a batch, unless this run has reached the service."""
    progress = BatchProgress()
    for _ in range(accepted):
        progress.purchased(now=True)
    assert [progress.ended(error, purchased=False, took_s=None) for error in errors][-1] is stops


@pytest.mark.parametrize(
    ("errors", "count"),
    [
        ([], 0),
        ([DOUBT] * MAX_DOUBTS_IN_A_ROW, MAX_DOUBTS_IN_A_ROW),
        ([DOUBT, DOUBT, None, DOUBT], 1),
        ([DOUBT, DOUBT, PromptRejected(**REFUSED)], 0),
        ([OLD_DOUBT] * 9, 0),
        ([DOUBT, OLD_DOUBT, DOUBT], 2),
    ],
)
def test_count_doubts(errors, count):
    """Another outcome resets the count of doubts; doubts of an earlier run do not count."""
    in_a_row = 0
    for error in errors:
        in_a_row = count_doubts(in_a_row, error)
    assert in_a_row == count


@pytest.mark.parametrize(
    ("number", "named_s", "jitter", "pause_s"),
    [(1, None, 1, 0.5), (2, None, 1, 1), (9, None, 0.5, 4), (1, None, 0, 0.1), (1, 7, 0, 7), (1, 3600, 0, 60)],
)
def test_pause_after_rate_limit(number, named_s, jitter, pause_s):
    """The pause doubles up to the policy's limit; a named delay is obeyed up to a minute."""
    error = RateLimited(status=429, retry_after_s=named_s)
    assert pause_after_rate_limit(number, error, policy=RetryPolicy(), jitter=jitter) == pause_s


@pytest.mark.parametrize("policy", [RetryPolicy(first_delay=0), RetryPolicy(max_delay=0, first_delay=0), RetryPolicy()])
@pytest.mark.parametrize("named_s", [None, 0.0])
def test_min_pause_after_rate_limit(policy, named_s):
    """There is a pause after a 429 whatever the policy says."""
    error = RateLimited(status=429, retry_after_s=named_s)
    assert pause_after_rate_limit(1, error, policy=policy, jitter=0.0) == MIN_PAUSE_S


@pytest.mark.parametrize(
    ("ended", "waiting", "running", "left_s"),
    [
        ([], 5, 2, None),
        ([10, 30], None, 2, None),
        ([], 0, 0, 0.0),
        ([10, 30], 0, 0, 0.0),
        ([10, 30], 0, 1, 10.0),
        ([10, 30], 2, 4, 30.0),
        ([10, 30], 8, 4, 50.0),
    ],
)
def test_seconds_left(ended, waiting, running, left_s):
    """The estimate is the mean duration by rounds, and half of it for running items; None without data."""
    durations = Durations()
    for took_s in ended:
        durations = durations.after(took_s)
    assert durations.left_s(waiting=waiting, running=running, width=4) == left_s


@given(st.text(min_size=1), st.text(min_size=1).filter(lambda text: text.strip()))
def test_key_of_any_prompt(name, prompt):
    """For any texts a key is 64 hexadecimal digits, and is reproducible."""
    try:
        request = VideoRequest(prompt)
    except ValueError:
        return
    key = key_of(name, request)
    assert len(key) == 64
    assert int(key, 16) >= 0
    assert key == key_of(name, request)


def test_key_of_inline_image():
    """The same image gives the same key, another image another key."""
    pictures = [ImageKeyframe.from_bytes(b"\xff\xd8\xff" + tail) for tail in (b"1", b"1", b"2")]
    keys = [key_of("cats", VideoRequest("a cat", keyframes=Keyframes(frame0=picture))) for picture in pictures]
    assert keys[0] == keys[1] != keys[2]
