"""From a journal's entry to what a card shows: values only, so that a page depends on nothing else."""

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
    """A file that a card plays or shows."""

    address: str
    """Where it is, relative to the page and percent-encoded."""
    kind: Literal["video", "picture"] = "video"
    """Whether it plays."""
    poster: str | None = None
    """The address of a still picture of it."""
    missing: bool = False
    """Whether there was no such file when the page was written."""


@attrs.frozen(kw_only=True)
class Card:
    """What the page shows of one paid intent."""

    key: str
    """The key of the intent."""
    phase: Phase
    """Where we are with it."""
    kind: str = "video"
    """What was wanted, in a word."""
    prompt: str = ""
    """What to show; empty where the request has none."""
    details: tuple[str, ...] = ()
    """The request's ratio, model, resolution and duration, as far as it names them."""
    reason: str = ""
    """Why it was refused, is in doubt, or failed."""
    generation_id: str = ""
    """The service's id, once accepted."""
    clip: Clip | None = None
    """Its file, once downloaded."""
    sent_at: datetime | None = None
    """When it was submitted, aware UTC."""
    took_s: float | None = None
    """Seconds from the submit to the last change that the journal noted; None while it runs."""


def card_of(entry: Entry, clip: Clip | None = None) -> Card:
    """Return the card of a journal's entry.

    Args:
        entry: what the journal knows.
        clip: its file, for a page that is to show one.
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
