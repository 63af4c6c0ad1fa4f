"""What the answer to a paid submit proves: that it was accepted, that it was rejected, or neither.

A free call can be repeated, so its answer only has to be understood. A paid submit cannot, so its answer has to
*prove* something: that a generation exists (it names an id and holds no error), or that none was made (the service
says so in a way that is documented to cost nothing). Every other answer leaves a doubt, however much it looks like an
error, because a proxy that gives up says nothing about what it passed on.

```
answer to a submit                                                        verdict
2xx with an id and no error object                                        accepted
any status with a code known to mean "not done, not charged"              rejected
2xx {success: false}                                                      rejected
2xx otherwise: no id, an id and an error, HTML, cut, several documents    in doubt
4xx but 408, 409, 425, 499                                                rejected
503 with a body in the service's own shape                                rejected
500 `fail_to_fetch_task` that wraps the upstream's own JSON refusal       rejected
3xx, 408, 409, 425, 499, every other 5xx                                  in doubt
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async._wire.answer import Shape
from luma_async._wire.refusal import ErrorKind, refusal
from luma_async.values.errors import Refused
from luma_async.values.redaction import clip

if TYPE_CHECKING:
    from luma_async._wire.answer import Document
    from luma_async._wire.refusal import ErrorBody

UNDECIDED_4XX = frozenset({408, 409, 425, 499})
"""Client errors about time or about another request: the service may have done what was asked."""


@attrs.frozen(kw_only=True)
class Accepted:
    """A generation exists and is paid."""

    generation_id: str
    """Its id."""


@attrs.frozen(kw_only=True)
class Rejected:
    """No generation was made, and nothing charged."""

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


def judge_submit(document: Document, error: ErrorBody | None, generation_id: str | None) -> Verdict:
    """Decide what an answer to a paid submit proves, by the table above.

    Args:
        document: the answer.
        error: what the dialect read in it as an error.
        generation_id: what the dialect read in it as the new generation.
    """
    if document.ok:
        return _judge_success(document, error, generation_id)
    rejected = (
        (error is not None and error.not_charged)
        or (400 <= document.status < 500 and document.status not in UNDECIDED_4XX)
        or (document.status == 503 and _own_words(document, error))
    )
    if rejected:
        return _reject(document, error)
    return Unproven(reason=_describe(document, error, generation_id))


def _judge_success(document: Document, error: ErrorBody | None, generation_id: str | None) -> Verdict:
    if document.shape is Shape.JSON:
        if generation_id is not None and error is None:
            return Accepted(generation_id=generation_id)
        if generation_id is None and error is not None and (error.success_false or error.not_charged):
            return _reject(document, error)
    return Unproven(reason=_describe(document, error, generation_id))


def _own_words(document: Document, error: ErrorBody | None) -> bool:
    """Whether the service itself wrote the error: one JSON document with a code or a message."""
    if document.shape is not Shape.JSON or error is None or error.relayed:
        return False
    return bool(error.code or error.message)


def _reject(document: Document, error: ErrorBody | None) -> Rejected:
    # Out of credit also comes as 429; waiting does not end it.
    passing = error is None or error.kind in {None, ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE}
    return Rejected(error=refusal(document, error), repeat=passing and document.status in {429, 503})


def _describe(document: Document, error: ErrorBody | None, generation_id: str | None) -> str:
    """Describe an answer that proves nothing; an id in it helps a person to settle the doubt."""
    if 300 <= document.status < 400:
        return f"HTTP {document.status}, a redirect, which is never followed: check base_url"
    if document.shape is Shape.HTML:
        return f"HTTP {document.status} with an HTML page: check base_url"
    said = clip(error.message or error.code) if error else ""
    named = f" that names generation {generation_id}" if generation_id else ""
    if document.shape is not Shape.JSON:
        what = f" whose body is {document.shape}"
    elif document.ok and not named:
        what = " without the id of a generation"
    else:
        what = " and also an error" if document.ok else ""
    return f"HTTP {document.status}{named}{what}" + (f" ({said})" if said else "")
