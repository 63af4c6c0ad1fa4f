"""The error in an answer, in every form that relays and what stands behind them use.

```
{"error": {"message", "type", "code", "param"}}     the relay's front end
{"code", "message", "data": null}                   its task part
{"success": false, "message"}                       its account pages, with HTTP 200 too
{"detail": "…"}  {"detail": {"reason", "code"}}     the service behind it, and the official one
{"detail": [{"loc", "msg"}]}                        the official one, about fields
```

The meaning of each code is taken from the relays' published source. The errors that are documented as not charged are
listed in `refusal.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._wire.answer import Answer, Shape, is_list, is_object, parse
from luma_async._wire.refusal import ErrorBody, ErrorKind, known_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async._wire.answer import Document

_WRAPPED = "fail_to_fetch_task"
"""The relay's code for an error of the service behind it; the message is the body of that service."""

_KINDS = {
    "invalid_request": ErrorKind.INVALID,
    "task_not_exist": ErrorKind.NOT_FOUND,
    "used_up": ErrorKind.OUT_OF_CREDIT,
    "insufficient_quota": ErrorKind.OUT_OF_CREDIT,
    "billing_hard_limit_reached": ErrorKind.OUT_OF_CREDIT,
    "invalid_api_key": ErrorKind.UNAUTHORIZED,
    "invalid_token": ErrorKind.UNAUTHORIZED,
    "token_mismatched": ErrorKind.UNAUTHORIZED,
    "token_disabled": ErrorKind.UNAUTHORIZED,
    "account_deactivated": ErrorKind.UNAUTHORIZED,
    "not_authenticated": ErrorKind.UNAUTHORIZED,
    "authentication_failed": ErrorKind.UNAUTHORIZED,
}
"""What further codes mean. Source: new-api, and the error pages of AceDataCloud, OpenAI and Django REST framework."""

_OUT_OF_CREDIT = re.compile(
    r"额度已用尽|额度不足|余额不足|欠费|quota is not enough|insufficient[ _](?:\w+[ _])?(?:quota|balance|credit|fund)"
    r"|exceeded your current quota|payment required",
    re.IGNORECASE,
)
_USED_UP = re.compile(
    r"used[ _-]up|out of (?:credit|quota|balance|fund)|not enough (?:credit|quota|balance|fund)"
    r"|no (?:more |remaining )?(?:credit|quota|balance|fund)s?\b"
    r"|(?:credit|quota|balance|fund|allowance)s?\b.{0,30}\b(?:exhausted|depleted|too low|exceeded|run out|empty)"
    r"|用尽|用完|耗尽|arrear",
    re.IGNORECASE,
)
"""Words for an empty account. They count only with a status that fits."""
_PACE = re.compile(r"per (?:second|minute|hour|day)|rate|retry|try again|too many|requests", re.IGNORECASE)
"""Words for a limit that waiting ends. With 429 an empty account is told without them."""
_PROMPT = re.compile(r"敏感词|sensitive word|moderation|blacklisted|banned (?:word|phrase|term|content)", re.IGNORECASE)
_NOT_FOUND = re.compile(r"(?:task|generation|record)(?:_|\b.{0,60}?\b)not[ _](?:exist|found)|任务不存在", re.IGNORECASE)
_UNAUTHORIZED = re.compile(r"无权|未登录|令牌|token|unauthorized", re.IGNORECASE)
_KEY_REFUSED = re.compile(
    r"not[ _]authenticated|unauthenticated|unauthori[sz]ed|authentication|not logged in|\bbanned\b|suspended"
    r"|未登录|未授权|封禁"
    r"|(?:invalid|incorrect|wrong|missing|expired|revoked|disabled|unknown)[ _](?:api[ _-]?)?(?:key|token|credential)"
    r"|(?:key|token|credential|account|user)s?\b.{0,30}\b"
    r"(?:disabled|deactivated|revoked|expired|invalid|blocked|locked)"
    r"|(?:令牌|密钥|用户|账[号户]).{0,12}(?:禁用|过期|无效|冻结)|无效的(?:令牌|密钥)",
    re.IGNORECASE,
)
"""Words for a key or an account that is not accepted. They count only with 401, 403 and `success: false`."""

_FINE = frozenset({"", "0", "200", "201", "ok", "success"})


@attrs.frozen
class _Words:
    """The code and the words of an error, before their meaning is read."""

    code: str = ""
    message: str = ""


def read_error(document: Document) -> ErrorBody | None:
    """Find the error in an answer, whatever its status; None when it holds none."""
    payload = _only_item(document.payload)
    words = _find(payload, ok=document.ok) if is_object(payload) else None
    if words is None:
        return None
    success_false = payload.get("success") is False
    if words.code == _WRAPPED:
        return attrs.evolve(_read_wrapped(words, document), success_false=success_false)
    known = known_refusal(words.code, words.message, document.status)
    return ErrorBody(
        code=words.code,
        message=words.message,
        kind=known.kind if known else _kind(words, document.status, success_false=success_false),
        # A second document shows that the relay continued after it sent the error.
        known=known if document.shape is Shape.JSON else None,
        success_false=success_false,
        with_id=("id" in payload or "task_id" in payload) and not success_false,
        wrong_path=words.message.startswith("Invalid URL ("),
    )


def read_row_error(row: Mapping[str, Any]) -> ErrorBody | None:
    """Find the error that stands inside of a generation's JSON, next to its id."""
    if row.get("success") is not False and not row.get("error"):
        return None
    error = row.get("error")
    if is_object(error) and not any(error.values()):
        return None
    words = _find(dict(row), ok=True) or _Words()
    return ErrorBody(code=words.code, message=words.message)


def _only_item(payload: Any) -> Any:
    """Return the item of a list of one that is no generation: some services answer with a list in any case."""
    if not is_list(payload) or len(payload) != 1 or not is_object(item := payload[0]):
        return payload
    return None if "id" in item or "task_id" in item else item


def _find(payload: dict[str, Any], *, ok: bool) -> _Words | None:
    error = payload.get("error")
    if is_object(error) and any(error.values()):
        return _Words(_code(error.get("code")), _text(error.get("message")))
    if payload.get("success") is False:
        return _Words(_code(payload.get("code")), _text(payload.get("message")) or _text(error))
    if error and not is_object(error):
        # Proxies use this form too, so its words do not count as the service's own.
        return _Words()
    if payload.get("detail") and not (ok and "id" in payload):
        return _detail(payload["detail"])
    if _is_error_code(payload.get("code")) or ("code" in payload and not ok):
        return _Words(_code(payload["code"]), _text(payload.get("message")) or _text(payload.get("msg")))
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
    """Read the error of the service behind the relay. Only a code in the list makes it a refusal."""
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
    return ErrorBody(
        code=words.code,
        message=error.message if error and error.message else words.message,
        kind=kind,
        known=error.known if error and document.shape is Shape.JSON else None,
    )


def _kind(words: _Words, status: int, *, success_false: bool = False) -> ErrorKind | None:
    """Return what an error means, by its code, else by its words; None where only the status can tell."""
    if words.code in _KINDS:
        return _KINDS[words.code]
    said = f"{words.code} {words.message}"
    if _OUT_OF_CREDIT.search(said) or _is_used_up(said, status, success_false=success_false):
        return ErrorKind.OUT_OF_CREDIT
    if _PROMPT.search(said):
        return ErrorKind.PROMPT
    # Code and message are searched apart, since "task" in one and "not found" in the other mean nothing together.
    if status in {400, 404} and (_NOT_FOUND.search(words.code) or _NOT_FOUND.search(words.message)):
        return ErrorKind.NOT_FOUND
    if (success_false and _UNAUTHORIZED.search(said)) or (
        (success_false or status in {401, 403}) and _KEY_REFUSED.search(said)
    ):
        return ErrorKind.UNAUTHORIZED
    return None


def _is_used_up(said: str, status: int, *, success_false: bool) -> bool:
    """Whether the words are about an empty account."""
    if not success_false and status not in {401, 402, 403, 429}:
        return False
    return bool(_USED_UP.search(said)) and not (status == 429 and _PACE.search(said))


def _code(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
