"""The canonical form of a request: a journal keeps it, digests are made of it, and requests are restored from it.

The form is the class and the fields that are not defaults, so that a field added later changes no earlier digest.
Inline images are replaced by their SHA-256: two requests with the same picture are the same purchase, and no journal
ever holds a picture.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs

from luma_async.values import controls, keyframes, requests
from luma_async.values.errors import InvalidInput
from luma_async.values.redaction import DIGEST_PREFIX, without_images

if TYPE_CHECKING:
    from luma_async.values.requests import Request

FORM_VERSION = 1
"""Part of each digest. A change of the form would buy every earlier purchase again: golden tests hold it."""

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
_MAPPINGS = frozenset({"extra", "character_refs"})
"""Fields whose names are chosen by the caller: `class` has no special meaning in them."""
_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        *requests.OPERATIONS,
        *(controls.EditControls, controls.DepthControl, controls.FaceControl, controls.NormalsControl),
        *(controls.PoseControl, controls.TrajectoryControl, controls.SourcePosition),
        *(keyframes.Keyframes, keyframes.KeyframeAt, keyframes.ImageKeyframe, keyframes.GenerationKeyframe),
        *(keyframes.FileReference, keyframes.ImageReference),
    )
}


def canonical_form(request: Request) -> dict[str, Any]:
    """Return the class and the non-default fields of a request as JSON; aspect_ratio is always among them."""
    form = _form(request)
    ratio: str | None = getattr(request, "aspect_ratio", None)
    # Always part of the form, because its default may change in a later version.
    return form if ratio is None else {**form, "aspect_ratio": ratio}


def digest(form: dict[str, Any]) -> str:
    """Return the SHA-256 of a canonical form."""
    text = _ENCODER.encode([FORM_VERSION, form])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def duration_kind(form: dict[str, Any]) -> str:
    """Return what the duration of a request depends on. Durations are learned for each kind."""
    return "|".join(str(form.get(name) or "") for name in ("class", "model", "resolution", "duration"))


def request_from_form(form: dict[str, Any]) -> Request:
    """Restore the request of a canonical form.

    Raises:
        InvalidInput: an inline image is only known by its digest, or a later version wrote the form.
    """
    if _holds_digest(form):
        raise InvalidInput(
            field="request",
            message="the journal keeps only the digest of its inline image; pass the request again.",
        )
    request: Request = _restored(form)
    return request


def _form(value: Any) -> dict[str, Any]:
    cls = value.__class__
    form: dict[str, Any] = {"class": cls.__name__}
    for name, default in _defaults(cls):
        item = getattr(value, name)
        if item is not default and item != default:
            form[name] = _plain(item)
    return form


@cache
def _defaults(cls: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a class and their defaults. A factory always means an empty dictionary here.

    A field that only says where the data is on this machine is no part of the form.
    """
    return tuple(
        (field.name, {} if isinstance(field.default, attrs.Factory) else field.default)  # type: ignore[arg-type]
        for field in attrs.fields(cls)
        if not field.metadata.get("local")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int | float):
        return without_images(value)
    if attrs.has(value.__class__):
        return _form(value)
    if _is_array(value):
        return [_plain(item) for item in value]
    return without_images(value)


def _holds_digest(value: Any) -> bool:
    if _is_object(value):
        return any(_holds_digest(item) for item in value.values())
    if _is_array(value):
        return any(_holds_digest(item) for item in value)
    return isinstance(value, str) and value.startswith(DIGEST_PREFIX)


def _restored(value: Any) -> Any:
    if _is_array(value):
        return tuple(_restored(item) for item in value)
    if not _is_object(value) or "class" not in value:
        return value
    cls = _CLASSES.get(value["class"])
    fields = {name: item if name in _MAPPINGS else _restored(item) for name, item in value.items() if name != "class"}
    if cls is None or not fields.keys() <= attrs.fields_dict(cls).keys():
        raise InvalidInput(field="request", message=f"a later version wrote this {value['class']}; update luma_async.")
    return cls(**fields)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)
