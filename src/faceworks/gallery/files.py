"""Everything that the embedded gallery asks of a file system, in one small layer, so that tests can fail it at any operation.

And the lock: one writer at a time, waited for some seconds.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import GalleryLocked, GalleryUnavailable

__all__ = ["Files", "explained", "locked"]


class Files:
    """The operating system's files. All writing of a gallery goes through these methods."""

    def open(self, path: Path, mode: str) -> Any:
        """An unbuffered binary file; the only methods used are read, readinto, write, seek, tell, truncate, flush, close."""
        return open(path, mode, buffering=0, opener=_private)

    def fsync(self, file: BinaryIO) -> None:
        """Wait until the file's bytes and length are on the disk."""
        os.fsync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        """Give `source` the name `target`, atomically."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Delete a file that may be absent."""
        path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def replacing(self, path: Path) -> Iterator[Any]:
        """A new file that takes the place of `path` when all is written: temporary file, sync, rename, sync of the folder.

        What an error leaves half written is deleted: on a full disk it would stand in the way.
        """
        temporary = path.with_name(path.name + ".new")
        file = self.open(temporary, "w+b")
        try:
            try:
                yield file
                self.fsync(file)
            finally:
                file.close()
            self.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(temporary)
            raise
        self.sync_folder(path.parent)

    def sync_folder(self, folder: Path) -> None:
        """Wait until the names in a folder are on the disk."""
        if sys.platform == "win32":
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # faces are personal data: readable by their owner alone


@contextlib.contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Turn an `OSError` into a `GalleryUnavailable` that says what to do."""
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: "the disk is full: free some space; nothing was changed",
            errno.EDQUOT: "your disk quota is used up; nothing was changed",
            errno.EROFS: "the file system is read-only: the gallery can be read there (mode r), not changed",
            errno.EACCES: "no permission to write there: change its rights; to read (mode r) takes none",
            errno.EPERM: "no permission to write there: change its rights; to read (mode r) takes none",
            errno.ENOENT: "the file or its folder does not exist",
            errno.EISDIR: "that is a folder; name a file",
            errno.ENOTDIR: "a part of the path is no folder",
            errno.ENAMETOOLONG: "the name is too long",
        }
        raise GalleryUnavailable(f"cannot {what} {path}: {hints.get(error.errno or 0, error.strerror or str(error))}") from error


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            importlib.import_module("msvcrt").locking(handle, 2, 1)  # LK_NBLCK
        else:
            fcntl = importlib.import_module("fcntl")
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def _unlock(handle: int) -> None:
    if sys.platform != "win32":  # closing is not enough: a process that was forked meanwhile holds the same open file, and with it the lock
        fcntl = importlib.import_module("fcntl")
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


@contextlib.contextmanager
def locked(path: Path, wait: float) -> Iterator[None]:
    """Hold the lock file `path`; the operating system lets go of it when the process ends, however it ends.

    Raises:
        GalleryLocked: another writer held it for `wait` seconds.
    """
    with explained(path, "lock"):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end, pause = time.monotonic() + wait, 0.001
        while not _try_lock(handle):
            if time.monotonic() >= end:
                raise GalleryLocked(f"another writer has held {path} for {wait:g} seconds; try again, or wait longer (wait=)")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        yield
    finally:
        _unlock(handle)
