"""What errors mean in every form that relays send, and what they prove about a paid submit."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples_of import document, error_document, names, raw_document, sample

from luma_async import (
    GenerationNotFound,
    InvalidRequest,
    OutOfCredit,
    PromptRejected,
    RateLimited,
    Refused,
    RixAPI,
    ServiceUnavailable,
    Unauthorized,
    UnreadableResponse,
)
from luma_async._submit.verdict import Accepted, Rejected, Unproven, judge
from luma_async._wire.answer import Answer, Shape, parse
from luma_async._wire.refusal import KNOWN_REFUSALS, ErrorKind, refusal

RIX = RixAPI()


def verdict_of(answer):
    return judge(RIX, answer)[0]


def refusal_of(answer):
    return refusal(answer, RIX.read_error(answer))


SAMPLES = {
    "200-success-false": (Unauthorized, "", "无权进行此操作"),
    "400-dream-machine-concepts": (InvalidRequest, "", "400: concepts are not supported for this model"),
    "400-sensitive": (PromptRejected, "sensitive_words_detected", "sensitive words detected"),
    "400-two-documents": (InvalidRequest, "", "Prompt is required"),
    "400-unknown-task": (GenerationNotFound, "task_not_exist", "task_not_exist"),
    "401-luma-api": (Unauthorized, "1", "unauthorized secret token"),
    "401-new-api": (Unauthorized, "", "无效的令牌 (request id: 20250101)"),
    "401-dream-machine": (Unauthorized, "", "Invalid API key is provided"),
    "401-one-api-exhausted": (OutOfCredit, "", "该令牌额度已用尽"),
    "403-quota": (OutOfCredit, "insufficient_user_quota", "user quota is not enough (request id: 20250101)"),
    "403-token-quota": (OutOfCredit, "pre_consume_token_quota_failed", "token quota is not enough"),
    "422-dream-machine-list": (InvalidRequest, "", "body.model: field required"),
    "429-saturated": (RateLimited, "", "当前分组上游负载已饱和"),
    "500-fetch": (
        ServiceUnavailable,
        "fail_to_fetch_task",
        "Prompt is too short, minimum length is 3 characters",
    ),
    "503-no-channel": (ServiceUnavailable, "get_channel_failed", "当前分组 default 下对于模型 luma 无可用渠道"),
}
BARE = {"429-empty": (RateLimited, Shape.EMPTY), "502-html": (ServiceUnavailable, Shape.HTML)}


def test_every_sample_has_a_test():
    """Every recorded error has a test."""
    assert {*SAMPLES, *BARE} == set(names("errors"))


@pytest.mark.parametrize(("name", "expected"), SAMPLES.items(), ids=SAMPLES.keys())
def test_recorded_error(name, expected):
    """Every recorded error has its class, code and message."""
    cls, code, message = expected
    error = refusal_of(error_document(name))
    assert type(error) is cls
    assert error.code == code
    assert error.message.startswith(message)
    assert error.status == sample("errors", name)["status"]


@pytest.mark.parametrize(("name", "expected"), BARE.items(), ids=BARE.keys())
def test_error_without_words(name, expected):
    """An answer without an error body is classified by its status."""
    cls, shape = expected
    answer = error_document(name)
    assert answer.shape is shape
    assert RIX.read_error(answer) is None
    assert type(refusal_of(answer)) is cls


REFUSED_SAMPLES = {"200-success-false", "503-no-channel", "429-empty"} | {
    name for name in SAMPLES if name.startswith("4")
}


@pytest.mark.parametrize("name", names("errors"))
def test_verdict_of_recorded_error(name):
    """Every recorded error rejects a submit, except a page and a relay's report of the service behind it."""
    verdict = verdict_of(error_document(name))
    assert isinstance(verdict, Rejected if name in REFUSED_SAMPLES else Unproven)


NO_ERRORS = {
    "a task": {"id": "a", "state": "pending"},
    "a word": {"code": "success", "message": "", "data": []},
    "a word, in capitals": {"code": "SUCCESS"},
    "all right": {"code": "ok"},
    "a zero": {"code": 0, "message": "success", "data": {"task_id": "a"}},
    "a zero in words": {"code": "0"},
    "an HTTP status": {"code": 200},
    "yes": {"code": True, "message": "ok", "data": {}},
    "success": {"success": True, "message": "", "data": {}},
    "no code": {"code": None, "message": "ok"},
    "an empty code": {"code": "", "message": "ok"},
    "an odd code": {"code": [1], "message": "ok"},
    "no error": {"id": "a", "error": None},
    "an empty error": {"id": "a", "error": {}},
    "an error of no words": {"id": "a", "error": ""},
    "no detail": {"detail": None},
    "a detail of a task": {"id": "a", "detail": "queued behind two others"},
    "a message": {"message": "hello"},
    "a list of generations": [{"id": "a", "error": {"message": "x"}}],
    "a list of two": [{"error": {"message": "x"}}, {"error": {"message": "x"}}],
    "a text": "error",
    "nothing": None,
}


@pytest.mark.parametrize("payload", NO_ERRORS.values(), ids=NO_ERRORS.keys())
def test_answers_without_error(payload):
    """Envelopes of successful answers, and empty error fields, hold no error."""
    assert RIX.read_error(document(payload)) is None


ERRORS = {
    "an error object": ({"error": {"message": "x", "code": "y"}}, "y", "x"),
    "an error with an id": ({"id": "a", "error": {"message": "x"}}, "", "x"),
    "a numeric code": ({"error": {"message": "x", "code": 1003}}, "1003", "x"),
    "an error object without words": ({"error": {"type": "x"}}, "", ""),
    "an error of odd words": ({"error": {"message": {"a": 1}, "code": [2]}}, "", ""),
    "an error in words": ({"error": "Service Unavailable"}, "", ""),
    "a list of errors": ({"error": ["x"]}, "", ""),
    "an error in a list of one": ([{"error": {"message": "x", "code": "y"}}], "y", "x"),
    "success is false, with an error object": (
        {"success": False, "error": {"code": "y", "message": "x"}, "trace_id": "t"},
        "y",
        "x",
    ),
    "success is false, with an error text": ({"success": False, "error": "x"}, "", "x"),
    "a code with msg": ({"code": 1003, "msg": "x"}, "1003", "x"),
    "success is false": ({"success": False, "message": "x"}, "", "x"),
    "success is false, with a code": ({"success": False, "message": "x", "code": "y"}, "y", "x"),
    "a code": ({"code": "y", "message": "x", "data": None}, "y", "x"),
    "a code with an id": ({"id": "a", "code": "y"}, "y", ""),
    "a number": ({"code": 1003, "message": "x"}, "1003", "x"),
    "a negative number": ({"code": -1, "message": "x"}, "-1", "x"),
    "no": ({"code": False, "message": "x"}, "", "x"),
    "a detail": ({"detail": "x"}, "", "x"),
    "a detail with a reason": ({"detail": {"reason": "x", "code": 1}}, "1", "x"),
    "a detail with a message": ({"detail": {"message": "x"}}, "", "x"),
    "details about fields": (
        {"detail": [{"loc": ["body", "keyframes", 0], "msg": "x"}, {"msg": "y"}, "z", 7, {"loc": "body"}]},
        "",
        "body.keyframes.0: x; y; z",
    ),
    "a detail of no words": ({"detail": 7}, "", ""),
}


@pytest.mark.parametrize(("payload", "code", "message"), ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("status", [200, 500])
def test_error_forms(payload, code, message, status):
    """Each form is an error at any status, with the service's code and words if it has any."""
    error = RIX.read_error(document(payload, status))
    assert (error.code, error.message) == (code, message)
    assert error.success_false is ("success" in payload)


def test_detail_with_id():
    """`detail` next to an id is an error only if the status is one."""
    payload = {"id": "a", "detail": "queued behind two others"}
    assert RIX.read_error(document(payload, 200)) is None
    assert RIX.read_error(document(payload, 400)).message == "queued behind two others"


@pytest.mark.parametrize("code", [None, "", 0, "success", True])
def test_success_code_with_error_status(code):
    """With an error status an envelope of success is an error."""
    payload = {"code": code, "message": "the database is gone", "data": None}
    assert RIX.read_error(document(payload, 500)).message == "the database is gone"
    assert isinstance(verdict_of(document(payload, 503)), Unproven)


def test_codes_that_are_not_charged():
    """These codes let a paid submit be sent again, so adding one has to be a decision."""
    assert {
        "",
        "insufficient_user_quota",
        "pre_consume_token_quota_failed",
        "quota_not_enough",
        "sensitive_words_detected",
        "prompt_blocked",
        "get_channel_failed",
        "model_not_found",
        "channel:no_available_key",
        "channel_no_available_key",
        "build_request_failed",
    } == {known.code for known in KNOWN_REFUSALS}


@pytest.mark.parametrize("code", ["sensitive_words_detected", "get_channel_failed", "invalid_request"])
@pytest.mark.parametrize("status", [200, 400, 429, 500, 502])
def test_code_at_any_status(code, status):
    """A known code means the same at any status, and only those in the list prove that nothing was charged."""
    kinds = {"sensitive_words_detected": ErrorKind.PROMPT, "get_channel_failed": ErrorKind.UNAVAILABLE}
    error = RIX.read_error(document({"error": {"code": code, "message": "x"}}, status))
    assert error.kind is kinds.get(code, ErrorKind.INVALID)
    assert bool(error.known) is (code in kinds)
    assert error.wrong_path is False


@pytest.mark.parametrize("code", ["do_request_failed", ""])
def test_code_that_is_unknown(code):
    """An unknown code has no meaning, and proves nothing about a charge."""
    error = RIX.read_error(document({"error": {"code": code, "message": "x"}}, 500))
    assert (error.kind, error.known) == (None, None)


WORDS = {
    "该令牌额度已用尽": ErrorKind.OUT_OF_CREDIT,
    "用户额度不足": ErrorKind.OUT_OF_CREDIT,
    "余额不足": ErrorKind.OUT_OF_CREDIT,
    "User quota is not enough": ErrorKind.OUT_OF_CREDIT,
    "Insufficient account balance": ErrorKind.OUT_OF_CREDIT,
    "insufficient_quota": ErrorKind.OUT_OF_CREDIT,
    "Insufficient credits": ErrorKind.OUT_OF_CREDIT,
    "insufficient permissions": None,
    "prompt contains sensitive words": ErrorKind.PROMPT,
    "提示词包含敏感词": ErrorKind.PROMPT,
    "Advanced prompt moderation failed": ErrorKind.PROMPT,
    "Contains blacklisted words": ErrorKind.PROMPT,
    "Generation not found": ErrorKind.NOT_FOUND,
    "the task 123 does not exist": ErrorKind.NOT_FOUND,
    "task_not_found": ErrorKind.NOT_FOUND,
    "record not found": ErrorKind.NOT_FOUND,
    "任务不存在": ErrorKind.NOT_FOUND,
    "model not found": None,
    "Not Found": None,
    "access token invalid": None,
}


@pytest.mark.parametrize(("message", "kind"), WORDS.items(), ids=WORDS.keys())
def test_words_without_code(message, kind):
    """Without a known code the words decide the kind, and never prove that nothing was charged."""
    error = RIX.read_error(document({"detail": message}, 400))
    assert error.kind is kind
    assert error.known is None


REFUSED_KEYS = {
    "Not authenticated": (403, Unauthorized),
    "Authentication credentials were not provided.": (403, Unauthorized),
    "Your account has been suspended": (403, Unauthorized),
    "User has been banned": (403, Unauthorized),
    "The API key is disabled": (403, Unauthorized),
    "该令牌已被禁用": (403, Unauthorized),
    "用户已被封禁": (403, Unauthorized),
    "the prompt has banned words": (403, PromptRejected),
    "the model is disabled": (403, Refused),
    "该令牌无权访问模型 ray-2": (403, Refused),
    "Forbidden": (403, Refused),
    "used_up": (403, OutOfCredit),
    "Your credits are used up": (403, OutOfCredit),
    "Token quota exhausted": (401, OutOfCredit),
    "账户已欠费": (403, OutOfCredit),
    "Out of credits": (402, OutOfCredit),
    "You exceeded your current quota, please check your plan and billing details": (429, OutOfCredit),
    "Your credit balance is too low": (429, OutOfCredit),
    "insufficient_quota": (429, OutOfCredit),
    "Quota exceeded: 20 requests per minute": (429, RateLimited),
    "Rate limit exhausted, retry later": (429, RateLimited),
    "all attempts used up": (500, ServiceUnavailable),
    "not authenticated": (500, ServiceUnavailable),
}


@pytest.mark.parametrize(("words", "expected"), REFUSED_KEYS.items(), ids=REFUSED_KEYS.keys())
def test_refused_keys_and_empty_accounts(words, expected):
    """A refused key and an empty account are told by code and by words, with the statuses that fit."""
    status, kind = expected
    for body in ({"detail": words}, {"error": {"code": "x", "message": words}}, {"code": words, "message": ""}):
        assert type(refusal_of(document(body, status))) is kind


def test_not_found_words():
    """The words for an unknown id count only with the statuses 400 and 404."""
    kinds = [RIX.read_error(document({"detail": "task not found"}, status)).kind for status in (400, 404, 500, 200)]
    assert kinds == [ErrorKind.NOT_FOUND, ErrorKind.NOT_FOUND, None, None]


@pytest.mark.parametrize("message", ["无权进行此操作", "未登录", "令牌无效", "access token invalid", "Unauthorized"])
def test_success_false_about_key(message):
    """`success: false` comes with HTTP 200, so its words decide whether the key was refused."""
    assert RIX.read_error(document({"success": False, "message": message})).kind is ErrorKind.UNAUTHORIZED
    assert RIX.read_error(document({"success": False, "message": "busy"})).kind is None


def test_wrong_path():
    """The relay's words for a missing path lead to an error that names base_url."""
    answer = document({"error": {"message": "Invalid URL (POST /luma/luma/generations)", "code": ""}}, 404)
    assert RIX.read_error(answer).wrong_path
    error = refusal_of(answer)
    assert type(error) is Refused
    assert "base_url" in str(error)


def wrapped(message, status):
    return document({"code": "fail_to_fetch_task", "message": message, "data": None}, status)


TOO_SHORT = json.dumps({"detail": "Prompt is too short"})
WRAPPED = {
    "a refusal": (TOO_SHORT, 500, "Prompt is too short", None, False),
    "a refusal of the prompt": (
        json.dumps({"detail": "moderation failed"}),
        500,
        "moderation failed",
        ErrorKind.PROMPT,
        False,
    ),
    "a refusal of fields": (json.dumps({"detail": [{"loc": ["body"], "msg": "x"}]}), 500, "body: x", None, False),
    "the status of the other service": (TOO_SHORT, 422, "Prompt is too short", None, False),
    "a proxy's status": (TOO_SHORT, 502, "Prompt is too short", None, False),
    "what befell another relay": (
        json.dumps({"code": "do_request_failed", "message": "upstream closed"}),
        500,
        "upstream closed",
        None,
        False,
    ),
    "a refusal behind two relays": (
        json.dumps({"code": "fail_to_fetch_task", "message": json.dumps({"code": "build_request_failed"})}),
        502,
        json.dumps({"code": "build_request_failed"}),
        ErrorKind.INVALID,
        True,
    ),
    "another relay's refusal": (
        json.dumps({"code": "sensitive_words_detected", "message": "no"}),
        500,
        "no",
        ErrorKind.PROMPT,
        True,
    ),
    "no refusal": (json.dumps({"id": "a"}), 500, '{"id": "a"}', None, False),
    "two documents": (TOO_SHORT * 2, 500, "Prompt is too short", None, False),
    "words": ("sensitive words", 500, "sensitive words", ErrorKind.PROMPT, False),
    "nothing": ("", 500, "", None, False),
    "no text": ({"detail": "x"}, 500, "", None, False),
    "the relay's own key is bad": (json.dumps({"detail": "bad key"}), 401, "bad key", ErrorKind.UNAVAILABLE, False),
    "the relay's own account wants money": ("Payment required", 402, "Payment required", ErrorKind.UNAVAILABLE, False),
    "a prompt that may not be shown": ("sensitive words", 403, "sensitive words", ErrorKind.PROMPT, False),
    "a prompt that cannot be found": ("sensitive words", 404, "sensitive words", ErrorKind.PROMPT, False),
    "an error without words": (json.dumps({"error": "x"}), 500, '{"error": "x"}', None, False),
    "the relay's own access is gone": ("Forbidden", 403, "Forbidden", ErrorKind.UNAVAILABLE, False),
    "the relay's own account is empty": (
        json.dumps({"error": {"message": "x", "code": "insufficient_user_quota"}}),
        403,
        "x",
        ErrorKind.UNAVAILABLE,
        True,
    ),
    "the account there denies the relay": (
        json.dumps({"success": False, "message": "unauthorized"}),
        500,
        "unauthorized",
        ErrorKind.UNAVAILABLE,
        False,
    ),
    "an unknown task": (json.dumps({"detail": "nope"}), 404, "nope", ErrorKind.NOT_FOUND, False),
    "a page about nothing": ("<html>404 Not Found</html>", 404, "<html>404 Not Found</html>", None, False),
    "a path that is none": ("404 page not found", 404, "404 page not found", None, False),
    "an unknown task by its words": (
        json.dumps({"detail": "Generation not found"}),
        400,
        "Generation not found",
        ErrorKind.NOT_FOUND,
        False,
    ),
    "saturated": (json.dumps({"detail": "slow down"}), 429, "slow down", None, False),
}


@pytest.mark.parametrize(("message", "status", "said", "kind", "refuses"), WRAPPED.values(), ids=WRAPPED.keys())
def test_wrapped_errors(message, status, said, kind, refuses):
    """A wrapped body is unwrapped; only an error in the list of known refusals counts as not charged."""
    error = RIX.read_error(wrapped(message, status))
    assert (error.code, error.message, error.kind) == ("fail_to_fetch_task", said, kind)
    assert bool(error.known) is refuses


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    "message",
    [
        "json: cannot unmarshal object into Go value of type []interface {}",
        "<html>503 Service Temporarily Unavailable</html>",
        "no available channel for model luma",
        TOO_SHORT,
        json.dumps({"detail": {"reason": "invalid character '<' looking for beginning of value", "code": 1}}),
        json.dumps({"detail": "It goes against our policy"}),
        json.dumps({"code": "do_request_failed", "message": "upstream closed"}),
        json.dumps({"error": {"type": "upstream_error", "code": 429, "message": "Too Many Requests"}}),
        json.dumps({"error": {"code": "invalid_request", "message": "status 400"}}),
        json.dumps({"success": False, "message": "当前分组上游负载已饱和"}),
    ],
)
def test_wrapped_report(message, status):
    """A relay's report of what happened behind it proves nothing, whatever it says, a 4xx there included."""
    assert type(verdict_of(wrapped(message, status))) is Unproven


def test_wrapped_known_refusal():
    """A known refusal proves as much behind a relay as it does alone, and a missing channel is sent again with 503."""
    message = json.dumps({"error": {"code": "get_channel_failed", "message": "no channel"}})
    verdicts = [verdict_of(wrapped(message, status)) for status in (500, 502, 503)]
    assert [verdict.repeat for verdict in verdicts] == [False, False, True]


UPSTREAM = {
    "a status": {
        "message": "bad response status code 503",
        "type": "upstream_error",
        "code": "bad_response_status_code",
    },
    "a timeout": {"message": "upstream did not answer in time", "type": "upstream_error", "code": "fetch_timeout"},
    "no code": {"message": "Upstream request failed", "type": "upstream_error"},
    "a limit": {"message": "Too Many Requests", "type": "upstream_error", "code": 429},
    "a missing channel after a timeout": {"message": "channel 3 timed out, then no available channel for model luma"},
}


@pytest.mark.parametrize("error", UPSTREAM.values(), ids=UPSTREAM.keys())
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_error_passed_on(error, status):
    """An error that a relay passes on from behind it proves nothing, whatever the status."""
    assert type(verdict_of(document({"error": error}, status))) is Unproven


@pytest.mark.parametrize(
    "body",
    [
        [{"id": "a", "error": {"message": "x"}}],
        {"code": "success", "data": {"id": "a", "error": {"message": "x"}}},
        {"code": "success", "data": [{"id": "a", "error": "x"}]},
        {"data": {"task_id": "a", "success": False}},
    ],
)
def test_error_next_to_inner_id(body):
    """An id with an error next to it proves nothing, in a list and in an envelope too."""
    verdict = verdict_of(document(body, 201))
    assert isinstance(verdict, Unproven)
    assert "names generation a" in verdict.reason


def test_doubt_names_every_id():
    """The reason of a doubt has every id in the answer."""
    verdict = verdict_of(document({"id": "a", "task_id": "b", "data": [{"id": "c"}], "error": "x"}, 201))
    assert {"a", "b", "c"} <= set(verdict.reason.replace(",", "").split())


def test_wrapped_401():
    """A 401 from behind the relay is not about the caller's key."""
    assert type(refusal_of(wrapped("bad key", 401))) is ServiceUnavailable


TASK = {"id": "a", "state": "pending"}
QUOTA = {"error": {"code": "insufficient_user_quota", "message": "x"}}
VERDICTS = {
    "201 with an id": (201, TASK, Accepted),
    "200 with an id inside": (200, {"code": 0, "data": {"task_id": "a"}}, Accepted),
    "200 with a malformed id": (200, {"id": "../x"}, Unproven),
    "200 with a database number": (200, {"id": 13917, "state": "pending"}, Unproven),
    "201, said twice": (201, {"code": 201, "message": "created", "data": {"task_id": "a"}}, Accepted),
    "200 with an id and an error of nothing": (200, {**TASK, "error": {"message": "", "code": None}}, Accepted),
    "400 with an error of nothing": (400, {"error": {"message": "", "code": None}}, Rejected),
    "200 without an id": (200, {"state": "pending"}, Unproven),
    "200 with an id and an error": (200, {**TASK, "error": {"message": "x"}}, Unproven),
    "200 with an id and an error in words": (200, {**TASK, "error": "x"}, Unproven),
    "200 with an id and a denial": (200, {**TASK, "success": False}, Unproven),
    "200 with a denial": (200, {"success": False, "message": "x"}, Rejected),
    "200 with a refusing code": (200, QUOTA, Rejected),
    "200 with an unknown code": (200, {"code": "y", "message": "x"}, Unproven),
    "200 with an error in words": (200, {"error": "x"}, Unproven),
    "200 with a detail": (200, {"detail": "x"}, Unproven),
    "301": (301, {"detail": "x"}, Unproven),
    "400": (400, {"message": "x"}, Rejected),
    "404": (404, {"message": "x"}, Rejected),
    "408": (408, {"detail": "x"}, Unproven),
    "408 with a refusing code": (408, QUOTA, Rejected),
    "409": (409, {"detail": "x"}, Unproven),
    "425": (425, {"detail": "x"}, Unproven),
    "429": (429, {"detail": "x"}, Rejected),
    "499": (499, {"detail": "x"}, Unproven),
    "500": (500, {"error": {"message": "x", "code": ""}}, Unproven),
    "500 with a refusing code": (500, QUOTA, Rejected),
    "500, asked and unanswered": (500, {"code": "do_request_failed", "message": "x"}, Unproven),
    "500, the service behind refuses": (500, {"code": "fail_to_fetch_task", "message": TOO_SHORT}, Unproven),
    "502, the service behind refuses": (502, {"code": "fail_to_fetch_task", "message": TOO_SHORT}, Unproven),
    "502 with a refusing code": (502, QUOTA, Rejected),
    "503 in the relay's shape": (503, {"error": {"message": "x", "code": ""}}, Unproven),
    "503 in the task part's shape": (503, {"code": "y", "message": "x", "data": None}, Unproven),
    "503 without a channel": (503, {"error": {"message": "x", "code": "model_not_found"}}, Rejected),
    "503 without a channel or a code": (503, {"error": {"message": "分组 vip 下模型 luma 无可用渠道"}}, Rejected),
    "201 with a list of one": (201, [TASK], Accepted),
    "201 with a list of one in data": (201, {"code": "success", "data": [TASK]}, Accepted),
    "201 with a list of two": (201, [TASK, {"id": "b"}], Accepted),
    "201 with an empty list": (201, [], Unproven),
    "200 with a denial and an error": (200, {"success": False, "error": {"code": "y", "message": "x"}}, Rejected),
    "200 with a denial and an id deep inside": (200, {"success": False, "x": {"y": {"id": "a"}}}, Unproven),
    "500 with a denial": (500, {"success": False, "message": "x"}, Unproven),
    "503 in a proxy's shape": (503, {"message": "The upstream server is timing out"}, Unproven),
    "503 in a framework's shape": (503, {"status": 503, "error": "Service Unavailable", "path": "/"}, Unproven),
    "503 in no shape": (503, [], Unproven),
    "504": (504, {"detail": "x"}, Unproven),
}


@pytest.mark.parametrize(("status", "payload", "verdict"), VERDICTS.values(), ids=VERDICTS.keys())
def test_verdicts(status, payload, verdict):
    """An answer is accepted if it names a generation without an error, and rejected if nothing was charged."""
    answer = document(payload, status)
    assert isinstance(verdict_of(answer), verdict)


BROKEN = {
    "two documents with an id": (201, '{"id": "a"}{"id": "b"}', Unproven),
    "an id with something behind it": (201, '{"id": "a"} <html>', Unproven),
    "a page": (200, "<html></html>", Unproven),
    "nothing": (200, "", Unproven),
    "cut": (201, '{"id": "a", "st', Unproven),
    "a page behind a 404": (404, "<html></html>", Rejected),
    "nothing behind a 503": (503, "", Unproven),
    "a refusing code, and the relay went on": (500, json.dumps(QUOTA) + json.dumps(TASK), Unproven),
    "a refusal from behind, and the relay went on": (
        500,
        json.dumps({"code": "fail_to_fetch_task", "message": TOO_SHORT}) + json.dumps(TASK),
        Unproven,
    ),
}


@pytest.mark.parametrize(("status", "text", "verdict"), BROKEN.values(), ids=BROKEN.keys())
def test_verdicts_of_broken_answers(status, text, verdict):
    """An answer that is not one JSON document accepts nothing, and rejects only by its status."""
    answer = raw_document(text, status)
    assert isinstance(verdict_of(answer), verdict)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
WORDY = st.sampled_from(
    ["fail_to_fetch_task", TOO_SHORT, "success", "Invalid URL (", json.dumps({"code": "fail_to_fetch_task"})]
)
NAMES = st.sampled_from(
    ["error", "code", "message", "success", "detail", "data", "id", "task_id", "reason", "loc", "msg"]
)
JSON = st.recursive(
    SCALARS | WORDY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
STATUSES = st.sampled_from([200, 201, 302, 400, 401, 403, 404, 408, 429, 500, 502, 503])


@given(JSON, STATUSES)
def test_any_json_is_judged(payload, status):
    """Any JSON with any status can be judged."""
    answer = document(payload, status)
    verdict_of(answer)
    refusal_of(answer)


@given(st.binary(max_size=60), STATUSES)
def test_any_bytes_are_judged(body, status):
    """Any bytes with any status can be judged."""
    answer = parse(Answer(status=status, body=body))
    verdict_of(answer)


@given(JSON)
def test_any_json_is_read(payload):
    """Any JSON is read by each query, or is an UnreadableResponse."""
    answer = document(payload)
    for read_answer in (
        RIX.get("some-id").read,
        RIX.get_many([]).read,
        RIX.link("some-id").read,
        RixAPI(access_token="at", user_id=1).user().read,
        RIX.key().read,
    ):
        with suppress(UnreadableResponse):
            read_answer(answer)
