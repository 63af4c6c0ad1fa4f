"""What Luma's Agents API refuses although the types are right.

Source: Luma's guides to errors and to video generation. Assumed: the texts about combinations are not documented, and
the status of a combination is 422.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NoReturn

from luma_async.testing.dream_machine.validation import RefusedBodyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VIDEO_TYPES = ("video", "video_edit", "video_reframe")
IMAGE_TYPES = ("image", "image_edit", "layering")
MODELS: dict[str, tuple[str, ...]] = {"uni-1": IMAGE_TYPES, "uni-1-max": IMAGE_TYPES, "ray-3.2": VIDEO_TYPES}
"""The types that each model supports."""
DEFAULT_MODEL, DEFAULT_TYPE = "uni-1", "image"
MAX_IMAGE_BYTES = 50 * 1000 * 1000
_IMAGE_RATIOS = ("3:1", "2:1", "16:9", "3:2", "1:1", "2:3", "9:16", "1:2", "1:3")
_VIDEO_RATIOS = ("9:16", "3:4", "1:1", "4:3", "16:9", "21:9")
_MANGA_RATIOS = ("2:3", "9:16", "1:2", "1:3")
_NEEDS_SOURCE = frozenset({"image_edit", "video_edit", "video_reframe", "layering"})
_MAX_REFERENCES = {"image": 9, "image_edit": 8, "video_edit": 0}
_MAX_KEYFRAMES = 64
_WAYS = ("url", "data", "generation_id", "file_id")
_ONLY_VIDEO = ("loop", "end_frame", "keyframes", "keyframe_indexes")


def check_model(body: Mapping[str, Any]) -> None:
    """Check that the model exists and supports the type.

    Raises:
        RefusedBodyError: 400.
    """
    model, kind = body.get("model", DEFAULT_MODEL), body.get("type", DEFAULT_TYPE)
    if model not in MODELS:
        raise RefusedBodyError(400, f"Unknown model: {model}")
    if kind not in MODELS[model]:
        raise RefusedBodyError(400, f"Type '{kind}' is not supported for model '{model}'")


def check(body: Mapping[str, Any]) -> None:
    """Check a request of known types.

    Raises:
        RefusedBodyError: 400, 413 or 422, with a text.
    """
    kind = body.get("type", DEFAULT_TYPE)
    limit = 500 if kind == "layering" else 6000
    if not 1 <= len(body.get("prompt", "")) <= limit:
        raise RefusedBodyError(400, f"Prompt must be between 1 and {limit} characters")
    _check_ratio(kind, body)
    _check_source(kind, body)
    for where, reference in references(body):
        _check_reference(where, reference)
    if "layering" in body and kind != "layering":
        _refuse("'layering' needs type 'layering'")
    if len(body.get("user_id", "")) > 256:
        _refuse("'user_id' must be at most 256 characters")
    video = body.get("video", {})
    if video and kind not in VIDEO_TYPES:
        _refuse(f"'video' is not allowed for type '{kind}'")
    _check_video(kind, video)


def references(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every reference to a picture or a video, with its place in the body."""
    if "source" in body:
        yield "source", body["source"]
    video = body.get("video", {})
    for name in ("start_frame", "end_frame"):
        if name in video:
            yield f"video.{name}", video[name]
    listed = {"image_ref": body, "video.keyframes": video, "video.edit.keyframes": video.get("edit", {})}
    for where, owner in listed.items():
        for index, reference in enumerate(owner.get(where.rpartition(".")[2], ())):
            yield f"{where}[{index}]", reference


def _check_ratio(kind: str, body: Mapping[str, Any]) -> None:
    """Edits ignore the ratio; reframing needs one."""
    ratio = body.get("aspect_ratio")
    if kind == "video_reframe" and ratio is None:
        raise RefusedBodyError(400, "'aspect_ratio' is required for type 'video_reframe'")
    valid = _VIDEO_RATIOS if kind in VIDEO_TYPES else _MANGA_RATIOS if body.get("style") == "manga" else _IMAGE_RATIOS
    if ratio is not None and kind not in {"image_edit", "video_edit"} and ratio not in valid:
        raise RefusedBodyError(400, f"Invalid aspect_ratio '{ratio}'. Valid: {', '.join(valid)}")


def _check_source(kind: str, body: Mapping[str, Any]) -> None:
    """Edits, reframing and layers have a source; the other types have none."""
    if ("source" in body) != (kind in _NEEDS_SOURCE):
        verb = "is required" if kind in _NEEDS_SOURCE else "is not allowed"
        raise RefusedBodyError(400, f"'source' {verb} for type '{kind}'")
    limit = _MAX_REFERENCES.get(kind)
    if limit is not None and len(body.get("image_ref", ())) > limit:
        raise RefusedBodyError(400, f"Too many references: at most {limit} for type '{kind}'")


def _check_reference(where: str, reference: Mapping[str, Any]) -> None:
    """A reference names its picture in one way."""
    ways = [name for name in _WAYS if name in reference]
    if len(ways) != 1:
        problem = "not both" if ways else "neither was given"
        raise RefusedBodyError(400, f"{where}: provide either 'url' or 'data', {problem}")
    if "url" in reference and not reference["url"].startswith("https://"):
        _refuse(f"{where}: 'url' must be a public https URL")
    if "data" not in reference:
        return
    if "media_type" not in reference:
        raise RefusedBodyError(400, f"{where}: 'media_type' is required with 'data'")
    try:
        data = base64.b64decode(reference["data"], validate=True)
    except binascii.Error:
        raise RefusedBodyError(422, f"{where}: 'data' is not valid Base64") from None
    if len(data) > MAX_IMAGE_BYTES and reference["media_type"].startswith("image/"):
        raise RefusedBodyError(413, "Image exceeds 50 MB size limit")


def _check_video(kind: str, video: Mapping[str, Any]) -> None:
    """Check the options of a video, each with those that it excludes."""
    if video.get("exr_export") and not video.get("hdr"):
        _refuse("'video.exr_export' needs 'video.hdr'")
    if video.get("hdr") and video.get("resolution", "720p") not in {"720p", "1080p"}:
        _refuse("'video.hdr' needs 'video.resolution' 720p or 1080p")
    if "source_position" in video and kind != "video_reframe":
        _refuse("'video.source_position' needs type 'video_reframe'")
    if "edit" in video and kind != "video_edit":
        _refuse("'video.edit' needs type 'video_edit'")
    if kind == "video":
        _check_frames(video)
        return
    for name in _ONLY_VIDEO:
        if video.get(name):
            _refuse(f"'video.{name}' is not allowed for type '{kind}'")
    if kind == "video_edit":
        _check_edit(video)
    elif kind == "video_reframe":
        _check_reframe(video)


def _check_frames(video: Mapping[str, Any]) -> None:
    """Check the frames, the length and the loop of a new video."""
    long, keyframes = video.get("duration") == "10s", "keyframes" in video
    for name in ("start_frame", "end_frame"):
        if name in video and long:
            _refuse(f"'video.duration' 10s excludes 'video.{name}'; use 'video.keyframes'")
        if name in video and keyframes:
            _refuse(f"'video.keyframes' excludes 'video.{name}'")
    if video.get("loop"):
        excluded = {"duration": long, "hdr": video.get("hdr"), "end_frame": "end_frame" in video}
        for name, given in {**excluded, "keyframes": keyframes}.items():
            if given:
                _refuse(f"'video.loop' excludes 'video.{name}'" + (" 10s" if name == "duration" else ""))
    if video.get("hdr") and long and not keyframes:
        _refuse("'video.hdr' excludes 'video.duration' 10s without 'video.keyframes'")
    _check_keyframes("video", video, 240 if long else 120)


def _check_keyframes(where: str, owner: Mapping[str, Any], last: int | None) -> None:
    """Check that each keyframe has its own place."""
    if "keyframes" not in owner and "keyframe_indexes" not in owner:
        return
    keyframes, indexes = owner.get("keyframes", []), owner.get("keyframe_indexes", [])
    if not 1 <= len(keyframes) <= _MAX_KEYFRAMES:
        _refuse(f"'{where}.keyframes' must have 1 to {_MAX_KEYFRAMES} entries")
    if len(indexes) != len(keyframes) or len(set(indexes)) != len(indexes):
        _refuse(f"'{where}.keyframe_indexes' must have as many entries as '{where}.keyframes', each of them unique")
    if min(indexes) < 0 or (last is not None and max(indexes) > last):
        _refuse(f"'{where}.keyframe_indexes' must be between 0 and {'the last frame' if last is None else last}")


def _check_edit(video: Mapping[str, Any]) -> None:
    edit = video.get("edit", {})
    for name in ("strength", "controls"):
        if edit.get("auto_controls") and name in edit:
            _refuse(f"'video.edit.auto_controls' excludes 'video.edit.{name}'")
    if "keyframes" in edit and "start_frame" in video:
        _refuse("'video.edit.keyframes' excludes 'video.start_frame'")
    _check_keyframes("video.edit", edit, None)
    controls = edit.get("controls", {})
    for control, name in (("depth", "blur"), ("normals", "augmentation"), ("trajectory", "sparsity")):
        if not 0 <= controls.get(control, {}).get(name, 0) <= 1:
            _refuse(f"'video.edit.controls.{control}.{name}' must be between 0 and 1")


def _check_reframe(video: Mapping[str, Any]) -> None:
    for name in ("hdr", "start_frame"):
        if video.get(name):
            _refuse(f"'video.{name}' is not allowed for type 'video_reframe'")
    position = video.get("source_position", {})
    for name, value in position.items():
        if not (-2 <= value <= 2 if name in {"x_norm", "y_norm"} else 0 < value <= 2):
            _refuse(f"'video.source_position.{name}' is out of range")


def _refuse(text: str) -> NoReturn:
    raise RefusedBodyError(422, text)
