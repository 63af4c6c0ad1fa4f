"""What an answer proves: every row of the table, every kind of error, every recorded body."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import RixAPI
from luma_async._http.queries import read
from luma_async._submit.verdict import (
    CHECK_BASE_URL,
    NOT_FOLLOWED,
    UNDECIDED_4XX,
    Accepted,
    ErrorBody,
    ErrorKind,
    Reading,
    Rejected,
    Unproven,
    judge_submit,
    refusal,
)
from luma_async._wire.answer import Answer, Shape, parse
from luma_async.values.errors import (
    GenerationNotFound,
    InvalidRequest,
    OutOfCredit,
    PromptRejected,
    RateLimited,
    Refused,
    ServiceUnavailable,
    Unauthorized,
)

SAMPLES = Path(__file__).parents[1] / "samples" / "errors"
SAID = ErrorBody(message="it said so")
NO_QUOTA = ErrorBody(code="insufficient_user_quota", message="no quota", kind=ErrorKind.OUT_OF_CREDIT, refuses=True)
PASSED_ON = ErrorBody(code="fail_to_fetch_task", message="too short", kind=ErrorKind.INVALID, refuses=True)
DENIED = ErrorBody(message="no", denied=True)
OTHER_SHAPES = [shape for shape in Shape if shape is not Shape.JSON]


def reading(status, *, shape="json", **rest):
    return Reading(status=status, shape=shape, **rest)


ACCEPTED = [reading(status, generation_id="g1") for status in (200, 201, 202, 299)]
REFUSED = [
    reading(200, error=DENIED),
    reading(201, error=NO_QUOTA),
    *(reading(status, error=NO_QUOTA) for status in (302, 400, 403, 408, 409, 425, 499, 500, 502, 504, 524)),
    *(reading(status, error=SAID) for status in (400, 401, 402, 403, 404, 405, 413, 415, 418, 422, 429, 451)),
    *(reading(status) for status in (400, 404, 429)),
    *(reading(404, shape=shape) for shape in OTHER_SHAPES),
    *(reading(413, shape=shape) for shape in OTHER_SHAPES),
    reading(400, generation_id="g1"),
    reading(503, error=SAID),
    reading(503, error=ErrorBody(code="get_channel_failed")),
    reading(500, error=PASSED_ON),
]
DOUBTFUL = [
    reading(200),
    reading(201, error=SAID),
    reading(200, generation_id="g1", error=SAID),
    reading(200, generation_id="g1", error=DENIED),
    reading(201, generation_id="g1", error=NO_QUOTA),
    *(reading(200, shape=shape) for shape in OTHER_SHAPES),
    *(reading(201, shape=shape, generation_id="g1") for shape in OTHER_SHAPES),
    *(reading(200, shape=shape, error=DENIED) for shape in OTHER_SHAPES),
    *(reading(status, error=SAID) for status in sorted(UNDECIDED_4XX)),
    *(reading(status) for status in (301, 302, 303, 304, 307, 308)),
    *(reading(status, error=SAID) for status in (500, 501, 502, 504, 507, 520, 521, 522, 524, 599)),
    *(reading(500, shape=shape) for shape in OTHER_SHAPES),
    reading(503),
    reading(503, error=ErrorBody()),
    *(reading(503, shape=shape, error=SAID) for shape in OTHER_SHAPES),
]


def _name(one):
    error = one.error and (one.error.code or one.error.message or "empty error")
    return f"{one.status}-{one.shape}-{one.generation_id}-{error}"


@pytest.mark.parametrize("one", ACCEPTED, ids=_name)
def test_a_success_with_an_id_and_no_error_is_accepted(one):
    """2xx with an id and no error object: paid, and known by its id."""
    assert judge_submit(one) == Accepted(generation_id="g1")


@pytest.mark.parametrize("one", REFUSED, ids=_name)
def test_what_is_known_to_cost_nothing_is_refused(one):
    """`success: false`, a code known to refuse, a 4xx but four, and a 503 in the service's own words."""
    verdict = judge_submit(one)
    assert isinstance(verdict, Rejected)
    assert verdict.error.status == one.status


@pytest.mark.parametrize("one", DOUBTFUL, ids=_name)
def test_everything_else_is_in_doubt(one):
    """Whatever proves neither is a doubt, and its reason names the status."""
    verdict = judge_submit(one)
    assert isinstance(verdict, Unproven)
    assert verdict.reason.startswith(f"HTTP {one.status}")


@given(
    status=st.integers(200, 599),
    shape=st.sampled_from(Shape),
    generation_id=st.none() | st.just("g1"),
    error=st.none()
    | st.builds(
        ErrorBody,
        code=st.sampled_from(["", "some_code"]),
        message=st.sampled_from(["", "words"]),
        kind=st.none() | st.sampled_from(ErrorKind),
        refuses=st.booleans(),
        denied=st.booleans(),
        wrong_path=st.booleans(),
    ),
)
def test_no_answer_is_taken_for_more_than_it_proves(status, shape, generation_id, error):
    """Accepted needs a whole success with an id and no complaint; only 429 and 503 are ever repeated."""
    verdict = judge_submit(Reading(status=status, shape=shape, generation_id=generation_id, error=error, head=b"body"))
    if isinstance(verdict, Accepted):
        assert 200 <= status < 300
        assert shape is Shape.JSON
        assert error is None
        assert verdict.generation_id == generation_id
    if isinstance(verdict, Rejected):
        assert 400 <= status < 500 or status == 503 or error.refuses or (error.denied and status < 300)
        assert not (status < 300 and generation_id)
        assert verdict.repeat <= (status in {429, 503})
        assert isinstance(verdict.error, Refused)
        assert str(verdict.error)


@pytest.mark.parametrize(
    ("one", "repeat"),
    [
        (reading(429), True),
        (reading(429, error=SAID), True),
        (reading(429, error=ErrorBody(kind=ErrorKind.RATE_LIMITED)), True),
        (reading(429, error=NO_QUOTA), False),
        (reading(429, error=ErrorBody(kind=ErrorKind.PROMPT)), False),
        (reading(503, error=SAID), True),
        (reading(503, error=ErrorBody(code="no_channel", kind=ErrorKind.UNAVAILABLE)), True),
        (reading(503, error=NO_QUOTA), False),
        (reading(400, error=SAID), False),
        (reading(500, error=PASSED_ON), False),
        (reading(200, error=DENIED), False),
    ],
)
def test_only_what_passes_by_waiting_is_repeated(one, repeat):
    """429 and the 503 of the service itself; out of credit stays so, whatever its status."""
    assert judge_submit(one).repeat is repeat


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (reading(200, shape=Shape.HTML), "HTML page: check base_url"),
        (reading(502, shape=Shape.HTML), "HTML page: check base_url"),
        (reading(307), "redirect, which is never followed: check base_url"),
        (reading(200), "without the id of a generation"),
        (reading(200, error=ErrorBody(message="upstream broke")), "(upstream broke)"),
        (reading(200, generation_id="g1", error=SAID), "names generation g1 and an error at once"),
        (reading(201, shape=Shape.SEVERAL, generation_id="g1"), "names generation g1 whose body is several documents"),
        (reading(500, shape=Shape.EMPTY), "whose body is empty"),
        (reading(500, error=ErrorBody(code="do_request_failed")), "HTTP 500 (do_request_failed)"),
        (reading(504), "HTTP 504"),
    ],
)
def test_a_doubt_says_what_came(one, words):
    """The reason holds what a person needs to settle it: the status, the service's words, an id if there is one."""
    assert words in judge_submit(one).reason


def test_what_a_service_says_is_clipped():
    """However much a service says, an error and a doubt keep 200 characters of it."""
    much = ErrorBody(code="c" * 1000, message="m" * 1000)
    error = refusal(Reading(status=400, shape="json", error=much, head=b"b" * 1000))
    assert {len(error.message), len(error.code), len(error.body_excerpt)} == {200}
    assert len(judge_submit(reading(500, error=much)).reason) < 250


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ErrorKind.UNAUTHORIZED, Unauthorized),
        (ErrorKind.OUT_OF_CREDIT, OutOfCredit),
        (ErrorKind.INVALID, InvalidRequest),
        (ErrorKind.PROMPT, PromptRejected),
        (ErrorKind.NOT_FOUND, GenerationNotFound),
        (ErrorKind.RATE_LIMITED, RateLimited),
        (ErrorKind.UNAVAILABLE, ServiceUnavailable),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_the_code_decides_before_the_status(kind, expected, status):
    """A code whose meaning is known says more than the status it came with."""
    assert type(refusal(reading(status, error=ErrorBody(kind=kind)))) is expected


def test_every_kind_has_its_error():
    """No kind of error is forgotten."""
    assert all(issubclass(type(refusal(reading(400, error=ErrorBody(kind=kind)))), Refused) for kind in ErrorKind)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Refused),
        (302, Refused),
        (400, InvalidRequest),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Refused),
        (404, Refused),
        (405, Refused),
        (408, ServiceUnavailable),
        (409, Refused),
        (413, InvalidRequest),
        (415, InvalidRequest),
        (422, InvalidRequest),
        (425, ServiceUnavailable),
        (429, RateLimited),
        (499, ServiceUnavailable),
        (500, ServiceUnavailable),
        (502, ServiceUnavailable),
        (599, ServiceUnavailable),
    ],
)
def test_without_a_known_code_the_status_decides(status, expected):
    """What the dialect does not know is sorted by HTTP's own meaning."""
    assert type(refusal(reading(status, error=SAID))) is expected


def test_a_5xx_that_passes_on_a_refusal_is_about_the_request():
    """What the service behind the relay said of the request is not the relay's own trouble."""
    assert type(refusal(reading(500, error=ErrorBody(code="fail_to_fetch_task", refuses=True)))) is InvalidRequest


@pytest.mark.parametrize(
    ("one", "hint"),
    [
        (reading(404), CHECK_BASE_URL),
        (reading(405, error=SAID), CHECK_BASE_URL),
        (reading(404, error=ErrorBody(message="Invalid URL (POST /x)", wrong_path=True)), CHECK_BASE_URL),
        (reading(404, error=ErrorBody(kind=ErrorKind.UNAVAILABLE, wrong_path=True)), CHECK_BASE_URL),
        (reading(404, error=ErrorBody(kind=ErrorKind.NOT_FOUND)), ""),
        (reading(301), NOT_FOLLOWED),
        (reading(400), ""),
    ],
)
def test_a_wrong_address_is_named_as_such(one, hint):
    """A path that is not there and a redirect point at base_url; an unknown generation does not."""
    error = refusal(one)
    assert error.hint == hint
    assert ("base_url" in str(error)) is bool(hint)


def test_a_refusal_carries_what_a_program_decides_by():
    """Status, code, message, request id, Retry-After and excerpt are all there."""
    error = refusal(
        Reading(
            status=429,
            shape="json",
            error=ErrorBody(code="busy", message="slow down"),
            retry_after_s=7.0,
            request_id="r-1",
            head="{…}".encode(),
        )
    )
    assert (error.status, error.code, error.message) == (429, "busy", "slow down")
    assert (error.retry_after_s, error.request_id, error.body_excerpt) == (7.0, "r-1", "{…}")
    assert "r-1" in str(error)


@pytest.mark.parametrize("status", [199, 200, 299, 300])
def test_a_success_is_2xx(status):
    """`ok` is the range of successes, its ends included."""
    assert reading(status).ok is (200 <= status < 300)


@pytest.mark.parametrize(
    ("one", "in_shape"),
    [
        (reading(503, error=SAID), True),
        (reading(503, error=ErrorBody(code="c")), True),
        (reading(503, error=ErrorBody()), False),
        (reading(503), False),
        (reading(503, shape=Shape.HTML, error=SAID), False),
    ],
)
def test_the_services_own_shape_is_json_with_words(one, in_shape):
    """Only a JSON error with a code or a message was written by the service itself."""
    assert one.in_shape is in_shape


RECORDED = {
    "200-success-false": (Unauthorized, "", "无权进行此操作，access token 无效", Rejected),  # noqa: RUF001
    "400-official-concepts": (InvalidRequest, "", "400: concepts are not supported for this model", Rejected),
    "400-sensitive": (PromptRejected, "sensitive_words_detected", "sensitive words detected", Rejected),
    "400-two-documents": (InvalidRequest, "", "Prompt is required", Rejected),
    "400-unknown-task": (GenerationNotFound, "task_not_exist", "task_not_exist", Rejected),
    "401-luma-api": (Unauthorized, "1", "unauthorized secret token", Rejected),
    "401-new-api": (Unauthorized, "", "无效的令牌 (request id: 20250101)", Rejected),
    "401-official": (Unauthorized, "", "Invalid API key is provided", Rejected),
    "401-one-api-exhausted": (OutOfCredit, "", "该令牌额度已用尽", Rejected),
    "403-quota": (
        OutOfCredit,
        "insufficient_user_quota",
        "user quota is not enough (request id: 20250101)",
        Rejected,
    ),
    "403-token-quota": (OutOfCredit, "pre_consume_token_quota_failed", "token quota is not enough", Rejected),
    "422-official-list": (InvalidRequest, "", "body.model: field required", Rejected),
    "429-empty": (RateLimited, "", "", Rejected),
    "429-saturated": (RateLimited, "", "当前分组上游负载已饱和，请稍后再试", Rejected),  # noqa: RUF001
    "500-fetch": (
        InvalidRequest,
        "fail_to_fetch_task",
        "Prompt is too short, minimum length is 3 characters",
        Rejected,
    ),
    "502-html": (ServiceUnavailable, "", "", Unproven),
    "503-no-channel": (
        ServiceUnavailable,
        "get_channel_failed",
        "当前分组 default 下对于模型 luma 无可用渠道",
        Rejected,
    ),
}


def recorded(name):
    sample = json.loads((SAMPLES / f"{name}.json").read_text())
    body = sample["raw"].encode() if "raw" in sample else json.dumps(sample["body"]).encode()
    return parse(Answer(status=sample["status"], body=body))


def test_every_recorded_error_has_its_row():
    """A new sample needs a line in the table above."""
    assert {path.stem for path in SAMPLES.glob("*.json")} == set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_errors_mean_what_they_say(name):
    """Each body that a service really sent becomes the right error, with its code and its words."""
    kind, code, message, verdict = RECORDED[name]
    document = recorded(name)
    one = read(document, RixAPI())
    error = refusal(one)
    assert (type(error), error.code, error.message) == (kind, code, message)
    assert error.status == document.status
    row = RixAPI().read_submit(document)
    assert isinstance(judge_submit(read(document, RixAPI(), row.id if row else None)), verdict)
