"""Large pictures of a request: uploaded where the service takes files, else sent inside of the request.

A picture that was uploaded before in the session is used again, if the service still has it. It is known by the digest
of its inline form, which also stands for it in the journal: the same picture is the same purchase, however it is sent.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs

from luma_async.values.errors import GenerationNotFound, InvalidInput
from luma_async.values.keyframes import FileReference, ImageKeyframe, ImageReference
from luma_async.values.redaction import without_image
from luma_async.values.validators import is_tuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luma_async._files.files import Files
    from luma_async._wire.dialect import UploadLimits
    from luma_async.values.requests import Request


def large_pictures(value: object, limits: UploadLimits | None) -> Iterator[ImageKeyframe | ImageReference]:
    """Yield the pictures of a request that cannot be sent as they are."""
    if isinstance(value, ImageKeyframe | ImageReference):
        local = isinstance(value, ImageKeyframe) and value.file is not None
        # Base64 takes four characters for three bytes.
        inline_bytes = len(value.url) * 3 // 4 if value.url.startswith("data:") else 0
        if local or (limits is not None and inline_bytes > limits.inline_bytes):
            yield value
    elif is_tuple(value):
        for item in value:
            yield from large_pictures(item, limits)
    else:
        for name in _names(value):
            yield from large_pictures(getattr(value, name), limits)


def replace(value: object, pictures: Mapping[int, Any]) -> Any:
    """Return a request with other pictures, by the `id()` of those that are replaced."""
    if id(value) in pictures:
        return pictures[id(value)]
    if is_tuple(value):
        return tuple(replace(item, pictures) for item in value)
    changed: dict[str, Any] = {}
    for name in _names(value):
        old = getattr(value, name)
        new = replace(old, pictures)
        if new != old:
            changed[name] = new
    kept: Any = value
    return attrs.evolve(kept, **changed) if changed else kept


def _names(value: object) -> tuple[str, ...]:
    """Return the fields of an attrs instance; none for anything else."""
    kind: Any = type(value)
    return _fields(kind)


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind)) if attrs.has(kind) else ()


class Pictures:
    """Prepares the pictures of requests for one session."""

    def __init__(self, files: Files, limits: UploadLimits | None) -> None:
        self._files = files
        self._limits = limits
        self._uploads: dict[str, asyncio.Task[str]] = {}

    async def prepare(self, request: Request) -> Request:
        """Return the request as it can be sent.

        Raises:
            InvalidInput: a file cannot be read, is too large, or has changed since the request was built.
            UploadFailed, LumaError: an upload failed. Nothing was bought.
        """
        found = list(large_pictures(request, self._limits))
        if not found:
            return request
        make = self._read if self._limits is None else self._upload
        prepared = {id(picture): await make(picture) for picture in found}
        changed: Request = replace(request, prepared)
        return changed

    async def _read(self, picture: Any) -> ImageKeyframe:
        """Read a file into the request."""
        await self._check_unchanged(picture)
        try:
            uri = await asyncio.to_thread(lambda: b"".join(picture.file.data_uri()).decode())
        except OSError as error:
            raise _unreadable(picture, error) from error
        return ImageKeyframe(uri)

    async def _upload(self, picture: Any) -> FileReference:
        """Upload a picture, or use an earlier upload of the session that the service still has."""
        digest = without_image(picture.url)
        while True:
            upload = self._uploads.get(digest)
            if upload is None or (upload.done() and (upload.cancelled() or upload.exception() is not None)):
                upload = self._uploads[digest] = asyncio.get_running_loop().create_task(
                    self._send(picture), name="luma_async upload"
                )
            earlier = upload.done()
            # Shielded: another purchase may wait for the same upload.
            file_id = await asyncio.shield(upload)
            if not earlier or await self._is_ready(file_id):
                return FileReference(file_id)
            # Another purchase may have found out first, and be uploading it again.
            if self._uploads.get(digest) is upload:
                del self._uploads[digest]

    async def _is_ready(self, file_id: str) -> bool:
        """Whether the service still has a file: it may have expired, or been deleted."""
        try:
            return (await self._files.get(file_id)).state == "ready"
        except GenerationNotFound:
            return False

    async def _send(self, picture: Any) -> str:
        file = getattr(picture, "file", None)
        if file is None:
            return (await self._files.upload(picture.url)).id
        await self._check_unchanged(picture)
        return (await self._files.upload(file.path)).id

    async def _check_unchanged(self, picture: Any) -> None:
        try:
            digest = await asyncio.to_thread(picture.file.digest_uri)
        except OSError as error:
            raise _unreadable(picture, error) from error
        if digest != picture.url:
            raise InvalidInput(field="path", message=f"{picture.file.path} has changed since the request was built.")

    async def aclose(self) -> None:
        """Cancel the uploads that are being made."""
        tasks = [upload for upload in self._uploads.values() if not upload.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _unreadable(picture: Any, error: OSError) -> InvalidInput:
    return InvalidInput(field="path", message=f"{picture.file.path}: {error.strerror or error}")
