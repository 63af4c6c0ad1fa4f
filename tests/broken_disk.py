"""A disk, as the operating system shows it, that is full, slow or lacks a feature; each as a context manager.

All patches of the operating system in the tests are here, so that a call that gets another name breaks one file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

_PIECE_BYTES = 1000
"""Writes above this are pieces of a file; smaller ones are notes and wake-ups of the event loop."""


@contextmanager
def _replaced(owner, name, replacement):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, replacement)
        yield


def _failing(owner, name, number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return _replaced(owner, name, fail)


def full(room_bytes):
    """Accept so many bytes of files, then fail with ENOSPC."""
    real, room = os.write, [room_bytes]

    def write(fd, data):
        if len(data) <= _PIECE_BYTES:
            return real(fd, data)
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(fd, data[: room[0]])
        room[0] -= written
        return written

    return _replaced(os, "write", write)


def short_writes(size_bytes):
    """Accept at most so many bytes with each write."""
    real = os.write
    return _replaced(os, "write", lambda fd, data: real(fd, data[:size_bytes]))


def timed_out_writes():
    """Fail every write with ETIMEDOUT, as a network file system does."""
    return _failing(os, "write", errno.ETIMEDOUT)


@contextmanager
def no_growth(path):
    """Let no file of this process grow beyond the size of `path`, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_for_text(room_bytes):
    """Accept so many bytes of `Path.write_bytes`, then fail with ENOSPC."""

    def write_bytes(path, data):
        with path.open("wb") as file:
            file.write(data[:room_bytes])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return _replaced(Path, "write_bytes", write_bytes)


def no_sync():
    """Sync nothing, which makes tests of many files fast."""
    return _replaced(os, "fsync", lambda _: None)


def failing_sync():
    """Fail every fsync with EIO."""
    return _failing(os, "fsync", errno.EIO)


@contextmanager
def slow_sync(*, only_first=False):
    """Hold every fsync, or only the first; yields an event that a held fsync sets, and the event that it waits for."""
    real, syncing, go_on = os.fsync, threading.Event(), threading.Event()

    def sync(fd):
        if not (only_first and syncing.is_set()):
            syncing.set()
            assert go_on.wait(10)
        real(fd)

    with _replaced(os, "fsync", sync):
        yield syncing, go_on


@contextmanager
def slow_open(suffix):
    """Hold every opening of a file with this suffix until the event that is yielded is set."""
    real, go_on = os.open, threading.Event()

    def open_slowly(path, *arguments, **options):
        if str(path).endswith(suffix):
            assert go_on.wait(10)
        return real(path, *arguments, **options)

    with _replaced(os, "open", open_slowly):
        yield go_on


def before_open(part_of_name, action):
    """Call `action` once, before the first file whose path contains `part_of_name` is opened."""
    real, todo = os.open, [action]

    def open_after(path, *arguments, **options):
        if part_of_name in str(path) and todo:
            todo.pop()()
        return real(path, *arguments, **options)

    return _replaced(os, "open", open_after)


def after_open(action):
    """Call `action` after each opening of a file."""
    real = os.open

    def open_before(path, *arguments, **options):
        fd = real(path, *arguments, **options)
        action()
        return fd

    return _replaced(os, "open", open_before)


def no_open(suffix, number=errno.EDQUOT):
    """Fail to open any file with this suffix."""
    real = os.open

    def open_others(path, *arguments, **options):
        if str(path).endswith(suffix):
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **options)

    return _replaced(os, "open", open_others)


def no_locks():
    """Fail every lock of a file with ENOLCK, as some network file systems do."""
    return _failing(fcntl, "flock", errno.ENOLCK)


def no_chmod():
    """Fail every change of permissions with EPERM, as for a file of another user."""
    return _failing(Path, "chmod", errno.EPERM)


def free_space(free_bytes, *, total_bytes=10**9):
    """Report so much free space."""
    usage = shutil.disk_usage("/")._replace(free=free_bytes, total=total_bytes)
    return _replaced(shutil, "disk_usage", lambda _: usage)


def no_links(before_failure=lambda _: None):
    """Fail every hard link with EPERM, after calling `before_failure` with the path of the link."""

    def hardlink_to(path, _target):
        before_failure(path)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    return _replaced(Path, "hardlink_to", hardlink_to)


def no_unlink(suffix):
    """Fail with EIO to remove any file with this suffix."""
    real = Path.unlink

    def unlink(path, **options):
        if path.name.endswith(suffix):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path, **options)

    return _replaced(Path, "unlink", unlink)


def sqlite_execute(before):
    """Call `before` with each SQL statement, before SQLite executes it; what it raises is the outcome."""
    connect = sqlite3.connect

    class Connection(sqlite3.Connection):
        def execute(self, sql, *parameters):
            before(sql)
            return super().execute(sql, *parameters)

    return _replaced(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Connection))
