"""Everything that can go wrong, sorted by what the caller can do about it.

```
LumaError
├── ConfigurationError (ValueError)   a setting is missing or contradicts another; nothing was sent
├── InvalidInput (ValueError)         a value cannot be right; nothing was bought
├── UnsupportedOperation              this service has no such call; nothing was sent
├── SessionClosed                     the session is not open (any more)
├── TransportError                    no usable answer
│   ├── NotSent                       provably never left this machine: safe to repeat
│   └── NoResponse                      a safe call got no complete answer, after its retries
├── SubmitInDoubt                     maybe charged: never repeat it by hand, see `session.doubts`
├── KeyConflict                       the key already names another purchase
├── Refused                           the service said no; a submit that raises it was not charged
│   ├── Unauthorized
│   ├── OutOfCredit
│   ├── InvalidRequest
│   │   └── PromptRejected
│   ├── GenerationNotFound
│   ├── RateLimited
│   └── ServiceUnavailable
├── UnreadableResponse                  a success whose body cannot be understood
├── GenerationFailed                  the service gave up on the video
├── WaitTimeout (TimeoutError)        (in handle.py) waiting stopped; the job keeps running and is paid
├── PollingFailed                     (in handle.py) polling kept failing; the job may keep running and is paid
├── DownloadError
│   ├── LinkGone
│   └── DamagedFile
└── JournalError
    ├── JournalTooNew
    └── JournalBusy
```

All of them are keyword-only attrs classes: they carry what a program needs to decide, survive `copy` and
`pickle` (a pickled one keeps ids and keys and drops live handles), and their `str()` names the next step.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, dataclass_transform

import attrs

from luma_async.values.redaction import clip

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from luma_async.values.entries import Entry
    from luma_async.values.models import Generation


_E = TypeVar("_E", bound=type)


@dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
def error(cls: _E) -> _E:
    """Make an attrs exception. It keeps a `__dict__`, so that it can derive from `TimeoutError` as well.

    A class without fields of its own uses what attrs made for its base, which saves half a millisecond of import.
    """
    cls.__module__ = "luma_async"
    if "__annotations__" not in vars(cls):
        return cls
    return attrs.define(kw_only=True, eq=False, slots=False)(cls)


def live() -> Any:
    """Declare a field that holds a live object, which is left out of pickles."""
    return attrs.field(default=None, repr=False, metadata={"live": True})


@error
class LumaError(Exception):
    """The base of every error that this library raises on purpose."""

    message: str = ""
    """What happened; the errors that know more compose their text from the other fields."""

    def __str__(self) -> str:
        return self.message

    def _fields(self, *, alive: bool) -> dict[str, Any]:
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
        return {field.name: getattr(self, field.name) for field in fields if alive or not field.metadata.get("live")}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields, without those that are alive only here."""
        return functools.partial(type(self), **self._fields(alive=False)), ()

    def __copy__(self) -> Self:
        return type(self)(**self._fields(alive=True))


@error
class ConfigurationError(LumaError, ValueError):
    """A setting is missing or contradicts another one. Nothing was sent."""


@error
class InvalidInput(LumaError, ValueError):
    """A value cannot be right. The call that raises it bought nothing.

    Only a batch whose input raises it may have bought what came before.
    """

    field: str
    """The name of the field or argument, such as `keyframes.frame0.url`."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@error
class UnsupportedOperation(LumaError):
    """This service has no such call. Nothing was sent; `session.supports()` answers beforehand."""

    operation: str
    """The name of what was asked for, such as `upscale`."""
    service: str
    """The name of the dialect in use."""
    hint: str = ""
    """What to do instead."""

    def __str__(self) -> str:
        return f"{self.service} has no {self.operation}." + (f" {self.hint}" if self.hint else "")


@error
class SessionClosed(LumaError):
    """The session is not open: it was never opened, or it is closing while somebody waited."""

    message: str = "The session is not open: use `async with LumaSession(...)`, or `await session.open()` first."
    """What happened, and what to do."""


@error
class TransportError(LumaError):
    """No usable answer came."""


@error
class NotSent(TransportError):
    """The request provably never left this machine: repeating it is safe and costs nothing."""

    def __str__(self) -> str:
        return f"{self.message} Nothing was sent or charged: check base_url and the network, then try again."


@error
class NoResponse(TransportError):
    """A call that buys nothing was sent and got no complete answer; it was already repeated where that helps."""

    def __str__(self) -> str:
        return f"{self.message} The call buys nothing: try again later."


@error
class SubmitInDoubt(LumaError):
    """A paid submit left this machine and its fate is unknown: it may have been charged.

    Sending it again could pay twice. `session.doubts` settles it.
    """

    key: str
    """The key of the paid intent."""
    sent_at: datetime | None = None
    """When it left, aware UTC; None when a dead process took that knowledge with it."""
    reason: str = ""
    """What came instead of an answer."""
    status: int | None = None
    """The HTTP status, when an answer came that proves nothing."""
    body_excerpt: str = attrs.field(default="", converter=clip)
    """The beginning of that answer, at most 200 characters."""
    fresh: bool = False
    """Whether it was sent by the call that raised this; False when an earlier one left the doubt."""

    def __str__(self) -> str:
        when = f" at {self.sent_at:%Y-%m-%d %H:%M:%S} UTC" if self.sent_at else ""
        why = f": {self.reason.rstrip('.')}" if self.reason else ""
        return (
            f"The submit {self.key!r} was sent{when} and its fate is unknown{why}. "
            "It may have been charged, so it was not repeated. "
            "Look for it at the service, then settle it with session.doubts (or `luma-async in-doubt`)."
        )


@error
class KeyConflict(LumaError):
    """The key already names another purchase. Nothing was sent."""

    entry: Entry
    """The journal's entry that holds the key."""
    reason: str
    """How the two differ."""
    next_step: str = "Use another key to buy again."
    """What to do; another thing where a doubt was to be decided."""

    def __str__(self) -> str:
        return f"The key {self.entry.key!r}: {self.reason} Nothing was sent. {self.next_step}"


@error
class Refused(LumaError):
    """The service said no. A submit that raises it was not charged; what was waited for stays paid."""

    message: str = attrs.field(default="", converter=clip)
    """The service's own words, at most 200 characters."""
    status: int
    """The HTTP status."""
    code: str = attrs.field(default="", converter=clip)
    """The service's own code, or an empty string."""
    request_id: str | None = None
    """What the service calls this exchange; quote it when asking its operator."""
    retry_after_s: float | None = None
    """Seconds after which the service wants to be asked again."""
    body_excerpt: str = attrs.field(default="", converter=clip)
    """The beginning of the body, at most 200 characters."""
    hint: str = ""
    """The next step, when this one is known to need a particular one."""

    NEXT_STEP = "Change what it complains of, or ask the service's operator."

    def __str__(self) -> str:
        said = self.message or self.code or self.body_excerpt or "no explanation"
        code = f" {self.code}" if self.code and self.code != said else ""
        number = f" (request {self.request_id})" if self.request_id else ""
        step = self.hint or self.NEXT_STEP
        return f"HTTP {self.status}{code}: {said}{number} | {step}"


@error
class Unauthorized(Refused):
    """The API key is missing, wrong or disabled."""

    NEXT_STEP = "Check the API key (LUMA_API_KEY) and that it belongs to this base_url."


@error
class OutOfCredit(Refused):
    """The account or the key has no quota left."""

    NEXT_STEP = "Top up the account, or raise the key's quota; what is paid already runs on."


@error
class InvalidRequest(Refused):
    """The service cannot do what the request says."""

    NEXT_STEP = "Change the request as the message says; the same one will be refused again."


@error
class PromptRejected(InvalidRequest):
    """Moderation refused the prompt."""

    NEXT_STEP = "Reword the prompt; the same one will be refused again."


@error
class GenerationNotFound(Refused):
    """The service knows no generation of this id."""

    NEXT_STEP = "Check the id, and that the key belongs to the account that submitted it."


@error
class RateLimited(Refused):
    """Too many requests, or the service is saturated."""

    NEXT_STEP = "Wait, then try again; for submits, Limits(submits_per_minute=…) keeps below a known rate."


@error
class ServiceUnavailable(Refused):
    """The service cannot answer at the moment."""

    NEXT_STEP = "Try again later; the service is in trouble, not the request."


@error
class UnreadableResponse(LumaError):
    """A success came whose body cannot be understood."""

    paths: tuple[str, ...] = ()
    """The fields at fault, such as `video.url`."""
    status: int = 200
    """The HTTP status."""
    body_excerpt: str = attrs.field(default="", converter=clip)
    """The beginning of the body, at most 200 characters."""
    html: bool = False
    """Whether the body is a web page."""

    def __str__(self) -> str:
        where = f" (at {', '.join(self.paths)})" if self.paths else ""
        body = f": {self.body_excerpt!r}" if self.body_excerpt else ""
        return (
            f"HTTP {self.status}: {self.message}{where}{body} | "
            "Try again later; should it stay so, check that base_url and dialect are those of the service."
        )


@error
class GenerationFailed(LumaError):
    """The service gave up on the video. Whether it charges for that is its own to say; the account's usage tells."""

    generation: Generation
    """The generation as last seen, in state FAILED."""
    reason: str = ""
    """The service's own words."""
    code: str = ""
    """The service's own code, or an empty string."""

    def __str__(self) -> str:
        code = f" [{self.code}]" if self.code else ""
        return (
            f"Generation {self.generation.id} failed{code}: {self.reason or 'no reason given'}. "
            "It is final: submit the request anew to try again, under another key if it had one."
        )


@error
class DownloadError(LumaError):
    """The file could not be fetched. The generation is unharmed, and no new one is ever made for it."""

    generation_id: str | None = None
    """Whose file it was."""
    path: Path | None = None
    """Where it was to go; what was received so far is beside it, ending in `.part`."""

    def __str__(self) -> str:
        whose = f"Generation {self.generation_id}: " if self.generation_id else ""
        return f"{whose}{self.message} Downloading again buys nothing."


@error
class LinkGone(DownloadError):
    """There is no usable link, even after asking for a fresh one."""


@error
class DamagedFile(DownloadError):
    """What came is not the whole video."""


@error
class JournalError(LumaError):
    """The journal cannot be used. Nothing is sent without it."""

    path: str | None = None
    """The journal's file."""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}"


@error
class JournalTooNew(JournalError):
    """A newer version of this library wrote the file."""


@error
class JournalBusy(JournalError):
    """Another process held the file for too long."""
