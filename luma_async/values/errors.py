"""The errors of this library, grouped by what the caller can do about them.

```
LumaError
├── ConfigurationError (ValueError)   a setting is missing or contradicts another; nothing was sent
├── InvalidInput (ValueError)         an argument is invalid; nothing was submitted
│   └── PromptFileError (OSError)     a file of prompts cannot be read
├── UnsupportedOperation              the dialect has no such call; nothing was sent
├── SessionClosed                     the session is not open
├── TransportError                    no usable response
│   ├── NotSent                       the request did not leave this machine: safe to repeat
│   └── NoResponse                    a free call got no complete response, after its retries
├── SubmitInDoubt                     maybe charged: do not repeat it, see `session.doubts`
├── WrongPrompt                       accepted and paid, but the response repeats another prompt
├── UploadFailed                      a file could not be uploaded; nothing was bought
├── KeyConflict                       the key belongs to another purchase; nothing was sent
├── BudgetExceeded                    (in budget.py) the spending limit has no room; nothing was sent
├── Refused                           the service refused; a submit that raises it was not charged
│   ├── Unauthorized
│   ├── OutOfCredit
│   ├── InvalidRequest
│   │   └── PromptRejected
│   ├── GenerationNotFound
│   ├── RateLimited
│   └── ServiceUnavailable
├── UnreadableResponse                a successful response whose body cannot be read
├── GenerationFailed                  the service could not make the video
├── WaitTimeout (TimeoutError)        (in handle.py) waiting stopped; that does not stop the job
├── PollingFailed                     (in handle.py) polling kept failing; the job may keep running
├── DownloadError                     the file could not be downloaded; downloading again is free
│   ├── LinkGone
│   ├── DamagedFile
│   └── DiskError (OSError)
└── JournalError                      the journal cannot be used; nothing is sent without it
    ├── JournalTooNew
    └── JournalBusy
```

All of them are keyword-only attrs classes. They carry what a program needs to decide, they survive `copy` and
`pickle` (a pickled error keeps ids and keys and loses live handles), and their `str()` names the next step.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, dataclass_transform

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
    """Make an attrs exception. It keeps a `__dict__`, so that it can derive from `TimeoutError` too.

    A class without fields of its own inherits the methods that attrs made for its base, which saves half a
    millisecond of import time.
    """
    cls.__module__ = "luma_async"
    if "__annotations__" not in vars(cls):
        return cls
    return attrs.define(kw_only=True, eq=False, slots=False)(cls)


def live() -> Any:
    """Declare a field that holds a live object. Pickles leave it out."""
    return attrs.field(default=None, repr=False, metadata={"live": True})


@error
class LumaError(Exception):
    """The base of every error that this library raises on purpose."""

    message: str = ""
    """What happened. Classes with more fields build their `str()` from those."""
    note: str = attrs.field(default="", repr=False)
    """What it stopped and how to go on, where it has stopped a batch."""

    def __str__(self) -> str:
        return f"{self._text()} {self.note}".rstrip()

    def _text(self) -> str:
        return self.message

    def _fields(self, *, alive: bool) -> dict[str, Any]:
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
        return {field.name: getattr(self, field.name) for field in fields if alive or not field.metadata.get("live")}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields, without live objects."""
        return functools.partial(type(self), **self._fields(alive=False)), ()

    def __copy__(self) -> Self:
        return type(self)(**self._fields(alive=True))


@error
class ConfigurationError(LumaError, ValueError):
    """A setting is missing or contradicts another setting. Nothing was sent."""


@error
class InvalidInput(LumaError, ValueError):
    """An argument is invalid. The call that raises it submitted nothing.

    A batch is the exception: it may have submitted the items before the invalid one.
    """

    field: str
    """The name of the field or argument, such as `keyframes.frame0.url`."""

    def _text(self) -> str:
        return f"{self.field}: {self.message}"


@error
class PromptFileError(InvalidInput, OSError):
    """A file of prompts cannot be read. Nothing was submitted.

    `errno` says why, as for every `OSError`.
    """

    errno: int | None = None
    """The number of the system's error, such as `errno.ENOENT`."""

    @classmethod
    def of(cls, cause: OSError, *, field: str) -> Self:
        """Return the error for an error of the operating system."""
        return cls(errno=cause.errno, field=field, message=f"{cause.strerror or cause}.")


@error
class UnsupportedOperation(LumaError):
    """The dialect has no such call. Nothing was sent. `session.supports()` tells beforehand."""

    operation: str
    """The operation, such as `upscale`."""
    service: str
    """The name of the dialect."""
    hint: str = ""
    """What to do instead."""

    def _text(self) -> str:
        return f"The dialect {self.service} does not support {self.operation}; nothing was sent." + (
            f" {self.hint}" if self.hint else ""
        )


@error
class SessionClosed(LumaError):
    """The session is not open: it was not opened yet, it was closed, or it closed during the call."""

    message: str = (
        "The session is not open, so this call bought nothing: use `async with LumaSession(...)`, or "
        "`await session.open()` first."
    )
    """What happened."""
    next_step: str = (
        "What was bought keeps running at the service. In an open session, session.handle(id) takes it up, and over a "
        "journal file session.resume() lists it."
    )
    """How to go on."""

    def _text(self) -> str:
        return f"{self.message} {self.next_step}"


@error
class TransportError(LumaError):
    """No usable response arrived."""


@error
class NotSent(TransportError):
    """The request did not leave this machine, which is proven. Repeating it is safe; nothing was charged."""

    permanent: bool = False
    """Whether it would fail in the same way again, as with a certificate that is not trusted. It was not repeated."""

    def _text(self) -> str:
        if self.permanent:
            return f"{self.message} Nothing was sent or charged."
        return f"{self.message} Nothing was sent or charged: check base_url and the network, then try again."


@error
class NoResponse(TransportError):
    """A call that costs nothing got no complete response, after its retries."""

    def _text(self) -> str:
        return f"{self.message} The call is free: try again later."


_LOOK_FOR_IT = "Look for it at the service, then resolve it with session.doubts (or `luma-async in-doubt`)."


@error
class SubmitInDoubt(LumaError):
    """A submit was sent and its outcome is unknown: it may have been charged.

    Sending it again could pay twice. Resolve it with `session.doubts`.
    """

    key: str
    """The key of the paid intent."""
    sent_at: datetime | None = None
    """When it was sent, aware UTC; None if the process ended before it recorded the time."""
    reason: str = ""
    """What happened instead of a usable response."""
    status: int | None = None
    """The HTTP status, if a response arrived that proves nothing."""
    body_excerpt: str = attrs.field(default="", converter=clip)
    """The beginning of that response, at most 200 characters."""
    fresh: bool = False
    """Whether the call that raised this sent it; False if an earlier call did."""
    hint: str = ""
    """What to do next, if the service differs from others."""

    def _text(self) -> str:
        when = f" at {self.sent_at:%Y-%m-%d %H:%M:%S} UTC" if self.sent_at else ""
        why = f": {self.reason.rstrip('.')}" if self.reason else ""
        return (
            f"The submit {self.key!r} was sent{when} and its outcome is unknown{why}. "
            f"It may have been charged, so it was not repeated. {self.hint or _LOOK_FOR_IT}"
        )


@error
class WrongPrompt(LumaError):
    """A submit was accepted and paid, and the response repeats another prompt than was sent.

    Only a batch raises it, after it has stopped: each further item would be paid for in vain too.
    """

    key: str
    """The key of the submit."""
    generation_id: str
    """The id of the generation, which runs and is paid."""
    sent: str = attrs.field(repr=False)
    """The prompt of the request."""
    returned: str = attrs.field(repr=False)
    """The prompt in the response."""

    def _text(self) -> str:
        what = "another prompt than was sent" if self.returned.strip() else "an empty prompt"
        return (
            f"Generation {self.generation_id} (key {self.key!r}) was accepted and is paid, and the response repeats "
            f"{what}. {self.message}"
        )


@error
class KeyConflict(LumaError):
    """The key belongs to another purchase. Nothing was sent."""

    entry: Entry
    """The entry of the journal with this key."""
    reason: str
    """How the two differ."""
    next_step: str = "Use another key to buy again."
    """What to do next."""

    def _text(self) -> str:
        return f"Key {self.entry.key!r}: {self.reason} Nothing was sent. {self.next_step}"


@error
class Refused(LumaError):
    """The service refused. A submit that raises it was not charged; a job already submitted stays charged."""

    message: str = attrs.field(default="", converter=clip)
    """The service's message, at most 200 characters."""
    status: int
    """The HTTP status."""
    code: str = attrs.field(default="", converter=clip)
    """The service's error code, or an empty string."""
    request_id: str | None = None
    """The service's id of this request; quote it when you ask the operator."""
    retry_after_s: float | None = None
    """Seconds that the service asks to wait before the next request."""
    body_excerpt: str = attrs.field(default="", converter=clip)
    """The beginning of the body, at most 200 characters."""
    hint: str = ""
    """What to do next, if it differs from `NEXT_STEP`."""
    not_charged: bool = False
    """Whether it refused a paid submit, which was therefore not charged. False for the calls that are free."""

    NEXT_STEP = "Change what the message names, or ask the operator of the service."

    def _text(self) -> str:
        said = self.message or self.code or self.body_excerpt or "no explanation"
        code = f" {self.code}" if self.code and self.code != said else ""
        number = f" (request {self.request_id})" if self.request_id else ""
        step = self.hint or self.NEXT_STEP
        money = "Nothing was charged. " if self.not_charged else ""
        return f"HTTP {self.status}{code}: {said}{number} | {money}{step}"


@error
class Unauthorized(Refused):
    """The API key is missing, wrong or disabled."""

    NEXT_STEP = "Check that the API key is valid and belongs to this base_url."


@error
class OutOfCredit(Refused):
    """The account or the key has no quota left."""

    NEXT_STEP = "Top up the account, or raise the key's quota. Jobs already submitted keep running."


@error
class InvalidRequest(Refused):
    """The service rejects the request as invalid."""

    NEXT_STEP = "Change the request as the message says; the same request would be refused again."


@error
class PromptRejected(InvalidRequest):
    """Moderation refused the prompt."""

    NEXT_STEP = "Reword the prompt; the same prompt would be refused again."


@error
class GenerationNotFound(Refused):
    """The service has no generation with this id."""

    NEXT_STEP = "Check the id, and that the API key belongs to the account that submitted it."


@error
class RateLimited(Refused):
    """Too many requests, or the service is overloaded."""

    scope: Literal["submits", "unfinished", "session"] = "submits"
    """What there is too much of: submits within a time, unfinished generations, or requests of any kind."""

    NEXT_STEP = "Wait, then try again. If you know the limit for submits, set Limits(submits_per_minute=…)."


@error
class ServiceUnavailable(Refused):
    """The service is unavailable at the moment."""

    NEXT_STEP = "Try again later; the request itself is not at fault."


@error
class UnreadableResponse(LumaError):
    """A successful response has a body that cannot be read."""

    paths: tuple[str, ...] = ()
    """The fields that cannot be read, such as `video.url`."""
    status: int = 200
    """The HTTP status."""
    body_excerpt: str = attrs.field(default="", converter=clip)
    """The beginning of the body, at most 200 characters."""
    html: bool = False
    """Whether the body is a web page."""

    def _text(self) -> str:
        where = f" (at {', '.join(self.paths)})" if self.paths else ""
        body = f": {self.body_excerpt!r}" if self.body_excerpt else ""
        return (
            f"HTTP {self.status}: {self.message}{where}{body} | "
            "The call is free: try again later. If it persists, check that base_url and dialect match the service."
        )


MONEY = {
    "refunded": "The service refunds it.",
    "partly charged": "A part may be charged.",
    "not stated": "Whether it is charged is not stated; see the usage of the account.",
}
"""What `GenerationFailed.money` means, in a sentence."""


@error
class GenerationFailed(LumaError):
    """The service could not make the video. Some services charge for that; `money` says what is known."""

    generation: Generation
    """The generation as last seen, in state FAILED."""
    reason: str = ""
    """The service's own words."""
    code: str = ""
    """The service's error code, or an empty string."""
    money: Literal["refunded", "partly charged", "not stated"] = "not stated"
    """What the service's documentation says about the money."""

    def _text(self) -> str:
        code = f" [{self.code}]" if self.code else ""
        return (
            f"Generation {self.generation.id} failed{code}: {(self.reason or 'no reason given').rstrip('.')}. "
            f"This is final. {MONEY[self.money]} "
            "To try again, submit the request again, with another key if it had a key."
        )


@error
class DownloadError(LumaError):
    """The file could not be downloaded. The generation is unaffected; downloading again costs no new generation."""

    generation_id: str | None = None
    """The id of the generation."""
    path: Path | None = None
    """The destination. What was received so far is next to it, with the suffix `.part`."""

    def _text(self) -> str:
        whose = f"Generation {self.generation_id}: " if self.generation_id else ""
        return f"{whose}{self.message} Downloading again costs no new generation."


@error
class LinkGone(DownloadError):
    """There is no usable link, even after requesting a new link."""


@error
class DamagedFile(DownloadError):
    """The received file is not the complete video."""


@error
class DiskError(DownloadError, OSError):
    """The file could not be written: the disk is full, the folder is read-only, or another file appeared at the path.

    `errno` says which, as for every `OSError`. What was received is kept.
    """

    errno: int | None = None
    """The number of the system's error, such as `errno.ENOSPC`."""

    @classmethod
    def of(cls, cause: OSError, *, generation_id: str | None, path: Path | None) -> Self:
        """Return the error for an error of the operating system."""
        place = f": {cause.filename}" if cause.filename else ""
        message = f"{cause.strerror or cause}{place}."
        return cls(errno=cause.errno, message=message, generation_id=generation_id, path=path)


@error
class UploadFailed(LumaError):
    """A file could not be uploaded, or the service did not take it. Nothing was bought."""

    path: Path | None = None
    """The file; None for bytes."""
    file_id: str | None = None
    """The id at the service, if it has one."""
    permanent: bool = False
    """Whether uploading it again would fail in the same way."""

    def _text(self) -> str:
        which = f"{self.path}: " if self.path else ""
        return f"{which}{self.message} Nothing was bought."


@error
class JournalError(LumaError):
    """The journal cannot be used. Nothing is sent without it."""

    path: str | None = None
    """The path of the journal."""

    def _text(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}"


@error
class JournalTooNew(JournalError):
    """The file was written by a newer version of this library."""


@error
class JournalBusy(JournalError):
    """Another process held the lock of the file for too long."""
