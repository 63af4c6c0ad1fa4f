"""The path, the body and the service's name of each kind of paid submit in Luma's own format.

A field that the format does not have would be paid for without effect. Such a field is refused here, by name.

Source: Luma's OpenAPI document 1.1.0. Where it requires a model and the request has none, the default of Luma's own
tools is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from luma_async._wire.dialect import merge_extra
from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import ImageKeyframe, ImageReference
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
    from luma_async.values.keyframes import Keyframe, Keyframes, Media, Reference
    from luma_async.values.requests import Request

# Assumed: the service's own default, ray-1-6, is out of date, so it is not what a request without a model means.
VIDEO_MODEL = "ray-2"
"""The model for videos where the request has none."""
IMAGE_MODEL = "photon-1"
"""The model for images where the request has none."""
DEFAULT_SYNC_TIMEOUT_S = 60.0
"""How long the service delays the answer to a synchronous request without `sync_timeout`."""
MAX_SYNC_WAIT_S = 3600.0
"""The longest delay of an answer that is waited for."""

_ONLY_KIND = {"first_frame": "video", "format": "image"}
"""Fields that exist for one kind of media only."""


@attrs.frozen(kw_only=True)
class SubmitSpec:
    """A paid submit in the words of the service."""

    operation: str
    """The name under which `supports()` knows it."""
    path: str | None
    """The path below that of all generations; None is the path for creating a video, which is a setting."""
    kind: str
    """The service's name of the kind (`generation_type`)."""
    body: dict[str, Any]
    """The JSON body."""
    sync_wait_s: float = 0.0
    """Seconds by which the service delays its answer."""


def submit_spec(request: Request) -> SubmitSpec:
    """Build a paid submit.

    Raises:
        InvalidInput: the format does not have one of the fields, or `extra` holds one that has its own argument.
    """
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
            raise InvalidInput(field="request", message="the format has no such call.")


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
    """A continuation is a video whose first keyframe is another generation."""
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
        "image_ref": [_reference(image) for image in request.image_refs] or None,
        "style_ref": [_reference(image) for image in request.style_refs] or None,
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
            raise _no_such_field(name, f"it is for {only}s only.")
    fields: dict[str, Any] = {
        "generation_type": kind,
        "media": _original(request.media),
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
    if request.mode is None:
        raise InvalidInput(field="mode", message="is required by this dialect, such as `flex_1`.")
    fields: dict[str, Any] = {
        "generation_type": "modify_video",
        "media": _original(request.media),
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
    # Assumed: an inline image goes in the place of its address; the schema requires a URI, and it is a URI.
    return {"type": "image", "url": frame.url} if isinstance(frame, ImageKeyframe) else _generation(frame.id)


def _generation(generation_id: str) -> dict[str, str]:
    return {"type": "generation", "id": generation_id}


def _reference(reference: Reference) -> dict[str, Any]:
    if isinstance(reference, ImageReference):
        weight = {} if reference.weight is None else {"weight": reference.weight}
        return {"url": reference.url, **weight}
    if isinstance(reference, ImageKeyframe):
        return {"url": reference.url}
    raise InvalidInput(field="image_refs", message="this dialect takes URLs and images only.")


def _original(media: Media) -> dict[str, str]:
    if isinstance(media, str):
        return {"url": media}
    raise InvalidInput(field="media", message="this dialect takes the URL of the original only.")


def _media(url: str | None) -> dict[str, str] | None:
    return None if url is None else {"url": url}


def _no_such_field(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        field=name,
        message=f"the official format has no such field: {why} "
        "Further fields of your service can go in `extra`, under the service's own names.",
    )
