"""Pictures and videos that a request refers to: frames, reference images, originals."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from luma_async.values.errors import InvalidInput
from luma_async.values.public import public
from luma_async.values.redaction import DIGEST_PREFIX, show_url
from luma_async.values.validators import (
    as_number,
    check_frame,
    check_image_url,
    check_instance,
    check_path,
    check_source,
    check_web_address,
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


_MAGIC_BYTES = 16


def image_format(head: bytes) -> str | None:
    """Return "jpeg", "png", "webp" or "gif" by the first bytes of a file; None for anything else."""
    return next((kind for magic, at, kind in _IMAGE_MAGIC if head[at : at + len(magic)] == magic), None)


LARGE_FILE_BYTES = 1_000_000
"""A larger picture is read when it is sent, not when the request is built, and is uploaded where a dialect wants it."""

_CHUNK_BYTES = 48 * 1024
"""A multiple of three, so that the Base64 of the pieces is the Base64 of the whole."""


@attrs.frozen(kw_only=True)
class LocalFile:
    """A large picture on this machine, which is read when its request is sent."""

    path: Path
    """Where it is."""
    media_type: str
    """Such as `image/png`."""
    size_bytes: int
    """Its size when the request was built."""

    def data_uri(self) -> Iterator[bytes]:
        """Yield the picture as an inline image, piece by piece.

        Raises:
            OSError: the file cannot be read.
        """
        yield f"data:{self.media_type};base64,".encode()
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield base64.b64encode(chunk)

    def digest_uri(self) -> str:
        """Return what stands for the picture in a journal, the same as for the inline image.

        Raises:
            OSError: the file cannot be read.
        """
        digest = hashlib.sha256()
        for piece in self.data_uri():
            digest.update(piece)
        return DIGEST_PREFIX + digest.hexdigest()


def _check_keyframe_url(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept an address or an inline image; the digest of a picture only together with its file."""
    if instance.file is None:
        check_image_url(instance, attribute, value)


@public
@attrs.frozen
class ImageKeyframe:
    """An image as a frame of a video, or as the original of an edit."""

    url: str = attrs.field(validator=_check_keyframe_url, repr=show_url)
    """An http(s) URL that the service fetches, or a `data:image/…;base64,` URI. Of a file larger than 1 MB it is the
    digest, since such a file is read when the request is sent."""
    file: LocalFile | None = attrs.field(
        default=None,
        kw_only=True,
        validator=check_instance("a file of from_file()", LocalFile),
        eq=False,
        repr=False,
        metadata={"local": True},
    )
    """The file, if it is larger than 1 MB; `from_file()` sets it."""

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageKeyframe:
        """Send an image inline. Where the service takes uploads, one larger than 1 MB is uploaded instead.

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
        """Send an image file inline. Where the service takes uploads, one larger than 1 MB is uploaded instead.

        This blocks while it reads the file; in a coroutine, call it with `asyncio.to_thread`. A file larger than 1 MB
        is read again when the request is sent, and must not change until then.

        Raises:
            InvalidInput: the file cannot be read or is not a JPEG, PNG, WebP or GIF image. Nothing was sent.
        """
        check_path(path, "path")
        try:
            place = Path(path)
            if place.stat().st_size <= LARGE_FILE_BYTES:
                return cls.from_bytes(place.read_bytes())
            return cls._large(place)
        except (OSError, ValueError) as error:
            reason = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
        raise InvalidInput(field="path", message=f"{path}: {reason}")

    @classmethod
    def _large(cls, path: Path) -> ImageKeyframe:
        with path.open("rb") as opened:
            kind = image_format(opened.read(_MAGIC_BYTES))
        if kind is None:
            raise InvalidInput(field="path", message="is not a JPEG, PNG, WebP or GIF image.")
        file = LocalFile(path=path.absolute(), media_type=f"image/{kind}", size_bytes=path.stat().st_size)
        return cls(file.digest_uri(), file=file)


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


@public
@attrs.frozen
class FileReference:
    """A file that was uploaded with `session.files.upload()`."""

    id: str = attrs.field(validator=check_source)
    """The id of the file."""


Keyframe: TypeAlias = ImageKeyframe | GenerationKeyframe | FileReference
"""A frame of a video."""
Media: TypeAlias = str | ImageKeyframe | GenerationKeyframe | FileReference
"""The original of an edit: an http(s) URL, an image, a generation or an uploaded file."""


def check_keyframe(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a keyframe or None."""
    if value is not None and not isinstance(value, Keyframe):
        raise InvalidInput(
            field=attribute.name, message="must be an ImageKeyframe or a GenerationKeyframe, or a FileReference."
        )


def _check_keyframe_at(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    check_keyframe(_, attribute, value or "")


def check_media(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept the original of an edit."""
    if not isinstance(value, Keyframe):
        check_web_address(_, attribute, value)


def show_media(value: Media | None) -> str:
    """Show the original of an edit without the query of its address."""
    return show_url(value) if value is None or isinstance(value, str) else repr(value)


@public
@attrs.frozen
class KeyframeAt:
    """A frame at a place in the video."""

    frame: int = attrs.field(validator=check_frame)
    """The number of the frame, from 0. Videos have 24 frames a second."""
    image: Keyframe = attrs.field(validator=_check_keyframe_at)
    """What the frame shows."""


def _as_frames(value: Any) -> Any:
    """Convert a mapping of frame numbers to keyframes. The validator refuses other types."""
    if _is_a(value, Mapping):
        return tuple(KeyframeAt(frame, image) for frame, image in value.items())
    return tuple(value) if _is_a(value, Iterable) and not _is_a(value, str) else value


def _is_a(value: object, kind: type[Any]) -> bool:
    """Whether it is one; what is in it is checked elsewhere, so type checkers learn nothing here."""
    return isinstance(value, kind)


def _check_frames(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not is_tuple(value) or not all(isinstance(each, KeyframeAt) for each in value):
        raise InvalidInput(field=attribute.name, message="must map frame numbers to keyframes: {0: ImageKeyframe(…)}.")
    frames = [each.frame for each in value if isinstance(each, KeyframeAt)]
    repeated = next((frame for frame in frames if frames.count(frame) > 1), None)
    if repeated is not None:
        raise InvalidInput(field=attribute.name, message=f"has two keyframes at frame {repeated}.")


@public
@attrs.frozen
class Keyframes:
    """The first frame, the last frame, or both; or frames at places in between."""

    frame0: Keyframe | None = attrs.field(default=None, validator=check_keyframe)
    """The first frame."""
    frame1: Keyframe | None = attrs.field(default=None, validator=check_keyframe)
    """The last frame."""
    at: tuple[KeyframeAt, ...] = attrs.field(default=(), kw_only=True, converter=_as_frames, validator=_check_frames)
    """Frames by their numbers: `Keyframes(at={0: ImageKeyframe(…), 120: ImageKeyframe(…)})`."""

    def __attrs_post_init__(self) -> None:
        if self.frame0 is None and self.frame1 is None and not self.at:
            raise InvalidInput(field="keyframes", message="must have frame0, frame1 or both, or frames `at` places.")


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


Reference: TypeAlias = ImageReference | ImageKeyframe | GenerationKeyframe | FileReference
"""An image that a generated image should follow: by URL, from a file, of a generation, or uploaded."""


def check_references(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept reference images."""
    if not is_tuple(value) or not all(isinstance(each, ImageReference) for each in value):
        raise InvalidInput(field=attribute.name, message="must be a list of ImageReference(url, weight=…).")


def check_images(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept images to follow, wherever they are."""
    if not is_tuple(value) or not all(isinstance(each, Reference) for each in value):
        raise InvalidInput(
            field=attribute.name, message="must be a list of ImageReference(url, weight=…), or of keyframes."
        )


def check_reference(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a reference image or None."""
    if value is not None:
        check_references(_, attribute, (value,))
