"""The error that an unwelcome answer stands for.

What such an answer *proves* about a paid submit is another question, which `_submit/verdict.py` answers.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

import attrs

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


@attrs.frozen(kw_only=True)
class ErrorBody:
    """The error in an answer, understood as far as its dialect knows the words."""

    code: str = ""
    """The service's own code."""
    message: str = ""
    """The service's own words."""
    kind: ErrorKind | None = None
    """What the code or the words mean; None when the dialect does not know them."""
    not_charged: bool = False
    """Whether it is documented that nothing was done and nothing charged, whatever the HTTP status says."""
    success_false: bool = False
    """Whether it has the form `{success: false}`, which services use with HTTP 200."""
    with_id: bool = False
    """Whether the same object has an id. Then it may tell why a generation failed, rather than why the call did."""
    wrong_path: bool = False
    """Whether the service says that it has no such path."""
    relayed: bool = False
    """Whether it repeats what came from another service and was no refusal there: it proves as little as that did."""


CHECK_BASE_URL = "Check base_url: the service has no such path. It is the address without /luma, /v1 or /dream-machine."
NOT_FOLLOWED = "Check base_url: the service redirects, and redirects are never followed."
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
    return _class_of(document.status, error)(
        status=document.status,
        code=error.code,
        message=error.message,
        request_id=document.request_id,
        retry_after_s=document.retry_after_s,
        body_excerpt=document.excerpt,
        hint=_hint(document.status, error),
    )


def _class_of(status: int, error: ErrorBody) -> type[Refused]:
    if error.kind is not None and not error.wrong_path:
        return _BY_KIND[error.kind]
    if status >= 500:
        # A 5xx that is known to cost nothing repeats what the service behind the relay said of the request.
        return InvalidRequest if error.not_charged else ServiceUnavailable
    return _BY_STATUS.get(status, Refused)


def _hint(status: int, error: ErrorBody) -> str:
    if 300 <= status < 400:
        return NOT_FOLLOWED
    lost_path = error.wrong_path or (status in {404, 405} and error.kind is None)
    return CHECK_BASE_URL if lost_path else ""
