"""The body of a paid request of Luma's Agents API: its fields and their types.

Source: Luma's Python SDK `luma-agents` 0.5.0. Assumed: the texts of errors about types are not documented.
"""

from __future__ import annotations

from typing import Any

from luma_async.testing.answers import is_list, is_object
from luma_async.testing.dream_machine.schema import Record, flag, integer, many, number, one_of, text
from luma_async.testing.dream_machine.validation import RefusedBodyError

_REFERENCE = Record(
    optional={"url": text, "data": text, "generation_id": text, "file_id": text, "media_type": text},
)
_CONTROLS = Record(
    optional={
        "depth": Record(optional={"enabled": flag, "blur": number}),
        "face": Record(optional={"enabled": flag}),
        "normals": Record(optional={"enabled": flag, "augmentation": number}),
        "pose": Record(optional={"enabled": flag, "strength": one_of("precise", "coarse")}),
        "trajectory": Record(optional={"enabled": flag, "sparsity": number}),
    }
)
_EDIT = Record(
    optional={
        "auto_controls": flag,
        "strength": one_of(*(f"{word}_{level}" for word in ("adhere", "flex", "reimagine") for level in (1, 2, 3))),
        "controls": _CONTROLS,
        "keyframes": many(_REFERENCE),
        "keyframe_indexes": many(integer),
    }
)
_POSITION = Record(required={"x_norm": number, "y_norm": number, "w_norm": number, "h_norm": number})
VIDEO = Record(
    optional={
        "resolution": one_of("360p", "540p", "720p", "1080p"),
        "duration": one_of("5s", "10s"),
        "start_frame": _REFERENCE,
        "end_frame": _REFERENCE,
        "keyframes": many(_REFERENCE),
        "keyframe_indexes": many(integer),
        "loop": flag,
        "hdr": flag,
        "exr_export": flag,
        "source_position": _POSITION,
        "edit": _EDIT,
    }
)
"""The options of videos."""
GENERATION = Record(
    optional={
        "prompt": text,
        "model": text,
        "type": text,
        "aspect_ratio": text,
        "image_ref": many(_REFERENCE),
        "source": _REFERENCE,
        "output_format": one_of("png", "jpeg"),
        "style": one_of("auto", "manga"),
        "web_search": flag,
        "user_id": text,
        "layering": Record(optional={"resolution": one_of("1k", "2k")}),
        "video": VIDEO,
    }
)
"""A paid request. The rules require the prompt, with a text of its own."""
FILE = Record(
    required={"mime_type": text, "size_bytes": integer},
    optional={"purpose": one_of("input", "reference"), "filename": text, "expires_at": text, "user_id": text},
)
"""The announcement of a file."""


def check(record: Record, body: Any) -> dict[str, Any]:
    """Check the types of a body, and return it without its nulls, which mean absent.

    Raises:
        RefusedBodyError: 422, with the first error as one string.
    """
    given = _without_nulls(body)
    for error in record(given, ()):
        where = ".".join(str(part) for part in error["loc"])
        raise RefusedBodyError(422, f"{where}: {error['msg']}" if where else error["msg"])
    assert is_object(given)
    return given


def unknown_fields(body: dict[str, Any]) -> set[str]:
    """The fields of a checked request that are not documented."""
    video = body.get("video", {})
    return (set(body) - set(GENERATION.fields)) | {f"video.{name}" for name in set(video) - set(VIDEO.fields)}


def _without_nulls(value: Any) -> Any:
    """The value without fields that are null, at any depth."""
    if is_object(value):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if is_list(value) else value
