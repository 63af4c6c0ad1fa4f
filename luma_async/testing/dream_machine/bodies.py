"""The JSON for a generation as Luma's Dream Machine API sends it, and as relays send it on the same path.

Luma's schema has no nulls; relays send null for each missing value.

Source: Luma's OpenAPI document 1.1.0, and the recorded answers of a relay and of the older service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async.testing import clips
from luma_async.testing.dream_machine.validation import BY_KIND

if TYPE_CHECKING:
    from luma_async.testing.store import FakeGeneration

_WORDS = {"pending": "queued", "processing": "dreaming"}
_RELAYED_REQUEST = ("prompt", "aspect_ratio", "loop", "keyframes", "callback_url")
_MODEL = "ray-2"


def generation_body(generation: FakeGeneration, origin: str) -> dict[str, Any]:
    """A generation as Luma's service sends it."""
    request = _request(generation)
    assets = _assets(generation, origin)
    body = {
        "id": generation.id,
        "generation_type": "image" if generation.is_image else "video",
        "state": _word(generation),
        "failure_reason": _failure_reason(generation),
        "created_at": _created(generation),
        "assets": assets or None,
        "model": request.get("model"),
        "request": request,
    }
    return {name: value for name, value in body.items() if value is not None}


def relayed_body(generation: FakeGeneration, origin: str) -> dict[str, Any]:
    """A generation as relays send it: with the older names, and null for missing values."""
    return {
        "id": generation.id,
        "type": "image" if generation.is_image else "video",
        "state": _word(generation),
        "failure_reason": _failure_reason(generation),
        "created_at": _created(generation),
        "assets": _assets(generation, origin) or None,
        "version": generation.body.get("model"),
        "request": {name: generation.body.get(name) for name in _RELAYED_REQUEST} | {"prompt": generation.prompt},
    }


def _assets(generation: FakeGeneration, origin: str) -> dict[str, str]:
    """The links; empty before they are shown."""
    if not generation.shows_link:
        return {}
    if generation.is_image:
        return {"image": clips.link(origin, generation, clips.IMAGE)}
    return {"video": clips.link(origin, generation, clips.CLEAN)}


def _request(generation: FakeGeneration) -> dict[str, Any]:
    """The request that the answer repeats: its documented fields and the type of its schema."""
    paid = BY_KIND.get(generation.kind) or BY_KIND["image" if generation.is_image else "video"]
    known = paid.record.fields
    given = {name: value for name, value in generation.body.items() if name in known and value is not None}
    if "model" in paid.record.required:
        # Submits in the relay dialect have no model.
        given = {"model": _MODEL, **given}
    if generation.prompt:
        given["prompt"] = generation.prompt
    return {"generation_type": paid.generation_type, **given}


def _failure_reason(generation: FakeGeneration) -> str | None:
    return generation.script.failure_reason if generation.state == "failed" else None


def _word(generation: FakeGeneration) -> str:
    """The word for a state; a new state stays as it is."""
    return _WORDS.get(generation.state, generation.state)


def _created(generation: FakeGeneration) -> str:
    return generation.created.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
