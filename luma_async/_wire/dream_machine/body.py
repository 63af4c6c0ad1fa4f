"""How the official format wants each kind of purchase spelled: its path, its body, and what the service calls it.

What the format has no word for is refused here, by name, since it would be paid for and not be done.

Source: Luma's OpenAPI document 1.1.0. Where it requires a model and the request names none, the one is sent that Luma's
own tools take by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import attrs

from luma_async._wire.dialect import merge_extra
from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import ImageKeyframe
from luma_async.values.requests import (
    AudioRequest,
    ExtendRequest,
    ImageRequest,
    ModifyRequest,
    ReframeRequest,
    UpscaleRequest,
    VideoRequest,
)

if TYPE_CHECKING:
    from luma_async.values.keyframes import ImageReference, Keyframe, Keyframes
    from luma_async.values.requests import Request

# Assumed: the service's own default, ray-1-6, is what nobody wants who names no model today.
VIDEO_MODEL = "ray-2"
"""What makes and changes videos where no model is named."""
IMAGE_MODEL = "photon-1"
"""What makes and changes pictures where no model is named."""
DEFAULT_SYNC_TIMEOUT_S = 60.0
"""How long the service holds the answer to a synchronous request back where nobody says."""
MAX_SYNC_WAIT_S = 3600.0
"""Beyond that no connection lives."""

_ONLY_KIND = {"first_frame": "video", "format": "image"}
"""What is reframed decides which of these the format has."""


@attrs.frozen(kw_only=True)
class SubmitSpec:
    """A paid submit in the words of the service."""

    operation: str
    """The name under which `supports()` knows it."""
    path: str | None
    """Below the path of all generations; None is that of creating a video, which can be set."""
    kind: str
    """What the service calls its kind (`generation_type`)."""
    body: dict[str, Any]
    """The JSON body."""
    sync_wait_s: float = 0.0
    """Seconds for which the service holds its answer back."""


def submit_spec(request: Request) -> SubmitSpec:
    """Spell a purchase.

    Raises:
        InvalidInput: the format cannot carry one of the fields, or `extra` holds one that has its own argument.
    """
    if getattr(request, "expand_prompt", None) is not None:
        raise _uncarried("expand_prompt", "the service decides by itself.")
    match request:
        case VideoRequest():
            return SubmitSpec(operation="submit", path=None, kind="video", body=_video(request))
        case ExtendRequest():
            return SubmitSpec(operation="extend", path=None, kind="video", body=_extension(request))
        case AudioRequest():
            return SubmitSpec(
                operation="add_audio", path=f"/{request.source}/audio", kind="add_audio", body=_audio(request)
            )
        case UpscaleRequest():
            return SubmitSpec(
                operation="upscale", path=f"/{request.source}/upscale", kind="upscale_video", body=_upscaling(request)
            )
        case ImageRequest():
            return SubmitSpec(
                operation="image", path="/image", kind="image", body=_image(request), sync_wait_s=_sync_wait_s(request)
            )
        case ReframeRequest():
            path, kind = f"/{request.kind}/reframe", f"reframe_{request.kind}"
            return SubmitSpec(operation="reframe", path=path, kind=kind, body=_reframing(request, kind))
        case ModifyRequest():
            return SubmitSpec(
                operation="modify", path="/video/modify", kind="modify_video", body=_modification(request)
            )
        case _:
            assert_never(request)


def _video(request: VideoRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": request.model or VIDEO_MODEL,
        "prompt": request.prompt,
        "aspect_ratio": request.aspect_ratio,
        "loop": request.loop,
        "keyframes": _frames(request.keyframes),
        "resolution": request.resolution,
        "duration": request.duration,
        "concepts": [{"key": concept} for concept in request.concepts] or None,
        "callback_url": request.notify_hook,
    }
    return merge_extra(fields, request.extra, also=("generation_type",))


def _extension(request: ExtendRequest) -> dict[str, Any]:
    """A continuation is a video that begins where another one ends."""
    fields: dict[str, Any] = {
        "model": request.model or VIDEO_MODEL,
        "prompt": request.prompt,
        "loop": request.loop,
        "keyframes": {"frame0": _generation(request.source)} | (_frames(request.keyframes) or {}),
        "resolution": request.resolution,
        "duration": request.duration,
        "callback_url": request.notify_hook,
    }
    return merge_extra(fields, request.extra, also=("generation_type",))


def _audio(request: AudioRequest) -> dict[str, Any]:
    fields = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "callback_url": request.notify_hook,
    }
    return merge_extra(fields, request.extra, also=("generation_type",))


def _upscaling(request: UpscaleRequest) -> dict[str, Any]:
    fields = {"resolution": request.resolution, "callback_url": request.notify_hook}
    return merge_extra(fields, request.extra, also=("generation_type",))


def _image(request: ImageRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": request.model or IMAGE_MODEL,
        "prompt": request.prompt,
        "aspect_ratio": request.aspect_ratio,
        "image_ref": [_reference(one) for one in request.image_refs] or None,
        "style_ref": [_reference(one) for one in request.style_refs] or None,
        "character_ref": {name: {"images": list(urls)} for name, urls in request.character_refs.items()} or None,
        "modify_image_ref": _reference(request.modify_image_ref) if request.modify_image_ref else None,
        "format": request.format,
        "sync": request.sync,
        "sync_timeout": request.sync_timeout,
        "callback_url": request.notify_hook,
    }
    return merge_extra(fields, request.extra, also=("generation_type",))


def _sync_wait_s(request: ImageRequest) -> float:
    if not request.sync:
        return 0.0
    return float(min(request.sync_timeout or DEFAULT_SYNC_TIMEOUT_S, MAX_SYNC_WAIT_S))


def _reframing(request: ReframeRequest, kind: str) -> dict[str, Any]:
    for name, only in _ONLY_KIND.items():
        if request.kind != only and getattr(request, name) is not None:
            raise _uncarried(name, f"it is for a {only} alone.")
    fields: dict[str, Any] = {
        "generation_type": kind,
        "media": {"url": request.media},
        "model": request.model or (VIDEO_MODEL if request.kind == "video" else IMAGE_MODEL),
        "aspect_ratio": request.aspect_ratio,
        "prompt": request.prompt,
        "first_frame": _media(request.first_frame),
        "format": request.format,
        "grid_position_x": request.grid_position_x,
        "grid_position_y": request.grid_position_y,
        "resized_width": request.resized_width,
        "resized_height": request.resized_height,
        "x_start": request.x_start,
        "x_end": request.x_end,
        "y_start": request.y_start,
        "y_end": request.y_end,
        "callback_url": request.notify_hook,
    }
    return merge_extra(fields, request.extra)


def _modification(request: ModifyRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "generation_type": "modify_video",
        "media": {"url": request.media},
        "model": request.model or VIDEO_MODEL,
        "mode": request.mode,
        "prompt": request.prompt,
        "first_frame": _media(request.first_frame),
        "callback_url": request.notify_hook,
    }
    return merge_extra(fields, request.extra)


def _frames(keyframes: Keyframes | None) -> dict[str, Any] | None:
    if keyframes is None:
        return None
    frames = {"frame0": keyframes.frame0, "frame1": keyframes.frame1}
    return {name: _frame(frame) for name, frame in frames.items() if frame is not None}


def _frame(frame: Keyframe) -> dict[str, str]:
    # Assumed: an inline picture goes where its address would; the schema asks for a URI, which it is.
    return {"type": "image", "url": frame.url} if isinstance(frame, ImageKeyframe) else _generation(frame.id)


def _generation(generation_id: str) -> dict[str, str]:
    return {"type": "generation", "id": generation_id}


def _reference(reference: ImageReference) -> dict[str, Any]:
    weight = {} if reference.weight is None else {"weight": reference.weight}
    return {"url": reference.url, **weight}


def _media(url: str | None) -> dict[str, str] | None:
    return None if url is None else {"url": url}


def _uncarried(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        field=name,
        message=f"the official format has no such field: {why} "
        "What your service takes beyond it can go in `extra`, in the service's own spelling.",
    )
