"""The JSON for a generation and for a file, as Luma's Agents API sends it.

Source: the samples of answers, and Luma's Python SDK `luma-agents` 0.5.0. Assumed: an EXR export is one more output, of
the type `exr`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async.testing import clips
from luma_async.testing.answers import is_object

if TYPE_CHECKING:
    from datetime import datetime

    from luma_async.testing.store import FakeGeneration

KINDS = {"video_edit": "modify", "video_reframe": "reframe_video"}
"""The kinds in charges of types that other dialects know as well."""
_TYPES = {"modify": "video_edit", "reframe_video": "video_reframe", "reframe_image": "image_edit"}
_SAME = frozenset({"video", "image", "image_edit", "layering"})
_WORDS = {"pending": "queued"}
_LAYERS = (
    {"index": 0, "label": "boat", "description": "a folded paper boat", "alpha_hint": "hard"},
    {"index": 1, "label": "street", "description": "a wet street", "alpha_hint": "none"},
)


def generation_body(generation: FakeGeneration, origin: str, links_live_s: int) -> dict[str, Any]:
    """A generation, with links that are signed now."""
    failed = generation.state == "failed"
    return {
        "id": generation.id,
        "type": _type(generation),
        "state": _WORDS.get(generation.state, generation.state),
        "model": generation.body.get("model", "uni-1" if generation.is_image else "ray-3.2"),
        "created_at": moment(generation.created),
        "output": _output(generation, origin, links_live_s) if generation.shows_link else [],
        "failure_reason": generation.script.failure_reason if failed else None,
        "failure_code": generation.script.failure_code if failed else None,
    }


def moment(at: datetime) -> str:
    """A time as the service writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _type(generation: FakeGeneration) -> str:
    """The type; what other dialects call audio, upscale or extend is a video here."""
    return generation.kind if generation.kind in _SAME else _TYPES.get(generation.kind, "video")


def _exports(generation: FakeGeneration) -> bool:
    """Whether the request asked for an EXR export."""
    video = generation.body.get("video")
    return is_object(video) and video.get("exr_export") is True


def _output(generation: FakeGeneration, origin: str, links_live_s: int) -> list[dict[str, Any]]:
    """The outputs of a completed generation."""

    def item(kind: str, name: str) -> dict[str, Any]:
        return {"type": kind, "url": clips.link(origin, generation, name, links_live_s)}

    if generation.kind == "layering":
        return [{**item("image", clips.IMAGE), "layer": layer} for layer in _LAYERS]
    if generation.is_image:
        return [item("image", clips.IMAGE)]
    return [item("video", clips.CLEAN), *([item("exr", clips.EXR)] if _exports(generation) else [])]
