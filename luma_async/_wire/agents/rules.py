"""Which fields of a request exclude each other at the service.

The service refuses such a request free of charge, but only after its pictures were uploaded, and in words that do not
name our fields.

Source: Luma's Python SDK 0.5.0 and its guides of 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import GenerationKeyframe, Keyframes
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
    from collections.abc import Sequence

    from luma_async.values.requests import Request

_LONG = "10s"
_LAST_FRAMES = {"5s": 120, _LONG: 240}
"""The number of the last frame: 24 frames a second."""
_HDR_RESOLUTIONS = (None, "720p", "1080p")
"""None is the service's default, 720p."""
_EXTEND_RESOLUTIONS = (None, "540p", "720p", "1080p")
_MANGA_RATIOS = ("2:3", "9:16", "1:2", "1:3")
_MAX_KEYFRAMES = 64
_MAX_PROMPT_CHARS = 6000
_MAX_LAYER_PROMPT_CHARS = 500
_MAX_REFERENCES = {ImageRequest: 9, ImageEditRequest: 8}


def check(request: Request) -> None:
    """Refuse a combination of fields that the service does not take; the message names both fields.

    Raises:
        InvalidInput: there is such a combination, or a field exceeds a documented bound.
    """
    _check_prompt(request)
    match request:
        case VideoRequest():
            _check_video(request)
        case ExtendRequest():
            _check_extension(request)
        case ModifyRequest():
            _check_edit(request)
        case ReframeRequest():
            _exclude(request.kind == "image", "kind", "image excludes source media: this dialect reframes videos only.")
        case ImageRequest() | ImageEditRequest():
            _check_image(request)
        case _:
            pass


def _exclude(excluded: bool, field: str, message: str) -> None:
    if excluded:
        raise InvalidInput(field=field, message=message)


def _check_prompt(request: Request) -> None:
    prompt: str | None = getattr(request, "prompt", None)
    most = _MAX_LAYER_PROMPT_CHARS if isinstance(request, LayerRequest) else _MAX_PROMPT_CHARS
    _exclude(prompt is None, "prompt", "is required by this dialect.")
    _exclude(len(prompt or "") > most, "prompt", f"must have at most {most} characters.")


def _check_video(request: VideoRequest) -> None:
    frames = request.keyframes
    first, last = (frames.frame0, frames.frame1) if frames else (None, None)
    at = bool(frames and frames.at)
    ends = [name for name, frame in (("frame0", first), ("frame1", last)) if frame is not None]
    _check_at(frames, ends, _LAST_FRAMES.get(request.duration or "5s"), "duration")
    _exclude(
        request.duration == _LONG and bool(ends),
        "duration",
        f"10s excludes keyframes.{ends[0] if ends else ''}; use frames 0 to 240 instead (Keyframes.at, --keyframe).",
    )
    _check_loop(request, at=at, last=last is not None)
    _check_hdr(request, hdr_excluded=request.duration == _LONG and not at, by="duration 10s without keyframes.at")
    if any(isinstance(frame, GenerationKeyframe) for frame in (first, last)):
        _exclude(len(ends) > 1, "keyframes.frame0", "and keyframes.frame1 cannot both be set if one is a generation.")
        _check_block(request, "keyframes." + ends[0])


def _check_at(frames: Keyframes | None, ends: Sequence[str], last_frame: int | None, bound: str) -> None:
    if frames is None or not frames.at:
        return
    _exclude(bool(ends), "keyframes.at", f"excludes keyframes.{ends[0] if ends else ''}; frame 0 is the first frame.")
    _exclude(len(frames.at) > _MAX_KEYFRAMES, "keyframes.at", f"must have at most {_MAX_KEYFRAMES} frames.")
    highest = max(each.frame for each in frames.at)
    _exclude(
        last_frame is not None and highest > last_frame,
        "keyframes.at",
        f"has frame {highest}, and with this {bound} the last frame is {last_frame}.",
    )


def _check_loop(request: VideoRequest, *, at: bool, last: bool) -> None:
    if not request.loop:
        return
    _exclude(request.duration == _LONG, "loop", "excludes duration 10s.")
    _exclude(bool(request.hdr), "loop", "excludes hdr.")
    _exclude(last, "loop", "excludes keyframes.frame1.")
    _exclude(at, "loop", "excludes keyframes.at.")


def _check_hdr(request: VideoRequest | ModifyRequest, *, hdr_excluded: bool, by: str) -> None:
    _exclude(bool(request.exr_export) and not request.hdr, "exr_export", "needs hdr.")
    if request.hdr:
        _exclude(request.resolution not in _HDR_RESOLUTIONS, "hdr", "needs the resolution 720p or 1080p.")
        _exclude(hdr_excluded, "hdr", f"excludes {by}.")


def _check_block(request: VideoRequest | ExtendRequest, source: str) -> None:
    """Check what holds for every extension: one block of five seconds, without HDR."""
    _exclude(request.duration not in {None, "5s"}, "duration", f"must be 5s with {source}: an extension adds 5 s.")
    _exclude(bool(getattr(request, "hdr", None)), "hdr", f"excludes {source}: extensions have no HDR.")
    _exclude(request.resolution not in _EXTEND_RESOLUTIONS, "resolution", f"must be 540p, 720p or 1080p with {source}.")


def _check_extension(request: ExtendRequest) -> None:
    _exclude(
        request.keyframes is not None,
        "keyframes",
        "excludes source: a generation cannot be joined with another generation or an image.",
    )
    _check_block(request, "source")
    _exclude(bool(request.loop) and request.direction == "backward", "loop", "excludes direction backward.")


def _check_edit(request: ModifyRequest) -> None:
    frames = request.keyframes
    first = bool(frames and frames.frame0)
    _exclude(bool(frames and frames.frame1), "keyframes.frame1", "excludes media: an edit ends as its original does.")
    _exclude(first and request.first_frame is not None, "first_frame", "excludes keyframes.frame0.")
    ends = ["frame0"] if first else []
    _check_at(frames, ends, None, "media")
    _exclude(bool(frames and frames.at) and request.first_frame is not None, "first_frame", "excludes keyframes.at.")
    if request.auto_controls:
        _exclude(request.mode is not None, "auto_controls", "excludes mode.")
        _exclude(request.controls is not None, "auto_controls", "excludes controls.")
    _check_hdr(request, hdr_excluded=False, by="")


def _check_image(request: ImageRequest | ImageEditRequest) -> None:
    most = _MAX_REFERENCES[type(request)]
    _exclude(len(request.image_refs) > most, "image_refs", f"must have at most {most} images.")
    if isinstance(request, ImageRequest) and request.style == "manga":
        ratios = ", ".join(_MANGA_RATIOS)
        _exclude(request.aspect_ratio not in _MANGA_RATIOS, "style", f"manga needs an aspect_ratio of {ratios}.")
