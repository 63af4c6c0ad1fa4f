"""An incomplete file: it grows next to its destination under the suffix `.part`, and is moved there when complete.

What may block for long (opening, syncing, moving) runs in a thread. A piece of the file is written in the event loop,
since handing it to a thread takes longer than the system takes to buffer it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from luma_async._download.names import PART_SUFFIX, SEPARATORS, SIDECAR_SUFFIX
from luma_async._download.response import Partial, dump_sidecar, load_sidecar
from luma_async._download.validate import BOX_HEAD_BYTES, Medium, validate
from luma_async.values.errors import DamagedFile, InvalidInput

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

# In a folder that others can write to, a symbolic link could point at any file of this user (O_NOFOLLOW), and opening
# a named pipe would wait for its other end (O_NONBLOCK).
_SAFE_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_PART_FLAGS = os.O_RDWR | os.O_CREAT | _SAFE_FLAGS
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE_FLAGS
_MAX_SIDECAR_BYTES = 4096
_TEST_SUFFIX = ".part.test"
"""Appended to a name to see whether a file can be created there; as long as the longest other suffix."""


def resolve_destination(dest: str | os.PathLike[str], name: str | None, *, overwrite: bool) -> Path:
    """Return the path of the file: `dest`, or `name` in it if it is a folder; without a name, the folder itself.

    A path that ends in a separator is a folder, which is created.

    Raises:
        InvalidInput: no file can be put there, or none with a longer name next to it.
    """
    if is_folder(dest):
        folder = Path(dest)
        if name is None:
            return folder
        path = folder / name
    else:
        path = Path(dest)
        if not stat.S_ISDIR(_mode(path.parent) or 0):
            raise InvalidInput(field="dest", message=f"the folder of {path} does not exist; create it first.")
    mode = _mode(path)
    _mode(Path(f"{path}{SIDECAR_SUFFIX}"))
    if mode is None:
        return path
    if stat.S_ISDIR(mode):
        raise InvalidInput(field="dest", message=f"{path} is a folder.")
    if not stat.S_ISREG(mode):
        raise InvalidInput(field="dest", message=f"{path} is not a regular file.")
    _finish_move(path)
    if not overwrite:
        raise InvalidInput(field="dest", message=f"{path} exists; overwrite=True (--overwrite) replaces it.")
    return path


def is_folder(dest: str | os.PathLike[str]) -> bool:
    """Whether a destination is a folder: one that exists, or a path that ends in a separator, which is created.

    Raises:
        InvalidInput: it is not a path, or the folder cannot be created.
    """
    text = _checked(dest)
    path = Path(text)
    mode = _mode(path)
    if not text.endswith(SEPARATORS):
        return mode is not None and stat.S_ISDIR(mode)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        message = f"{path} is not a folder."
    except OSError as error:
        message = f"the folder {path} cannot be created: {error.strerror or error}."
    else:
        return True
    raise InvalidInput(field="dest", message=message)


def check_before_purchase(dest: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Check that a file can be written to a destination, by creating an empty file next to it for a moment.

    Raises:
        InvalidInput: no file can be written there.
    """
    path = resolve_destination(dest, None, overwrite=overwrite)
    if path.is_dir():
        path /= "generation.mp4"
    test_path = Path(f"{path}{_TEST_SUFFIX}")
    try:
        os.close(os.open(test_path, _NEW_FLAGS, 0o600))
        test_path.unlink(missing_ok=True)
    except FileExistsError:
        # Another process checks the same path.
        return
    except OSError as error:
        message = f"no file can be written to {path.parent}: {error.strerror or error}."
    else:
        return
    raise InvalidInput(field="dest", message=message)


async def is_intact(path: Path, medium: Medium) -> bool:
    """Whether there is a file at a path, and it is complete as far as its format shows.

    If a program was killed while it moved the file there, this removes what is left of the `.part`.
    """
    return await asyncio.to_thread(_is_intact, path, medium)


class PartFile:
    """What has been received of one file. It is locked while it is open, so that no two processes write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part_path = Path(f"{path}{PART_SUFFIX}")
        self.size_bytes = 0
        self.partial: Partial | None = None
        self.moved = False
        self._sidecar_path = Path(f"{path}{SIDECAR_SUFFIX}")
        self._fd = -1

    async def open_existing(self) -> None:
        """Open what an earlier attempt left, if there is anything; `partial` says what can be resumed.

        Raises:
            InvalidInput: another process is downloading to the same path.
            OSError: it cannot be opened.
        """
        if self._exists():
            await _off_loop(self._open)

    async def begin(self, start_bytes: int, *, source: str, etag: str | None, total_bytes: int | None) -> None:
        """Prepare for the bytes from `start_bytes` on, and record where they come from.

        Raises:
            InvalidInput: another process is downloading to the same path.
            OSError: the disk is full, has less room than the file needs, or fails.
        """
        await _off_loop(self._begin, start_bytes, source, etag)
        if total_bytes is not None:
            await _off_loop(self._check_room, total_bytes - start_bytes)

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            OSError: the disk is full, or fails; what was written before is kept.
        """
        try:
            written = os.write(self._fd, piece)
            self.size_bytes += written
            while written < len(piece):
                # A disk that becomes full accepts what fits, and reports the error at the next write.
                piece = piece[written:]
                written = os.write(self._fd, piece)
                self.size_bytes += written
        except OSError as error:
            failure = self._with_path(error)
        else:
            return
        raise failure

    async def finish(self, medium: Medium, *, overwrite: bool) -> None:
        """Check that the file is complete, and move it to its path durably, even if the caller is cancelled.

        Raises:
            DamagedFile: it is not what it should be; it was removed.
            FileExistsError: another file appeared at the path; this one is kept.
            OSError: the disk is full, or fails.
        """
        await _off_loop(self._finish, medium, overwrite)

    def discard(self) -> None:
        """Remove what was received, unless it was never opened."""
        if self._fd < 0:
            return
        self.partial = None
        with suppress(OSError):
            self._sidecar_path.unlink(missing_ok=True)
            self.part_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it, and keep what was received, unless it is empty. Closing twice is safe."""
        if self._fd < 0:
            return
        if self.size_bytes == 0:
            self.discard()
        os.close(self._fd)
        self._fd = -1

    def _exists(self) -> bool:
        return os.path.lexists(self.part_path)

    def _open(self) -> None:
        try:
            facts = self._lock_part()
            if facts.st_nlink > 1:
                # A process was killed between linking the finished file and removing the `.part`: the two names are
                # one file, and writing to the `.part` would change the finished file.
                self.part_path.unlink()
                os.close(self._fd)
                facts = self._lock_part()
        except OSError as error:
            failure = self._with_path(error)
        else:
            self.size_bytes = facts.st_size
            self.partial = self._read_sidecar() if self.size_bytes else None
            return
        raise failure

    def _begin(self, start_bytes: int, source: str, etag: str | None) -> None:
        if self._fd < 0:
            self._open()
        try:
            os.ftruncate(self._fd, start_bytes)
            os.lseek(self._fd, start_bytes, os.SEEK_SET)
            self.size_bytes = start_bytes
            self.partial = None
            if etag is None:
                self._sidecar_path.unlink(missing_ok=True)
            else:
                self.partial = Partial(size_bytes=start_bytes, source=source, etag=etag)
                if start_bytes == 0:
                    self._write_sidecar(dump_sidecar(source, etag))
        except OSError as error:
            failure = self._with_path(error)
        else:
            return
        raise failure

    def _check_room(self, needed_bytes: int) -> None:
        """Raise ENOSPC before anything is written; some network file systems report no sizes at all."""
        disk = shutil.disk_usage(self.part_path.parent)
        if disk.total > 0 and disk.free < needed_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.part_path))

    def _lock_part(self) -> os.stat_result:
        """Open and lock the `.part`. The file behind the descriptor may have been moved by its owner meanwhile."""
        fd = os.open(self.part_path, _PART_FLAGS, 0o666)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidInput(field="dest", message=f"{self.part_path} is not a regular file; remove it.")
        locked, facts = _lock(fd), os.fstat(fd)
        if not locked or not _is_at(facts, self.part_path):
            os.close(fd)
            raise InvalidInput(field="dest", message=f"another process is downloading to {self.path}.")
        self._fd = fd
        return facts

    def _write_sidecar(self, text: bytes) -> None:
        # Always a new file, so that nothing is written through a link or into a file that has a second name.
        try:
            fd = os.open(self._sidecar_path, _NEW_FLAGS, 0o666)
        except FileExistsError:
            self._sidecar_path.unlink()
            fd = os.open(self._sidecar_path, _NEW_FLAGS, 0o666)
        with os.fdopen(fd, "wb") as file:
            file.write(text)

    def _read_sidecar(self) -> Partial | None:
        try:
            with _open_regular(self._sidecar_path) as file:
                return load_sidecar(file.read(_MAX_SIDECAR_BYTES), self.size_bytes)
        except OSError:
            return None

    def _finish(self, medium: Medium, overwrite: bool) -> None:
        fault = validate(medium, self.size_bytes, self._peek)
        if fault is not None:
            self.discard()
            raise DamagedFile(message=fault)
        try:
            self._sync()
            self._move(overwrite)
        except OSError as error:
            failure = self._with_path(error)
        else:
            self.moved = True
            with suppress(OSError):
                self._sidecar_path.unlink(missing_ok=True)
            _sync_folder(self.path.parent)
            return
        raise failure

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError:
            # The system may have dropped what it could not write: the `.part` may have holes.
            self._sidecar_path.unlink(missing_ok=True)
            raise

    def _move(self, overwrite: bool) -> None:
        if sys.platform == "win32":
            # An open file cannot be moved there, and `rename` does not replace a file.
            self.close()
            (self.part_path.replace if overwrite else self.part_path.rename)(self.path)
        elif overwrite:
            self.part_path.replace(self.path)
        else:
            _move_to_free_path(self.part_path, self.path)

    def _peek(self, at_bytes: int) -> bytes:
        os.lseek(self._fd, at_bytes, os.SEEK_SET)
        return os.read(self._fd, BOX_HEAD_BYTES)

    def _with_path(self, error: OSError) -> OSError:
        """Return the error with the path of the file; the system's own error does not always have it."""
        path = self.path if isinstance(error, FileExistsError) else self.part_path
        return OSError(error.errno, error.strerror, str(path))


def _checked(dest: str | os.PathLike[str]) -> str:
    try:
        text = os.fspath(dest)
        valid = bool(text) and b"\0" not in os.fsencode(text) and isinstance(text, str)  # pyright: ignore[reportUnnecessaryIsInstance]
    except (AttributeError, TypeError, UnicodeEncodeError):
        text, valid = "", False
    if not valid:
        encoding = sys.getfilesystemencoding()
        message = f"must be the path of a file or a folder, in characters that {encoding} can encode."
        raise InvalidInput(field="dest", message=message)
    return text


def _mode(path: Path) -> int | None:
    """Return the file type of what is at a path; None for nothing, 0 for a symbolic link to nothing.

    Raises:
        InvalidInput: nothing can be there, for example because the name is too long.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0 if path.is_symlink() else None
    except OSError as error:
        message = f"{path} cannot be used: {error.strerror or error}."
        if error.errno == errno.ENAMETOOLONG:
            message = f"the name is too long. Until it is complete, the file is next to it as {path.name}."
    raise InvalidInput(field="dest", message=message)


def _lock(fd: int) -> bool:
    """Lock a file unless another process has; where the file system has no locks, use it without."""
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
    """Whether an open file is the one at a path: another process may have moved it between open and lock."""
    try:
        return os.path.samestat(facts, path.lstat())
    except FileNotFoundError:
        return False


def _move_to_free_path(part_path: Path, path: Path) -> None:
    """Move a file, failing if there is one at `path`: creating a hard link never replaces a file, a rename does."""
    try:
        path.hardlink_to(part_path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: create an empty file, which fails if there is one, and replace that.
        path.touch(exist_ok=False)
        part_path.replace(path)
    else:
        part_path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the move durable; where a folder cannot be synced, the file is at its path nevertheless."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _is_intact(path: Path, medium: Medium) -> bool:
    def peek(at_bytes: int) -> bytes:
        file.seek(at_bytes)
        return file.read(BOX_HEAD_BYTES)

    try:
        with _open_regular(path, follow=True) as file:
            _finish_move(path)
            return validate(medium, os.fstat(file.fileno()).st_size, peek) is None
    except (OSError, ValueError):
        return False


def _finish_move(path: Path) -> None:
    """Remove the `.part` of a file that is at its path too: a program was killed while it moved the file there."""
    part_path = Path(f"{path}{PART_SUFFIX}")
    with suppress(OSError):
        if path.stat().st_nlink > 1 and _is_at(path.stat(), part_path):
            Path(f"{path}{SIDECAR_SUFFIX}").unlink(missing_ok=True)
            part_path.unlink(missing_ok=True)


def _open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """Open a file for reading.

    Raises:
        OSError: there is no file, or it is a named pipe, a device or, unless `follow`, a symbolic link.
    """
    flags = os.O_RDONLY | _SAFE_FLAGS
    file = os.fdopen(os.open(path, flags & ~getattr(os, "O_NOFOLLOW", 0) if follow else flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return file


async def _off_loop(work: Callable[..., _T], *arguments: Any) -> _T:
    """Run what may block in a thread. A thread cannot be stopped, so a cancelled caller waits for its end."""
    future = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
