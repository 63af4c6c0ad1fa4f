"""The requests that `submit()` accepts. They are checked when they are built.

A request is a frozen, comparable value, independent of any dialect. Values that no service accepts are refused here,
before any I/O; fields that a service does not support are refused by its dialect.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar

import attrs

from luma_async.values.controls import EditControls, SourcePosition
from luma_async.values.errors import InvalidInput
from luma_async.values.keyframes import (
    ImageReference,
    Keyframes,
    Media,
    Reference,
    check_images,
    check_keyframes,
    check_media,
    check_reference,
    check_references,
    show_media,
)
from luma_async.values.public import public
from luma_async.values.redaction import show_url
from luma_async.values.validators import (
    as_characters,
    as_mapping,
    as_tuple,
    check_character_urls,
    check_choice,
    check_field_names,
    check_flag,
    check_instance,
    check_integer,
    check_json_mapping,
    check_media_kind,
    check_prompt,
    check_ratio,
    check_source,
    check_text,
    check_texts,
    check_user,
    check_web_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")


def _names_unknown_fields(cls: type[_T]) -> type[_T]:
    """Let a request refuse unknown arguments with an error that says where they belong."""
    build: Callable[..., None] = cls.__init__

    @functools.wraps(build)
    def init(self: _T, *args: Any, **fields: Any) -> None:
        try:
            build(self, *args, **fields)
        except TypeError:
            check_field_names(cls, fields)
            raise

    cls.__init__ = init  # type: ignore[assignment, method-assign]
    return cls


def _show_characters(refs: Mapping[str, tuple[str, ...]]) -> str:
    shown = [f"{name!r}: [{', '.join(map(show_url, urls))}]" for name, urls in refs.items()]
    return f"{{{', '.join(shown)}}}"


@public
@_names_unknown_fields
@attrs.frozen
class VideoRequest:
    """A video from a prompt and, optionally, from images or earlier generations."""

    prompt: str = attrs.field(validator=check_prompt)
    """A description of the result."""
    aspect_ratio: str = attrs.field(default="16:9", kw_only=True, validator=check_ratio)
    """The ratio of width to height, such as `16:9`, `9:16` or `1:1`."""
    keyframes: Keyframes | None = attrs.field(default=None, kw_only=True, validator=check_keyframes)
    """The first and the last frame, or frames at places in between."""
    loop: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the video loops without a visible cut."""
    expand_prompt: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the service may rewrite the prompt."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model, such as `ray-2`."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The resolution, such as `540p`, `720p` or `1080p`."""
    duration: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The duration in the service's form, such as `5s`."""
    concepts: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=as_tuple, validator=check_texts)
    """The names of concepts, such as `dolly_zoom`."""
    hdr: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the video has a high dynamic range."""
    exr_export: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the frames are also delivered as EXR files; needs `hdr`."""
    user_id: str | None = attrs.field(default=None, kw_only=True, validator=check_user)
    """Your own mark for the person for whom this is made, at most 256 characters. No personal data."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """A URL that the service calls when the generation changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


@public
@_names_unknown_fields
@attrs.frozen
class ExtendRequest:
    """An extension of a completed video."""

    source: str = attrs.field(validator=check_source)
    """The id of the completed video."""
    prompt: str = attrs.field(validator=check_prompt)
    """A description of what happens next."""
    keyframes: Keyframes | None = attrs.field(default=None, kw_only=True, validator=check_keyframes)
    """The last frame; `frame0` is refused, since the source is the beginning."""
    loop: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the video loops without a visible cut."""
    expand_prompt: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the service may rewrite the prompt."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The resolution, such as `720p`."""
    duration: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The duration in the service's form, such as `5s`."""
    direction: Literal["forward", "backward"] = attrs.field(
        default="forward", kw_only=True, validator=check_choice("forward", "backward", optional=False)
    )
    """Whether the new part follows the video or leads to it."""
    user_id: str | None = attrs.field(default=None, kw_only=True, validator=check_user)
    """Your own mark for the person for whom this is made, at most 256 characters. No personal data."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """A URL that the service calls when the generation changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""

    def __attrs_post_init__(self) -> None:
        if self.keyframes is not None and self.keyframes.frame0 is not None:
            raise InvalidInput(field="keyframes.frame0", message="is the source itself; pass only frame1.")


@public
@_names_unknown_fields
@attrs.frozen
class AudioRequest:
    """Audio for a completed video."""

    source: str = attrs.field(validator=check_source)
    """The id of the completed video."""
    prompt: str = attrs.field(validator=check_prompt)
    """A description of the audio."""
    negative_prompt: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """What the audio must not contain."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """A URL that the service calls when the generation changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


@public
@_names_unknown_fields
@attrs.frozen
class UpscaleRequest:
    """A completed video in a higher resolution."""

    source: str = attrs.field(validator=check_source)
    """The id of the completed video."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The resolution, such as `1080p` or `4k`."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """A URL that the service calls when the generation changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


@public
@_names_unknown_fields
@attrs.frozen
class ImageRequest:
    """An image from a prompt and, optionally, reference images."""

    prompt: str = attrs.field(validator=check_prompt)
    """A description of the result."""
    aspect_ratio: str = attrs.field(default="16:9", kw_only=True, validator=check_ratio)
    """The ratio of width to height."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model, such as `photon-1` or `photon-flash-1`."""
    image_refs: tuple[Reference, ...] = attrs.field(
        default=(), kw_only=True, converter=as_tuple, validator=check_images
    )
    """Reference images for the content."""
    style_refs: tuple[ImageReference, ...] = attrs.field(
        default=(), kw_only=True, converter=as_tuple, validator=check_references
    )
    """Reference images for the style."""
    character_refs: Mapping[str, tuple[str, ...]] = attrs.field(
        factory=dict[str, tuple[str, ...]],
        kw_only=True,
        converter=as_characters,
        validator=check_character_urls,
        repr=_show_characters,
        hash=False,
    )
    """The URLs of images of each character, such as `{"identity0": ["https://…"]}`."""
    modify_image_ref: ImageReference | None = attrs.field(default=None, kw_only=True, validator=check_reference)
    """The image to change."""
    format: Literal["jpg", "png"] | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The file format."""
    sync: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the service responds only when the image is finished."""
    sync_timeout: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The maximum of seconds that such a response may take."""
    style: Literal["auto", "manga"] | None = attrs.field(
        default=None, kw_only=True, validator=check_choice("auto", "manga")
    )
    """The style of the drawing."""
    web_search: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the model may search the web first."""
    user_id: str | None = attrs.field(default=None, kw_only=True, validator=check_user)
    """Your own mark for the person for whom this is made, at most 256 characters. No personal data."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """A URL that the service calls when the generation changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


@public
@_names_unknown_fields
@attrs.frozen
class ReframeRequest:
    """A video or an image in another aspect ratio."""

    media: Media = attrs.field(validator=check_media, repr=show_media)
    """The original: a URL, a generation or an uploaded file."""
    aspect_ratio: str = attrs.field(default="16:9", kw_only=True, validator=check_ratio)
    """The ratio of width to height of the result."""
    kind: Literal["video", "image"] = attrs.field(default="video", kw_only=True, validator=check_media_kind)
    """The kind of the original."""
    prompt: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """A description of the added area."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model."""
    first_frame: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """The URL of the first frame of the result (videos only)."""
    format: Literal["jpg", "png"] | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The file format (images only)."""
    grid_position_x: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The position of the original in the result, in pixels from the left."""
    grid_position_y: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The position of the original in the result, in pixels from the top."""
    resized_width: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The width of the original in the result, in pixels."""
    resized_height: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The height of the original in the result, in pixels."""
    x_start: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The left edge of the crop, in pixels."""
    x_end: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The right edge of the crop, in pixels."""
    y_start: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The upper edge of the crop, in pixels."""
    y_end: int | None = attrs.field(default=None, kw_only=True, validator=check_integer)
    """The lower edge of the crop, in pixels."""
    source_position: SourcePosition | None = attrs.field(
        default=None, kw_only=True, validator=check_instance("SourcePosition(x, y, width, height)", SourcePosition)
    )
    """The position of the original in the result, as fractions of the result."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The resolution, such as `720p`."""
    user_id: str | None = attrs.field(default=None, kw_only=True, validator=check_user)
    """Your own mark for the person for whom this is made, at most 256 characters. No personal data."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """A URL that the service calls when the generation changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


@public
@_names_unknown_fields
@attrs.frozen
class ModifyRequest:
    """An edit of a video, as a prompt describes it."""

    media: Media = attrs.field(validator=check_media, repr=show_media)
    """The original: a URL, a generation or an uploaded file."""
    mode: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """How much may change: `adhere_1` to `adhere_3`, `flex_1` to `flex_3`, `reimagine_1` to `reimagine_3`."""
    prompt: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """A description of the result."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model."""
    first_frame: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """The URL of the first frame of the result."""
    auto_controls: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the model decides what to keep; excludes `mode` and `controls`."""
    controls: EditControls | None = attrs.field(
        default=None, kw_only=True, validator=check_instance("EditControls(…)", EditControls)
    )
    """What to keep of the original."""
    keyframes: Keyframes | None = attrs.field(default=None, kw_only=True, validator=check_keyframes)
    """Frames at places in the original: `Keyframes(at={0: …})`."""
    resolution: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The resolution, such as `720p`."""
    hdr: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the video has a high dynamic range."""
    exr_export: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the frames are also delivered as EXR files; needs `hdr`."""
    user_id: str | None = attrs.field(default=None, kw_only=True, validator=check_user)
    """Your own mark for the person for whom this is made, at most 256 characters. No personal data."""
    notify_hook: str | None = attrs.field(default=None, kw_only=True, validator=check_web_url, repr=show_url)
    """A URL that the service calls when the generation changes."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


@public
@attrs.frozen
class ImageEditRequest:
    """A picture that is changed as a prompt describes it."""

    media: Media = attrs.field(validator=check_media, repr=show_media)
    """The original: a URL, an image, a generation or an uploaded file."""
    prompt: str = attrs.field(validator=check_prompt)
    """A description of the change."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model, such as `uni-1`."""
    image_refs: tuple[Reference, ...] = attrs.field(
        default=(), kw_only=True, converter=as_tuple, validator=check_images
    )
    """Reference images."""
    format: Literal["jpg", "png"] | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The file format."""
    style: Literal["auto", "manga"] | None = attrs.field(
        default=None, kw_only=True, validator=check_choice("auto", "manga")
    )
    """The style of the drawing."""
    web_search: bool | None = attrs.field(default=None, kw_only=True, validator=check_flag)
    """Whether the model may search the web first."""
    user_id: str | None = attrs.field(default=None, kw_only=True, validator=check_user)
    """Your own mark for the person for whom this is made, at most 256 characters. No personal data."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


@public
@attrs.frozen
class LayerRequest:
    """A picture that is taken apart into layers with transparent areas."""

    media: Media = attrs.field(validator=check_media, repr=show_media)
    """The original: a URL, an image, a generation or an uploaded file."""
    prompt: str = attrs.field(validator=check_prompt)
    """A description of the layers."""
    model: str | None = attrs.field(default=None, kw_only=True, validator=check_text)
    """The model, such as `uni-1`."""
    resolution: Literal["1k", "2k"] | None = attrs.field(default=None, kw_only=True, validator=check_choice("1k", "2k"))
    """The resolution of the layers."""
    user_id: str | None = attrs.field(default=None, kw_only=True, validator=check_user)
    """Your own mark for the person for whom this is made, at most 256 characters. No personal data."""
    extra: Mapping[str, Any] = attrs.field(
        kw_only=True, factory=dict[str, Any], converter=as_mapping, validator=check_json_mapping, hash=False
    )
    """Fields that this class does not have; sent unchanged."""


Request: TypeAlias = (
    VideoRequest
    | ExtendRequest
    | AudioRequest
    | UpscaleRequest
    | ImageRequest
    | ReframeRequest
    | ModifyRequest
    | ImageEditRequest
    | LayerRequest
)
"""The requests that `submit()` accepts."""

OPERATIONS: dict[type[Any], str] = {
    VideoRequest: "submit",
    ExtendRequest: "extend",
    AudioRequest: "add_audio",
    UpscaleRequest: "upscale",
    ImageRequest: "image",
    ReframeRequest: "reframe",
    ModifyRequest: "modify",
    ImageEditRequest: "image_edit",
    LayerRequest: "layers",
}
"""The name under which `supports()` knows each kind of request."""


def as_request(request: Request | str | None, fields: Mapping[str, Any]) -> Request:
    """Return a request as it is, or the video that a prompt and its fields describe.

    Args:
        request: a request or a prompt; None when the prompt is one of `fields`.
        fields: of `VideoRequest`.

    Raises:
        InvalidInput: it is neither, or a field is invalid.
        TypeError: a request together with fields.
    """
    if request is None and "prompt" in fields:
        return VideoRequest(**fields)
    if isinstance(request, str):
        return VideoRequest(request, **fields)
    checked = check_request(request)
    if fields:
        raise TypeError(f"a {type(request).__name__} has its own fields; do not pass {', '.join(fields)} as well")
    return checked


def check_request(request: object) -> Request:
    """Return an argument that is a request.

    Raises:
        InvalidInput: it is not.
    """
    if not isinstance(request, Request):
        raise InvalidInput(field="request", message="must be a prompt or a request such as VideoRequest(…).")
    return request


class VideoFields(TypedDict, total=False):
    """The fields of `VideoRequest` that `submit(prompt, …)` accepts as keyword arguments."""

    aspect_ratio: str
    keyframes: Keyframes | None
    loop: bool | None
    expand_prompt: bool | None
    model: str | None
    resolution: str | None
    duration: str | None
    concepts: Iterable[str]
    hdr: bool | None
    exr_export: bool | None
    user_id: str | None
    notify_hook: str | None
    extra: Mapping[str, Any]


class ExtendFields(TypedDict, total=False):
    """The fields of `ExtendRequest` that `extend(source, prompt, …)` accepts as keyword arguments."""

    keyframes: Keyframes | None
    loop: bool | None
    expand_prompt: bool | None
    model: str | None
    resolution: str | None
    duration: str | None
    direction: Literal["forward", "backward"]
    user_id: str | None
    notify_hook: str | None
    extra: Mapping[str, Any]


class AudioFields(TypedDict, total=False):
    """The fields of `AudioRequest` that `add_audio(source, prompt, …)` accepts as keyword arguments."""

    negative_prompt: str | None
    notify_hook: str | None
    extra: Mapping[str, Any]
