"""What a journal keeps of each paid intent."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import attrs

from luma_async.values.models import Generation
from luma_async.values.public import public


@public
class Phase(StrEnum):
    """The state of a paid intent. `_journal/lifecycle.py` has the table of what may follow what."""

    SENDING = "sending"
    """Claimed: the POST may leave at any moment. If its owner is dead, this means in doubt."""
    NOT_SENT = "not_sent"
    """Withdrawn: provably nothing was sent."""
    REFUSED = "refused"
    """The service rejected it and charged nothing."""
    IN_DOUBT = "in_doubt"
    """Sent, the outcome is unknown, maybe charged."""
    ABANDONED = "abandoned"
    """A person closed a doubt without finding the generation."""
    ACCEPTED = "accepted"
    """Paid; the id is known."""
    COMPLETED = "completed"
    """Paid; the service completed the generation."""
    FAILED = "failed"
    """Accepted; the generation failed at the service."""
    LOST = "lost"
    """Accepted; the service no longer knows the id."""


@public
@attrs.frozen(kw_only=True)
class Entry:
    """A paid intent, as a journal keeps it. It contains no API key and no inline image."""

    key: str
    """The caller's name for the intent, 1-200 printable characters."""
    phase: Phase
    """The state of the intent."""
    service: str
    """The dialect's name and the base URL of the service."""
    digest: str
    """SHA-256 of the request. It shows whether a later submit under this key is the same purchase."""
    request: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    """The class and the non-default fields of the request. Inline images are replaced by their digest."""
    owner: str = ""
    """The name of the session that claimed it last."""
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
    price: Decimal | None = None
    """What it costs by the prices of the budget when it was claimed; None without prices. A doubt that was submitted
    again costs the sum of both."""
    charges: int = 1
    """How often it may have been charged. More than once only for a doubt that was submitted again."""
