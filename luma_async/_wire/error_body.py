"""The error in an answer, in every form that relays and what stands behind them use.

```
{"error": {"message", "type", "code", "param"}}     the relay's front end
{"code", "message", "data": null}                   its task part
{"success": false, "message"}                       its account pages, with HTTP 200 too
{"detail": "…"}  {"detail": {"reason", "code"}}     the service behind it, and the official one
{"detail": [{"loc", "msg"}]}                        the official one, about fields
```

The meaning of each code is taken from the relays' published source. Few codes count as *not charged*: such a code
lets a paid submit be sent again whatever the status.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._wire.answer import Answer, Shape, is_list, is_object, parse
from luma_async._wire.refusal import ErrorBody, ErrorKind

if TYPE_CHECKING:
    from luma_async._wire.answer import Document

_WRAPPED = "fail_to_fetch_task"
"""The relay's code for an error of the service behind it; the message is the body of that service."""

_KINDS = {
    "insufficient_user_quota": ErrorKind.OUT_OF_CREDIT,
    "pre_consume_token_quota_failed": ErrorKind.OUT_OF_CREDIT,
    "sensitive_words_detected": ErrorKind.PROMPT,
    "prompt_blocked": ErrorKind.PROMPT,
    "get_channel_failed": ErrorKind.UNAVAILABLE,
    "channel:no_available_key": ErrorKind.UNAVAILABLE,
    "model_not_found": ErrorKind.UNAVAILABLE,
    "invalid_request": ErrorKind.INVALID,
    "build_request_failed": ErrorKind.INVALID,
    "task_not_exist": ErrorKind.NOT_FOUND,
}
_NOT_CHARGED = frozenset(_KINDS) - {"model_not_found", "invalid_request", "task_not_exist"}
"""Sent when the relay gave up before it asked another service, or refunded; for other codes the status decides."""

_OUT_OF_CREDIT = re.compile(
    r"额度已用尽|额度不足|余额不足|quota is not enough|insufficient[ _](?:\w+[ _])?(?:quota|balance|credit)",
    re.IGNORECASE,
)
_PROMPT = re.compile(r"敏感词|sensitive word|moderation|blacklisted", re.IGNORECASE)
_NOT_FOUND = re.compile(r"(?:task|generation|record)(?:_|\b.{0,60}?\b)not[ _](?:exist|found)|任务不存在", re.IGNORECASE)
_UNAUTHORIZED = re.compile(r"无权|未登录|令牌|token|unauthorized", re.IGNORECASE)
_TROUBLE = re.compile(
    r"internal|(?:unexpected|unknown)(?![\s_-]+(?:aspect|ratio|key|frame|model|field|param|arg|value|type|format|res|dur))"
    r"|timed?[\s_-]?out|unavailable|overload|gateway|again(?!st)|server[\s_-]?error|went wrong|dispatch|\blocked"
    r"|bad response|request failed|deadline|cancel|reset|broken pipe|connection|\bEOF\b|exception|crash|panic"
    r"|\bretry\b|\blater\b|\bbusy\b|temporar|maintenance|failed to (?:process|create|start)|error (?:creat|process)"
    r"|内部|异常|超时|稍后|繁忙",
    re.IGNORECASE,
)
"""Words about a failure of the service, or of a connection to it. Such an error is not a refusal."""

_FINE = frozenset({"", "0", "200", "201", "ok", "success"})


@attrs.frozen
class _Words:
    """The code and the words of an error, before their meaning is read."""

    code: str = ""
    message: str = ""
    success_false: bool = False
    with_id: bool = False


def read_error(document: Document) -> ErrorBody | None:
    """Find the error in an answer, whatever its status; None when it holds none."""
    payload = document.payload
    words = _find(payload, ok=document.ok) if is_object(payload) else None
    if words is None:
        return None
    if words.code == _WRAPPED:
        return _read_wrapped(words, document)
    return ErrorBody(
        code=words.code,
        message=words.message,
        kind=_kind(words, document.status),
        # A second document shows that the relay continued after it sent the error.
        not_charged=words.code in _NOT_CHARGED and document.shape is Shape.JSON,
        success_false=words.success_false,
        with_id=words.with_id,
        wrong_path=words.message.startswith("Invalid URL ("),
    )


def _find(payload: dict[str, Any], *, ok: bool) -> _Words | None:
    error = payload.get("error")
    with_id = ("id" in payload or "task_id" in payload) and payload.get("success") is not False
    if is_object(error) and any(error.values()):
        return _Words(_code(error.get("code")), _text(error.get("message")), with_id=with_id)
    if error and not is_object(error):
        # Proxies use this form too, so its words do not count as the service's own.
        return _Words(with_id=with_id)
    if payload.get("success") is False:
        return _Words(_code(payload.get("code")), _text(payload.get("message")), success_false=True)
    if payload.get("detail") and not (ok and "id" in payload):
        return _detail(payload["detail"])
    if _is_error_code(payload.get("code")) or ("code" in payload and not ok):
        return _Words(_code(payload["code"]), _text(payload.get("message")))
    return None


def _detail(detail: Any) -> _Words:
    if is_object(detail):
        return _Words(_code(detail.get("code")), _text(detail.get("reason")) or _text(detail.get("message")))
    if is_list(detail):
        return _Words(message="; ".join(filter(None, map(_field_error, detail))))
    return _Words(message=_text(detail))


def _field_error(item: Any) -> str:
    """Format the error about a field, such as `body.model: field required`."""
    if not is_object(item):
        return _text(item)
    where = item.get("loc")
    path = ".".join(str(step) for step in where) if is_list(where) else ""
    return ": ".join(filter(None, (path, _text(item.get("msg")))))


def _is_error_code(code: Any) -> bool:
    """Whether a code stands for an error; envelopes of successful answers have a code too."""
    if isinstance(code, bool):
        return not code
    return isinstance(code, str | int) and str(code).strip().lower() not in _FINE


def _read_wrapped(words: _Words, document: Document) -> ErrorBody:
    """Read the error of the service behind the relay."""
    inside = parse(Answer(status=document.status, body=words.message.encode("utf-8", "replace")))
    error = read_error(inside)
    kind = error.kind if error else _kind(words, document.status)
    if kind in {ErrorKind.UNAUTHORIZED, ErrorKind.OUT_OF_CREDIT} or (
        kind is None and document.status in {401, 402, 403}
    ):
        # This is about the relay's own account there; the relay has already accepted the caller's key.
        kind = ErrorKind.UNAVAILABLE
    elif kind is None and document.status == 404 and inside.shape is Shape.JSON:
        kind = ErrorKind.NOT_FOUND
    refusal = document.shape is Shape.JSON and _is_refusal(inside, error)
    return ErrorBody(
        code=words.code,
        message=error.message if error and error.message else words.message,
        kind=kind,
        not_charged=document.status == 500 and refusal,
        # A 503 there may come before or after a start; only a known code says which.
        relayed=not refusal or (document.status == 503 and (error is None or error.code not in _NOT_CHARGED)),
    )


def _is_refusal(inside: Document, error: ErrorBody | None) -> bool:
    """Whether the service behind refused in its own form. Another relay's report of a failure there is no refusal."""
    if inside.shape is not Shape.JSON or error is None or not error.message or _TROUBLE.search(error.message):
        return False
    return error.code in _NOT_CHARGED or error.success_false or "detail" in inside.payload


def _kind(words: _Words, status: int) -> ErrorKind | None:
    """Return what an error means, by its code, else by its words; None where only the status can tell."""
    if words.code in _KINDS:
        return _KINDS[words.code]
    said = f"{words.code} {words.message}"
    if _OUT_OF_CREDIT.search(said):
        return ErrorKind.OUT_OF_CREDIT
    if _PROMPT.search(said):
        return ErrorKind.PROMPT
    # Code and message are searched apart, since "task" in one and "not found" in the other mean nothing together.
    if status in {400, 404} and (_NOT_FOUND.search(words.code) or _NOT_FOUND.search(words.message)):
        return ErrorKind.NOT_FOUND
    if words.success_false and _UNAUTHORIZED.search(said):
        return ErrorKind.UNAUTHORIZED
    return None


def _code(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
