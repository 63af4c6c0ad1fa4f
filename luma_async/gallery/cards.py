"""The cards of the page, made from a journal's entries."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import attrs

from luma_async.values.entries import Phase

if TYPE_CHECKING:
    from luma_async.values.entries import Entry

_ENDED = frozenset({Phase.COMPLETED, Phase.FAILED})
_KINDS = {
    "ExtendRequest": "extension",
    "AudioRequest": "sound",
    "UpscaleRequest": "upscale",
    "ImageRequest": "picture",
    "ReframeRequest": "reframe",
    "ModifyRequest": "restyle",
}
_DETAILS = ("aspect_ratio", "model", "resolution", "duration")


@attrs.frozen(kw_only=True)
class Clip:
    """The file of a card."""

    address: str
    """Its URL, relative to the page and percent-encoded."""
    kind: Literal["video", "picture"] = "video"
    """Whether it is played or shown."""
    poster: str | None = None
    """The URL of a still picture of it."""
    missing: bool = False
    """Whether the file did not exist when the page was written."""


@attrs.frozen(kw_only=True)
class Card:
    """What the page shows of one paid intent."""

    key: str
    """The key of the intent."""
    phase: Phase
    """The phase of the intent."""
    kind: str = "video"
    """The kind of request, in one word."""
    prompt: str = ""
    """The prompt; empty where the request has none."""
    details: tuple[str, ...] = ()
    """The request's aspect ratio, model, resolution and duration, if set."""
    reason: str = ""
    """Why it was refused, is in doubt, or failed."""
    generation_id: str = ""
    """The service's id, once it is accepted."""
    clip: Clip | None = None
    """Its file, once it is downloaded."""
    sent_at: datetime | None = None
    """When it was submitted, aware UTC."""
    took_s: float | None = None
    """Seconds from the submit to the last change in the journal; None while it is running."""


def card_of(entry: Entry, clip: Clip | None = None) -> Card:
    """Return the card of a journal's entry.

    Args:
        entry: the entry.
        clip: its file, if there is one.
    """
    request, generation = entry.request, entry.generation
    prompt = request.get("prompt") or (generation.prompt if generation else None) or ""
    return Card(
        key=entry.key,
        phase=entry.phase,
        kind=_KINDS.get(str(request.get("class")), "video"),
        prompt=str(prompt),
        details=tuple(str(request[name]) for name in _DETAILS if request.get(name)),
        reason=entry.reason or (generation.failure_reason if generation else None) or "",
        generation_id=entry.generation_id or "",
        clip=clip,
        sent_at=entry.sent_at,
        took_s=_took_s(entry),
    )


def _took_s(entry: Entry) -> float | None:
    if entry.phase not in _ENDED or entry.sent_at is None or entry.updated_at is None:
        return None
    return max(0.0, (entry.updated_at - entry.sent_at).total_seconds())
