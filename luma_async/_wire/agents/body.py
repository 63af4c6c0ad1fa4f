"""The body of a paid submit in the format of Luma's present API: one path, six types.

Source: Luma's Python SDK 0.5.0 (`types/generation_create_params.py`) and its guides of 2026.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from luma_async._wire.dialect import merge_extra
from luma_async.values.keyframes import FileReference, GenerationKeyframe
from luma_async.values.requests import (
    ExtendRequest,
    ImageEditRequest,
    ImageRequest,
    LayerRequest,
    ModifyRequest,
    ReframeRequest,
    VideoRequest,
)

if TYPE_CHECKING:
    from luma_async.values.controls import EditControls, SourcePosition
    from luma_async.values.keyframes import Keyframes, Media, Reference
    from luma_async.values.requests import Request

VIDEO_MODEL = "ray-3.2"
"""The model for videos where the request has none: the service's own default makes images."""
IMAGE_MODEL = "uni-1"
"""The model for images where the request has none: the service's own default."""

_FORMATS = {"jpg": "jpeg", "png": "png"}
_VIDEO_TYPES = {".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska"}
"""Media types by the suffix of an address; other videos are MP4."""


def submit_body(request: Request) -> dict[str, Any]:
    """Build the body of a submit; fields that the request does not set are left out.

    Raises:
        InvalidInput: `extra` holds a field that has its own argument.
    """
    fields = _fields(request)
    fields["user_id"] = getattr(request, "user_id", None)
    video = fields.get("video")
    if video is not None:
        fields["video"] = {name: value for name, value in video.items() if value is not None} or None
    return merge_extra(fields, request.extra)


def _fields(request: Request) -> dict[str, Any]:
    match request:
        case VideoRequest():
            return _common("video", request, VIDEO_MODEL) | {
                "aspect_ratio": request.aspect_ratio,
                "video": _video_options(request)
                | _frames(request.keyframes)
                | {"loop": request.loop, "hdr": request.hdr, "exr_export": request.exr_export},
            }
        case ExtendRequest():
            # An extension is a video with a generation as its first frame, or as its last.
            end = "start_frame" if request.direction == "forward" else "end_frame"
            options = _video_options(request) | {end: {"generation_id": request.source}, "loop": request.loop}
            return _common("video", request, VIDEO_MODEL) | {"video": options}
        case ImageRequest() | ImageEditRequest():
            return _image(request)
        case ModifyRequest():
            return _edit(request)
        case ReframeRequest():
            return _common("video_reframe", request, VIDEO_MODEL) | {
                "aspect_ratio": request.aspect_ratio,
                "source": _video(request.media),
                "video": {"resolution": request.resolution, "source_position": _position(request.source_position)},
            }
        case LayerRequest():
            return _common("layering", request, IMAGE_MODEL) | {
                "source": _picture(request.media),
                "layering": {"resolution": request.resolution} if request.resolution else None,
            }
        case _:
            raise TypeError(f"the dialect has no {type(request).__name__}")


def _common(kind: str, request: Any, model: str) -> dict[str, Any]:
    return {"model": request.model or model, "type": kind, "prompt": request.prompt}


def _video_options(request: VideoRequest | ExtendRequest) -> dict[str, Any]:
    return {"resolution": request.resolution, "duration": request.duration}


def _image(request: ImageRequest | ImageEditRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "image_ref": [_picture(image) for image in request.image_refs] or None,
        "output_format": _FORMATS.get(request.format, request.format) if request.format else None,
        "style": request.style,
        "web_search": request.web_search,
    }
    if isinstance(request, ImageEditRequest):
        return _common("image_edit", request, IMAGE_MODEL) | {"source": _picture(request.media)} | fields
    return _common("image", request, IMAGE_MODEL) | {"aspect_ratio": request.aspect_ratio} | fields


def _edit(request: ModifyRequest) -> dict[str, Any]:
    frames = _frames(request.keyframes)
    edit = {
        "auto_controls": request.auto_controls,
        "strength": request.mode,
        "controls": _controls(request.controls),
        "keyframes": frames.pop("keyframes", None),
        "keyframe_indexes": frames.pop("keyframe_indexes", None),
    }
    if request.first_frame is not None:
        frames["start_frame"] = {"url": request.first_frame}
    options: dict[str, Any] = {"resolution": request.resolution, "hdr": request.hdr, "exr_export": request.exr_export}
    options["edit"] = {name: value for name, value in edit.items() if value is not None} or None
    return _common("video_edit", request, VIDEO_MODEL) | {"source": _video(request.media), "video": options | frames}


def _frames(keyframes: Keyframes | None) -> dict[str, Any]:
    if keyframes is None:
        return {}
    if keyframes.at:
        return {
            "keyframes": [_picture(each.image) for each in keyframes.at],
            "keyframe_indexes": [each.frame for each in keyframes.at],
        }
    ends = {"start_frame": keyframes.frame0, "end_frame": keyframes.frame1}
    return {name: _picture(frame) for name, frame in ends.items() if frame is not None}


def _controls(controls: EditControls | None) -> dict[str, Any] | None:
    if controls is None:
        return None
    return {
        name: {field: value for field, value in attrs.asdict(control).items() if value is not None}
        for name in ("depth", "face", "normals", "pose", "trajectory")
        if (control := getattr(controls, name)) is not None
    }


def _position(position: SourcePosition | None) -> dict[str, float] | None:
    if position is None:
        return None
    return {"x_norm": position.x, "y_norm": position.y, "w_norm": position.width, "h_norm": position.height}


def _picture(image: Media | Reference) -> dict[str, str]:
    """Build the reference to a picture."""
    if isinstance(image, GenerationKeyframe):
        return {"generation_id": image.id}
    if isinstance(image, FileReference):
        return {"file_id": image.id}
    url = image if isinstance(image, str) else image.url
    if not url.startswith("data:"):
        return {"url": url}
    head, _, data = url.partition(",")
    return {"data": data, "media_type": head.removeprefix("data:").partition(";")[0]}


def _video(media: Media) -> dict[str, str]:
    """Build the reference to a video; the service wants to know the type of what it fetches itself."""
    reference = _picture(media)
    if isinstance(media, str):
        suffix = PurePosixPath(urlsplit(media).path).suffix.lower()
        reference["media_type"] = _VIDEO_TYPES.get(suffix, "video/mp4")
    return reference
