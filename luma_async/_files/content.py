"""The bytes of an upload, read piece by piece: of a file, of bytes, or of an inline image."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

from luma_async._files.limits import HEAD_BYTES
from luma_async.values.errors import InvalidInput, UploadFailed
from luma_async.values.validators import check_path

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

PIECE_BYTES = 512 * 1024


class Content(Protocol):
    """What is uploaded."""

    @property
    def size_bytes(self) -> int:
        """The size."""
        ...

    @property
    def path(self) -> Path | None:
        """The file; None for bytes."""
        ...

    async def head(self) -> bytes:
        """Return the first bytes."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes, from the beginning each time."""
        ...


@attrs.frozen(kw_only=True)
class FileContent:
    """A file on disk. It is never in memory as a whole."""

    path: Path
    """Where it is."""
    size_bytes: int
    """Its size when the upload began."""
    version: tuple[int, int]
    """Its inode and the time of its last change then."""

    @classmethod
    async def open(cls, path: Path) -> FileContent:
        """Find the size of a file.

        Raises:
            InvalidInput: it cannot be read.
        """
        try:
            found = await asyncio.to_thread(path.stat)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
        else:
            return cls(path=path, size_bytes=found.st_size, version=_version(found))
        raise InvalidInput(field="source", message=f"{path}: {reason}")

    async def head(self) -> bytes:
        """Return the first bytes."""
        return await asyncio.to_thread(self._read_head)

    def _read_head(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError as error:
            reason = error.strerror or str(error)
        raise InvalidInput(field="source", message=f"{self.path}: {reason}")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes.

        The file is open while a piece is read only: a request that breaks leaves this generator where it is.

        Raises:
            UploadFailed: the file has changed since the upload began.
        """
        at = 0
        while piece := await asyncio.to_thread(self._read_piece, at):
            yield piece
            at += len(piece)

    def _read_piece(self, at: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(at)
            piece = file.read(PIECE_BYTES)
        if _version(self.path.stat()) != self.version:
            raise UploadFailed(message="The file has changed during the upload.", path=self.path, permanent=True)
        return piece


def _version(found: os.stat_result) -> tuple[int, int]:
    return found.st_ino, found.st_mtime_ns


@attrs.frozen(kw_only=True)
class BytesContent:
    """Bytes in memory."""

    data: bytes = attrs.field(repr=False)
    """The bytes."""
    path: Path | None = None
    """None: they are no file."""

    @property
    def size_bytes(self) -> int:
        """The size."""
        return len(self.data)

    async def head(self) -> bytes:
        """Return the first bytes."""
        return self.data[:HEAD_BYTES]

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes."""
        for at in range(0, len(self.data), PIECE_BYTES):
            yield self.data[at : at + PIECE_BYTES]


async def content_of(source: object) -> Content:
    """Return the content of a path, of bytes, or of an inline image.

    Raises:
        InvalidInput: it is none of them, or the file cannot be read.
    """
    if isinstance(source, bytes | bytearray):
        return BytesContent(data=bytes(source))
    check_path(source, "source")
    if isinstance(source, str) and source.startswith("data:"):
        return BytesContent(data=base64.b64decode(source.partition(",")[2]))
    return await FileContent.open(Path(str(source)))
