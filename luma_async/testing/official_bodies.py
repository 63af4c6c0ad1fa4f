"""How the official service spells a generation, and how relays spell it on the same path.

The service's own schema knows no null, relays send one for whatever is not there yet.

Source: Luma's OpenAPI document 1.1.0, and the recorded answers of a relay and of the older service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async.testing import clips
from luma_async.testing.official_orders import BY_KIND

if TYPE_CHECKING:
    from luma_async.testing.store import FakeGeneration

_WORDS = {"pending": "queued", "processing": "dreaming"}
_RELAYED_REQUEST = ("prompt", "aspect_ratio", "loop", "keyframes", "callback_url")
_MODEL = "ray-2"


def official(generation: FakeGeneration, origin: str) -> dict[str, Any]:
    """A generation as the service tells it."""
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


def relayed(generation: FakeGeneration, origin: str) -> dict[str, Any]:
    """A generation as relays tell it: with the older names, and null for what is not there."""
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
    """The links, once there are some."""
    if not generation.shows_link:
        return {}
    if generation.is_image:
        return {"image": clips.link(origin, generation, clips.PICTURE)}
    return {"video": clips.link(origin, generation, clips.CLEAN)}


def _request(generation: FakeGeneration) -> dict[str, Any]:
    """The request without what the service does not know, and with the type that tells its schema."""
    order = BY_KIND[generation.kind]
    known = order.record.fields
    given = {name: value for name, value in generation.body.items() if name in known and value is not None}
    if "model" in order.record.required:
        # What was bought in the relay's own format names none.
        given = {"model": _MODEL, **given}
    if generation.prompt:
        given["prompt"] = generation.prompt
    return {"generation_type": order.generation_type, **given}


def _failure_reason(generation: FakeGeneration) -> str | None:
    return generation.script.failure_reason if generation.state == "failed" else None


def _word(generation: FakeGeneration) -> str:
    """The state in the service's words; a new one passes as it is."""
    return _WORDS.get(generation.state, generation.state)


def _created(generation: FakeGeneration) -> str:
    return generation.created.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
