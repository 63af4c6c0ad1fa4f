"""The body of a paid submit to a relay, in the two editions of its documentation.

A relay ignores unknown fields, so a field that an edition does not have would be paid for without effect. Such a field
is refused here, by name. If no edition is set, the request decides:

```
the request has                          the body is that of
no field of 2024 only                    2025
a model, a resolution or a duration      2024
these and a generation as a keyframe     2024, with the keyframes of 2025
```

Source of the last row: the body of a client of a relay, `tests/samples/rixapi/submit-request-mixed.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from luma_async._wire.dialect import merge_extra
from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import GenerationKeyframe, ImageKeyframe, Keyframes
from luma_async.values.requests import AudioRequest, ExtendRequest, VideoRequest

if TYPE_CHECKING:
    from luma_async.values.keyframes import Keyframe

Edition: TypeAlias = Literal["2024", "2025"]
"""The edition of the relay's documentation; relays accept one or both."""

Paid: TypeAlias = VideoRequest | ExtendRequest | AudioRequest

_ONLY_IN_2024 = ("model", "resolution", "duration")


def submit_body(request: Paid, edition: Edition | None) -> dict[str, Any]:
    """Build the body of a submit; fields that the request does not set are left out.

    Args:
        request: the request.
        edition: the edition that the relay follows; None chooses the one that has the request's fields.

    Raises:
        InvalidInput: the edition does not have one of the fields, or `extra` holds one that has its own argument.
    """
    _refuse_missing(request, edition)
    mixed = edition is None and bool(fields_of_2024(request)) and _has_generation(request)
    edition = edition or ("2024" if fields_of_2024(request) else "2025")
    fields: dict[str, Any] = {"prompt" if edition == "2025" else "user_prompt": request.prompt}
    if isinstance(request, AudioRequest):
        fields["task_id"] = request.source
    else:
        if isinstance(request, VideoRequest):
            fields["aspect_ratio"] = request.aspect_ratio
        fields |= {"expand_prompt": request.expand_prompt, "loop": request.loop}
        fields |= _fields_2025(request) if edition == "2025" or mixed else _pictures_2024(request)
        fields |= _model_2024(request) if edition == "2024" else {}
    fields["notify_hook"] = request.notify_hook
    return merge_extra(fields, request.extra, also={"task_id"})


def fields_of_2024(request: Paid) -> list[str]:
    """Return the names of the fields that are set and that only the edition of 2024 has."""
    return [name for name in _ONLY_IN_2024 if getattr(request, name, None)]


def _has_generation(request: Paid) -> bool:
    keyframes = None if isinstance(request, AudioRequest) else request.keyframes
    return keyframes is not None and any(
        isinstance(frame, GenerationKeyframe) for frame in (keyframes.frame0, keyframes.frame1)
    )


def _fields_2025(request: VideoRequest | ExtendRequest) -> dict[str, Any]:
    return {"keyframes": _frames_2025(request.keyframes) if request.keyframes else None}


def _frames_2025(keyframes: Keyframes) -> dict[str, Any]:
    frames = {"frame0": keyframes.frame0, "frame1": keyframes.frame1}
    return {name: _frame_2025(frame) for name, frame in frames.items() if frame is not None}


def _frame_2025(frame: Keyframe) -> dict[str, Any]:
    if isinstance(frame, ImageKeyframe):
        # Assumed: an inline image goes in the place of its address, as the 2024 edition documents for its own fields.
        return {"type": "image", "url": frame.url}
    # Assumed: the page says that a frame may be a video; the form is taken from Luma's own format.
    return {"type": "generation", "id": frame.id}


def _pictures_2024(request: VideoRequest | ExtendRequest) -> dict[str, Any]:
    keyframes = request.keyframes
    return {
        "image_url": _image_url(keyframes.frame0, "frame0") if keyframes else None,
        "image_end_url": _image_url(keyframes.frame1, "frame1") if keyframes else None,
    }


def _model_2024(request: VideoRequest | ExtendRequest) -> dict[str, Any]:
    # Source: relays of the same family document these; the first page does not.
    return {"model_name": request.model, "resolution": request.resolution, "duration": request.duration}


def _image_url(frame: Keyframe | None, name: str) -> str | None:
    if frame is None or isinstance(frame, ImageKeyframe):
        return frame.url if frame else None
    raise InvalidInput(
        field=f"keyframes.{name}",
        message="edition 2024 accepts images only; use extend() to continue a generation, "
        "or RixAPI(edition='2025') to use it as a keyframe.",
    )


def _refuse_missing(request: Paid, edition: Edition | None) -> None:
    missing = fields_of_2024(request) if edition == "2025" else []
    if missing:
        raise InvalidInput(
            field=missing[0],
            message="edition 2025 of this format has no such field. RixAPI(edition='2024') (--edition 2024) sends it. "
            "Further fields of your relay can go in `extra`, under the relay's own names.",
        )
