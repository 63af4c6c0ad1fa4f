"""An asyncio client for paid Luma video generation: never pay twice, never lose a job, wait cheaply."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luma_async._batch.batch import Batch, BatchStats
    from luma_async._batch.preview import Preview
    from luma_async._doubts.doubts import Doubts, Reconciled, StillInDoubt
    from luma_async._journal.protocol import Journal, MemoryJournal
    from luma_async._journal.sqlite.journal import SqliteJournal
    from luma_async._wire.dream_machine.dialect import DreamMachine
    from luma_async._wire.rixapi.dialect import RixAPI
    from luma_async.account import Account
    from luma_async.handle import GenerationHandle, Outcome, PollingFailed, WaitTimeout
    from luma_async.library import Library
    from luma_async.prompts import PromptRow, Prompts, read_prompts
    from luma_async.session import LumaSession
    from luma_async.values.entries import Entry, Phase
    from luma_async.values.errors import (
        ConfigurationError,
        DamagedFile,
        DownloadError,
        GenerationFailed,
        GenerationNotFound,
        InvalidInput,
        InvalidRequest,
        JournalBusy,
        JournalError,
        JournalTooNew,
        KeyConflict,
        LinkGone,
        LumaError,
        NoResponse,
        NotSent,
        OutOfCredit,
        PromptRejected,
        RateLimited,
        Refused,
        ServiceUnavailable,
        SessionClosed,
        SubmitInDoubt,
        TransportError,
        Unauthorized,
        UnreadableResponse,
        UnsupportedOperation,
    )
    from luma_async.values.events import (
        Changed,
        Downloaded,
        Downloading,
        Event,
        Finished,
        Paused,
        Polled,
        Retried,
        SubmitFailed,
        Submitted,
    )
    from luma_async.values.keyframes import GenerationKeyframe, ImageKeyframe, ImageReference, Keyframes
    from luma_async.values.models import Credits, Generation, Image, KeyUsage, State, User, Video
    from luma_async.values.requests import (
        AudioFields,
        AudioRequest,
        ExtendFields,
        ExtendRequest,
        ImageRequest,
        ModifyRequest,
        ReframeRequest,
        Request,
        UpscaleRequest,
        VideoFields,
        VideoRequest,
    )
    from luma_async.values.settings import Limits, PollPolicy, RetryPolicy, Timeouts

__all__ = [
    "Account",
    "AudioFields",
    "AudioRequest",
    "Batch",
    "BatchStats",
    "Changed",
    "ConfigurationError",
    "Credits",
    "DamagedFile",
    "Doubts",
    "DownloadError",
    "Downloaded",
    "Downloading",
    "DreamMachine",
    "Entry",
    "Event",
    "ExtendFields",
    "ExtendRequest",
    "Finished",
    "Generation",
    "GenerationFailed",
    "GenerationHandle",
    "GenerationKeyframe",
    "GenerationNotFound",
    "Image",
    "ImageKeyframe",
    "ImageReference",
    "ImageRequest",
    "InvalidInput",
    "InvalidRequest",
    "Journal",
    "JournalBusy",
    "JournalError",
    "JournalTooNew",
    "KeyConflict",
    "KeyUsage",
    "Keyframes",
    "Library",
    "Limits",
    "LinkGone",
    "LumaError",
    "LumaSession",
    "MemoryJournal",
    "ModifyRequest",
    "NoResponse",
    "NotSent",
    "OutOfCredit",
    "Outcome",
    "Paused",
    "Phase",
    "PollPolicy",
    "Polled",
    "PollingFailed",
    "Preview",
    "PromptRejected",
    "PromptRow",
    "Prompts",
    "RateLimited",
    "Reconciled",
    "ReframeRequest",
    "Refused",
    "Request",
    "Retried",
    "RetryPolicy",
    "RixAPI",
    "ServiceUnavailable",
    "SessionClosed",
    "SqliteJournal",
    "State",
    "StillInDoubt",
    "SubmitFailed",
    "SubmitInDoubt",
    "Submitted",
    "Timeouts",
    "TransportError",
    "Unauthorized",
    "UnreadableResponse",
    "UnsupportedOperation",
    "UpscaleRequest",
    "User",
    "Video",
    "VideoFields",
    "VideoRequest",
    "WaitTimeout",
    "read_prompts",
]

# Nothing is loaded before it is used: `luma-async --help`, and a program that needs one error, need no session.
_HOMES = {
    "_journal.protocol": ("Journal", "MemoryJournal"),
    "_journal.sqlite.journal": ("SqliteJournal",),
    "_wire.dream_machine.dialect": ("DreamMachine",),
    "_wire.rixapi.dialect": ("RixAPI",),
    "account": ("Account",),
    "_batch.batch": ("Batch", "BatchStats"),
    "_doubts.doubts": ("Doubts", "Reconciled", "StillInDoubt"),
    "values.entries": ("Entry", "Phase"),
    "values.errors": (
        "ConfigurationError",
        "DamagedFile",
        "DownloadError",
        "GenerationFailed",
        "GenerationNotFound",
        "InvalidInput",
        "InvalidRequest",
        "JournalBusy",
        "JournalError",
        "JournalTooNew",
        "KeyConflict",
        "LinkGone",
        "LumaError",
        "NoResponse",
        "NotSent",
        "OutOfCredit",
        "PromptRejected",
        "RateLimited",
        "Refused",
        "ServiceUnavailable",
        "SessionClosed",
        "SubmitInDoubt",
        "TransportError",
        "Unauthorized",
        "UnreadableResponse",
        "UnsupportedOperation",
    ),
    "values.events": (
        "Changed",
        "Downloaded",
        "Downloading",
        "Event",
        "Finished",
        "Polled",
        "Paused",
        "Retried",
        "SubmitFailed",
        "Submitted",
    ),
    "handle": ("GenerationHandle", "Outcome", "PollingFailed", "WaitTimeout"),
    "values.keyframes": ("GenerationKeyframe", "ImageKeyframe", "ImageReference", "Keyframes"),
    "library": ("Library",),
    "values.models": ("Credits", "Generation", "Image", "KeyUsage", "State", "User", "Video"),
    "_batch.preview": ("Preview",),
    "prompts": ("PromptRow", "Prompts", "read_prompts"),
    "values.requests": (
        "AudioFields",
        "AudioRequest",
        "ExtendFields",
        "ExtendRequest",
        "ImageRequest",
        "ModifyRequest",
        "ReframeRequest",
        "Request",
        "UpscaleRequest",
        "VideoFields",
        "VideoRequest",
    ),
    "session": ("LumaSession",),
    "values.settings": ("Limits", "PollPolicy", "RetryPolicy", "Timeouts"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
