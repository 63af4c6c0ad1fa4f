"""What a dialect is: how one format writes our calls, and how its answers read.

A dialect does no I/O. It turns requests into `Call`s and parsed `Document`s into values. Everything that differs
between two formats is behind this class, so that a change at a vendor touches one folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs

from luma_async._wire import registry
from luma_async._wire.answer import Document
from luma_async._wire.links import with_absolute_links
from luma_async.values.errors import InvalidInput, UnsupportedOperation
from luma_async.values.models import Generation, State
from luma_async.values.redaction import Secret
from luma_async.values.requests import OPERATIONS
from luma_async.values.settings import KnownLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luma_async._wire.refusal import ErrorBody
    from luma_async.values.files import FilePage, UploadedFile, UploadTarget
    from luma_async.values.models import Credits, KeyUsage, User
    from luma_async.values.requests import Request

T = TypeVar("T")


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
    bearer: Secret | None = None
    """Another token than the API key, for the calls that need it."""
    refusal_hint: str = ""
    """What to do if the service refuses the request as invalid; empty for the usual advice."""
    sync_wait_s: float = 0.0
    """Seconds for which the service was asked to delay its answer; they do not count as silence."""


@attrs.frozen(kw_only=True)
class Query(Generic[T]):
    """A call that is free of charge, and how its answer reads."""

    call: Call
    """The call."""
    read: Callable[[Document], T]
    """Reads the answer.

    Raises:
        UnreadableResponse: the answer does not hold what was asked for.
    """


@attrs.frozen(kw_only=True)
class Row:
    """One generation in an answer, not yet structured, since an unchanged row need not be structured again."""

    id: str
    """The service's id."""
    raw: Mapping[str, Any] = attrs.field(repr=False, hash=False)
    """Its JSON."""
    aliases: tuple[str, ...] = ()
    """Further ids of the same generation in the answer to a submit."""
    siblings: tuple[str, ...] = ()
    """The ids of further generations in the answer to a submit."""
    base_url: str = ""
    """The address of the service, for links that are relative to it."""


@attrs.frozen(kw_only=True)
class StillRunning:
    """What `peek()` finds in the JSON of a generation that is still running."""

    estimate_wait_s: float | None = None
    """Seconds that the service expects it to take from now, where it says so."""


STILL_RUNNING = StillRunning()
"""It is still running, and the service does not say for how long."""


@attrs.frozen(kw_only=True)
class Page:
    """One page of a service's own list of generations."""

    rows: tuple[Row, ...]
    """In the service's order; rows without an id are left out."""
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


FailureMoney: TypeAlias = Literal["refunded", "partly charged", "not stated"]
"""What is known about the money of a failed generation."""


@attrs.frozen(kw_only=True)
class UploadLimits:
    """What may be uploaded to a service."""

    inline_bytes: int
    """Larger images are uploaded instead of being sent inside of the request."""
    max_bytes: Mapping[str, int]
    """The largest file by the beginning of its media type; "" for every other type."""
    max_pixels: int
    """The longest side of an image."""


def _class_of(value: object) -> type[Any]:
    return type(value)


def set_fields(value: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the fields of a request that are not defaults, also inside of it: the path, the class and the field."""
    kind: Any = _class_of(value)
    for name, default in _fields_of(kind):
        item: Any = getattr(value, name)
        if item is default or item == default:
            continue
        path = prefix + name
        yield path, kind.__name__, name
        if attrs.has(_class_of(item)):
            yield from set_fields(item, f"{path}.")
        elif _class_of(item) is tuple:
            for inner in item:
                if attrs.has(_class_of(inner)):
                    yield from set_fields(inner, f"{path}.")


@cache
def _fields_of(kind: Any) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a class and their defaults, without those that are never sent."""
    return tuple(
        (field.name, {} if isinstance(field.default, attrs.Factory) else field.default)  # type: ignore[arg-type]
        for field in attrs.fields(kind)
        if not field.metadata.get("local")
    )


class Dialect(ABC):
    """How one format writes calls and reads answers.

    A format has to define the abstract methods. Every other call raises `UnsupportedOperation` until it is overridden.
    """

    __slots__ = ()
    _HINTS: ClassVar[Mapping[str, str]] = {}
    """What to do instead of a missing call, by the name of the operation."""
    carries: ClassVar[Mapping[str, frozenset[str]]] = {}
    """The fields of requests that the format can send in any of its settings, by the names of the classes."""
    key_variable: ClassVar[str] = "LUMA_API_KEY"
    """The variable of the environment that holds the key for `default_base_url`. Every other address gets
    `LUMA_API_KEY`."""
    settings: ClassVar[Mapping[str, str]] = {}
    """The arguments of the class that the environment can set, each with its variable."""
    base_path: ClassVar[str] = ""
    """The path that the service's documentation prints as part of the base URL; the calls add it by themselves."""
    has_relays: ClassVar[bool] = True
    """Whether services at other addresses speak the format. If not, an address of a relay in `LUMA_BASE_URL`, which
    may be meant for another program, does not count."""
    retirement: ClassVar[str] = ""
    """What a user of `default_base_url` has to know about its end; empty if none was announced."""
    doubt_hint: ClassVar[str] = ""
    """What to do about a submit whose outcome is unknown, if it differs from looking at the service."""
    failure_money: ClassVar[Mapping[str, FailureMoney]] = {}
    """What the service documents about the money of a failed generation, by its failure code."""
    rate_headers: ClassVar[tuple[str, str, str] | None] = None
    """The headers that name the limit of submits, how many are left, and when it resets (Unix seconds)."""
    uploads: ClassVar[UploadLimits | None] = None
    """What may be uploaded to the service; None where it takes no files."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The format's name, part of a journal entry's service."""

    @property
    @abstractmethod
    def default_base_url(self) -> str | None:
        """The address of the service if there is only one; None when the user has to name it."""

    @property
    def max_ids(self) -> int:
        """How many generations `get_many()` may ask for; 1 where there is only `get()`."""
        return 1

    @property
    def page_size(self) -> int:
        """How many generations a page of the service's list may have; 0 where there is no list."""
        return 0

    @property
    def limits(self) -> KnownLimits:
        """What the service is known to accept, for a session that is given no limits."""
        return KnownLimits()

    @abstractmethod
    def supports(self, operation: str) -> bool:
        """Whether there is such a call: a method's name such as `upscale`, `user`, `query_many`."""

    def unsupported(self, operation: str) -> UnsupportedOperation:
        """Build the error about a call that the format does not have."""
        hint = self._HINTS.get(operation) or registry.advice_for_operation(operation)
        return UnsupportedOperation(operation=operation, service=self.name, hint=hint)

    def check_carried(self, request: Request) -> None:
        """Refuse what the format cannot send, whatever its settings.

        Raises:
            UnsupportedOperation: the format has no such call.
            InvalidInput: the format has no such field; `field` names it.
        """
        if not self.supports(OPERATIONS[type(request)]):
            raise self.unsupported(OPERATIONS[type(request)])
        for path, kind, name in set_fields(request):
            if name not in self.carries.get(kind, ()):
                advice = registry.advice_for_field(kind, name)
                raise InvalidInput(
                    field=path,
                    message=" ".join(filter(None, (f"the dialect {self.name} has no such field.", advice)))
                    + " Further fields of your service can go in `extra`, under the service's own names.",
                )

    @abstractmethod
    def submit_call(self, request: Request) -> Call:
        """Build the call of a paid submit.

        Raises:
            UnsupportedOperation: the format has no such call.
            InvalidInput: the format has no such field; `field` names it.
        """

    @abstractmethod
    def read_submit(self, document: Document) -> Row | None:
        """Find the new generation in the answer to a submit; None when it names none."""

    @abstractmethod
    def read_error(self, document: Document) -> ErrorBody | None:
        """Find the error in an answer, whatever its status; None when it holds none."""

    @abstractmethod
    def get(self, generation_id: str) -> Query[Row]:
        """Ask for one generation; an answer about another generation is unreadable."""

    def get_many(self, generation_ids: Sequence[str]) -> Query[tuple[Row, ...]]:
        """Ask for several generations; rows without an id are left out."""
        raise self.unsupported("query_many")

    def link(self, generation_id: str) -> Query[str]:
        """Ask for the watermark-free link."""
        raise self.unsupported("link")

    def list_page(self, limit: int, offset: int) -> Query[Page]:
        """Ask for a page of the service's list.

        Raises:
            UnsupportedOperation: there is no list.
            InvalidInput: no page has that length or offset.
        """
        raise self.unsupported("list")

    def delete(self, generation_id: str) -> Query[None]:
        """Ask the service to delete a generation."""
        raise self.unsupported("delete")

    def concepts(self) -> Query[tuple[str, ...]]:
        """Ask for the names of concepts."""
        raise self.unsupported("concepts")

    def camera_motions(self) -> Query[tuple[str, ...]]:
        """Ask for the phrases of camera motions."""
        raise self.unsupported("camera_motions")

    def ping(self) -> Query[None]:
        """Ask whether the service is there and takes the key."""
        raise self.unsupported("ping")

    def user(self) -> Query[User]:
        """Ask for the account."""
        raise self.unsupported("user")

    def key(self) -> Query[KeyUsage]:
        """Ask for the API key's quota."""
        raise self.unsupported("key")

    def credits(self) -> Query[Credits]:
        """Ask for the balance."""
        raise self.unsupported("credits")

    def create_file(self, fields: Mapping[str, Any]) -> Query[UploadTarget]:
        """Announce a file, and ask where its bytes go."""
        raise self.unsupported("files")

    def complete_file(self, file_id: str) -> Query[None]:
        """Say that the bytes of a file are there."""
        raise self.unsupported("files")

    def get_file(self, file_id: str) -> Query[UploadedFile]:
        """Ask for a file."""
        raise self.unsupported("files")

    def list_files(self, query: tuple[tuple[str, str], ...]) -> Query[FilePage]:
        """Ask for a page of files."""
        raise self.unsupported("files")

    def delete_file(self, file_id: str) -> Query[None]:
        """Ask the service to delete a file."""
        raise self.unsupported("files")

    def match(self, raw: Mapping[str, Any], request: Request) -> Match:
        """Compare a listed generation to a request, as far as the service repeats the request.

        Raises:
            UnsupportedOperation: there is no list.
            InvalidInput: the format cannot carry the request.
        """
        raise self.unsupported("list")

    def repeated_prompt(self, raw: Mapping[str, Any], request: Request) -> str | None:
        """Return the prompt that the answer to a submit repeats; None if it shows nothing about the prompt."""
        return None

    @property
    def prompt_advice(self) -> str:
        """What to set if the service did not read the prompt."""
        return "Check that dialect= (--dialect) and its settings match the service before you submit more."

    @abstractmethod
    def peek(self, raw: Mapping[str, Any]) -> StillRunning | None:
        """Tell whether a row's JSON is certainly that of a running generation; None when it has to be structured."""

    @abstractmethod
    def generation(self, raw: Mapping[str, Any]) -> Generation:
        """Structure a row's JSON; a field that cannot be read keeps its default.

        Raises:
            UnreadableResponse: its id or its state cannot be read.
        """


def structure_row(dialect: Dialect, row: Row) -> Generation:
    """Structure a row, under the id that it was asked for, and with absolute links.

    Raises:
        UnreadableResponse: its id or its state cannot be read.
    """
    generation = with_absolute_links(dialect.generation(row.raw), row.base_url)
    if (generation.id, generation.siblings) == (row.id, row.siblings):
        return generation
    return attrs.evolve(generation, id=row.id, siblings=row.siblings)


def read_row(dialect: Dialect, row: Row) -> Generation:
    """Structure a row. If that fails, return a generation with the row's id and an unknown state."""
    try:
        return structure_row(dialect, row)
    except Exception:  # a bug in a dialect must not lose the id, which may be paid
        return Generation(id=row.id, state=State.UNKNOWN, siblings=row.siblings, raw=dict(row.raw))


def merge_extra(fields: Mapping[str, Any], extra: Mapping[str, Any], *, also: Iterable[str] = ()) -> dict[str, Any]:
    """Build the body of a submit from its own fields and the caller's `extra`; fields that are None are left out.

    Args:
        fields: every field that this kind of request can write, None where it is not set.
        extra: further fields, in the service's own words.
        also: further names that `extra` must not hold.

    Raises:
        InvalidInput: `extra` holds a field that has its own argument.
    """
    known = {*fields, *also}
    for name in extra:
        if name in known:
            raise InvalidInput(
                field=f"extra.{name}",
                message="has an argument of its own; `extra` is for fields that the request does not have.",
            )
    return {name: value for name, value in fields.items() if value is not None} | dict(extra)
