"""One source's file as a complete temporary file: archives are downloaded once and kept, members are copied out of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import settings
from ..cards import FileSpec
from .archives import extract, read_literal
from .clients import fetch_archive
from .download import MAXIMUM, download
from .progress import bar
from .sources import Source, SourceFailure, file_name
from .store import cache_folder, digest, hashed_write, install, lock

__all__ = ["supply"]

_LITERAL_SOURCE_LIMIT = 1 << 28


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _label(file: FileSpec, within: str = "") -> str:
    """What is fetched, as a progress bar names it: the file, how large it is where the card knows, and what it comes in."""
    size = f" ({file.bytes / 1e6:.1f} MB)" if file.bytes else ""
    return f"{file_name(file)}{size}" + (f" in {within}" if within else "")


def _archive_folder(source: Source) -> Path:
    words = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in source.archive_key)
    return settings.current().cache / "archives" / f"{words[:60]}-{_short(source.archive_key)[:12]}"


def _kept(folder: Path) -> Path | None:
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")] if folder.is_dir() else []
    return files[0] if len(files) == 1 else None


def _check_archive(path: Path, file: FileSpec) -> None:
    if file.archive_sha256 and (got := digest(path)) != file.archive_sha256:
        raise SourceFailure(f"the archive's sha256 is {got}, expected {file.archive_sha256}")


def _download_archive(source: Source, file: FileSpec, folder: Path, show: bool) -> Path:
    """Bring the archive into the cache, whole and checked."""
    if source.kind == "https":
        part = cache_folder("partial") / f"{_short(source.archive_key)}.part"
        with bar(_label(file, source.base_name), show) as progress:
            download(source.location, part, MAXIMUM, progress)
        name = Path(source.location.partition("?")[0]).name or "archive"
        try:
            _check_archive(part, file)
        except SourceFailure:
            part.unlink(missing_ok=True)
            raise
        install(part, folder / name)
        return folder / name
    with bar(_label(file, source.archive_key), show, measured=False), fetch_archive(source) as path:
        _check_archive(path, file)
        install(path, folder / path.name)
        return folder / path.name


@contextmanager
def _archive(source: Source, file: FileSpec, fresh: bool, show: bool) -> Iterator[tuple[Path, bool]]:
    """The source's archive, and whether it was there already; locked while in use."""
    folder = _archive_folder(source)
    kept = None if fresh else _kept(folder)
    if kept is None and settings.current().offline:
        raise SourceFailure("not asked: faceworks is offline")
    with lock(f"source {source.archive_key}"):
        kept = None if fresh else _kept(folder)
        if kept is not None:
            _check_archive(kept, file)
            yield kept, True
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield _download_archive(source, file, folder, show), False


def _member(source: Source, file: FileSpec, archive: Path, path: Path) -> str:
    limit = file.bytes or MAXIMUM
    if not source.literal:
        return hashed_write(path, lambda write: extract(archive, source.member, write, limit, source.top_folder))
    text = bytearray()
    extract(archive, source.member, text.extend, _LITERAL_SOURCE_LIMIT, source.top_folder)
    value = read_literal(bytes(text), source.literal)
    return hashed_write(path, lambda write: write(value))


def supply(source: Source, file: FileSpec, show: bool, complaint: Callable[[Path, str], str]) -> tuple[Path, str]:
    """The source's file in the folder `partial`, and its SHA-256. The caller holds the file's lock.

    A file that is wrong (`complaint(path, sha256)` says why) and came from a kept archive or a resumed part is fetched afresh, once.

    Raises:
        SourceFailure: why this source could not give it.
        AssetUnavailable: the cache cannot be written.
    """
    if source.kind == "manual":
        raise SourceFailure(f"by hand: {source.location}")
    if source.kind == "bundled":
        raise SourceFailure("it is not in this installation; reinstall faceworks")
    if not source.member:
        return _plain(source, file, show, complaint)
    path = cache_folder("partial") / f"{_short(source.text + file_name(file))}.member"
    for fresh in (False, True):
        kept = False
        try:
            with _archive(source, file, fresh, show) as (archive, kept):
                sha256 = _member(source, file, archive, path)
            if not kept or settings.current().offline or not complaint(path, sha256):
                return path, sha256
        except SourceFailure:
            if not kept or settings.current().offline:
                raise
    raise AssertionError("unreachable")


def _plain(source: Source, file: FileSpec, show: bool, complaint: Callable[[Path, str], str]) -> tuple[Path, str]:
    if settings.current().offline:
        raise SourceFailure("not asked: faceworks is offline")
    part = cache_folder("partial") / f"{_short(source.archive_key)}.part"
    path = part.with_suffix(".whole")
    with lock(f"source {source.archive_key}"):
        resumed = part.is_file() and part.stat().st_size > 0
        for again in (resumed, False):
            with bar(_label(file), show) as progress:
                sha256 = download(source.location, part, file.bytes, progress)
            install(part, path)
            if not again or not complaint(path, sha256):
                break
    return path, sha256
