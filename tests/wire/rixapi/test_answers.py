"""What the relay's recorded answers say, and what is made of answers that drift from them."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest
from samples_of import document, names, raw_document, sample

from luma_async import DreamMachine, Generation, Image, KeyUsage, RixAPI, State, UnreadableResponse, User, Video
from luma_async._wire.dialect import read_row, structure_row
from luma_async._wire.links import absolute

RIX = RixAPI()
ACCOUNT = RixAPI(access_token="at-secret", user_id=1)
CDN = "https://storage.cdn-luma.com"
SIZE_2025 = {"width": 1360, "height": 752}
FOLDER_2025 = f"{CDN}/dream-machine/b0d67582-c6f0-4973-a89c-3fea9d46d5e9"
CLIP_2025 = f"{FOLDER_2025}/35049450-c008-4607-b1d0-0b025599f15d/video0b6619468da8e409da860706bbf26bbad.mp4"
STILL_2025 = "https://imagedelivery.net/1KomXrSWiTojGGip43n0SQ/e4268de5-4a74-45ff-67b8-dc46df12de00/public"
LITE = f"{CDN}/lit_lite_inference_v1.6-xl"
FOLDER_2024 = f"{LITE}/5bf08990-71ed-4a56-b531-2c2f02e18f51"


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


COMPLETED_2025 = Generation(
    id="4665a07c-7641-4809-a133-10786201bb56",
    state=State.COMPLETED,
    raw_state="completed",
    prompt="cat dance",
    created_at=utc(2024, 12, 22, 13, 38, 40, 139_000),
    video=Video(url=CLIP_2025, download_url=CLIP_2025, **SIZE_2025),
    video_raw=Video(url=CLIP_2025, duration_s=5.041667, **SIZE_2025),
    thumbnail=Image(url=STILL_2025, **SIZE_2025),
    last_frame=Image(
        url=f"{FOLDER_2025}/606108d9-9daf-4265-84fb-595f18240ac5/video_0_last_frame.jpg",
        **SIZE_2025,
    ),
)
"""As the page of 2025 shows it, by itself and in the bare list."""

CLIP_NULL = f"{CDN}/dream-machine/907ef9be-0000-4000-8000-000000000000/v.mp4"

SUBMITTED = {
    "submit-201-pending": Generation(
        id="fc7fb008-7a5e-40ad-a7ff-dbb63db61be8",
        state=State.PENDING,
        raw_state="pending",
        prompt="cat dance",
        created_at=utc(2024, 7, 22, 12, 47, 28, 553_735),
    ),
    "submit-201-server-id": Generation(
        id="656f64c3-6903-4171-a2c6-34c6cd6119f7",
        state=State.PENDING,
        raw_state="pending",
        prompt="cat dance",
        created_at=utc(2024, 10, 20, 6, 41, 46, 293_298),
        server_id="123",
    ),
    "submit-200-pending-related": Generation(
        id="4665a07c-7641-4809-a133-10786201bb56",
        state=State.PENDING,
        raw_state="pending",
        created_at=utc(2024, 12, 22, 13, 38, 40, 139_409),
    ),
    "submit-200-queued-related": Generation(
        id="luma_gen_abc123", state=State.PENDING, raw_state="queued", created_at=utc(2024, 3, 1, 12)
    ),
    "submit-200-nested-id": Generation(
        id="d1f0a8d2-0a51-4c3a-9a63-2f6b1d5d0e11",
        state=State.PENDING,
        raw_state="submitted",
        created_at=utc(2024, 7, 1, 7, 35, 13),
    ),
    "extend-200": Generation(
        id="749d328e-4fd0-43a8-8c89-32394d60da69",
        state=State.PENDING,
        raw_state="pending",
        created_at=utc(2024, 12, 22, 14, 48, 39, 947_851),
    ),
}

QUERIED = {
    "query-completed-2025": COMPLETED_2025,
    "query-completed-2024": Generation(
        id="32ec5549-7b7a-4111-a43b-445b3a89c8ef",
        state=State.COMPLETED,
        raw_state="completed",
        prompt="Please generate a video simulating the gentle undulating heights of water waves and sand dunes",
        created_at=utc(2024, 10, 15, 8, 50, 11),
        video=Video(
            url=f"{FOLDER_2024}/5f7ca010-7e0e-4faf-a654-f41ce735d0ff"
            "_watermarked_video05a8efbcf1ba2498bb02aa9dcefab47f8.mp4",
            download_url=sample("rixapi", "download-url")["url"],
            width=752,
            height=1360,
        ),
        video_raw=Video(url=f"{LITE}/raw.mp4", width=752, height=1360),
        thumbnail=Image(url=f"{FOLDER_2024}/thumb.jpg", width=752, height=1360),
        last_frame=Image(url=f"{LITE}/last.jpg", width=752, height=1360),
    ),
    "query-completed-no-link": Generation(
        id="77aae5b1-7e0e-4038-9e8d-d59a0dd79b5f", state=State.COMPLETED, raw_state="completed", prompt="cat dance"
    ),
    "query-completed-thumbnail-string": Generation(
        id="77aae5b1-7e0e-4038-9e8d-d59a0dd79b5e",
        state=State.COMPLETED,
        raw_state="completed",
        prompt="In a modern airport, travelers rush to check in.",
        video=Video(
            url=f"{LITE}/w.mp4",
            download_url=f"{LITE}/v.mp4",
            width=656,
            height=1552,
            thumbnail_url=f"{LITE}/video_0_thumb.jpg",
        ),
        thumbnail=Image(url=f"{LITE}/video_0_thumb.jpg", width=656, height=1552),
    ),
    "query-completed-minimal": Generation(
        id="cad904d3-1093-421b-9c2c-92450edf5fe6",
        state=State.COMPLETED,
        raw_state="completed",
        created_at=utc(2026, 1, 1),
        video=Video(url="https://video.example/v.mp4", download_url="https://video.example/d.mp4"),
    ),
    "query-completed-failure-reason-null": Generation(
        id="e70fdf3c-ce95-4dd1-a967-220ce957aff5",
        state=State.COMPLETED,
        raw_state="completed",
        video=Video(url=CLIP_NULL, download_url=CLIP_NULL),
    ),
    "query-completed-assets": Generation(
        id="cad904d3-1093-421b-9c2c-92450edf5fe6",
        state=State.COMPLETED,
        raw_state="completed",
        video=Video(url="https://video.example/v.mp4", download_url="https://video.example/v.mp4"),
    ),
    "query-failed-assumed": Generation(
        id="9d4b7516-77e5-481a-b015-48313946f33c",
        state=State.FAILED,
        raw_state="failed",
        prompt="cat dance",
        failure_reason="Advanced prompt moderation failed",
    ),
}

RESULT_ROW = Generation(
    id="task_abc",
    state=State.COMPLETED,
    raw_state="succeeded",
    video=Video(url="https://x.example/v.mp4", download_url="https://x.example/v.mp4"),
    progress=1.0,
)
"""A row with its own link to the result, around the answer of another maker."""

LISTED = {
    "tasks-bare-list": COMPLETED_2025,
    "tasks-envelope": Generation(
        id="9d4b7516-77e5-481a-b015-48313946f33b",
        state=State.PROCESSING,
        raw_state="processing",
        prompt="cat dance",
        created_at=utc(2024, 7, 1, 7, 35, 13, 498_000),
    ),
    "tasks-envelope-failure-assumed": Generation(
        id="9d4b7516-77e5-481a-b015-48313946f33c",
        state=State.FAILED,
        raw_state="FAILURE",
        created_at=utc(2024, 7, 1, 7, 35, 13),
        failure_reason="任务超时\uff081440分钟\uff09",
        progress=1.0,
    ),
}

BALANCES = {"user-self", "usage-token"}
REQUESTS = {"submit-request-2024", "submit-request-2025", "submit-request-mixed", "extend-request-2024"}


def plain(generation):
    """The same value without its JSON."""
    return attrs.evolve(generation, raw={}, raw_row={})


def test_every_sample_has_a_test():
    """Every recorded answer has a test."""
    read = {*SUBMITTED, *QUERIED, *LISTED, *BALANCES, *REQUESTS, "download-url", "query-row-result-url"}
    read.add("submit-200-task-id-only")
    assert read == set(names("rixapi"))


@pytest.mark.parametrize(("name", "expected"), SUBMITTED.items(), ids=SUBMITTED.keys())
def test_recorded_submits(name, expected):
    """Every recorded answer to a submit names its generation, holds no error, and is pending."""
    answer = document(sample("rixapi", name), 201)
    assert RIX.read_error(answer) is None
    row = RIX.read_submit(answer)
    assert row.id == expected.id
    generation = RIX.generation(row.raw)
    assert plain(generation) == expected
    assert generation.created_at.tzinfo is UTC


@pytest.mark.parametrize(("name", "expected"), QUERIED.items(), ids=QUERIED.keys())
def test_recorded_queries(name, expected):
    """Every recorded answer to a query is read in full, and keeps its JSON unchanged."""
    answer = document(sample("rixapi", name))
    assert RIX.read_error(answer) is None
    generation = RIX.generation(RIX.get(expected.id).read(answer).raw)
    assert plain(generation) == expected
    assert generation.raw == sample("rixapi", name)


def test_recorded_row_with_result():
    """A row's own link to the result comes before that of its task, whose JSON is kept as `raw`."""
    recorded = sample("rixapi", "query-row-result-url")
    generation = structure_row(RIX, RIX.get("task_abc").read(document(recorded)))
    assert plain(generation) == RESULT_ROW
    assert generation.raw == recorded["data"]["data"]
    assert generation.raw_row["result_url"] == "https://x.example/v.mp4"


def test_recorded_submit_without_state():
    """An answer to a submit that is only an id is enough."""
    recorded = sample("rixapi", "submit-200-task-id-only")
    row = RIX.read_submit(document(recorded))
    assert (row.id, read_row(RIX, row).state) == (recorded["task_id"], State.UNKNOWN)


@pytest.mark.parametrize(("name", "expected"), LISTED.items(), ids=LISTED.keys())
def test_recorded_lists(name, expected):
    """The envelope and the bare list both give the generation under its own id."""
    answer = document(sample("rixapi", name))
    assert RIX.read_error(answer) is None
    (row,) = RIX.get_many([]).read(answer)
    assert row.id == expected.id
    assert plain(RIX.generation(row.raw)) == expected


def test_recorded_link():
    """The watermark-free link is the answer's `url`."""
    answer = document(sample("rixapi", "download-url"))
    assert RIX.read_error(answer) is None
    assert RIX.link("some-id").read(answer).startswith("https://example.r2.cloudflarestorage.com/ai-lumalabs-storage/")


def test_recorded_account():
    """The account's quota is read; its JSON is kept without the access token."""
    recorded = sample("rixapi", "user-self")
    recorded["data"]["access_token"] = "at-secret"
    answer = document(recorded)
    assert RIX.read_error(answer) is None
    user = ACCOUNT.user().read(answer)
    expected = User(id=1, username="user123", group="default", quota=500_000, used_quota=123_456, request_count=2_048)
    assert attrs.evolve(user, raw={}) == expected
    assert user.raw == sample("rixapi", "user-self")["data"]


def test_recorded_key():
    """The key's quota is read; `expires_at: 0` means never, and the boolean `code` is no error."""
    answer = document(sample("rixapi", "usage-token"))
    assert RIX.read_error(answer) is None
    usage = RIX.key().read(answer)
    expected = KeyUsage(name="Default Token", granted=1_000_000, used=12_345, available=987_655, unlimited=False)
    assert attrs.evolve(usage, raw={}) == expected
    assert usage.raw == sample("rixapi", "usage-token")["data"]


def test_key_expiry():
    """A key's expiry is a moment, given in Unix seconds."""
    recorded = sample("rixapi", "usage-token")
    recorded["data"]["expires_at"] = 1_719_819_313
    assert RIX.key().read(document(recorded)).expires_at == utc(2024, 7, 1, 7, 35, 13)


@pytest.mark.parametrize("read", [ACCOUNT.user().read, RIX.key().read], ids=["user", "key"])
@pytest.mark.parametrize("payload", [[], None, "x", {}, {"data": None}, {"data": ["at-secret"]}])
def test_account_without_data(read, payload):
    """An account page without data is unreadable; the error has no excerpt, since the page may hold a token."""
    with pytest.raises(UnreadableResponse, match="no data") as caught:
        read(document(payload))
    assert caught.value.paths == ("data",)
    assert "at-secret" not in str(caught.value)


def test_link_without_tls():
    """An http:// link is accepted."""
    assert RIX.link("some-id").read(document({"url": "http://x.example/v.mp4"})) == "http://x.example/v.mp4"


@pytest.mark.parametrize("payload", [{}, {"url": None}, {"url": ""}, {"url": "soon"}, {"url": 7}, [], "https://x"])
def test_malformed_link(payload):
    """A link that cannot be fetched is unreadable."""
    with pytest.raises(UnreadableResponse, match="no link") as caught:
        RIX.link("some-id").read(document(payload))
    assert caught.value.paths == ("url",)


TWO = [{"id": "some-id", "state": "completed"}, {"id": "other", "state": "failed"}]
IDS = {
    "id": ({"id": "a"}, "a"),
    "task_id": ({"task_id": "a"}, "a"),
    "id before task_id": ({"id": "a", "task_id": "b"}, "a"),
    "data.id": ({"code": 0, "data": {"id": "a"}}, "a"),
    "data.task_id": ({"code": "success", "data": {"task_id": "a"}}, "a"),
    "id with empty data": ({"id": "a", "data": None}, "a"),
    "a database number and task_id": ({"id": 13917, "task_id": "a"}, "a"),
    "a number": ({"id": 13917}, None),
    "nothing": ({"state": "pending"}, None),
    "null": ({"id": None, "task_id": None, "data": None}, None),
    "empty": ({"id": ""}, None),
    "a path": ({"id": "../../admin"}, None),
    "with a line break": ({"id": "a\n"}, None),
    "too long": ({"id": "x" * 129}, None),
    "as long as can be": ({"id": "x" * 128}, "x" * 128),
    "a list of one": ([{"id": "a", "state": "pending"}], "a"),
    "a list of one that has task_id": ([{"task_id": "a"}], "a"),
    "a list in data": ({"code": "success", "data": [{"id": "a"}]}, "a"),
    "a list under another name": ({"generations": [{"id": "a"}]}, "a"),
    "an object under another name": ({"task": {"id": "a"}}, "a"),
    "a list of nothing": ([], None),
    "a list of texts": (["a"], None),
    "a text": ("a", None),
}


@pytest.mark.parametrize("dialect", [RIX, DreamMachine()], ids=["rixapi", "dream-machine"])
@pytest.mark.parametrize(("payload", "generation_id"), IDS.values(), ids=IDS.keys())
def test_id_places(payload, generation_id, dialect):
    """Ids are strings of a safe form under four names; a malformed id names no generation."""
    row = dialect.read_submit(document(payload, 201))
    assert (row.id if row else None) == generation_id


SIBLINGS = {
    "two in a list": ([{"id": "a"}, {"id": "b"}], ("b",)),
    "three in data": ({"data": [{"task_id": "a"}, {"task_id": "b"}, {"task_id": "c"}]}, ("b", "c")),
    "in generations": ({"generations": [{"id": "a"}, {"id": "b"}]}, ("b",)),
    "the same twice": ([{"id": "a"}, {"id": "a"}], ()),
    "a list in a generation": ({"id": "a", "data": [{"id": "a"}, {"id": "b"}]}, ("b",)),
    "the task in a row": ({"task_id": "a", "data": {"id": "b"}}, ()),
    "files with ids": ({"id": "a", "output": [{"id": "f1", "url": "https://x.example/v.mp4"}]}, ()),
}


@pytest.mark.parametrize(("payload", "siblings"), SIBLINGS.values(), ids=SIBLINGS.keys())
def test_siblings(payload, siblings):
    """Of several generations in one answer the first is the result, and the others are kept as its siblings."""
    row = RIX.read_submit(document(payload, 201))
    assert (row.id, row.siblings) == ("a", siblings)
    assert read_row(RIX, row).siblings == siblings


def test_two_names_of_one():
    """A generation with two different ids is found by either."""
    answer = document({"id": "a", "task_id": "b", "state": "completed"})
    row = RIX.read_submit(answer)
    assert (row.id, row.aliases, row.siblings) == ("a", ("b",), ())
    for asked in ("a", "b"):
        row = RIX.get(asked).read(answer)
        assert (row.id, structure_row(RIX, row).id) == (asked, asked)
        (row,) = RIX.get_many([asked]).read(document([answer.payload]))
        assert row.id == asked


@pytest.mark.parametrize("body", [[TWO[0]], TWO, {"data": TWO}, {"code": "success", "data": [TWO[0]]}])
def test_query_answered_by_list(body):
    """A single query may be answered with a list, in which the generation is found by its id."""
    assert RIX.get("some-id").read(document(body)).raw == TWO[0]


FLAT = {"id": "some-id", "state": "processing", "prompt": "cat"}
ENVELOPES = {
    "flat": (FLAT, {}),
    "in data": ({"code": "success", "data": FLAT}, {}),
    "in a row": ({"id": 7, "task_id": "some-id", "status": "IN_PROGRESS", "data": FLAT}, {"status": "IN_PROGRESS"}),
    "in a row in data": (
        {"data": {"task_id": "some-id", "status": "IN_PROGRESS", "data": FLAT}},
        {"status": "IN_PROGRESS"},
    ),
    "in a list": ([FLAT], {}),
}


@pytest.mark.parametrize("dialect", [RIX, DreamMachine()], ids=["rixapi", "dream-machine"])
@pytest.mark.parametrize(("payload", "known"), ENVELOPES.values(), ids=ENVELOPES.keys())
def test_raw_is_the_task(payload, known, dialect):
    """`raw` is the flat task from every request, and `raw_row` has what only the envelope says."""
    generation = structure_row(dialect, dialect.get("some-id").read(document(payload)))
    assert generation.raw == FLAT
    assert known.items() <= generation.raw_row.items()
    assert "data" not in generation.raw_row


def test_raw_of_row_without_task():
    """A row without a task is all envelope."""
    generation = RIX.generation({"task_id": "some-id", "status": "FAILURE", "data": None})
    assert (generation.raw, generation.raw_row) == ({}, {"task_id": "some-id", "status": "FAILURE"})


def test_id_in_first_document():
    """Of two documents the first is read; what that proves is decided elsewhere."""
    assert RIX.read_submit(raw_document('{"id": "a"}{"detail": "x"}', 201)).id == "a"
    assert RIX.read_submit(raw_document("<html>", 201)) is None


def test_query_in_envelope():
    """A single query may be answered with a row."""
    recorded = sample("rixapi", "tasks-envelope")
    row = RIX.get(LISTED["tasks-envelope"].id).read(document({**recorded, "data": recorded["data"][0]}))
    assert plain(RIX.generation(row.raw)) == LISTED["tasks-envelope"]


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        ({"id": "another", "state": "completed"}, "about another generation"),
        ({"state": "completed"}, "names no generation"),
        ([], "names no generation"),
        ({"data": []}, "names no generation"),
    ],
)
def test_answer_about_another(payload, what):
    """An answer about another generation, or about none, is unreadable."""
    with pytest.raises(UnreadableResponse, match=what) as caught:
        RIX.get("some-id").read(document(payload))
    assert caught.value.paths == ("id",)
    assert caught.value.body_excerpt


MANY = {
    "an envelope": ({"code": "success", "data": [{"task_id": "a"}, {"task_id": "b"}]}, ["a", "b"]),
    "a bare list": ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
    "an empty list": ([], []),
    "an empty envelope": ({"code": "success", "data": []}, []),
    "an envelope of null": ({"code": "success", "message": "", "data": None}, []),
    "rows that are none": ([None, 7, "a", [], {}, {"id": 7}, {"id": "a"}], ["a"]),
    "a row with a database number in words": ([{"id": "13917", "task_id": "a", "data": None}], ["a"]),
    "a row without task_id": ([{"status": "SUCCESS", "data": {"id": "a"}}], ["a"]),
    "a row twice": ([{"id": "a"}, {"id": "a"}], ["a", "a"]),
}


@pytest.mark.parametrize(("payload", "ids"), MANY.values(), ids=MANY.keys())
def test_rows_of_list(payload, ids):
    """Rows are found by id, in order; rows without an id are left out."""
    assert [row.id for row in RIX.get_many([]).read(document(payload))] == ids


@pytest.mark.parametrize("payload", [{}, {"data": {}}, {"data": "x"}, {"data": 0}, "x", 7, None])
def test_answer_without_list(payload):
    """An answer without any list is unreadable."""
    with pytest.raises(UnreadableResponse, match="no list of generations") as caught:
        RIX.get_many([]).read(document(payload))
    assert caught.value.paths == ("data",)


def row(status, data=None, **fields):
    return {"task_id": "some-id", "status": status, "data": data, **fields}


def task(state, **fields):
    return {"id": "some-id", "state": state, **fields}


ENDS = {
    "both run": (row("IN_PROGRESS", task("processing")), State.PROCESSING, "processing"),
    "the task runs ahead": (row("SUBMITTED", task("processing")), State.PROCESSING, "processing"),
    "the relay closed a task that ran": (row("FAILURE", task("processing")), State.FAILED, "FAILURE"),
    "the relay is done with a task that lags": (row("SUCCESS", task("processing")), State.COMPLETED, "SUCCESS"),
    "the task is done, the relay lags": (row("IN_PROGRESS", task("completed")), State.COMPLETED, "completed"),
    "the task failed, the relay lags": (row("IN_PROGRESS", task("failed")), State.FAILED, "failed"),
    "the video exists, whatever the relay says": (row("FAILURE", task("completed")), State.COMPLETED, "completed"),
    "the video does not, whatever the relay says": (row("SUCCESS", task("failed")), State.FAILED, "failed"),
    "a word of tomorrow inside": (row("IN_PROGRESS", task("rendering")), State.UNKNOWN, "rendering"),
    "a word of tomorrow inside, closed": (row("FAILURE", task("rendering")), State.FAILED, "FAILURE"),
    "no word inside": (row("QUEUED", task("")), State.PENDING, "QUEUED"),
    "the outer word is called state": (
        {"task_id": "some-id", "state": "completed", "data": {"video": {"url": "https://x.example/v.mp4"}}},
        State.COMPLETED,
        "completed",
    ),
    "no task": (row("QUEUED"), State.PENDING, "QUEUED"),
    "not started": (row("NOT_START"), State.PENDING, "NOT_START"),
    "submitted": (row("SUBMITTED"), State.PENDING, "SUBMITTED"),
    "running": (row("IN_PROGRESS"), State.PROCESSING, "IN_PROGRESS"),
    "done": (row("SUCCESS"), State.COMPLETED, "SUCCESS"),
    "failed": (row("FAILURE"), State.FAILED, "FAILURE"),
    "unknown": (row("UNKNOWN"), State.UNKNOWN, "UNKNOWN"),
}


@pytest.mark.parametrize(("raw", "state", "word"), ENDS.values(), ids=ENDS.keys())
def test_state_word_precedence(raw, state, word):
    """The end of the task comes first, then the end of the row, then the word of the task."""
    generation = RIX.generation(raw)
    assert (generation.id, generation.state, generation.raw_state) == ("some-id", state, word)


REASONS = {
    "a task's own": (task("failed", failure_reason="Job failed"), "Job failed"),
    "a code alone": (task("failed", error={"code": 7}), None),
    "a text under msg": (task("failed", msg="Job failed"), "Job failed"),
    "in an object inside": (row("FAILURE", {"error": {"msg": "Job failed"}}, fail_reason=""), "Job failed"),
    "a reason that is an object": (task("failed", failure_reason={"message": "Job failed"}), "Job failed"),
    "a list of errors with messages": (task("failed", error=[{"message": "Job failed"}]), "Job failed"),
    "in data twice": (row("FAILURE", {"data": {"fail_reason": "Job failed"}}), "Job failed"),
    "a message of success": (task("failed", message="success", error_message="Job failed"), "Job failed"),
    "a task's, under the row's name": (task("failed", fail_reason="Job failed"), "Job failed"),
    "a row's": (row("FAILURE", fail_reason="timeout"), "timeout"),
    "a row's, while the task lags": (row("FAILURE", task("processing"), fail_reason="timeout"), "timeout"),
    "the task's before the row's": (row("FAILURE", task("failed", failure_reason="a"), fail_reason="b"), "a"),
    "an address in a row that succeeded": (row("SUCCESS", task("completed"), fail_reason="https://x/y.mp4"), None),
    "an address in a row without a task": (row("SUCCESS", fail_reason="https://x/y.mp4"), None),
    "empty": (row("FAILURE", fail_reason=""), None),
    "an error instead": (task("failed", error={"message": "Job failed", "code": "job_failed"}), "Job failed"),
    "an error in words": (task("failed", error="Job failed"), "Job failed"),
    "an error that says nothing": (task("failed", error={"code": 7}), None),
    "a list of errors": (task("failed", error=[{"loc": ["a"]}]), None),
    "an error of what is completed": (task("completed", error={"message": "late"}), None),
}


@pytest.mark.parametrize(("raw", "reason"), REASONS.values(), ids=REASONS.keys())
def test_failure_reason(raw, reason):
    """A row's `fail_reason` is read only if the generation failed, since it has other uses."""
    assert RIX.generation(raw).failure_reason == reason


CODES = {
    "a code": (task("failed", failure_code="moderated"), "moderated"),
    "an error's": (task("failed", error={"code": "moderated", "message": "x"}), "moderated"),
    "a number": (task("error", code=5001, msg="x"), "5001"),
    "a row's": (row("FAILURE", task("processing"), error_code="moderated"), "moderated"),
    "in data": (row("failed", {"error": {"code": "moderated"}}), "moderated"),
    "a code of success": (task("failed", code="success"), None),
    "zero": (task("failed", code=0), None),
    "of a generation that did not fail": (task("completed", code="moderated"), None),
}


@pytest.mark.parametrize(("raw", "code"), CODES.values(), ids=CODES.keys())
def test_failure_code(raw, code):
    """The code of a failure is found wherever an answer has it; an envelope's code of success is none."""
    assert RIX.generation(raw).failure_code == code


def test_progress_of_completed():
    """A completed generation whose progress is 1 has made all of it."""
    assert RIX.generation(task("completed", progress=1)).progress == 1.0
    assert RIX.generation(task("processing", progress=1)).progress == 0.01


def test_progress_in_row():
    """Progress is in the row, and the other fields in its task."""
    generation = RIX.generation(row("IN_PROGRESS", task("processing", prompt="cat dance"), progress="37%"))
    assert (generation.progress, generation.prompt) == (0.37, "cat dance")


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        ({"data": task("pending", created_at="2024-07-01T07:35:13.498Z")}, utc(2024, 7, 1, 7, 35, 13, 498_000)),
        ({"created_at": "2024-07-01T07:35:13.568Z"}, utc(2024, 7, 1, 7, 35, 13, 568_000)),
        ({"created_at": 1_719_819_313, "submit_time": 1}, utc(2024, 7, 1, 7, 35, 13)),
        ({"submit_time": 1_719_819_313}, utc(2024, 7, 1, 7, 35, 13)),
        ({"submit_time": 0}, None),
    ],
)
def test_created_at(fields, moment):
    """The task's moment comes first, then the row's, then the time of the submit."""
    times = {"created_at": "2020-01-01T00:00:00Z", "submit_time": 1} if "data" in fields else {}
    assert RIX.generation({**row("QUEUED"), **times, **fields}).created_at == moment


def test_row_id_differs_from_task():
    """A row has its own `task_id`, which is the id for queries."""
    raw = {"id": 13917, "task_id": "task_1", "status": "IN_PROGRESS", "data": task("processing")}
    (found,) = RIX.get_many([]).read(document([raw]))
    assert found.id == RIX.generation(found.raw).id == "task_1"


WATERMARKED, CLEAN = "https://x.example/w.mp4", "https://x.example/v.mp4"
MARKED = "https://x.example/1_watermarked_video.mp4"
ARTIFACTS = {
    "nothing shown": (None, {"url": WATERMARKED, "download_url": CLEAN}, Video(url=WATERMARKED, download_url=CLEAN)),
    "nothing spare": ({"url": WATERMARKED}, None, Video(url=WATERMARKED)),
    "a link missing": ({"url": WATERMARKED}, {"download_url": CLEAN}, Video(url=WATERMARKED, download_url=CLEAN)),
    "a link empty": (
        {"url": WATERMARKED, "download_url": ""},
        {"url": "https://x.example/other.mp4", "download_url": CLEAN, "width": 64},
        Video(url=WATERMARKED, download_url=CLEAN, width=64),
    ),
    "all links empty": ({"url": "", "download_url": ""}, {"url": WATERMARKED}, Video(url=WATERMARKED)),
    "no links anywhere": ({"url": ""}, {"url": ""}, None),
    "a bare link": (WATERMARKED, {"url": CLEAN}, Video(url=WATERMARKED)),
    "a bare link, and a clean one": (
        WATERMARKED,
        {"url": WATERMARKED, "download_url": CLEAN},
        Video(url=WATERMARKED, download_url=CLEAN),
    ),
    "a bare link alone": (CLEAN, None, Video(url=CLEAN, download_url=CLEAN)),
    "a bare link that is marked": (MARKED, None, Video(url=MARKED)),
}


@pytest.mark.parametrize(("shown", "spare", "video"), ARTIFACTS.values(), ids=ARTIFACTS.keys())
def test_links_of_artifact(shown, spare, video):
    """Links that are only under `artifact` are found; those at the top come first."""
    raw = task("completed", video=shown, artifact={"video": spare, "thumbnail": {"url": CLEAN}})
    generation = RIX.generation(raw)
    assert generation.video == video
    assert generation.thumbnail == Image(url=CLEAN)


RESULTS = {
    "result_url": row("SUCCESS", result_url=CLEAN),
    "result_url before the task's": row("SUCCESS", {"content": {"video_url": MARKED}}, result_url=CLEAN),
    "result_url next to a marked clip": row("SUCCESS", task("completed", video={"url": WATERMARKED}), result_url=CLEAN),
    "fail_reason": row("SUCCESS", task("completed"), fail_reason=CLEAN),
    "assets": task("completed", assets={"video": CLEAN}),
    "assets in a row": row("SUCCESS", task("completed", assets={"video": CLEAN})),
    "a text": task("succeeded", video=CLEAN),
    "a list of texts": task("completed", video=[CLEAN]),
    "artifact as a text": task("completed", artifact=CLEAN),
    "artifact with an address": task("completed", artifact={"url": CLEAN}),
    "artifact with a text": task("completed", artifact={"video": CLEAN}),
    "output": task("completed", output=[CLEAN]),
    "output with a picture first": task(
        "completed", output=["https://x.example/a.jpg", {"type": "video", "url": CLEAN}]
    ),
    "output as a text": task("completed", output=CLEAN),
    "content": row("SUCCESS", {"status": "succeeded", "content": {"video_url": CLEAN}}),
    "video_url": task("completed", video_url=CLEAN),
    "an odd name in video": task("completed", video={"video_url": CLEAN, "width": 64}),
    "a list of works": task("completed", task_result={"videos": [{"id": "1", "url": CLEAN}]}),
    "deep inside": row("SUCCESS", {"data": {"data": {"output": [{"url": CLEAN}]}}}),
}


@pytest.mark.parametrize("raw", RESULTS.values(), ids=RESULTS.keys())
@pytest.mark.parametrize("dialect", [RIX, DreamMachine()], ids=["rixapi", "dream-machine"])
def test_places_of_result(raw, dialect):
    """The only link to a completed video is found wherever an answer has it, and is the one to download."""
    assert dialect.generation(raw).video.download_url == CLEAN


def test_assumed_artifact_without_watermark():
    """Assumed: the only link to the result in `artifact` has no watermark; a link in `video` has, if it is not bare."""
    assert RIX.generation(task("completed", artifact={"video": {"url": CLEAN, "width": 64}})).video == Video(
        url=CLEAN, download_url=CLEAN, width=64
    )
    assert RIX.generation(task("completed", artifact={"video": {"url": MARKED}})).video == Video(url=MARKED)
    assert RIX.generation(task("completed", video={"url": WATERMARKED})).video == Video(url=WATERMARKED)


def test_result_of_running():
    """While a generation is running, only the documented fields hold its video."""
    assert RIX.generation(task("processing", output=[CLEAN], url=CLEAN)).video is None


@pytest.mark.parametrize(
    "link", ["/files/v.mp4", "files/v.mp4", "/vip/files/v.mp4", "https://relay.example/files/v.mp4"]
)
def test_relative_links(link):
    """A link that is relative to the service is resolved against its base URL."""
    answer = attrs.evolve(document({"id": "a", "state": "completed", "video": link}), base_url="https://relay.example")
    generation = structure_row(RIX, RIX.get("a").read(answer))
    assert (
        generation.video.download_url
        == f"https://relay.example/{link.removeprefix('https://relay.example').lstrip('/')}"
    )
    answer = attrs.evolve(document({"url": link}), base_url="https://relay.example")
    assert RIX.link("a").read(answer) == generation.video.url


def test_relative_link_below_prefix():
    """A link that begins with a slash is below the host; any other is below the whole base URL."""
    base_url = "https://relay.example/vip"
    assert absolute("/files/v.mp4", base_url) == "https://relay.example/files/v.mp4"
    assert absolute("files/v.mp4", base_url) == "https://relay.example/vip/files/v.mp4"


def test_row_with_empty_data():
    """If `data` is empty, the row is the task."""
    generation = RIX.generation({**task("completed", video={"url": CLEAN}), "data": {}})
    assert generation.video == Video(url=CLEAN)


def test_prompt_places():
    """The prompt is at the top or in the repeated request; an empty prompt counts as missing."""
    assert RIX.generation(task("pending", prompt="a", request={"prompt": "b"})).prompt == "a"
    assert RIX.generation(task("pending", prompt="", request={"prompt": "b"})).prompt == "b"
    assert RIX.generation(task("pending", request="b")).prompt is None


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        ({}, ("id", "state")),
        ({"id": "some-id"}, ("state",)),
        ({"state": "pending"}, ("id",)),
        (task(None), ("state",)),
        (task(7), ("state",)),
        (task("  "), ("state",)),
        ({"id": "a b", "state": "pending"}, ("id",)),
        (row(None), ("state",)),
    ],
)
def test_missing_id_or_state(raw, paths):
    """Without a readable id or state there is no generation; the error names the field."""
    with pytest.raises(UnreadableResponse) as caught:
        RIX.generation(raw)
    assert caught.value.paths == paths
