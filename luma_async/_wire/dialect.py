"""What a dialect is: how one format spells our calls, and how its answers read.

A dialect touches nothing: it turns requests into `Call`s, and parsed `Document`s into values. Everything that two
services spell differently stands behind this protocol, so a vendor's change touches one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

from luma_async.values.models import Generation, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luma_async._wire.answer import Document
    from luma_async._wire.refusal import ErrorBody
    from luma_async.values.models import Credits, KeyUsage, User
    from luma_async.values.requests import Request
    from luma_async.values.settings import KnownLimits


@attrs.frozen(kw_only=True)
class Call:
    """One HTTP request, without host and key."""

    name: str
    """What it is for, for events and errors, such as `submit` or `query`."""
    method: Literal["GET", "POST", "DELETE"]
    """The HTTP method."""
    path: str
    """Below the base URL, beginning with a slash; ids in it are checked."""
    body: dict[str, Any] | None = attrs.field(default=None, repr=False, hash=False)
    """The JSON body."""
    query: tuple[tuple[str, str], ...] = ()
    """The query parameters."""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    """Further headers."""
    bearer: str | None = attrs.field(default=None, repr=False)
    """Another token than the API key, for the calls that need one."""
    sync_wait_s: float = 0.0
    """Seconds for which the service was asked to hold the answer back; they are no silence."""


@attrs.frozen(kw_only=True)
class Row:
    """One generation in an answer, not yet structured: an unchanged row never is again."""

    id: str
    """The service's id."""
    raw: Mapping[str, Any] = attrs.field(repr=False, hash=False)
    """Its JSON."""


@attrs.frozen(kw_only=True)
class StillRunning:
    """What a glance at the JSON of a generation tells that runs on."""

    estimate_wait_s: float | None = None
    """Seconds the service expects it to take from now, where it tells."""


STILL_RUNNING = StillRunning()
"""It runs on, for nobody knows how long."""


@attrs.frozen(kw_only=True)
class Page:
    """One page of a service's own list of generations."""

    rows: tuple[Row, ...]
    """In the service's order; what has no id is left out."""
    has_more: bool
    """Whether another page may follow."""


class Match(Enum):
    """Whether a generation was made from a request, as far as the service repeats the request."""

    EXACT = auto()
    """It was made from an equal request, field by field."""
    POSSIBLE = auto()
    """It may have been: the service does not repeat every field."""
    NONE = auto()
    """It was made from another request."""


class Dialect(Protocol):
    """How one format spells calls and answers."""

    @property
    def name(self) -> str:
        """The format's name, part of a journal entry's service."""
        ...

    @property
    def default_base_url(self) -> str | None:
        """Where the service is, when there is only one; None when the user has to say."""
        ...

    @property
    def batch_size(self) -> int:
        """How many generations one look may ask for; 1 for single queries only."""
        ...

    @property
    def page_size(self) -> int:
        """How many generations one page of the service's list may have; 0 where there is no list."""
        ...

    @property
    def limits(self) -> KnownLimits:
        """What the service is known to bear, where a session is told nothing else."""
        ...

    def supports(self, operation: str) -> bool:
        """Whether there is such a call: a method's name such as `upscale`, `user`, `query_many`."""
        ...

    def submit(self, request: Request) -> Call:
        """Spell a paid submit.

        Raises:
            UnsupportedOperation: the format has no such call.
            InvalidInput: it cannot carry one of the fields, which is named.
        """
        ...

    def query(self, generation_id: str) -> Call:
        """Spell a look at one generation."""
        ...

    def query_many(self, generation_ids: Sequence[str]) -> Call:
        """Spell a look at several."""
        ...

    def link(self, generation_id: str) -> Call:
        """Spell the question for the watermark-free link."""
        ...

    def list_page(self, limit: int, offset: int) -> Call:
        """Spell the question for a page of the service's list.

        Raises:
            UnsupportedOperation: there is no list.
            InvalidInput: no page has that many, or begins there.
        """
        ...

    def delete(self, generation_id: str) -> Call:
        """Spell the wish that the service forgets a generation.

        Raises:
            UnsupportedOperation: the format has no such call.
        """
        ...

    def concepts(self) -> Call:
        """Spell the question for the names of concepts.

        Raises:
            UnsupportedOperation: the format has no such call.
        """
        ...

    def camera_motions(self) -> Call:
        """Spell the question for the phrases of camera motions.

        Raises:
            UnsupportedOperation: the format has no such call.
        """
        ...

    def ping(self) -> Call:
        """Spell the question whether anybody is there.

        Raises:
            UnsupportedOperation: the format has no such call.
        """
        ...

    def user(self) -> Call:
        """Spell the question for the account."""
        ...

    def key(self) -> Call:
        """Spell the question for the API key's quota."""
        ...

    def credits(self) -> Call:
        """Spell the question for the balance."""
        ...

    def read_error(self, document: Document) -> ErrorBody | None:
        """Find the error in an answer, whatever its status; None when it holds none."""
        ...

    def read_submit(self, document: Document) -> Row | None:
        """Find the new generation in the answer to a submit; None when it names none."""
        ...

    def read_query(self, document: Document, generation_id: str) -> Row:
        """Find the generation in the answer to a single look.

        Raises:
            UnreadableResponse: it is not there, or it is another one.
        """
        ...

    def read_many(self, document: Document) -> tuple[Row, ...]:
        """Find the generations in the answer to a look at several; rows without an id are left out.

        Raises:
            UnreadableResponse: it holds no list of them.
        """
        ...

    def read_page(self, document: Document) -> Page:
        """Find the generations of a page of the service's list.

        Raises:
            UnreadableResponse: it holds no list of them.
        """
        ...

    def read_names(self, document: Document) -> tuple[str, ...]:
        """Find the names of concepts or camera motions.

        Raises:
            UnreadableResponse: it holds no list of them.
        """
        ...

    def likeness(self, raw: Mapping[str, Any], request: Request) -> Match:
        """Compare a listed generation to a request, by what the service repeats of its own.

        Raises:
            UnsupportedOperation: there is no list.
            InvalidInput: the format cannot carry the request.
        """
        ...

    def read_link(self, document: Document) -> str:
        """Find the link.

        Raises:
            UnreadableResponse: there is none.
        """
        ...

    def read_user(self, document: Document) -> User:
        """Read the account."""
        ...

    def read_key(self, document: Document) -> KeyUsage:
        """Read the API key's quota."""
        ...

    def read_credits(self, document: Document) -> Credits:
        """Read the balance."""
        ...

    def peek(self, raw: Mapping[str, Any]) -> StillRunning | None:
        """Say whether a row's JSON is surely that of a generation that runs on; None when it has to be read."""
        ...

    def generation(self, raw: Mapping[str, Any]) -> Generation:
        """Structure a row's JSON; one drifted field degrades alone.

        Raises:
            UnreadableResponse: not even its id and state can be read.
        """
        ...


def read_row(dialect: Dialect, row: Row) -> Generation:
    """Structure a row. If that fails, return a generation with the row's id and an unknown state."""
    try:
        return dialect.generation(row.raw)
    except Exception:  # a bug in a dialect must not lose the id, which may be paid
        return Generation(id=row.id, state=State.UNKNOWN, raw=dict(row.raw))
