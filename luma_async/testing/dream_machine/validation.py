"""The paid requests of Luma's Dream Machine API: their schemas, and the rules that the schemas do not state.

Source: Luma's OpenAPI document 1.1.0, to which Luma's SDK 1.18 adds a model for modifying videos.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from luma_async.testing.dream_machine.schema import (
    Record,
    by_type,
    flag,
    generation_id,
    integer,
    many,
    number,
    one_of,
    text,
    uri,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async.testing.dream_machine.schema import Check

_PROMPT_CHARACTERS = range(3, 5001)


class RefusedBodyError(Exception):
    """The service refuses this body. Nothing was started or charged."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


@attrs.frozen(kw_only=True)
class PaidRequest:
    """A kind of paid request."""

    kind: str
    """The kind in charges and generations."""
    generation_type: str
    """The type in the request that an answer repeats."""
    record: Record
    status: int = 201
    """The status of the answer to a valid request."""

    def check(self, body: Any) -> None:
        """Check a body against the published schema.

        Raises:
            RefusedBodyError: 422, with every error.
        """
        if errors := list(self.record(body, ("body",))):
            raise RefusedBodyError(422, errors)


def check_rules(paid: PaidRequest, body: Mapping[str, Any]) -> None:
    """Check the rules that the schema does not state.

    Assumed: only videos are checked, and ray-1-6 is the model without concepts; the messages are recorded.

    Raises:
        RefusedBodyError: 400, with a message.
    """
    if paid.generation_type != "video":
        return
    prompt = body.get("prompt", "")
    if not prompt:
        raise RefusedBodyError(400, "Prompt is required")
    if len(prompt) < _PROMPT_CHARACTERS.start:
        raise RefusedBodyError(400, f"Prompt is too short, minimum length is {_PROMPT_CHARACTERS.start} characters")
    if len(prompt) >= _PROMPT_CHARACTERS.stop:
        raise RefusedBodyError(400, f"Prompt is too long, maximum length is {_PROMPT_CHARACTERS.stop - 1} characters")
    if body.get("concepts") and body.get("model") == "ray-1-6":
        raise RefusedBodyError(400, "400: concepts are not supported for this model")


def source_ids(body: Mapping[str, Any]) -> list[str]:
    """The ids of the generations that a video takes its frames from."""
    keyframes = body.get("keyframes", {})
    frames = [keyframes[name] for name in ("frame0", "frame1") if name in keyframes]
    return [frame["id"] for frame in frames if frame["type"] == "generation"]


_RATIO = one_of("1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21")
_MEDIA = Record(required={"url": uri})
_FRAME = by_type(
    {
        "image": Record(required={"url": uri}),
        "generation": Record(required={"id": generation_id}),
    }
)
_PHOTON = one_of("photon-1", "photon-flash-1")
_WEIGHTED_IMAGE = Record(optional={"url": uri, "weight": number})
_REFRAMED: dict[str, Check] = {
    "prompt": text,
    "callback_url": uri,
    "grid_position_x": integer,
    "grid_position_y": integer,
    "x_start": integer,
    "x_end": integer,
    "y_start": integer,
    "y_end": integer,
    "resized_width": integer,
    "resized_height": integer,
}

_VIDEO_FIELDS: dict[str, Check] = {
    "generation_type": one_of("video"),
    "prompt": text,
    "aspect_ratio": _RATIO,
    "loop": flag,
    "keyframes": Record(optional={"frame0": _FRAME, "frame1": _FRAME}),
    "callback_url": uri,
    "resolution": text,
    "duration": text,
    "concepts": many(Record(required={"key": text})),
}
_VIDEO_MODEL = one_of("ray-1-6", "ray-2", "ray-flash-2")

VIDEO = PaidRequest(
    kind="video",
    generation_type="video",
    record=Record(required={"model": _VIDEO_MODEL}, optional=_VIDEO_FIELDS),
)
RELAYED_VIDEO = PaidRequest(
    kind="video",
    generation_type="video",
    record=Record(required={"prompt": text}, optional=_VIDEO_FIELDS | {"model": _VIDEO_MODEL}),
)
"""A video as relays document it: without a model."""
IMAGE = PaidRequest(
    kind="image",
    generation_type="image",
    record=Record(
        required={"model": _PHOTON},
        optional={
            "generation_type": one_of("image"),
            "prompt": text,
            "aspect_ratio": _RATIO,
            "format": one_of("jpg", "png"),
            "callback_url": uri,
            "image_ref": many(_WEIGHTED_IMAGE),
            "style_ref": many(_WEIGHTED_IMAGE),
            "character_ref": Record(optional={"identity0": Record(optional={"images": many(uri)})}),
            "modify_image_ref": _WEIGHTED_IMAGE,
            "sync": flag,
            "sync_timeout": number,
        },
    ),
)
REFRAME_IMAGE = PaidRequest(
    kind="reframe_image",
    generation_type="reframe_image",
    record=Record(
        required={
            "media": _MEDIA,
            "aspect_ratio": _RATIO,
            "model": _PHOTON,
            "generation_type": one_of("reframe_image"),
        },
        optional=_REFRAMED | {"format": one_of("jpg", "png")},
    ),
)
REFRAME_VIDEO = PaidRequest(
    kind="reframe_video",
    generation_type="reframe_video",
    record=Record(
        required={
            "media": _MEDIA,
            "aspect_ratio": _RATIO,
            "model": one_of("ray-2", "ray-flash-2"),
            "generation_type": one_of("reframe_video"),
        },
        optional=_REFRAMED | {"first_frame": _MEDIA},
    ),
)
MODIFY = PaidRequest(
    kind="modify",
    generation_type="modify_video",
    record=Record(
        required={
            "media": _MEDIA,
            "model": one_of("ray-2", "ray-flash-2"),
            "mode": one_of(*(f"{word}_{level}" for word in ("adhere", "flex", "reimagine") for level in (1, 2, 3))),
            "generation_type": one_of("modify_video"),
        },
        optional={"first_frame": _MEDIA, "prompt": text, "callback_url": uri},
    ),
)
UPSCALE = PaidRequest(
    kind="upscale",
    generation_type="upscale_video",
    record=Record(optional={"generation_type": one_of("upscale_video"), "resolution": text, "callback_url": uri}),
    status=200,
)
AUDIO = PaidRequest(
    kind="audio",
    generation_type="add_audio",
    record=Record(
        optional={"generation_type": one_of("add_audio"), "prompt": text, "negative_prompt": text, "callback_url": uri}
    ),
    status=200,
)

EXTEND = attrs.evolve(VIDEO, kind="extend")
"""A video whose frames come from another generation."""

BY_KIND = {paid.kind: paid for paid in (VIDEO, EXTEND, IMAGE, REFRAME_IMAGE, REFRAME_VIDEO, MODIFY, UPSCALE, AUDIO)}
"""The paid request of each kind of generation, whichever dialect submitted it."""
