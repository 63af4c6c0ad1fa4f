"""What `on_event` is told: one frozen value per thing that happened."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import attrs

from luma_async.values.errors import LumaError
from luma_async.values.models import Generation


@attrs.frozen(kw_only=True)
class Submitted:
    """A paid submit was accepted: the money is spent, the id is known."""

    key: str
    """The key of the paid intent."""
    generation: Generation
    """The service's first answer."""


@attrs.frozen(kw_only=True)
class SubmitFailed:
    """A submit ended without a generation: refused, not sent, or in doubt, as the error says."""

    key: str
    """The key of the paid intent."""
    error: LumaError
    """What the caller gets."""


@attrs.frozen(kw_only=True)
class Retried:
    """Something safe will be sent again."""

    what: str
    """The call, such as `submit` or `query`."""
    attempt: int
    """How many attempts were made so far."""
    delay_s: float
    """Seconds until the next."""
    error: LumaError
    """Why."""


@attrs.frozen(kw_only=True)
class Paused:
    """The service asked for fewer submits; all of the session's wait."""

    delay_s: float
    """Seconds until the next."""


@attrs.frozen(kw_only=True)
class Polled:
    """One request looked at one or more generations."""

    ids: tuple[str, ...]
    """Which were asked for."""
    error: LumaError | None = None
    """Why nothing was learned, if so."""


@attrs.frozen(kw_only=True)
class Changed:
    """A look showed something new about a generation."""

    generation: Generation
    """As it is now."""


@attrs.frozen(kw_only=True)
class Finished:
    """A generation reached a final state."""

    generation: Generation
    """As it ended."""


@attrs.frozen(kw_only=True)
class Downloading:
    """A download made progress."""

    generation_id: str
    """Whose file."""
    path: Path
    """Where it goes."""
    received_bytes: int
    """Bytes on disk so far."""
    total_bytes: int | None
    """Bytes in all, when the file server tells."""


@attrs.frozen(kw_only=True)
class Downloaded:
    """A file is complete on disk."""

    generation_id: str
    """Whose file."""
    path: Path
    """Where it is."""
    size_bytes: int
    """Its size."""


Event: TypeAlias = Submitted | SubmitFailed | Retried | Paused | Polled | Changed | Finished | Downloading | Downloaded
"""Everything that `on_event` may be called with."""
