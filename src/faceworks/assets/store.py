"""The cache folder: where things lie, whole files or none, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, TypeVar

from .. import settings
from ..errors import AssetUnavailable

__all__ = ["atomic_write", "cache_folder", "digest", "git_blob", "hashed_write", "install", "lock", "storage_errors", "sweep", "sync_folder"]

T = TypeVar("T")
BLOCK = 1 << 20
LOCK_WAIT = 3600.0
"""Longest wait for another process that fetches the same file, in seconds."""
_STALE = 24 * 3600.0
_PATIENCE = 3.0


def cache_folder(kind: str) -> Path:
    """The folder `<cache>/<kind>` (created when missing): "files", "archives", "converted", "graphs", …

    Raises:
        AssetUnavailable: it cannot be created.
    """
    if not kind or kind.startswith(".") or any(mark in kind for mark in '/\\:*?"<>|'):
        raise ValueError(f"a cache kind is one plain folder name, got {kind!r}")
    folder = settings.current().cache / kind
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the file system into one clear `AssetUnavailable`."""
    try:
        yield
    except OSError as error:
        why = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EROFS: "the file system is read-only"}
        reason = why.get(error.errno or 0, error.strerror or str(error))
        advice = "free some space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise AssetUnavailable(
            f"cannot write to the cache at {path}: {reason}; {advice}let FACEWORKS_CACHE name a folder that can be written "
            "(a read-only cache serves only files that are already there)"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and does not need one."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _exclusive(path: Path) -> IO[bytes]:
    """A new file with the user's umask (mkstemp would lock colleagues out of a shared cache)."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "w+b")


def sweep(folder: Path, pattern: str) -> None:
    """Drop temporary files and folders that a killed process left a day ago."""
    with contextlib.suppress(OSError):
        for path in folder.glob(pattern):
            if time.time() - path.stat().st_mtime > _STALE:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def atomic_write(path: Path, writer: Callable[[IO[bytes]], T]) -> T:
    """Write a file so that others see all of it or nothing: temporary file beside it, fsync, rename. Returns what `writer` returned.

    Raises:
        AssetUnavailable: the folder cannot be written or the disk is full. What `writer` itself raises passes through; no file is left.
    """
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, ".*.tmp")
        out = _exclusive(temporary)
    try:
        with storage_errors(path.parent), out:
            result = writer(out)
            out.flush()
            os.fsync(out.fileno())
        install(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return result


def hashed_write(path: Path, fill: Callable[[Callable[[bytes], object]], object]) -> str:
    """Write a file atomically through `fill(write)`, hashing as it goes; its SHA-256."""
    total = hashlib.sha256()

    def writer(out: IO[bytes]) -> None:
        def write(block: bytes) -> None:
            with storage_errors(path):
                out.write(block)
            total.update(block)

        fill(write)

    atomic_write(path, writer)
    return total.hexdigest()


def install(temporary: Path, path: Path) -> None:
    """Move a finished, flushed file to its final name."""
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)
        sync_folder(path.parent)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt = importlib.import_module("msvcrt")
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl = importlib.import_module("fcntl")
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            return True  # a network file system without locks: renames still keep files whole
        raise
    return True


@contextlib.contextmanager
def lock(key: str, wait: float = LOCK_WAIT) -> Iterator[None]:
    """Hold the lock `key` among all processes and threads that share the cache; the system frees it when a process dies.

    Raises:
        AssetUnavailable: it was not free within `wait` seconds, or the cache cannot be written.
    """
    path = cache_folder("locks") / hashlib.sha256(key.encode()).hexdigest()[:32]
    with storage_errors(path.parent):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        begin, pause, told = time.monotonic(), 0.01, False
        while True:
            with storage_errors(path.parent):
                if _try_lock(handle):
                    break
            if time.monotonic() - begin >= wait:
                raise AssetUnavailable(f"another process has held the lock on {key} for {wait:.0f} s; wait for it or end it ({path})")
            if not told and time.monotonic() - begin > _PATIENCE:
                told = bool(sys.stderr.write(f"faceworks: waiting for another process that works on {key}\n"))
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        yield
    finally:
        os.close(handle)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, stamp: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path, fresh: bool = False) -> str:
    """SHA-256 of a file, remembered while its size, time and inode stay; `fresh` reads it again."""
    state = path.stat()
    function = _digest.__wrapped__ if fresh else _digest
    return function(path, state.st_size, state.st_mtime_ns, state.st_ino)


def git_blob(path: Path) -> str:
    """Git's own hash of a file: SHA-1 of "blob SIZE\\0" and the bytes."""
    total = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()
