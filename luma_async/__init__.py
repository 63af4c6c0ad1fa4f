"""An asyncio client for paid Luma video generation: never pay twice, never lose a job, wait cheaply."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luma_async._io.journal import Journal, MemoryJournal
    from luma_async._io.sqlite_journal import SqliteJournal
    from luma_async._wire.dream_machine import DreamMachine
    from luma_async._wire.rixapi import RixAPI
    from luma_async.account import Account
    from luma_async.batch import Batch, BatchStats
    from luma_async.doubts import Doubts, Reconciled, StillInDoubt
    from luma_async.entries import Entry, Phase
    from luma_async.errors import (
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
        NoAnswer,
        NotSent,
        OutOfCredit,
        PollingFailed,
        PromptRejected,
        RateLimited,
        Refused,
        ServiceUnavailable,
        SessionClosed,
        SubmitInDoubt,
        TransportError,
        Unauthorized,
        UnreadableAnswer,
        UnsupportedOperation,
        WaitTimeout,
    )
    from luma_async.events import (
        Changed,
        Downloaded,
        Downloading,
        Event,
        Finished,
        Looked,
        Paused,
        Retried,
        SubmitFailed,
        Submitted,
    )
    from luma_async.handle import GenerationHandle
    from luma_async.keyframes import GenerationKeyframe, ImageKeyframe, ImageReference, Keyframes
    from luma_async.library import Library
    from luma_async.models import Credits, Generation, Image, KeyUsage, State, User, Video
    from luma_async.outcomes import Outcome
    from luma_async.previews import Preview
    from luma_async.prompt_files import PromptRow, Prompts, read_prompts
    from luma_async.requests import (
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
    from luma_async.session import LumaSession
    from luma_async.settings import Limits, PollPolicy, RetryPolicy, Timeouts

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
    "Looked",
    "LumaError",
    "LumaSession",
    "MemoryJournal",
    "ModifyRequest",
    "NoAnswer",
    "NotSent",
    "OutOfCredit",
    "Outcome",
    "Paused",
    "Phase",
    "PollPolicy",
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
    "UnreadableAnswer",
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
    "_io.journal": ("Journal", "MemoryJournal"),
    "_io.sqlite_journal": ("SqliteJournal",),
    "_wire.dream_machine": ("DreamMachine",),
    "_wire.rixapi": ("RixAPI",),
    "account": ("Account",),
    "batch": ("Batch", "BatchStats"),
    "doubts": ("Doubts", "Reconciled", "StillInDoubt"),
    "entries": ("Entry", "Phase"),
    "errors": (
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
        "NoAnswer",
        "NotSent",
        "OutOfCredit",
        "PollingFailed",
        "PromptRejected",
        "RateLimited",
        "Refused",
        "ServiceUnavailable",
        "SessionClosed",
        "SubmitInDoubt",
        "TransportError",
        "Unauthorized",
        "UnreadableAnswer",
        "UnsupportedOperation",
        "WaitTimeout",
    ),
    "events": (
        "Changed",
        "Downloaded",
        "Downloading",
        "Event",
        "Finished",
        "Looked",
        "Paused",
        "Retried",
        "SubmitFailed",
        "Submitted",
    ),
    "handle": ("GenerationHandle",),
    "keyframes": ("GenerationKeyframe", "ImageKeyframe", "ImageReference", "Keyframes"),
    "library": ("Library",),
    "models": ("Credits", "Generation", "Image", "KeyUsage", "State", "User", "Video"),
    "outcomes": ("Outcome",),
    "previews": ("Preview",),
    "prompt_files": ("PromptRow", "Prompts", "read_prompts"),
    "requests": (
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
    "settings": ("Limits", "PollPolicy", "RetryPolicy", "Timeouts"),
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
