"""What an answer proves: every row of the table, every kind of error, every recorded body."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._submit.verdict import (
    VERDICTS,
    Accepted,
    Body,
    Outcome,
    Rejected,
    Unproven,
    classify,
    find_rule,
    judge_submit,
)
from luma_async._wire.answer import Document, Shape
from luma_async._wire.refusal import KNOWN_REFUSALS, ErrorBody, ErrorKind, known_refusal
from luma_async.values.errors import Refused

SAID = ErrorBody(message="it said so")
NO_QUOTA = ErrorBody(
    code="insufficient_user_quota",
    message="no quota",
    kind=ErrorKind.OUT_OF_CREDIT,
    known=known_refusal("insufficient_user_quota", "", 500),
)
NO_CHANNEL = ErrorBody(
    code="get_channel_failed", kind=ErrorKind.UNAVAILABLE, known=known_refusal("get_channel_failed", "", 503)
)
PASSED_ON = ErrorBody(code="fail_to_fetch_task", message="too short", kind=ErrorKind.INVALID)
DENIED = ErrorBody(message="no", success_false=True)
OTHER_SHAPES = [shape for shape in Shape if shape is not Shape.JSON]


@attrs.frozen
class Case:
    """An answer, and what a dialect reads in it."""

    document: Document
    error: ErrorBody | None
    generation_id: str | None

    def judge(self):
        return judge_submit(self.document, self.error, self.generation_id)


def case(status, *, shape=Shape.JSON, error=None, generation_id=None):
    return Case(Document(status=status, shape=shape, head=b"body"), error, generation_id)


ACCEPTED = [case(status, generation_id="g1") for status in (200, 201, 202, 299)]
REFUSED = [
    case(200, error=DENIED),
    case(201, error=NO_QUOTA),
    *(case(status, error=NO_QUOTA) for status in (302, 400, 403, 408, 409, 425, 499, 500, 502, 504, 524)),
    *(case(status, error=SAID) for status in (400, 401, 402, 403, 404, 405, 413, 415, 418, 422, 429, 451)),
    *(case(status) for status in (400, 404, 429)),
    *(case(404, shape=shape) for shape in OTHER_SHAPES),
    *(case(413, shape=shape) for shape in OTHER_SHAPES),
    case(400, generation_id="g1"),
    *(case(status, error=NO_CHANNEL) for status in (200, 500, 503)),
]
DOUBTFUL = [
    case(200),
    case(201, error=SAID),
    case(200, generation_id="g1", error=SAID),
    case(200, generation_id="g1", error=DENIED),
    case(201, generation_id="g1", error=NO_QUOTA),
    case(500, generation_id="g1", error=NO_QUOTA),
    *(case(200, shape=shape) for shape in OTHER_SHAPES),
    *(case(201, shape=shape, generation_id="g1") for shape in OTHER_SHAPES),
    *(case(200, shape=shape, error=DENIED) for shape in OTHER_SHAPES),
    *(case(status, error=SAID) for status in (408, 409, 425, 499)),
    *(case(status) for status in (301, 302, 303, 304, 307, 308)),
    *(case(status, error=SAID) for status in (500, 501, 502, 503, 504, 507, 520, 521, 522, 524, 599)),
    *(case(status, error=PASSED_ON) for status in (200, 408, 500, 502, 503, 504)),
    *(case(status, error=DENIED) for status in (302, 500, 503)),
    *(case(500, shape=shape) for shape in OTHER_SHAPES),
    case(503),
    case(503, error=ErrorBody()),
    *(case(503, shape=shape, error=NO_CHANNEL) for shape in OTHER_SHAPES),
]


def _name(one):
    error = one.error and (one.error.code or one.error.message or "empty error")
    return f"{one.document.status}-{one.document.shape}-{one.generation_id}-{error}"


@pytest.mark.parametrize("one", ACCEPTED, ids=_name)
def test_verdict_accepted(one):
    """2xx with an id and no error object is accepted."""
    assert one.judge() == Accepted(generation_id="g1")


@pytest.mark.parametrize("one", REFUSED, ids=_name)
def test_verdict_rejected(one):
    """`success: false`, a known refusal, and a 4xx but four are rejected."""
    verdict = one.judge()
    assert isinstance(verdict, Rejected)
    assert verdict.error.status == one.document.status


@pytest.mark.parametrize("one", DOUBTFUL, ids=_name)
def test_verdict_unproven(one):
    """Every other answer is a doubt whose reason names the status."""
    verdict = one.judge()
    assert isinstance(verdict, Unproven)
    assert verdict.reason.startswith(f"HTTP {one.document.status}")


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
        known=st.none() | st.sampled_from(KNOWN_REFUSALS),
        success_false=st.booleans(),
        wrong_path=st.booleans(),
    ),
)
def test_verdict_never_too_sure(status, shape, generation_id, error):
    """Accepted needs a complete success with an id and no error; only 429 and 503 are ever repeated."""
    verdict = case(status, shape=shape, generation_id=generation_id, error=error).judge()
    if isinstance(verdict, Accepted):
        assert 200 <= status < 300
        assert shape is Shape.JSON
        assert error is None
        assert verdict.generation_id == generation_id
    if isinstance(verdict, Rejected):
        assert 400 <= status < 500 or error.known or (error.success_false and status < 300)
        assert not (status < 300 and generation_id)
        assert verdict.repeat <= (status in {429, 503})
        assert isinstance(verdict.error, Refused)
        assert str(verdict.error)


@pytest.mark.parametrize(
    ("one", "repeat"),
    [
        (case(429), True),
        (case(429, error=SAID), True),
        (case(429, error=ErrorBody(kind=ErrorKind.RATE_LIMITED)), True),
        (case(429, error=NO_QUOTA), False),
        (case(429, error=ErrorBody(kind=ErrorKind.PROMPT)), False),
        (case(503, error=NO_CHANNEL), True),
        (case(500, error=NO_CHANNEL), False),
        (case(503, error=NO_QUOTA), False),
        (case(400, error=SAID), False),
        (case(422, error=PASSED_ON), False),
        (case(200, error=DENIED), False),
    ],
)
def test_verdict_repeat(one, repeat):
    """429 and the 503 without a channel are repeated; out of credit is not, whatever its status."""
    assert one.judge().repeat is repeat


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (case(200, shape=Shape.HTML), "HTML page: check base_url"),
        (case(502, shape=Shape.HTML), "HTML page: the service behind the address is in trouble"),
        (case(307), "redirect, which is never followed: check base_url"),
        (case(200), "without the id of a generation"),
        (case(200, error=ErrorBody(message="upstream broke")), "(upstream broke)"),
        (case(200, generation_id="g1", error=SAID), "names generation g1 and also an error"),
        (case(201, shape=Shape.SEVERAL, generation_id="g1"), "names generation g1 whose body is several documents"),
        (case(500, shape=Shape.EMPTY), "whose body is empty"),
        (case(500, error=ErrorBody(code="do_request_failed")), "HTTP 500 (do_request_failed)"),
        (case(504), "HTTP 504"),
    ],
)
def test_doubt_reason(one, words):
    """The reason of a doubt has the status, the service's message, and the id if there is one."""
    assert words in one.judge().reason


BODIES = {
    Body.ID: (None, "g1"),
    Body.ID_AND_ERROR: (SAID, "g1"),
    Body.SUCCESS_FALSE: (DENIED, None),
    Body.NO_CHANNEL: (NO_CHANNEL, None),
    Body.KNOWN: (NO_QUOTA, None),
    Body.LASTING: (ErrorBody(kind=ErrorKind.UNAUTHORIZED), None),
    Body.OTHER: (SAID, None),
}
STATUSES = [200, 201, 204, 302, 400, 401, 403, 404, 408, 409, 425, 429, 499, 500, 502, 503, 504, 524]
TYPES = {Outcome.ACCEPTED: Accepted, Outcome.REFUSED: Rejected, Outcome.IN_DOUBT: Unproven}


@pytest.mark.parametrize("body", Body)
@pytest.mark.parametrize("status", STATUSES)
def test_verdict_follows_table(status, body):
    """Each status with each body has the verdict of the first row of the table that fits."""
    error, generation_id = BODIES[body]
    one = case(status, error=error, generation_id=generation_id)
    kind = classify(one.document, error, generation_id)
    assert kind is (Body.OTHER if body is Body.SUCCESS_FALSE and status >= 300 else body)
    rule = find_rule(status, kind)
    verdict = one.judge()
    assert isinstance(verdict, TYPES[rule.outcome])
    if isinstance(verdict, Rejected):
        assert verdict.repeat is rule.repeat


def test_table_is_complete():
    """The last row fits everything, every row has a source and decides something, and doubts are never repeated."""
    assert VERDICTS[-1].outcome is Outcome.IN_DOUBT
    assert VERDICTS[-1].bodies == frozenset(Body)
    assert {find_rule(status, body) for status in STATUSES for body in Body} == set(VERDICTS)
    assert all(rule.source for rule in VERDICTS)
    assert {rule.statuses for rule in VERDICTS if rule.repeat} == {"429", "503"}


def test_doubt_reason_is_clipped():
    """The reason of a doubt has at most 200 characters of the service's message."""
    much = ErrorBody(code="c" * 1000, message="m" * 1000)
    assert len(case(500, error=much).judge().reason) < 250
