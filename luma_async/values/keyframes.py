"""The first and last frame of a video, and reference images."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from luma_async.values.errors import InvalidInput
from luma_async.values.public import public
from luma_async.values.redaction import show_url
from luma_async.values.validators import (
    as_number,
    check_image_url,
    check_path,
    check_source,
    check_weight,
    is_tuple,
    shown,
)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
"""The suffixes of picture files."""

_IMAGE_MAGIC: tuple[tuple[bytes, int, str], ...] = (
    (b"\xff\xd8\xff", 0, "jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "png"),
    (b"WEBP", 8, "webp"),
    (b"GIF8", 0, "gif"),
)


def image_format(head: bytes) -> str | None:
    """Return "jpeg", "png", "webp" or "gif" by the first bytes of a file; None for anything else."""
    return next((kind for magic, at, kind in _IMAGE_MAGIC if head[at : at + len(magic)] == magic), None)


@public
@attrs.frozen
class ImageKeyframe:
    """An image as the first or last frame of a video."""

    url: str = attrs.field(validator=check_image_url, repr=show_url)
    """An http(s) URL that the service fetches, or a `data:image/…;base64,` URI."""

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageKeyframe:
        """Send an image inline.

        Args:
            data: a JPEG, PNG, WebP or GIF file.

        Raises:
            InvalidInput: the data is not in one of these formats. Nothing was sent.
        """
        data = _as_bytes(data)
        kind = image_format(data)
        if kind is None:
            raise InvalidInput(field="data", message="is not a JPEG, PNG, WebP or GIF image.")
        return cls(f"data:image/{kind};base64,{base64.b64encode(data).decode()}")

    @classmethod
    def from_file(cls, path: str | Path) -> ImageKeyframe:
        """Send an image file inline.

        This blocks while it reads the file; in a coroutine, call it with `asyncio.to_thread`.

        Raises:
            InvalidInput: the file cannot be read or is not a JPEG, PNG, WebP or GIF image. Nothing was sent.
        """
        check_path(path, "path")
        try:
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
        else:
            try:
                return cls.from_bytes(data)
            except InvalidInput as error:
                reason = error.message
        raise InvalidInput(field="path", message=f"{path}: {reason}")


def _as_bytes(data: object) -> bytes:
    if not isinstance(data, bytes | bytearray):
        raise InvalidInput(field="data", message=f"must be the bytes of an image, not {shown(data)}.")
    return bytes(data)


@public
@attrs.frozen
class GenerationKeyframe:
    """A completed generation that the video continues or leads to."""

    id: str = attrs.field(validator=check_source)
    """The id of the generation."""


Keyframe: TypeAlias = ImageKeyframe | GenerationKeyframe
"""The first or last frame of a video."""


def check_keyframe(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a keyframe or None."""
    if value is not None and not isinstance(value, ImageKeyframe | GenerationKeyframe):
        raise InvalidInput(field=attribute.name, message="must be an ImageKeyframe or a GenerationKeyframe.")


@public
@attrs.frozen
class Keyframes:
    """The first frame, the last frame, or both."""

    frame0: Keyframe | None = attrs.field(default=None, validator=check_keyframe)
    """The first frame."""
    frame1: Keyframe | None = attrs.field(default=None, validator=check_keyframe)
    """The last frame."""

    def __attrs_post_init__(self) -> None:
        if self.frame0 is None and self.frame1 is None:
            raise InvalidInput(field="keyframes", message="must have frame0, frame1 or both.")


def check_keyframes(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept keyframes or None."""
    if value is not None and not isinstance(value, Keyframes):
        raise InvalidInput(field=attribute.name, message="must be Keyframes(frame0=…, frame1=…).")


@public
@attrs.frozen
class ImageReference:
    """An image that a generated image should follow."""

    url: str = attrs.field(validator=check_image_url, repr=show_url)
    """An http(s) URL that the service fetches."""
    weight: float | None = attrs.field(default=None, kw_only=True, converter=as_number, validator=check_weight)
    """Its influence, 0 to 1."""


def check_references(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept reference images."""
    if not is_tuple(value) or not all(isinstance(each, ImageReference) for each in value):
        raise InvalidInput(field=attribute.name, message="must be a list of ImageReference(url, weight=…).")


def check_reference(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a reference image or None."""
    if value is not None:
        check_references(_, attribute, (value,))
