"""What a journal keeps of each paid intent."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from luma_async.values.models import Generation
from luma_async.values.public import public


@public
class Phase(StrEnum):
    """Where we are with a paid intent; `_core.lifecycle` says what may follow what."""

    SENDING = "sending"
    """Claimed: the POST may leave at any moment. With a dead owner this means in doubt."""
    NOT_SENT = "not_sent"
    """Withdrawn: provably nothing left this machine."""
    REFUSED = "refused"
    """The service said no and charged nothing."""
    IN_DOUBT = "in_doubt"
    """Sent, fate unknown, maybe charged."""
    ABANDONED = "abandoned"
    """A person closed a doubt without finding the generation."""
    ACCEPTED = "accepted"
    """Paid, and known by its id."""
    COMPLETED = "completed"
    """Paid, and the service finished it."""
    FAILED = "failed"
    """The service accepted it and gave up on it."""
    LOST = "lost"
    """The service accepted it and no longer knows its id."""


@public
@attrs.frozen(kw_only=True)
class Entry:
    """One paid intent, as a journal keeps it. It holds no API key and no inline image."""

    key: str
    """The caller's name for the intent, 1-200 printable characters."""
    phase: Phase
    """Where we are with it."""
    service: str
    """The dialect's name and the base URL: whom it was bought from."""
    digest: str
    """SHA-256 of the request: whether a later submit under this key means the same purchase."""
    request: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    """The class and the fields of the request that are not defaults; inline images are replaced by their digest."""
    owner: str = ""
    """The session that claimed it last."""
    attempts: int = 1
    """How often it was claimed."""
    sent_at: datetime | None = None
    """When it was claimed last, aware UTC."""
    updated_at: datetime | None = None
    """When the entry changed last, aware UTC."""
    generation_id: str | None = None
    """The service's id, once accepted."""
    reason: str = ""
    """Why it was refused, is in doubt, or failed."""
    generation: Generation | None = attrs.field(default=None, hash=False)
    """The finished generation."""
    path: str | None = None
    """The file on disk, once downloaded."""
