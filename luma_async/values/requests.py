"""What a caller wants: the requests that `submit()` takes, checked when they are built.

A request is a value: frozen, comparable, and free of anything a service would have to spell. Which fields a
service can carry is its dialect's business; what can never be right is refused here, before any I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import attrs

from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import ImageReference, Keyframes, check_keyframes, check_reference, check_references
from luma_async.values.redaction import show_url
from luma_async.values.validators import (
    as_characters,
    as_mapping,
    as_tuple,
    check_character_urls,
    check_flag,
    check_json_mapping,
    check_media,
    check_media_kind,
    check_prompt,
    check_ratio,
    check_source,
    check_text,
    check_texts,
    check_web_url,
    check_whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


def _show_characters(refs: Mapping[str, tuple[str, ...]]) -> str:
    shown = [f"{name!r}: [{', '.join(map(show_url, urls))}]" for name, urls in refs.items()]
    return f"{{{', '.join(shown)}}}"


@attrs.frozen
class VideoRequest:
    """A video from a prompt, and if you like from pictures or earlier generations."""

    prompt: str = attrs.field(validator=check_prompt)
    """What to show."""
    aspect_ratio: str = attrs.field(default="16:9", kw_only=True, validator=check_ratio)
    """Width to height, such as `16:9`, `9:16` or `1:1`."""
    keyframes: Keyframes | None = attrs.field(default=None, kw_only=True, validator=check_keyframes)
    """The first and the last frame."""
    loop: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the end joins the beginning."""
    expand_prompt: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the service may improve the prompt."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model, such as `ray-2`."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """Such as `540p`, `720p`, `1080p`."""
    duration: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """As the service spells it, such as `5s`."""
    concepts: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=as_tuple, validator=check_texts)
    """Names of concepts, such as `dolly_zoom`."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """An address that the service calls on changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields of tomorrow, sent as they are."""


@attrs.frozen
class ExtendRequest:
    """More of a completed video."""

    source: str = attrs.field(validator=check_source)
    """The id of the completed video."""
    prompt: str = attrs.field(validator=check_prompt)
    """What happens next."""
    keyframes: Keyframes | None = attrs.field(default=None, kw_only=True, validator=check_keyframes)
    """Where it ends: only `frame1` makes sense."""
    loop: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the end joins the beginning."""
    expand_prompt: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the service may improve the prompt."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """Such as `720p`."""
    duration: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """As the service spells it, such as `5s`."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """An address that the service calls on changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields of tomorrow, sent as they are."""

    def __attrs_post_init__(self) -> None:
        if self.keyframes is not None and self.keyframes.frame0 is not None:
            raise InvalidInput(field="keyframes.frame0", message="is the source itself; give only frame1.")


@attrs.frozen
class AudioRequest:
    """Sound for a completed video."""

    source: str = attrs.field(validator=check_source)
    """The id of the completed video."""
    prompt: str = attrs.field(validator=check_prompt)
    """What to hear."""
    negative_prompt: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """What not to hear."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """An address that the service calls on changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields of tomorrow, sent as they are."""


@attrs.frozen
class UpscaleRequest:
    """A completed video in a higher resolution."""

    source: str = attrs.field(validator=check_source)
    """The id of the completed video."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """Such as `1080p` or `4k`."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """An address that the service calls on changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields of tomorrow, sent as they are."""


@attrs.frozen
class ImageRequest:
    """A picture from a prompt and reference pictures."""

    prompt: str = attrs.field(validator=check_prompt)
    """What to show."""
    aspect_ratio: str = attrs.field(default="16:9", kw_only=True, validator=check_ratio)
    """Width to height."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """Such as `photon-1` or `photon-flash-1`."""
    image_refs: tuple[ImageReference, ...] = attrs.field(
        default=(), kw_only=True, converter=as_tuple, validator=check_references
    )
    """Pictures to follow in content."""
    style_refs: tuple[ImageReference, ...] = attrs.field(
        default=(), kw_only=True, converter=as_tuple, validator=check_references
    )
    """Pictures to follow in style."""
    character_refs: Mapping[str, tuple[str, ...]] = attrs.field(
        factory=dict[str, tuple[str, ...]],
        kw_only=True,
        converter=as_characters,
        validator=check_character_urls,
        repr=_show_characters,
        hash=False,
    )
    """Addresses of pictures by identity, such as `{"identity0": ["https://…"]}`."""
    modify_image_ref: ImageReference | None = attrs.field(default=None, kw_only=True, validator=check_reference)
    """The picture to change."""
    format: Literal["jpg", "png"] | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The kind of file."""
    sync: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the service answers only when the picture is done."""
    sync_timeout: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """Seconds the service may take for it."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """An address that the service calls on changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields of tomorrow, sent as they are."""


@attrs.frozen
class ReframeRequest:
    """A video or a picture in another aspect ratio."""

    media: str = attrs.field(validator=check_media, repr=show_url)
    """Where the original is."""
    aspect_ratio: str = attrs.field(default="16:9", kw_only=True, validator=check_ratio)
    """Width to height of the result."""
    kind: Literal["video", "image"] = attrs.field(default="video", kw_only=True, validator=check_media_kind)
    """What the original is."""
    prompt: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """What to show where there was nothing."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model."""
    first_frame: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """Where the first frame of the result is (videos only)."""
    format: Literal["jpg", "png"] | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The kind of file (pictures only)."""
    grid_position_x: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """Where the original lies in the result, pixels from the left."""
    grid_position_y: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """Where the original lies in the result, pixels from the top."""
    resized_width: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """Pixels of the original in the result."""
    resized_height: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """Pixels of the original in the result."""
    x_start: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """The left edge of the cut, pixels."""
    x_end: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """The right edge of the cut, pixels."""
    y_start: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """The upper edge of the cut, pixels."""
    y_end: int | None = attrs.field(default=None, kw_only=True, validator=check_whole)
    """The lower edge of the cut, pixels."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """An address that the service calls on changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields of tomorrow, sent as they are."""


@attrs.frozen
class ModifyRequest:
    """A video restyled by a prompt."""

    media: str = attrs.field(validator=check_media, repr=show_url)
    """Where the original is."""
    mode: str = attrs.field(kw_only=True, validator=check_prompt)
    """How far it may go: `adhere_1` to `adhere_3`, `flex_1` to `flex_3`, `reimagine_1` to `reimagine_3`."""
    prompt: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """What to show."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model."""
    first_frame: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """Where the first frame of the result is."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """An address that the service calls on changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields of tomorrow, sent as they are."""


Request: TypeAlias = (
    VideoRequest | ExtendRequest | AudioRequest | UpscaleRequest | ImageRequest | ReframeRequest | ModifyRequest
)
"""Everything that `submit()` takes."""


def as_request(wanted: Request | str, fields: Any) -> Request:
    """Return a request as it is, or the video that a prompt and its fields describe.

    Raises:
        InvalidInput: it is neither, or a field cannot be right.
        TypeError: fields beside a request.
    """
    if isinstance(wanted, str):
        return VideoRequest(wanted, **fields)
    if fields:
        raise TypeError(f"a {type(wanted).__name__} carries its own fields; do not pass {', '.join(fields)} beside it")
    if not isinstance(wanted, Request):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidInput(field="request", message="must be a prompt or a request such as VideoRequest(…).")
    return wanted


class VideoFields(TypedDict, total=False):
    """The fields of `VideoRequest` that `submit(prompt, …)` takes by name."""

    aspect_ratio: str
    keyframes: Keyframes | None
    loop: bool | None
    expand_prompt: bool | None
    model: str | None
    resolution: str | None
    duration: str | None
    concepts: Iterable[str]
    notify_hook: str | None
    extra: Mapping[str, Any]


class ExtendFields(TypedDict, total=False):
    """The fields of `ExtendRequest` that `extend(source, prompt, …)` takes by name."""

    keyframes: Keyframes | None
    loop: bool | None
    expand_prompt: bool | None
    model: str | None
    resolution: str | None
    duration: str | None
    notify_hook: str | None
    extra: Mapping[str, Any]


class AudioFields(TypedDict, total=False):
    """The fields of `AudioRequest` that `add_audio(source, prompt, …)` takes by name."""

    negative_prompt: str | None
    notify_hook: str | None
    extra: Mapping[str, Any]
