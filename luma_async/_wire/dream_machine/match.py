"""Whether a generation was made from a purchase, by what the service repeats of its request.

Assumed: the service repeats the fields of a submit under their own names, and may fill in what the submit left to it.
The bodies that are recorded do both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async._wire.dialect import Match
from luma_async._wire.json_shapes import is_list, is_object
from luma_async.values.redaction import without_images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async._wire.dream_machine.body import SubmitSpec

_FILLED_IN = frozenset(
    {"generation_type", "type", "aspect_ratio", "resolution", "duration", "format", "sync", "sync_timeout"}
)
"""Fields for which the service takes a value of its own when a submit has none."""
_PICTURES = frozenset({"image", "reframe_image"})
_NAMED_IN_PATH = frozenset({"add_audio", "upscale_video"})
"""Kinds whose original is named in the path of the submit, which the service does not repeat."""


def likeness(raw: Mapping[str, Any], order: SubmitSpec) -> Match:
    """Compare a generation to a purchase.

    Args:
        raw: the generation's JSON.
        order: the purchase, as it was sent.
    """
    echo = raw.get("request")
    if not is_object(echo):
        echo = {}
    if _other_kind(raw, echo, order.kind):
        return Match.NONE
    told = _telling(echo)
    # Nor does an answer hold a picture by the time it is read.
    body: dict[str, Any] = without_images(order.body)
    if any(name in told and told[name] != _without_nulls(value) for name, value in body.items()):
        return Match.NONE
    sent = _telling(body)
    complete = sent.keys() <= told.keys() and told.keys() <= sent.keys() | _FILLED_IN
    return Match.EXACT if complete and order.kind not in _NAMED_IN_PATH else Match.POSSIBLE


def _other_kind(raw: Mapping[str, Any], echo: Mapping[str, Any], kind: str) -> bool:
    """Whether the service calls it something else; only a request's own word tells more than video or image."""
    exact = echo.get("generation_type") or echo.get("type")
    if isinstance(exact, str):
        return exact != kind
    rough = raw.get("generation_type") or raw.get("type")
    return isinstance(rough, str) and (rough in _PICTURES) != (kind in _PICTURES)


def _telling(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says no more than its absence would."""
    told = {name: _without_nulls(value) for name, value in fields.items()}
    return {name: value for name, value in told.items() if value not in (None, "", [], {}) and value is not False}


def _without_nulls(value: Any) -> Any:
    """Leave out what is null inside of an object."""
    if is_object(value):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if is_list(value):
        return [_without_nulls(item) for item in value]
    return value
