"""The body of a paid submit to a relay, in the two editions of its documentation.

A relay ignores unknown fields, so a field that an edition does not have would be paid for without effect. Such a field
is refused here, by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from luma_async._wire.dialect import merge_extra
from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import ImageKeyframe, Keyframes
from luma_async.values.requests import AudioRequest, ExtendRequest, VideoRequest

if TYPE_CHECKING:
    from luma_async.values.keyframes import Keyframe

Edition: TypeAlias = Literal["2024", "2025"]
"""The edition of the relay's documentation; relays accept one or both."""

_MISSING: dict[Edition, tuple[str, ...]] = {
    "2024": (),
    "2025": ("model", "resolution", "duration"),
}


def submit_body(request: VideoRequest | ExtendRequest | AudioRequest, edition: Edition) -> dict[str, Any]:
    """Build the body of a submit; fields that the request does not set are left out.

    Raises:
        InvalidInput: the edition does not have one of the fields, or `extra` holds one that has its own argument.
    """
    _refuse_missing(request, edition)
    fields: dict[str, Any] = {"prompt" if edition == "2025" else "user_prompt": request.prompt}
    if isinstance(request, AudioRequest):
        fields["task_id"] = request.source
    else:
        if isinstance(request, VideoRequest):
            fields["aspect_ratio"] = request.aspect_ratio
        fields |= {"expand_prompt": request.expand_prompt, "loop": request.loop}
        fields |= _fields_2025(request) if edition == "2025" else _fields_2024(request)
    fields["notify_hook"] = request.notify_hook
    return merge_extra(fields, request.extra, also={"task_id"})


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


def _fields_2024(request: VideoRequest | ExtendRequest) -> dict[str, Any]:
    keyframes = request.keyframes
    # Source: relays of the same family document the model, the resolution and the duration; the first page does not.
    return {
        "image_url": _image_url(keyframes.frame0, "frame0") if keyframes else None,
        "image_end_url": _image_url(keyframes.frame1, "frame1") if keyframes else None,
        "model_name": request.model,
        "resolution": request.resolution,
        "duration": request.duration,
    }


def _image_url(frame: Keyframe | None, name: str) -> str | None:
    if frame is None or isinstance(frame, ImageKeyframe):
        return frame.url if frame else None
    raise InvalidInput(
        field=f"keyframes.{name}",
        message="edition 2024 accepts images only; use extend() to continue a generation, "
        "or RixAPI(edition='2025') to use it as a keyframe.",
    )


def _refuse_missing(request: VideoRequest | ExtendRequest | AudioRequest, edition: Edition) -> None:
    for name in _MISSING[edition]:
        if getattr(request, name, None):
            raise InvalidInput(
                field=name,
                message=f"edition {edition} of this format has no such field. RixAPI(edition='2024') (--edition 2024) "
                "sends it. "
                "Further fields of your relay can go in `extra`, under the relay's own names.",
            )
