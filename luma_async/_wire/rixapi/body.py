"""How a relay wants a paid submit spelled, in the two editions of its documentation.

A relay ignores fields that it does not know. What an edition has no word for is refused here, by name, since it
would be paid for and not be done.
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
"""Of the relay's documentation; relays take one or both."""

_UNCARRIED: dict[Edition, tuple[str, ...]] = {
    "2024": ("concepts", "negative_prompt"),
    "2025": ("model", "resolution", "duration", "concepts", "negative_prompt"),
}


def submit_body(request: VideoRequest | ExtendRequest | AudioRequest, edition: Edition) -> dict[str, Any]:
    """Spell the body of a submit; what the request leaves open is left out.

    Raises:
        InvalidInput: the edition cannot carry one of the fields, or `extra` holds one that has its own argument.
    """
    _refuse_uncarried(request, edition)
    fields: dict[str, Any] = {"prompt" if edition == "2025" else "user_prompt": request.prompt}
    if isinstance(request, AudioRequest):
        fields["task_id"] = request.source
    else:
        if isinstance(request, VideoRequest):
            fields["aspect_ratio"] = request.aspect_ratio
        fields |= {"expand_prompt": request.expand_prompt, "loop": request.loop}
        fields |= _rest_2025(request) if edition == "2025" else _rest_2024(request)
    fields["notify_hook"] = request.notify_hook
    return merge_extra(fields, request.extra, also={"task_id"})


def _rest_2025(request: VideoRequest | ExtendRequest) -> dict[str, Any]:
    return {"keyframes": _frames_2025(request.keyframes) if request.keyframes else None}


def _frames_2025(keyframes: Keyframes) -> dict[str, Any]:
    frames = {"frame0": keyframes.frame0, "frame1": keyframes.frame1}
    return {name: _frame_2025(frame) for name, frame in frames.items() if frame is not None}


def _frame_2025(frame: Keyframe) -> dict[str, Any]:
    if isinstance(frame, ImageKeyframe):
        # Assumed: an inline image goes where its address would, as the 2024 edition documents for its own fields.
        return {"type": "image", "url": frame.url}
    # Assumed: the page says that a frame may be a video; how to spell it is taken from the official format.
    return {"type": "generation", "id": frame.id}


def _rest_2024(request: VideoRequest | ExtendRequest) -> dict[str, Any]:
    keyframes = request.keyframes
    # Source: relays of the same family document the model, the resolution and the duration; the first page does not.
    return {
        "image_url": _picture(keyframes.frame0, "frame0") if keyframes else None,
        "image_end_url": _picture(keyframes.frame1, "frame1") if keyframes else None,
        "model_name": request.model,
        "resolution": request.resolution,
        "duration": request.duration,
    }


def _picture(frame: Keyframe | None, name: str) -> str | None:
    if frame is None or isinstance(frame, ImageKeyframe):
        return frame.url if frame else None
    raise InvalidInput(
        field=f"keyframes.{name}",
        message="edition 2024 takes pictures only; extend() continues a generation, "
        "and RixAPI(edition='2025') takes one as a keyframe.",
    )


def _refuse_uncarried(request: VideoRequest | ExtendRequest | AudioRequest, edition: Edition) -> None:
    for name in _UNCARRIED[edition]:
        if getattr(request, name, None):
            hint = " RixAPI(edition='2024') (--edition 2024) sends it." if name not in _UNCARRIED["2024"] else ""
            raise InvalidInput(
                field=name,
                message=f"edition {edition} of this format has no such field.{hint} "
                "What your relay takes beyond it can go in `extra`, in the relay's own spelling.",
            )
