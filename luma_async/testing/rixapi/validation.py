"""Checks submit bodies of the relay dialect, in both editions. Unknown fields are ignored, as the relay does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async.testing.answers import is_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async.testing.rixapi.bodies import Edition

_COMMON: dict[str, type] = {
    "aspect_ratio": str,
    "expand_prompt": bool,
    "loop": bool,
    "notify_hook": str,
    "task_id": str,
}
_FIELDS: dict[Edition, dict[str, type]] = {
    "2024": _COMMON
    | {
        "user_prompt": str,
        "image_url": str,
        "image_end_url": str,
        "model_name": str,
        "resolution": str,
        "duration": str,
        # Not documented, but relays accept it from clients that mix the editions.
        "keyframes": dict,
    },
    "2025": _COMMON | {"prompt": str, "keyframes": dict},
}
_PROMPT: dict[Edition, str] = {"2024": "user_prompt", "2025": "prompt"}
_FRAMES = {"image": "url", "generation": "id"}


class InvalidBodyError(Exception):
    """The relay refuses this body."""


def edition_of(body: Mapping[str, Any]) -> Edition:
    """The edition of a body."""
    return "2024" if "user_prompt" in body else "2025"


def check_body(body: Mapping[str, Any], edition: Edition, *, needs_ratio: bool) -> str:
    """Check a submit body and return its prompt.

    Raises:
        InvalidBodyError: a documented field is missing or of the wrong type. Nothing was started.
    """
    for field, kind in _FIELDS[edition].items():
        if body.get(field) is not None:
            _check_type(body[field], kind, field)
    required = [_PROMPT[edition], *(["aspect_ratio"] if needs_ratio and edition == "2025" else [])]
    for field in required:
        if not body.get(field):
            raise InvalidBodyError(f"field {field} is required")
    _check_keyframes(body.get("keyframes") or {})
    prompt: str = body[_PROMPT[edition]]
    return prompt


def unknown_fields(body: Mapping[str, Any], edition: Edition) -> set[str]:
    """The fields of a body that are not documented in this edition."""
    return set(body) - set(_FIELDS[edition])


def _check_keyframes(keyframes: Mapping[str, Any]) -> None:
    """Refuse a frame that is neither an image with a url nor a generation with an id."""
    for name, frame in keyframes.items():
        field = _FRAMES.get(str(frame.get("type"))) if is_object(frame) else None
        if name not in {"frame0", "frame1"} or field is None:
            raise InvalidBodyError(f"keyframes.{name} is not understood")
        _check_type(frame.get(field), str, f"keyframes.{name}.{field}")


def _check_type(value: Any, kind: type, field: str) -> None:
    """Refuse a value of another JSON type."""
    if not isinstance(value, kind):
        raise InvalidBodyError(f"cannot unmarshal {type(value).__name__} into field {field} of type {kind.__name__}")
