"""A file on its way: it grows beside its place, ending in `.part`, and takes it whole or not at all.

What may block for long (opening, syncing, taking the place) happens in a thread; a piece is written where it arrives,
since handing it to a thread takes longer than the system takes to remember it.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from luma_async._download.names import PART_SUFFIX, SIDECAR_SUFFIX, PathKind, check_destination
from luma_async._download.response import Partial, dump_sidecar, load_sidecar
from luma_async._download.validate import BOX_HEAD_BYTES, Medium, validate
from luma_async.values.errors import DamagedFile, InvalidInput

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

# Nobody may have us follow a link of theirs in a folder that others can write to.
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_LONGEST_NOTE_BYTES = 4096


def resolve_destination(dest: str | os.PathLike[str], name: str | None, *, overwrite: bool) -> Path:
    """Return where a file goes: `dest`, or what it is called in that folder; without a name, the folder.

    Raises:
        InvalidInput: no file can be put there.
    """
    text = _checked(dest)
    path = Path(text)
    standing = _standing(path)
    if standing is PathKind.FOLDER:
        if name is None:
            return path
        path = path / name
        standing, has_folder = _standing(path), True
    else:
        has_folder = not text.endswith(("/", os.sep)) and _standing(path.parent) is PathKind.FOLDER
    check_destination(str(path), standing=standing, has_folder=has_folder, overwrite=overwrite)
    return path


class PartFile:
    """What has been received of one file. It is locked while it is open, so that no two programs write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = Path(f"{path}{PART_SUFFIX}")
        self.size_bytes = 0
        self.kept: Partial | None = None
        self.in_place = False
        self._note = Path(f"{path}{SIDECAR_SUFFIX}")
        self._fd = -1

    async def find(self) -> None:
        """Open what an earlier attempt left; `kept` says what can be gone on with. Mostly there is nothing.

        Raises:
            InvalidInput: somebody else is downloading there.
            OSError: it cannot be opened.
        """
        if self._is_there():
            await _off_loop(self._open)

    async def begin(self, start_bytes: int, *, source: str, etag: str | None) -> None:
        """Make ready for the bytes from `start_bytes` on, noting whose they are.

        Raises:
            InvalidInput: somebody else is downloading there.
            OSError: the disk is full, or fails.
        """
        await _off_loop(self._begin, start_bytes, source, etag)

    def write(self, piece: bytes) -> None:
        """Append what came.

        Raises:
            OSError: the disk is full, or fails; what was written before is kept.
        """
        try:
            written = os.write(self._fd, piece)
            self.size_bytes += written
            while written < len(piece):
                # A disk that fills takes what fits, and says so at the next write.
                piece = piece[written:]
                written = os.write(self._fd, piece)
                self.size_bytes += written
        except OSError as error:
            trouble = self._named(error)
        else:
            return
        raise trouble

    async def finish(self, medium: Medium, *, overwrite: bool) -> None:
        """Check that it is whole, and let it take its place, durably; cancelled, it does so nevertheless.

        Raises:
            DamagedFile: it is not what it should be; it is gone.
            FileExistsError: another file took the place meanwhile; this one is kept.
            OSError: the disk is full, or fails.
        """
        await _off_loop(self._finish, medium, overwrite)

    def discard(self) -> None:
        """Drop what was received: nobody can go on with it. What was never ours stays."""
        if self._fd < 0:
            return
        self.kept = None
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
            self.part.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it, and keep what was received, if anything was. Closing twice is fine."""
        if self._fd < 0:
            return
        if self.size_bytes == 0:
            self.discard()
        os.close(self._fd)
        self._fd = -1

    def _is_there(self) -> bool:
        return os.path.lexists(self.part)

    def _open(self) -> None:
        try:
            facts = self._take()
            if facts.st_nlink > 1:
                # A program was killed while this took its place: it is the finished file too, and not ours to change.
                self.part.unlink()
                os.close(self._fd)
                facts = self._take()
        except OSError as error:
            trouble = self._named(error)
        else:
            self.size_bytes = facts.st_size
            self.kept = self._read_note() if self.size_bytes else None
            return
        raise trouble

    def _begin(self, start_bytes: int, source: str, etag: str | None) -> None:
        if self._fd < 0:
            self._open()
        try:
            os.ftruncate(self._fd, start_bytes)
            os.lseek(self._fd, start_bytes, os.SEEK_SET)
            self.size_bytes = start_bytes
            self.kept = None
            if etag is None:
                self._note.unlink(missing_ok=True)
            else:
                self.kept = Partial(size_bytes=start_bytes, source=source, etag=etag)
                if start_bytes == 0:
                    self._write_note(dump_sidecar(source, etag))
        except OSError as error:
            trouble = self._named(error)
        else:
            return
        raise trouble

    def _take(self) -> os.stat_result:
        fd = os.open(self.part, _OPEN_FLAGS, 0o666)
        locked, facts = _lock(fd), os.fstat(fd)
        if not locked or not _is_at(facts, self.part):
            os.close(fd)
            raise InvalidInput(field="dest", message=f"{self.path} is being downloaded to by somebody else.")
        self._fd = fd
        return facts

    def _write_note(self, text: bytes) -> None:
        with os.fdopen(os.open(self._note, _OPEN_FLAGS | os.O_TRUNC, 0o666), "wb") as file:
            file.write(text)

    def _read_note(self) -> Partial | None:
        try:
            with self._note.open("rb") as file:
                return load_sidecar(file.read(_LONGEST_NOTE_BYTES), self.size_bytes)
        except OSError:
            return None

    def _finish(self, medium: Medium, overwrite: bool) -> None:
        fault = validate(medium, self.size_bytes, self._peek)
        if fault is not None:
            self.discard()
            raise DamagedFile(message=fault)
        try:
            self._sync()
            self._publish(overwrite)
        except OSError as error:
            trouble = self._named(error)
        else:
            self.in_place = True
            with suppress(OSError):
                self._note.unlink(missing_ok=True)
            _sync_folder(self.path.parent)
            return
        raise trouble

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError:
            # What the system could not write it may have forgotten: nobody can go on with holes.
            self._note.unlink(missing_ok=True)
            raise

    def _publish(self, overwrite: bool) -> None:
        if sys.platform == "win32":
            # An open file cannot be moved there, and moving replaces nothing unasked.
            self.close()
            (self.part.replace if overwrite else self.part.rename)(self.path)
        elif overwrite:
            self.part.replace(self.path)
        else:
            _claim(self.part, self.path)

    def _peek(self, at_bytes: int) -> bytes:
        os.lseek(self._fd, at_bytes, os.SEEK_SET)
        return os.read(self._fd, BOX_HEAD_BYTES)

    def _named(self, error: OSError) -> OSError:
        """Say which file an error is about; the system's own does not always."""
        where = self.path if isinstance(error, FileExistsError) else self.part
        return OSError(error.errno, error.strerror, str(where))


def _checked(dest: str | os.PathLike[str]) -> str:
    try:
        text = os.fspath(dest)
        sound = bool(text) and b"\0" not in text.encode(sys.getfilesystemencoding(), "surrogateescape")
    except (AttributeError, TypeError, UnicodeEncodeError):
        text, sound = "", False
    if not sound:
        raise InvalidInput(field="dest", message="must be the path of a file or a folder.")
    return text


def _standing(path: Path) -> PathKind:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        # A link that leads nowhere takes its place all the same.
        return PathKind.OTHER if path.is_symlink() else PathKind.NOTHING
    if stat.S_ISDIR(mode):
        return PathKind.FOLDER
    return PathKind.FILE if stat.S_ISREG(mode) else PathKind.OTHER


def _lock(fd: int) -> bool:
    """Lock a file that nobody else has locked; where there are no locks, take it as it is."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_at(facts: os.stat_result, path: Path) -> bool:
    """Whether an open file is still the one at a path: while we opened it, its owner may have finished it."""
    try:
        return os.path.samestat(facts, path.lstat())
    except FileNotFoundError:
        return False


def _claim(part: Path, path: Path) -> None:
    """Move a file to a place where there is none: a link replaces nothing, where a rename would."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links: an empty file claims the place, and we replace that.
        path.touch(exist_ok=False)
        part.replace(path)
    else:
        part.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the move durable; where a folder cannot be synced, the file is in its place nevertheless."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


async def _off_loop(work: Callable[..., _T], *arguments: Any) -> _T:
    """Run what may block in a thread. A thread cannot be stopped: however often we are cancelled, we wait for it."""
    future = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
