"""How JSON becomes values: one drifted field degrades alone, and nothing that is recorded is overlooked."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples_of import document, names, sample

from luma_async import (
    Credits,
    DreamMachine,
    Generation,
    Image,
    KeyUsage,
    RixAPI,
    State,
    UnreadableResponse,
    User,
    Video,
)
from luma_async._wire.converter import structure
from luma_async._wire.dialect import StillRunning

RIX = RixAPI()
ACCOUNT = RixAPI(access_token="at-secret", user_id=1)
LINK, OTHER = "https://x.example/a.mp4", "https://x.example/b.jpg"


def structured(**fields):
    return structure(Generation, {"id": "some-id", "state": "completed", "raw": {}, **fields})


TEXTS = {
    "a text": ("cat", "cat"),
    "a number": (123, "123"),
    "empty": ("", None),
    "null": (None, None),
    "a boolean": (True, None),
    "a fraction": (1.5, None),
    "an object": ({"text": "cat"}, None),
    "a list": (["cat"], None),
}


@pytest.mark.parametrize(("value", "expected"), TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("field", ["prompt", "failure_reason", "failure_code", "server_id", "model"])
def test_string_field(field, value, expected):
    """An integer is read as its digits; anything else that is not a string is None."""
    assert getattr(structured(**{field: value}), field) == expected


NUMBERS = {
    "a whole number": (752, 752),
    "in words": ("752", 752),
    "with a point": (752.0, 752),
    "with a point, in words": ("752.0", 752),
    "zero": (0, 0),
    "a fraction": (752.5, None),
    "a fraction in words": ("752.5", None),
    "a boolean": (True, None),
    "no number": (math.nan, None),
    "endless": (math.inf, None),
    "endless in words": ("1e999", None),
    "words": ("wide", None),
    "empty": ("", None),
    "null": (None, None),
    "an object": ({"px": 752}, None),
}


@pytest.mark.parametrize(("value", "expected"), NUMBERS.values(), ids=NUMBERS.keys())
def test_integer_field(value, expected):
    """Integers come as numbers and as strings; anything else is None, and the other fields are kept."""
    assert structured(thumbnail={"url": OTHER, "width": value}).thumbnail == Image(url=OTHER, width=expected)


FRACTIONS = {
    "a fraction": (5.041667, 5.041667),
    "a whole number": (5, 5.0),
    "in words": ("5.041667", 5.041667),
    "a unit": ("5s", None),
    "a boolean": (False, None),
    "no number": (math.nan, None),
    "beyond reason": (10**400, None),
    "an object": ({}, None),
}


@pytest.mark.parametrize(("value", "expected"), FRACTIONS.values(), ids=FRACTIONS.keys())
def test_float_field(value, expected):
    """Numbers come as numbers and as strings; NaN and infinities are None."""
    generation = structured(video={"url": LINK, "duration": value}, estimate_wait_s=value)
    assert generation.video == Video(url=LINK, duration_s=expected)
    assert generation.estimate_wait_s == expected


MOMENTS = {
    "microseconds": ("2024-07-22T12:47:28.553735Z", datetime(2024, 7, 22, 12, 47, 28, 553_735, UTC)),
    "milliseconds": ("2024-12-22T13:38:40.139Z", datetime(2024, 12, 22, 13, 38, 40, 139_000, UTC)),
    "nanoseconds": ("2024-12-22T13:38:40.139409123Z", datetime(2024, 12, 22, 13, 38, 40, 139_409, UTC)),
    "seconds": ("2024-03-01T12:00:00Z", datetime(2024, 3, 1, 12, tzinfo=UTC)),
    "another zone": ("2024-03-01T20:00:00+08:00", datetime(2024, 3, 1, 12, tzinfo=UTC)),
    "Unix seconds": (1_719_819_313, datetime(2024, 7, 1, 7, 35, 13, tzinfo=UTC)),
    "Unix seconds with a fraction": (1_719_819_313.5, datetime(2024, 7, 1, 7, 35, 13, 500_000, UTC)),
    "Unix seconds in words": ("1719819313", datetime(2024, 7, 1, 7, 35, 13, tzinfo=UTC)),
    "not yet, in Go": ("0001-01-01T00:00:00Z", None),
    "not yet, in Go and in another zone": ("0001-01-01T00:00:00+08:00", None),
    "not yet": (0, None),
    "before time": (-1, None),
    "after time": (10**20, None),
    "beyond reason": (10**400, None),
    "a day that is none": ("2024-02-31T00:00:00Z", None),
    "words": ("yesterday", None),
    "digits of another kind": ("\u00b2", None),
    "empty": ("", None),
    "a boolean": (True, None),
    "an object": ({"seconds": 1}, None),
}


@pytest.mark.parametrize(("value", "expected"), MOMENTS.values(), ids=MOMENTS.keys())
def test_moment_field(value, expected):
    """Moments of any precision and form are aware UTC; anything else is None."""
    moment = structured(created_at=value).created_at
    assert moment == expected
    assert moment is None or moment.tzinfo is UTC


def test_assumed_moment_without_zone():
    """Assumed: a moment without a zone is UTC."""
    assert structured(created_at="2024-03-01T12:00:00").created_at == datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0%", 0.0),
        ("1%", 0.01),
        ("37%", 0.37),
        ("100%", 1.0),
        ("101%", None),
        ("-1%", None),
        ("%", None),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_progress_field(value, expected):
    """Progress is a percentage as a string, and becomes a fraction."""
    assert structured(progress=value).progress == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(0, 0.0), (1, 0.01), ("1", 0.01), (2, 0.02), (37, 0.37), ("37", 0.37), (100, 1.0), ("100", 1.0), (101, None)],
        *[(0.37, 0.37), ("0.37", 0.37), (0.5, 0.5), (1.0, 1.0), ("1.0", 1.0), (37.5, 0.375), (" 37% ", 0.37)],
    ],
)
def test_assumed_progress_number(value, expected):
    """Assumed: an integer is a percentage, and a number with a point up to 1 is a fraction."""
    assert structured(progress=value).progress == expected


STATES = {
    "pending": State.PENDING,
    "queued": State.PENDING,
    "processing": State.PROCESSING,
    "dreaming": State.PROCESSING,
    "completed": State.COMPLETED,
    "failed": State.FAILED,
    "Completed": State.COMPLETED,
    " failed ": State.FAILED,
    "rendering_4d": State.UNKNOWN,
    "asleep": State.UNKNOWN,
    **dict.fromkeys(["not-start", "In Queue", "accepted", "TASK_STATUS_QUEUED"], State.PENDING),
    **dict.fromkeys(["running", "In-Progress", "generating"], State.PROCESSING),
    **dict.fromkeys(
        ["success", "succeeded", "Succeed", "DONE", "complete", "COMPLETED", "finished", "successful"], State.COMPLETED
    ),
    **dict.fromkeys(
        ["error", "fail", "Failed", "failure", "cancel", "canceled", "CANCELLED", "rejected", "expired", "timeout"],
        State.FAILED,
    ),
    **dict.fromkeys(["timed_out", "Timed Out", "aborted", "revoked", "deleted", "Content Moderated"], State.FAILED),
}


@pytest.mark.parametrize(("word", "state"), STATES.items(), ids=STATES.keys())
def test_state_field(word, state):
    """Known words have their state in any case; another word is UNKNOWN, is kept, and is not final."""
    generation = structured(state=word, raw_state=word)
    assert (generation.state, generation.raw_state) == (state, word)
    assert generation.final is (state in {State.COMPLETED, State.FAILED})


FILES = {
    "an object": ({"url": LINK, "width": 64}, Video(url=LINK, width=64)),
    "a bare link": (LINK, Video(url=LINK)),
    "a link without TLS": ("http://x.example/a.mp4", Video(url="http://x.example/a.mp4")),
    "only the clean link": ({"download_url": LINK}, Video(download_url=LINK)),
    "an empty link": ({"url": "", "download_url": LINK}, Video(download_url=LINK)),
    "a link that is an object": ({"url": {"url": LINK}}, Video(url=LINK)),
    "a link relative to the service": ({"url": "/files/a.mp4"}, Video(url="/files/a.mp4")),
    "a link without a scheme": ({"url": "//x.example/a.mp4"}, Video(url=LINK)),
    "a link that cannot be fetched": ({"url": "soon", "download_url": LINK}, Video(download_url=LINK)),
    "no link": ({"url": "", "width": 64}, None),
    "an inline file": ({"url": "data:video/mp4;base64,AAAA"}, None),
    "nothing": ({}, None),
    "empty": ("", None),
    "a list": ([LINK], None),
    "a number": (7, None),
    "a still as a link": ({"url": LINK, "thumbnail": OTHER}, Video(url=LINK, thumbnail_url=OTHER)),
    "a still as an object": ({"url": LINK, "thumbnail": {"url": OTHER}}, Video(url=LINK, thumbnail_url=OTHER)),
    "a still that is none": ({"url": LINK, "thumbnail": ["x"]}, Video(url=LINK)),
    "odd neighbours": ({"url": LINK, "palette": {"grid": "x"}, "url2": [], "": 1}, Video(url=LINK)),
}


@pytest.mark.parametrize(("value", "video"), FILES.values(), ids=FILES.keys())
def test_file_field(value, video):
    """A file is an object with links or a bare link; without a link that can be fetched it is None."""
    generation = structured(video=value, video_raw=value)
    assert (generation.video, generation.video_raw) == (video, video)


def test_required_fields():
    """A missing id, state or balance is an error that names it."""
    for cls, paths in ((Generation, ("id", "state")), (Credits, ("balance_cents",))):
        with pytest.raises(UnreadableResponse, match="has no") as caught:
            structure(cls, {"raw": {"a": 1}})
        assert caught.value.paths == paths


def test_balance_fields():
    """A balance, an account and a key follow the same rules; only the balance needs its number."""
    assert structure(Credits, {"balance_cents": "1234.5", "raw": {"a": 1}}).balance_cents == 1234.5
    assert structure(User, {"quota": "7", "username": None, "raw": {}}).quota == 7
    assert structure(KeyUsage, {"unlimited": "yes", "granted": True, "raw": {}}).unlimited is None


# What is recorded and deliberately not read, by the answer it stands in. Envelopes count as their content.
IGNORED = {
    "generation": {
        "artifact.created_at": "Go's zero time",
        "artifact.last_frame.media_type": "always image",
        "artifact.last_frame.palette": "decoration",
        "artifact.thumbnail.media_type": "always image",
        "artifact.thumbnail.palette": "decoration",
        "artifact.thumbnail.palette.grid": "decoration",
        "artifact.video_raw.media_type": "always video",
        "action": "the request told it",
        "batch_id": "means nothing outside the service",
        "content": "the link of the row comes first",
        "content.video_url": "the link of the row comes first",
        "finish_time": "when the relay noticed, not when it ended",
        "last_frame.media_type": "always image",
        "last_frame.palette": "decoration",
        "liked": "a mark of the website",
        "message": "said in words with an error only",
        "pipeline_id": "means nothing outside the service",
        "platform": "the relay's own account pool",
        "queue_state": "always null",
        "request.aspect_ratio": "the request told it",
        "request_id": "comes as a header as well",
        "start_time": "when the relay noticed, not when it began",
        "thumbnail.media_type": "always image",
        "thumbnail.palette": "decoration",
        "thumbnail.palette.grid": "decoration",
        "updated_at": "of the relay's database",
        "user_id": "of the service's account, not of ours",
        "video_raw.media_type": "always video",
    },
    "link": {},
    "user": dict.fromkeys(
        ["message", "display_name", "email", "role", "status", "inviter_id", "aff_code", "aff_count", "aff_quota"],
        "not about money",
    ),
    "key": dict.fromkeys(
        ["message", "object", "model_limits", "model_limits.gpt-4o-mini", "model_limits_enabled"],
        "not about money",
    ),
}
REQUESTS = {"submit-request-2024", "submit-request-2025", "submit-request-mixed", "extend-request-2024"}
PROBES = (7, 0.5, LINK, "failed", "probe-id", True, False, None, {"url": OTHER}, [])


def kind_of(name):
    return {"download-url": "link", "user-self": "user", "usage-token": "key"}.get(name, "generation")


def recorded_answers():
    """Every recorded answer; the full one also without its top-level files, whose place the artifact's take."""
    for name in names("rixapi"):
        if name not in REQUESTS:
            yield kind_of(name), sample("rixapi", name)
    files = ("video", "video_raw", "thumbnail", "last_frame")
    full = sample("rixapi", "query-completed-2025")
    yield "generation", {key: value for key, value in full.items() if key not in files}


def outcome(kind, payload):
    """Everything that the reader makes of an answer, but for the JSON that is kept."""
    answer = document(payload)
    error = RIX.read_error(answer)
    try:
        if kind == "link":
            return error, RIX.link("some-id").read(answer)
        if kind in {"user", "key"}:
            return error, attrs.evolve(getattr(ACCOUNT, kind)().read(answer), raw={})
        rows = RIX.get_many([]).read(answer) if many(payload) else [RIX.read_submit(answer)]
        return error, [
            (row.id, attrs.evolve(RIX.generation(row.raw), raw={}, raw_row={})) if row else None for row in rows
        ]
    except UnreadableResponse as unreadable:
        return error, unreadable.paths


def many(payload):
    return isinstance(payload, list) or isinstance(payload.get("data"), list)


def places(value, path=()):
    """The path to every key in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        if isinstance(step, str):
            yield (*path, step)
        yield from places(inner, (*path, step))


def changed(payload, path, value):
    """The same JSON with another value in one place."""
    whole = copy.deepcopy(payload)
    holder = whole
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return whole


def dotted(path):
    """A path without the steps that only lead to the content."""
    steps = [step for step in path if isinstance(step, str)]
    while len(steps) > 1 and steps[0] == "data":
        del steps[0]
    return ".".join(steps)


def used_and_recorded(answers):
    """The keys that make a difference to the reader, and all keys, by the kind of the answer."""
    used, recorded = {kind: set() for kind in IGNORED}, {kind: set() for kind in IGNORED}
    for kind, payload in answers:
        before = outcome(kind, payload)
        for path in places(payload):
            recorded[kind].add(dotted(path))
            if any(outcome(kind, changed(payload, path, probe)) != before for probe in PROBES):
                used[kind].add(dotted(path))
    return used, recorded


def test_every_recorded_key_is_known():
    """Each key of a recorded answer is read, or is in the list of ignored keys with its reason, never both."""
    used, recorded = used_and_recorded(recorded_answers())
    for kind, ignored in IGNORED.items():
        assert recorded[kind] - used[kind] == set(ignored), kind


def test_new_key_is_noticed():
    """The test above finds a key that was never recorded, at any place."""
    used, recorded = used_and_recorded([("generation", {"id": "a", "state": "completed", "video": {"codec": "av1"}})])
    assert recorded["generation"] - used["generation"] == {"video.codec"}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
TELLING = st.sampled_from(
    [
        "",
        "completed",
        "FAILURE",
        "queued",
        "37%",
        LINK,
        "data:image/png;base64,iVBO",
        "a-b",
        "0001-01-01T00:00:00Z",
        "2024-07-22T12:47:28Z",
    ]
)
JSON = st.recursive(
    SCALARS | TELLING,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "download_url", "id", "state", "prompt", "data"]), inner, max_size=3)
    ),
    max_leaves=6,
)
TASKS = [payload for kind, payload in recorded_answers() if kind == "generation" and not many(payload)] + [
    sample("rixapi", "tasks-envelope")["data"][0],
    sample("rixapi", "tasks-envelope-failure-assumed")["data"][0],
]


@st.composite
def drifted(draw):
    """A recorded generation with up to four places changed to anything."""
    task = copy.deepcopy(draw(st.sampled_from(TASKS)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(sorted(places(task), key=str)))
        task = changed(task, path, draw(JSON))
    return task


def acceptable(generation):
    assert isinstance(generation, Generation)
    assert isinstance(generation.state, State)
    assert generation.created_at is None or generation.created_at.tzinfo is UTC
    assert generation.progress is None or 0 <= generation.progress <= 1
    for file in (generation.video, generation.video_raw, generation.thumbnail, generation.last_frame):
        assert file is None or file.url or file.download_url


@given(drifted())
def test_any_change_of_an_answer(task):
    """After any change of a recorded answer the result is a valid generation or an UnreadableResponse."""
    try:
        generation = RIX.generation(task)
    except UnreadableResponse as unreadable:
        missing = set(unreadable.paths)
        assert {"id", "state"} >= missing > set()
    else:
        acceptable(generation)


@given(drifted())
def test_peek_agrees_with_generation(task):
    """If `peek` says running, the generation is running, with the same estimate."""
    running = RIX.peek(task)
    if running is not None:
        generation = RIX.generation({**task, "id": "some-id", "task_id": "some-id"})
        assert generation.state in {State.PENDING, State.PROCESSING}
        assert generation.estimate_wait_s == running.estimate_wait_s


@pytest.mark.parametrize(
    "word", ["pending", "Queued", "SUBMITTED", "NOT_START", "processing", "dreaming", "IN_PROGRESS"]
)
def test_peek_running(word):
    """`peek` knows every word of a running generation, in a flat task and in a row."""
    for dialect in (RIX, DreamMachine()):
        assert dialect.peek({"id": "a", "state": word, "estimate_wait_seconds": 12}) == StillRunning(
            estimate_wait_s=12.0
        )
    assert RIX.peek({"task_id": "a", "status": word, "data": {"estimate_wait_seconds": None}}) == StillRunning()


@pytest.mark.parametrize("task", [{"state": "completed"}, {"state": "failed"}, {"state": "asleep"}, {"state": 7}, {}])
def test_peek_not_running(task):
    """For an ended generation and an unknown word `peek` returns None."""
    assert RIX.peek({"id": "a", **task}) is None


@pytest.mark.parametrize("estimate", ["12", 1.5, True, 10**400, {}])
def test_peek_odd_estimate(estimate):
    """For an estimate that is not a small integer `peek` returns None."""
    assert RIX.peek({"id": "a", "state": "pending", "estimate_wait_seconds": estimate}) is None


ALONE = {
    "prompt": "prompt",
    "created_at": "created_at",
    "video": "video",
    "video_raw": "video_raw",
    "thumbnail": "thumbnail",
    "last_frame": "last_frame",
    "estimate_wait_seconds": "estimate_wait_s",
    "server_id": "server_id",
    "progress": "progress",
    "failure_reason": "failure_reason",
    "liked": "raw",
}


@given(st.sampled_from(sorted(ALONE)), JSON)
def test_unreadable_field(wire_name, value):
    """Any value in the place of one field leaves every other field unchanged."""
    whole = sample("rixapi", "query-completed-2024")
    before, after = RIX.generation(whole), RIX.generation({**whole, wire_name: value})
    field = ALONE[wire_name]
    same = {"raw": {}, "outputs": (), field: None}
    assert attrs.evolve(after, **same) == attrs.evolve(before, **same)


@given(st.dictionaries(st.text(max_size=4), JSON))
def test_any_object(raw):
    """Any JSON object is a generation or an UnreadableResponse."""
    with_id = {"id": "some-id", "state": "pending", **raw}
    for one in (raw, with_id):
        try:
            acceptable(RIX.generation(one))
        except UnreadableResponse:
            continue
