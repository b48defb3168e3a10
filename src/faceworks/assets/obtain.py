"""fetch and its relatives: cache, then mirrors, then the card's sources in their order; every file is checked before it gets its name."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import settings
from ..cards import FileSpec
from ..errors import AssetUnavailable, ChecksumMismatch
from . import pins
from .sources import SourceFailure, file_name, parse_source
from .store import cache_folder, digest, git_blob, hashed_write, install, lock, storage_errors

__all__ = ["adopt", "fetch", "fetch_all", "locate", "remove", "status", "verify"]

PACKAGE = Path(__file__).parents[1]


class _Mismatch(SourceFailure):
    """A source gave another file than the card names."""


@dataclass(frozen=True, slots=True)
class _Identity:
    """What the bytes must be: `sha256` (from the card or a pin) or `git`; neither before the first use of a pinned file."""

    sha256: str
    git: str
    size: int

    @property
    def key(self) -> str:
        return self.sha256 or (f"git-{self.git}" if self.git else "")

    def complaint(self, path: Path, sha256: str) -> str:
        """Why `path` is not the file; "" when it is."""
        if self.sha256 and sha256 != self.sha256:
            return f"sha256 is {sha256}, expected {self.sha256}"
        if self.git and (got := git_blob(path)) != self.git:
            return f"git blob hash is {got}, expected {self.git}"
        if self.size and (size := path.stat().st_size) != self.size:
            return f"it has {size} bytes, expected {self.size}"
        return ""


def _identity(file: FileSpec) -> _Identity:
    return _Identity(file.sha256 or (pins.pinned(file.from_) if file.pin else ""), file.git_blob, file.bytes)


def _right_size(path: Path, file: FileSpec) -> bool:
    try:
        return path.is_file() and (not file.bytes or path.stat().st_size == file.bytes)
    except OSError:
        return False


def _cached(file: FileSpec, identity: _Identity) -> Path | None:
    """The file in the cache. It was hashed before it got its name, so only its size is looked at; `verify` hashes again."""
    if not identity.key:
        return None
    path = settings.current().cache / "files" / identity.key / file_name(file)
    return path if _right_size(path, file) else None


def _bundled(file: FileSpec) -> Path | None:
    for text in file.from_:
        if text.startswith("bundled:"):
            path = PACKAGE / parse_source(text).location
            if _right_size(path, file):
                return path
    return None


def _mirror_candidates(file: FileSpec, identity: _Identity) -> Iterator[Path]:
    names = [file_name(file), *(parse_source(text).base_name for text in file.from_ if not text.startswith(("manual:", "gdrive:")))]
    for folder in settings.current().mirrors:
        if identity.key:
            yield from (folder / identity.key, folder / identity.key / names[0])
        yield from (folder / name for name in dict.fromkeys(names) if name)


def _mirrored(file: FileSpec, identity: _Identity, tried: list[str] | None = None) -> Path | None:
    """The file in a mirror folder, by hash or by name; always hashed."""
    for path in _mirror_candidates(file, identity):
        with contextlib.suppress(OSError):
            if path.is_file():
                complaint = identity.complaint(path, digest(path))
                if not complaint:
                    return path
                if tried is not None:
                    tried.append(f"mirror {path}: {complaint}")
    return None


def locate(file: FileSpec) -> Path | None:
    """The verified local file in cache, mirror or package, or None. Never touches the network, writes nothing."""
    identity = _identity(file)
    if (path := _cached(file, identity)) is not None:
        return path
    bundled = _bundled(file)
    if bundled is not None and not identity.complaint(bundled, digest(bundled)):
        return bundled
    return _mirrored(file, identity)


def status(file: FileSpec) -> Literal["ready", "pull", "manual"]:
    """ "ready": it lies here (a mirror's file is judged by its size where the card states one, not hashed); "pull": a client can fetch it;
    "manual": a person must."""
    identity = _identity(file)
    if _cached(file, identity) or _bundled(file):
        return "ready"
    if any(_right_size(path, file) for path in _mirror_candidates(file, identity)) if file.bytes else _mirrored(file, identity):
        return "ready"
    return "pull" if any(parse_source(text).kind not in ("manual", "bundled") for text in file.from_) else "manual"


def verify(file: FileSpec) -> bool:
    """Hash the local file again; False when there is none or it differs."""
    path, identity = locate(file), _identity(file)
    return path is not None and not identity.complaint(path, digest(path, fresh=True))


def remove(file: FileSpec) -> bool:
    """Delete the file from the cache (never from a mirror); whether there was one. A pin stays in lock.toml."""
    path = _cached(file, _identity(file))
    if path is None:
        return False
    with lock(f"file {path.parent.name}"), storage_errors(path):
        shutil.rmtree(path.parent)
    return True


def _settle(file: FileSpec, identity: _Identity, temporary: Path, sha256: str, used: str) -> Path:
    """Check a complete temporary file and give it its final name; a wrong one is deleted."""
    complaint = identity.complaint(temporary, sha256)
    if not complaint and not identity.key:
        known = pins.record(file.from_, used, sha256)
        complaint = "" if known == sha256 else f"sha256 is {sha256}, pinned is {known}"
    if complaint:
        temporary.unlink(missing_ok=True)
        raise _Mismatch(complaint)
    path = cache_folder("files") / (identity.key or sha256) / file_name(file)
    install(temporary, path)
    return path


def _adopt(file: FileSpec, identity: _Identity, path: Path) -> Path:
    """Copy a mirror's file into the cache, so that later runs need not hash it; with a cache that cannot be written it stays where it is."""
    try:
        temporary = cache_folder("partial") / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.mirror"
        with path.open("rb") as source:
            sha256 = hashed_write(temporary, lambda write: [write(block) for block in iter(lambda: source.read(1 << 20), b"")])
        return _settle(file, identity, temporary, sha256, file.from_[0])
    except (AssetUnavailable, SourceFailure, OSError):
        return path


def adopt(file: FileSpec, path: Path) -> Path:
    """Copy a local file into the cache as the one that a card names; its path there.

    Raises:
        ChecksumMismatch: it is another file. AssetUnavailable: it cannot be read, or the cache cannot be written.
    """
    identity = _identity(file)
    temporary = cache_folder("partial") / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]}.adopted"
    try:
        with path.open("rb") as source:
            sha256 = hashed_write(temporary, lambda write: [write(block) for block in iter(lambda: source.read(1 << 20), b"")])
        return _settle(file, identity, temporary, sha256, file.from_[0])
    except SourceFailure as error:
        raise ChecksumMismatch(f"{path} is not the file that the card names: {error}") from error
    except OSError as error:
        raise AssetUnavailable(f"{path} cannot be read: {error.strerror or error}") from error


def _what(file: FileSpec, identity: _Identity) -> str:
    known = f"sha256 {identity.sha256[:12]}…" if identity.sha256 else f"git blob {identity.git[:12]}…" if identity.git else "no checksum known"
    return f"{file_name(file)} ({known})"


def _advice(file: FileSpec) -> str:
    return f"or put {file_name(file)} into a folder that FACEWORKS_MIRRORS names"


def _from_sources(file: FileSpec, identity: _Identity, progress: bool, tried: list[str]) -> Path:
    from .supply import supply  # network, archives and package clients: a cached file needs none of them

    sources = [parse_source(text) for text in file.from_]
    wrong = False
    for source in sources:
        try:
            temporary, sha256 = supply(source, file, progress, identity.complaint)
            return _settle(file, identity, temporary, sha256, source.text)
        except SourceFailure as error:
            wrong = wrong or isinstance(error, _Mismatch)
            tried.append(str(error) if source.location and source.location in str(error) else f"{source.text}: {error}")
    what, reasons, advice = _what(file, identity), "; ".join(tried), _advice(file)
    if wrong:
        raise ChecksumMismatch(f"another file than {what} came: {reasons}; do not use it: the publisher may have replaced it, {advice}")
    if settings.current().offline:
        raise AssetUnavailable(f"cannot fetch {what} while offline: unset FACEWORKS_OFFLINE, {advice}; {reasons}", tuple(tried))
    manual = all(source.kind == "manual" for source in sources)
    first = "no client can fetch it; get it by hand" if manual else "mend what is named last and try again"
    raise AssetUnavailable(f"cannot fetch {what}: {first}, {advice}; {reasons}", tuple(tried))


def fetch(file: FileSpec, progress: bool = True) -> Path:
    """The verified local path of the raw file: from the cache, a mirror folder, or the first source that gives the right bytes.

    Safe among threads and processes: one downloads, the others wait and get the file. `progress` shows a bar when stderr is a terminal.

    Raises:
        AssetUnavailable: no source could give it (`tried` says why, source by source), or the cache cannot be written.
        ChecksumMismatch: none could, and at least one gave another file.
        CardError: a source does not follow the grammar.
    """
    identity = _identity(file)
    if (path := _cached(file, identity)) is not None:
        return path
    bundled = _bundled(file)
    tried: list[str] = []
    if bundled is not None:
        complaint = identity.complaint(bundled, digest(bundled))
        if not complaint:
            return bundled
        tried.append(f"bundled {bundled}: {complaint}")
    if (found := _mirrored(file, identity, tried)) is not None:
        return _adopt(file, identity, found)
    with lock(f"file {identity.key or file.from_[0]}"):
        identity = _identity(file)
        if (path := _cached(file, identity)) is not None:  # another process was faster
            return path
        return _from_sources(file, identity, progress, tried)


def fetch_all(files: Iterable[FileSpec], progress: bool = True) -> list[Path]:
    """`fetch` for several files, in their order; all are tried before the first error is raised.

    Raises:
        AssetUnavailable, ChecksumMismatch: as `fetch`; when several fail, the first error with the others' messages as notes.
    """
    paths: list[Path] = []
    errors: list[AssetUnavailable | ChecksumMismatch] = []
    for file in files:
        try:
            paths.append(fetch(file, progress))
        except (AssetUnavailable, ChecksumMismatch) as error:
            errors.append(error)
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"also: {other}")
        raise errors[0]
    return paths
