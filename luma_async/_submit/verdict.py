"""What the answer to a paid submit proves: that it was accepted, that it was rejected, or neither.

A free call can be repeated, so its answer only has to be understood. A paid submit cannot, so its answer has to
*prove* something: that a generation exists (it names an id and holds no error), or that none was made (the service
says so in a way that is documented to cost nothing). Every other answer leaves a doubt, however much it looks like an
error, because a proxy that gives up says nothing about what it passed on.

The table is `VERDICTS`, and the list of known refusals is `refusal.KNOWN_REFUSALS`. The documentation shows both.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async._wire.answer import Shape, find_id
from luma_async._wire.error_body import read_row_error
from luma_async._wire.refusal import ErrorKind, refusal
from luma_async.values.errors import Refused
from luma_async.values.redaction import clip

if TYPE_CHECKING:
    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Dialect, Row
    from luma_async._wire.refusal import ErrorBody


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


class Body(StrEnum):
    """What the body of an answer to a submit says."""

    ID = "an id, and no error"
    ID_AND_ERROR = "an id, and an error or more than one JSON document"
    SUCCESS_FALSE = "`success: false` and no id anywhere"
    NO_CHANNEL = "a known refusal: no service was chosen"
    KNOWN = "another known refusal"
    LASTING = "an error that waiting does not end, such as an empty account"
    OTHER = "anything else, or nothing"


class Outcome(StrEnum):
    """What an answer to a submit proves."""

    ACCEPTED = "accepted: charged"
    REFUSED = "refused: not charged"
    IN_DOUBT = "in doubt"


@attrs.frozen
class Rule:
    """A row of the table."""

    statuses: str
    """The HTTP statuses, as the documentation shows them."""
    matches: frozenset[int]
    """The same as a set."""
    bodies: frozenset[Body]
    """The bodies."""
    outcome: Outcome
    """What they prove together."""
    repeat: bool
    """Whether the submit is sent again by itself."""
    source: str
    """Why."""


_ANY_BODY = frozenset(Body)
_SUCCESSES = frozenset(range(200, 300))
_UNDECIDED_4XX = frozenset({408, 409, 425, 499})
_ANY_STATUS = frozenset(range(200, 1000))
_KNOWN = frozenset({Body.KNOWN, Body.NO_CHANNEL})

VERDICTS = (
    Rule("2xx", _SUCCESSES, frozenset({Body.ID}), Outcome.ACCEPTED, False, "all recorded answers to submits"),
    Rule(
        "2xx",
        _SUCCESSES,
        frozenset({Body.SUCCESS_FALSE}),
        Outcome.REFUSED,
        False,
        "new-api and AceDataCloud: their own form of a refusal",
    ),
    Rule(
        "429",
        frozenset({429}),
        frozenset({Body.KNOWN, Body.LASTING}),
        Outcome.REFUSED,
        False,
        "waiting does not fill an account",
    ),
    Rule("429", frozenset({429}), _ANY_BODY, Outcome.REFUSED, True, "RFC 6585: the request was limited, not served"),
    Rule("503", frozenset({503}), frozenset({Body.NO_CHANNEL}), Outcome.REFUSED, True, "new-api and one-api"),
    Rule(
        "4xx, except 408, 409, 425 and 499",
        frozenset(range(400, 500)) - _UNDECIDED_4XX,
        _ANY_BODY,
        Outcome.REFUSED,
        False,
        "RFC 9110: the request is at fault. A relay that passes on a 4xx passes on a refusal",
    ),
    Rule("any", _ANY_STATUS, _KNOWN, Outcome.REFUSED, False, "the list of known refusals"),
    Rule(
        "any",
        _ANY_STATUS,
        _ANY_BODY,
        Outcome.IN_DOUBT,
        False,
        "a relay that reports what happened behind it (`fail_to_fetch_task`, a 5xx around a 429 or another 4xx) and a "
        "proxy that gives up do not know what became of the request",
    ),
)
"""What an answer to a paid submit proves. The first row that fits decides."""


def judge(dialect: Dialect, document: Document) -> tuple[Verdict, Row | None]:
    """Read an answer to a paid submit, and decide what it proves."""
    row = dialect.read_submit(document)
    error = dialect.read_error(document) or (read_row_error(row.raw) if row is not None else None)
    verdict = judge_submit(document, error, row.id if row is not None else None)
    if isinstance(verdict, Unproven) and row is not None and (further := (*row.aliases, *row.siblings)):
        verdict = Unproven(reason=f"{verdict.reason}; it also names {', '.join(further)}")
    return verdict, row


def judge_submit(document: Document, error: ErrorBody | None, generation_id: str | None) -> Verdict:
    """Decide what an answer to a paid submit proves, by the table above.

    Args:
        document: the answer.
        error: what the dialect read in it as an error.
        generation_id: what the dialect read in it as the new generation.
    """
    rule = find_rule(document.status, classify(document, error, generation_id))
    match rule.outcome:
        case Outcome.ACCEPTED:
            assert generation_id is not None
            return Accepted(generation_id=generation_id)
        case Outcome.REFUSED:
            return Rejected(error=refusal(document, error), repeat=rule.repeat)
        case Outcome.IN_DOUBT:
            return Unproven(reason=_describe(document, error, generation_id))


def find_rule(status: int, body: Body) -> Rule:
    """Find the row that decides."""
    return next((rule for rule in VERDICTS if status in rule.matches and body in rule.bodies), VERDICTS[-1])


def classify(document: Document, error: ErrorBody | None, generation_id: str | None) -> Body:
    """Say which kind of body an answer has. An answer that is not one JSON document proves nothing by its content."""
    whole = document.shape is Shape.JSON
    if generation_id is not None:
        return Body.ID if whole and error is None else Body.ID_AND_ERROR
    if error is None or not whole:
        return Body.OTHER
    if error.known is not None:
        # The list's kind counts: an empty account of the relay itself is "unavailable" to the caller, but lasts.
        return Body.NO_CHANNEL if error.known.kind is ErrorKind.UNAVAILABLE else Body.KNOWN
    if document.ok and error.success_false and find_id(json.dumps(document.payload).encode()) is None:
        return Body.SUCCESS_FALSE
    lasting = error.kind not in {None, ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE}
    return Body.LASTING if lasting else Body.OTHER


def _describe(document: Document, error: ErrorBody | None, generation_id: str | None) -> str:
    """Describe an answer that proves nothing; an id in it helps a person to settle the doubt."""
    if 300 <= document.status < 400:
        return f"HTTP {document.status}, a redirect, which is never followed: check base_url"
    if document.shape is Shape.HTML:
        return f"HTTP {document.status} with an HTML page{_page_hint(document.status)}"
    said = clip(error.message or error.code) if error else ""
    named = f" that names generation {generation_id}" if generation_id else ""
    if document.shape is not Shape.JSON:
        what = f" whose body is {document.shape}"
    elif document.ok and not named:
        what = " without the id of a generation"
    else:
        what = " and also an error" if document.ok else ""
    return f"HTTP {document.status}{named}{what}" + (f" ({said})" if said else "")


def _page_hint(status: int) -> str:
    if status < 300:
        return ": check base_url"
    return ": the service behind the address is in trouble" if status >= 500 else ""
