"""The error that an unwelcome answer stands for.

What such an answer *proves* about a paid submit is another question, which `_submit/verdict.py` answers.
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._wire.answer import Shape
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

if TYPE_CHECKING:
    from luma_async._wire.answer import Document


class ErrorKind(Enum):
    """What an error code of a service means, under whatever name."""

    UNAUTHORIZED = auto()
    OUT_OF_CREDIT = auto()
    INVALID = auto()
    PROMPT = auto()
    NOT_FOUND = auto()
    RATE_LIMITED = auto()
    UNAVAILABLE = auto()


@attrs.frozen
class KnownRefusal:
    """An error that is documented as neither done nor charged, whatever the HTTP status says."""

    code: str
    """The service's code; empty where only its message tells."""
    kind: ErrorKind
    """What it means."""
    source: str
    """Where that is documented."""
    status: int | None = None
    """The only status with which it proves anything; None for any status."""
    message: re.Pattern[str] | None = None
    """How the whole message reads where there is no code."""


_BEFORE_SENDING = "new-api relay_task.go: before the request is sent on"
_NO_CHANNEL = "new-api distributor.go: no service was chosen"
KNOWN_REFUSALS = (
    KnownRefusal("insufficient_user_quota", ErrorKind.OUT_OF_CREDIT, _BEFORE_SENDING),
    KnownRefusal("pre_consume_token_quota_failed", ErrorKind.OUT_OF_CREDIT, _BEFORE_SENDING),
    KnownRefusal("quota_not_enough", ErrorKind.OUT_OF_CREDIT, "new-api relay_task.go of 2024: the same check"),
    KnownRefusal("sensitive_words_detected", ErrorKind.PROMPT, "new-api error.go: the relay's own check of the prompt"),
    KnownRefusal("prompt_blocked", ErrorKind.PROMPT, "new-api error.go: refused, and refunded"),
    KnownRefusal("build_request_failed", ErrorKind.INVALID, _BEFORE_SENDING),
    KnownRefusal("get_channel_failed", ErrorKind.UNAVAILABLE, _NO_CHANNEL),
    KnownRefusal("model_not_found", ErrorKind.UNAVAILABLE, _NO_CHANNEL, status=503),
    KnownRefusal("channel:no_available_key", ErrorKind.UNAVAILABLE, "new-api error.go: the chosen service has no key"),
    KnownRefusal("channel_no_available_key", ErrorKind.UNAVAILABLE, _BEFORE_SENDING),
    KnownRefusal(
        "",
        ErrorKind.UNAVAILABLE,
        "one-api distributor.go: no service was chosen, and no code is sent",
        message=re.compile(
            r"(?:(?:当前)?分组 ?\S+ ?下(?:对于)?模型 ?\S+ ?(?:的)?无可用渠道"
            r"|no available channels?(?: (?:for|under|in) (?:model|group) \S+)+)\W*(?:[(\uff08][^()]*[)\uff09]\W*)*",
            re.IGNORECASE,
        ),
    ),
)
"""The errors that let a paid submit be sent again at any status. An entry needs a source: words that only sound like
a refusal prove nothing, nor does a relay's report that the service behind it failed."""


def known_refusal(code: str, message: str, status: int) -> KnownRefusal | None:
    """Find an error in the list."""
    for known in KNOWN_REFUSALS:
        fits = code == known.code and (known.message is None or known.message.fullmatch(message))
        if fits and known.status in {None, status}:
            return known
    return None


class RateScope(StrEnum):
    """What a 429 is about."""

    SUBMITS = "submits"
    """Submits within a time: all submits of the session wait."""
    UNFINISHED = "unfinished"
    """Unfinished generations: a submit waits for the end of one."""
    SESSION = "session"
    """Requests of any kind: the whole session waits."""


@attrs.frozen(kw_only=True)
class ErrorBody:
    """The error in an answer, understood as far as its dialect knows the words."""

    code: str = ""
    """The service's own code."""
    message: str = ""
    """The service's own words."""
    kind: ErrorKind | None = None
    """What the code or the words mean; None when the dialect does not know them."""
    known: KnownRefusal | None = None
    """Its entry in the list of errors that are documented as not charged."""
    success_false: bool = False
    """Whether it says `success: false`, which services use with HTTP 200."""
    with_id: bool = False
    """Whether the same object has an id. Then it may tell why a generation failed, rather than why the call did."""
    scope: RateScope = RateScope.SUBMITS
    """What a 429 is about."""
    wrong_path: bool = False
    """Whether the service says that it has no such path."""


CHECK_BASE_URL = "Check base_url: the service has no such path. It is the address without /luma, /v1 or /dream-machine."
NOT_FOLLOWED = "Check base_url: the service redirects, and redirects are never followed."
IN_TROUBLE = "The service behind the address is in trouble: its proxy answered with an HTML page. Try again later."
_BY_KIND: dict[ErrorKind, type[Refused]] = {
    ErrorKind.UNAUTHORIZED: Unauthorized,
    ErrorKind.OUT_OF_CREDIT: OutOfCredit,
    ErrorKind.INVALID: InvalidRequest,
    ErrorKind.PROMPT: PromptRejected,
    ErrorKind.NOT_FOUND: GenerationNotFound,
    ErrorKind.RATE_LIMITED: RateLimited,
    ErrorKind.UNAVAILABLE: ServiceUnavailable,
}
_BY_STATUS: dict[int, type[Refused]] = {
    400: InvalidRequest,
    401: Unauthorized,
    402: OutOfCredit,
    408: ServiceUnavailable,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    425: ServiceUnavailable,
    429: RateLimited,
    499: ServiceUnavailable,
}


def refusal(document: Document, error: ErrorBody | None) -> Refused:
    """Build the error that an answer stands for: by what its code means, else by its status.

    Args:
        document: the answer.
        error: what the dialect read in it.
    """
    error = error or ErrorBody()
    kind = _class_of(document.status, error)
    scope: dict[str, Any] = {"scope": error.scope.value} if issubclass(kind, RateLimited) else {}
    return kind(
        status=document.status,
        code=error.code,
        message=error.message,
        request_id=document.request_id,
        retry_after_s=document.retry_after_s,
        body_excerpt=document.excerpt,
        hint=_hint(document, error),
        **scope,
    )


def _class_of(status: int, error: ErrorBody) -> type[Refused]:
    if error.kind is not None and not error.wrong_path:
        return _BY_KIND[error.kind]
    return ServiceUnavailable if status >= 500 else _BY_STATUS.get(status, Refused)


def _hint(document: Document, error: ErrorBody) -> str:
    status = document.status
    if 300 <= status < 400:
        return NOT_FOLLOWED
    if status >= 500 and document.shape is Shape.HTML:
        return IN_TROUBLE
    lost_path = error.wrong_path or (status in {404, 405} and error.kind is None)
    return CHECK_BASE_URL if lost_path else ""
