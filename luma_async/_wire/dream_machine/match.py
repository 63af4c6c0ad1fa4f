"""Whether a generation was made from a request, by what the service repeats of its request.

Assumed: the service repeats the fields of a submit under their own names, and may fill in fields that the submit left
out. The recorded bodies do both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async._wire.answer import is_list, is_object
from luma_async._wire.dialect import Match
from luma_async.values.redaction import without_images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async._wire.dream_machine.body import SubmitSpec

_FILLED_IN = frozenset(
    {"generation_type", "type", "aspect_ratio", "resolution", "duration", "format", "sync", "sync_timeout"}
)
"""Fields for which the service fills in a value of its own when a submit has none."""
_IMAGES = frozenset({"image", "reframe_image"})
_NAMED_IN_PATH = frozenset({"add_audio", "upscale_video"})
"""Kinds whose original is named in the path of the submit, which the service does not repeat."""


def compare(raw: Mapping[str, Any], spec: SubmitSpec) -> Match:
    """Compare a generation to a submit.

    Args:
        raw: the generation's JSON.
        spec: the submit, as it was sent.
    """
    echo = raw.get("request")
    if not is_object(echo):
        echo = {}
    if _is_other_kind(raw, echo, spec.kind):
        return Match.NONE
    repeated = _set_fields(echo)
    # Inline images were replaced in the answer too, when it was parsed.
    body: dict[str, Any] = without_images(spec.body)
    if any(name in repeated and repeated[name] != _without_nulls(value) for name, value in body.items()):
        return Match.NONE
    sent = _set_fields(body)
    complete = sent.keys() <= repeated.keys() and repeated.keys() <= sent.keys() | _FILLED_IN
    return Match.EXACT if complete and spec.kind not in _NAMED_IN_PATH else Match.POSSIBLE


def _is_other_kind(raw: Mapping[str, Any], echo: Mapping[str, Any], kind: str) -> bool:
    """Whether the service names another kind. Outside of the repeated request it tells video and image apart only."""
    exact = echo.get("generation_type") or echo.get("type")
    if isinstance(exact, str):
        return exact != kind
    rough = raw.get("generation_type") or raw.get("type")
    return isinstance(rough, str) and (rough in _IMAGES) != (kind in _IMAGES)


def _set_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out fields whose value means the same as their absence."""
    cleaned = {name: _without_nulls(value) for name, value in fields.items()}
    return {name: value for name, value in cleaned.items() if value not in (None, "", [], {}) and value is not False}


def _without_nulls(value: Any) -> Any:
    """Leave out what is null inside of an object."""
    if is_object(value):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if is_list(value):
        return [_without_nulls(item) for item in value]
    return value
