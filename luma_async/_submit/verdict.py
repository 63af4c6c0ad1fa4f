"""What an answer means: accepted, refused or in doubt for a paid submit; a value or an error for the rest.

The two questions differ. A safe call may be asked again, so an answer only has to be understood. A paid submit
may not, so an answer has to *prove* something: that a generation exists (it names one and complains of nothing), or
that none was made (the service says so in a way that is documented to cost nothing). Everything between the two is
in doubt, however much it looks like an error, because a proxy that gives up says nothing about what it passed on.

```
answer to a submit                                                        verdict
2xx with an id and no error object                                        accepted
any status with a code known to mean "not done, not charged"              refused
2xx {success: false}                                                      refused
2xx otherwise: no id, an id and an error, HTML, cut, several documents    in doubt
4xx but 408, 409, 425, 499                                                refused
503 with a body in the service's own shape                                refused
500 `fail_to_fetch_task` that wraps the upstream's own JSON refusal       refused
3xx, 408, 409, 425, 499, every other 5xx                                  in doubt
```
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TypeAlias

import attrs

from luma_async.values.error_form import clip
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

UNDECIDED_4XX = frozenset({408, 409, 425, 499})
"""Client errors that speak of time or of another request, not of this one: the service may have done it."""


class ErrorKind(Enum):
    """What a service's error code means, whatever it is called."""

    UNAUTHORIZED = auto()
    OUT_OF_CREDIT = auto()
    INVALID = auto()
    PROMPT = auto()
    NOT_FOUND = auto()
    RATE_LIMITED = auto()
    UNAVAILABLE = auto()


@attrs.frozen(kw_only=True)
class ErrorBody:
    """An error as a service spells it, understood as far as its dialect knows the words."""

    code: str = ""
    """The service's own code."""
    message: str = ""
    """The service's own words."""
    kind: ErrorKind | None = None
    """What the code or the words mean; None when the dialect does not know them."""
    refuses: bool = False
    """Whether it is documented that nothing was done and nothing charged, whatever the HTTP status says."""
    denied: bool = False
    """Whether it is the `{success: false}` form, which services use with HTTP 200."""
    beside_id: bool = False
    """Whether it stands beside an id, where it may tell why a generation failed rather than why a call did."""
    wrong_path: bool = False
    """Whether the service says that there is no such path."""
    relayed: bool = False
    """Whether it passes on what came from behind it, and that is no refusal: it proves as little as that did."""


@attrs.frozen(kw_only=True)
class Accepted:
    """A generation exists and is paid."""

    generation_id: str
    """Its id."""


@attrs.frozen(kw_only=True)
class Rejected:
    """None was made, and nothing charged."""

    error: Refused
    """What the service said."""
    repeat: bool
    """Whether the same submit may succeed a moment later."""


@attrs.frozen(kw_only=True)
class Unproven:
    """The answer proves neither."""

    reason: str
    """What came instead."""


Verdict: TypeAlias = Accepted | Rejected | Unproven
"""What the answer to a submit proves."""


@attrs.frozen(kw_only=True)
class Reading:
    """A complete answer, as far as its dialect could read it."""

    status: int
    """The HTTP status."""
    shape: str
    """What the body is, in words; "json" for the one shape that can be understood."""
    generation_id: str | None = None
    """The generation that it names."""
    error: ErrorBody | None = None
    """The error that it holds."""
    retry_after_s: float | None = None
    """Seconds, when the service names them."""
    request_id: str | None = None
    """What the service calls this exchange."""
    head: bytes = b""
    """The beginning of the body."""

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for people."""
        return clip(self.head.decode("utf-8", "replace"))

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def in_shape(self) -> bool:
        """Whether the service itself wrote the error: one JSON document with a code or a message."""
        error = self.error
        return self.shape == "json" and error is not None and not error.relayed and bool(error.code or error.message)


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


def refusal(reading: Reading) -> Refused:
    """Build the error that an unwelcome answer stands for: by what the code means, else by the status."""
    error = reading.error or ErrorBody()
    return _kind_of(reading.status, error)(
        status=reading.status,
        code=error.code,
        message=error.message,
        request_id=reading.request_id,
        retry_after_s=reading.retry_after_s,
        body_excerpt=reading.excerpt,
        hint=_hint(reading, error),
    )


def _kind_of(status: int, error: ErrorBody) -> type[Refused]:
    if error.kind is not None and not error.wrong_path:
        return _BY_KIND[error.kind]
    if status >= 500:
        # A service that refuses while it calls itself in trouble passes on what the one behind it said of the request.
        return InvalidRequest if error.refuses else ServiceUnavailable
    return _BY_STATUS.get(status, Refused)


def _hint(reading: Reading, error: ErrorBody) -> str:
    if 300 <= reading.status < 400:
        return NOT_FOLLOWED
    lost_path = error.wrong_path or (reading.status in {404, 405} and error.kind is None)
    return CHECK_BASE_URL if lost_path else ""


def judge_submit(reading: Reading) -> Verdict:
    """Say what an answer to a paid submit proves, by the table above."""
    if reading.ok:
        return _judge_success(reading)
    error = reading.error
    if error is not None and error.refuses:
        return _denied(reading)
    if 400 <= reading.status < 500 and reading.status not in UNDECIDED_4XX:
        return _denied(reading)
    if reading.status == 503 and reading.in_shape:
        return _denied(reading)
    return Unproven(reason=_what_came(reading))


def _judge_success(reading: Reading) -> Verdict:
    error = reading.error
    if reading.shape != "json":
        return Unproven(reason=_what_came(reading))
    if reading.generation_id is not None and error is None:
        return Accepted(generation_id=reading.generation_id)
    if reading.generation_id is None and error is not None and (error.denied or error.refuses):
        return _denied(reading)
    return Unproven(reason=_what_came(reading))


def _denied(reading: Reading) -> Rejected:
    # Out of credit also comes as 429; that will not pass by waiting.
    passing = reading.error is None or reading.error.kind in {None, ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE}
    return Rejected(error=refusal(reading), repeat=passing and reading.status in {429, 503})


def _what_came(reading: Reading) -> str:
    """Describe an answer that proves nothing; an id in it is what a person would settle the doubt with."""
    if 300 <= reading.status < 400:
        return f"HTTP {reading.status}, a redirect, which is never followed: check base_url"
    if reading.shape == "html":
        return f"HTTP {reading.status} with an HTML page: check base_url"
    said = clip(reading.error.message or reading.error.code) if reading.error else ""
    named = f" that names generation {reading.generation_id}" if reading.generation_id else ""
    if reading.shape != "json":
        what = f" whose body is {reading.shape}"
    elif reading.ok and not named:
        what = " without the id of a generation"
    else:
        what = " and an error at once" if reading.ok else ""
    return f"HTTP {reading.status}{named}{what}" + (f" ({said})" if said else "")
