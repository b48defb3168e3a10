"""Where pictures come from: files, folders, globs, tables of paths, archives, videos.

`gather` turns what a user names into references that are small, ordered and (but for frames of a video and members of compressed tar files, which carry
their content) read where they are used, in a worker.
"""

from __future__ import annotations

import contextlib
import csv
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from .. import image, settings
from ..errors import ImageError, InputError, ManifestError
from ..image import frames
from ..optional import require
from ..types import ImageArray
from .folders import SUFFIXES, expand

__all__ = ["Content", "Member", "Reference", "content_hash", "gather", "load"]

ARCHIVES = frozenset({".zip", ".tar", ".tgz"})
TABLES = frozenset({".csv", ".tsv", ".parquet"})
COLUMNS = ("picture", "path", "source", "file", "filename", "image")
"""Column names that are taken for the pictures' when none is given, in this order."""


@dataclass(frozen=True, slots=True)
class Member:
    """A picture in a zip or an uncompressed tar file: read where it is used.

    Attributes:
        archive: path of the archive.
        name: its name inside.
        offset, size: where its bytes lie in a tar file; -1 in a zip file.
    """

    archive: str
    name: str
    offset: int = -1
    size: int = -1

    def __str__(self) -> str:
        return f"{self.archive}!{self.name}"

    def read(self) -> bytes:
        """Its bytes, within `settings.max_image_bytes`.

        Raises:
            ImageError: the archive or this member cannot be read, is encrypted, or exceeds the limit.
        """
        limit = settings.current().max_image_bytes
        try:
            if self.offset >= 0:
                if self.size > limit:
                    raise ImageError(f"{self} exceeds the limit of {limit} bytes; raise max_image_bytes in the settings")
                with open(self.archive, "rb") as file:
                    file.seek(self.offset)
                    return file.read(self.size)
            archive, lock = _zip(self.archive, os.stat(self.archive).st_mtime_ns)
            with lock, archive.open(self.name) as member:
                data = member.read(limit + 1)
        except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise ImageError(f"{self} cannot be read: {error}") from error
        if len(data) > limit:  # what it really unpacks to, not what its header says
            raise ImageError(f"{self} exceeds the limit of {limit} bytes; raise max_image_bytes in the settings")
        return data


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A named picture that carries its content: encoded bytes, or (H, W, 3) uint8 RGB pixels of a video's frame."""

    name: str
    data: bytes | ImageArray

    def __str__(self) -> str:
        return self.name


Reference: TypeAlias = "Path | Member | Content"


@lru_cache(maxsize=8)
def _zip(path: str, changed: int) -> tuple[zipfile.ZipFile, threading.Lock]:
    """An open archive of this process (its directory is read once) and the lock that its one file position needs."""
    return zipfile.ZipFile(path), threading.Lock()


def load(source: Any) -> ImageArray:
    """`image.load` for references too."""
    if isinstance(source, Member):
        return _named(source, source.read())
    return _named(source, source.data) if isinstance(source, Content) else image.load(source)


def _named(source: Member | Content, data: bytes | ImageArray) -> ImageArray:
    try:
        return image.load(data)
    except ImageError as error:
        raise ImageError(f"{source}: {error}") from error


def content_hash(source: Any) -> str:
    """`image.content_hash` for references too."""
    if isinstance(source, Member):
        return image.content_hash(source.read())
    return image.content_hash(source.data if isinstance(source, Content) else source)


def gather(sources: Iterable[str | Path], *, column: str | None = None, every: int = 1, keyframes: bool = False) -> Iterator[Reference]:
    """References to the pictures of all sources, each name once, in the order given.

    Args:
        sources: pictures, folders, quoted globs; .csv, .tsv and .parquet tables; .zip, .tar, .tar.gz and .tgz archives; videos (`image.frames.SUFFIXES`).
            Folders are searched for pictures alone.
        column: the tables' column of paths (relative to the table's folder) or, in Parquet, of encoded bytes; default: the first of `COLUMNS`.
        every, keyframes: which frames of a video: see `image.frames.read`.

    Raises:
        InputError: nothing of that name, no picture in it, or an archive or video that cannot be read.
        ManifestError: a table without such a column.
        MissingDependency: Parquet without pyarrow, a video without PyAV.
    """
    seen: set[int] = set()
    for source in sources:
        for reference in _references(source, column, every, keyframes):
            mark = hash(str(reference))
            if mark not in seen:
                seen.add(mark)
                yield reference


def _references(source: str | Path, column: str | None, every: int, keyframes: bool) -> Iterator[Reference]:
    path = Path(source)
    suffix = path.suffix.lower()
    if not path.is_file():
        yield from expand([source])
    elif suffix in TABLES:
        yield from _rows_of_parquet(path, column) if suffix == ".parquet" else _rows_of_csv(path, column)
    elif suffix in ARCHIVES or path.name.lower().endswith(".tar.gz"):
        yield from _zipped(path) if suffix == ".zip" else _tarred(path)
    elif suffix in frames.SUFFIXES:
        for frame in frames.read(path, every=every, keyframes=keyframes):
            yield Content(f"{path}#{frame.index:08d}", frame.pixels)
    else:
        yield path


def _wanted(name: str) -> bool:
    pure = Path(name)
    return pure.suffix.lower() in SUFFIXES and not pure.name.startswith((".", "__MACOSX"))


def _none(path: Path) -> InputError:
    return InputError(f"no picture in {path}; looked for {' '.join(sorted(SUFFIXES))}")


def _zipped(path: Path) -> Iterator[Reference]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir() and _wanted(info.filename)]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a zip file: {error}") from error
    if not names:
        raise _none(path)
    for name in names:
        yield Member(str(path), name)


def _tarred(path: Path) -> Iterator[Reference]:
    """Links and devices are passed over. A compressed archive is read once, from front to back: its pictures carry their bytes."""
    limit, found = settings.current().max_image_bytes, False
    try:
        with _open_tar(path) as (archive, packed):
            for info in archive:
                if not (info.isreg() and _wanted(info.name)):
                    continue
                found = True
                if not packed:
                    yield Member(str(path), info.name, info.offset_data, info.size)
                else:
                    file = archive.extractfile(info)
                    yield Content(f"{path}!{info.name}", b"" if file is None else file.read(limit + 1))
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a tar file: {error}") from error
    if not found:
        raise _none(path)


@contextlib.contextmanager
def _open_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, bool]]:
    """The archive and whether it is compressed."""
    try:
        archive, packed = tarfile.open(path, "r:"), False  # noqa: SIM115  closed below
    except tarfile.ReadError:
        archive, packed = tarfile.open(path, "r|*"), True  # noqa: SIM115
    with archive:
        yield archive, packed


def _column(names: Iterable[str], column: str | None, path: Path) -> str:
    given = list(names)
    by_lower = {name.strip().lower(): name for name in given}
    for name in (column,) if column is not None else COLUMNS:
        if name.lower() in by_lower:
            return by_lower[name.lower()]
    wanted = repr(column) if column is not None else f"one of {', '.join(COLUMNS)}"
    raise ManifestError(f"{path} has no column {wanted}; it has {', '.join(given) or 'none'}; name the column", 1)


def _rows_of_csv(path: Path, column: str | None) -> Iterator[Reference]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        name = _column(reader.fieldnames or (), column, path)
        for row in reader:
            if not row[name]:
                raise ManifestError(f"{path}: the column {name!r} is empty", reader.line_num)
            yield path.parent / row[name]


def _rows_of_parquet(path: Path, column: str | None) -> Iterator[Reference]:
    parquet = require("pyarrow.parquet", "parquet", "a Parquet table of pictures")
    table = parquet.ParquetFile(path)
    name = _column(table.schema_arrow.names, column, path)
    row = 0
    for batch in table.iter_batches(1024, columns=[name]):
        for value in batch.column(0).to_pylist():
            row += 1
            if isinstance(value, dict):  # {"bytes", "path"}, as picture data sets are published
                value = value.get("bytes") or value.get("path")
            if not value:
                raise ManifestError(f"{path}: row {row} of the column {name!r} is empty", row)
            yield Content(f"{path}#{row:08d}", value) if isinstance(value, bytes) else path.parent / str(value)
