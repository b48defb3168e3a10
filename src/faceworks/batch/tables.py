"""Faces of many pictures in a Parquet table: written in shards, each whole or not at all, each picture exactly once, however often the run is killed.

The table is a folder of `part-00000.parquet`, `part-00001.parquet` … that pandas, Polars, DuckDB, Spark and Arrow read as one table by the folder's name.
A picture's rows lie in one shard: one row for each face, one row without a box where there is none, one row with `error` where it cannot be used. So the
table itself says what is done: a second run reads names and content hashes, skips those and numbers its shards on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import cards
from ..assets.store import sync_folder
from ..errors import ConfigError, FaceworksError, ManifestError
from ..optional import require
from . import Executor, map_images, rows, sources, task_id

__all__ = ["Summary", "read_rows", "write_table"]

SHARD_PICTURES, SHARD_SECONDS = 4096, 60.0
"""A shard is closed after so many pictures or seconds: what a kill can cost."""
NAMED = 20
"""How many of the pictures that could not be used a summary names."""
KEY = b"faceworks"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did.

    Attributes:
        pictures, faces, errors: written by this run (errors are pictures that could not be used).
        resumed: pictures that were in the table already.
        seconds: wall time.
        failed: the first of the errors, in words that name the picture; the table has them all.
    """

    pictures: int
    faces: int
    errors: int
    resumed: int
    seconds: float
    failed: tuple[str, ...] = ()


def schema(arrow: Any) -> Any:
    """The table's columns.

    source: the picture's name as given · content: SHA-256 of its encoded bytes · width, height: pixels · faces: how many were found · face: number of
    this one from 0, null where there is none · box: x1, y1, x2, y2 · score · landmarks: x, y of each point in turn, in `scheme` · detector · vector: raw,
    as the network gives it · norm · model: the vector's · attributes: JSON, as `analyze --json` writes it · error: why the picture could not be used.
    """
    f32, text, i32 = arrow.float32(), arrow.string(), arrow.int32()
    return arrow.schema([
        ("source", text), ("content", text), ("width", i32), ("height", i32), ("faces", i32), ("face", i32), ("box", arrow.list_(f32, 4)), ("score", f32),
        ("landmarks", arrow.list_(f32)), ("scheme", text), ("detector", text), ("vector", arrow.list_(f32)), ("norm", f32), ("model", text),
        ("attributes", text), ("error", text),
    ])  # fmt: skip


def write_table(
    task: rows.FaceRows,
    pictures: Iterable[Any],
    out: str | Path,
    *,
    executor: Executor = "processes",
    workers: int | None = None,
    batch_size: int = 8,
    retry_errors: bool = False,
    progress: bool = False,
    address: str | None = None,
) -> Summary:
    """Run a task over pictures into the table `out`, or go on where an earlier run into it stopped.

    Args:
        task: what to do with each picture.
        pictures: references from `sources.gather`, or anything that `image.load` takes.
        out: folder of the table; made where it does not exist.
        executor, workers, batch_size, progress, address: see `map_images`.
        retry_errors: try pictures again that could not be used in an earlier run.

    Raises:
        ConfigError: `out` is no such table, was written by another recipe or step, cannot be written, or another run is writing to it.
        MissingDependency: without pyarrow.
        FaceworksError: what ends `map_images`; what was done before is kept.
    """
    start = time.monotonic()
    with _Table(Path(out), task, retry_errors) as table:
        total = len(pictures) if isinstance(pictures, Sequence) else None
        todo = (picture for picture in pictures if not table.holds(picture))
        for item in map_images(
            task, todo, executor, workers, batch_size, progress=progress, load=rows.load, total=total, skipped=lambda: table.resumed, address=address,
        ):  # fmt: skip
            table.add(item.source, item.result, item.error)
        table.flush()
        return Summary(table.pictures, table.faces, table.errors, table.resumed, time.monotonic() - start, tuple(table.failed))


class _Table:
    """The shards on disk and the one that is being filled."""

    def __init__(self, folder: Path, task: rows.FaceRows, retry_errors: bool) -> None:
        self.arrow, self.parquet = (require(name, "parquet", "a table of faces") for name in ("pyarrow", "pyarrow.parquet"))
        self.folder, self.retry_errors = folder, retry_errors
        about = {"step": task.step, "task": f"{task_id(task.spec, task.step)} {_attributes(task)}", "columns": 1}
        self.schema = schema(self.arrow).with_metadata({KEY: json.dumps(about, sort_keys=True).encode()})
        self.about = about
        self.pictures = self.faces = self.errors = self.resumed = 0
        self.failed: list[str] = []
        self.buffer: list[dict[str, Any]] = []
        self.held, self.since = 0, time.monotonic()

    def __enter__(self) -> _Table:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = (self.folder / ".lock").open("a+")
            _take(self.lock)
        except BlockingIOError as error:
            raise ConfigError(f"another run is writing to {self.folder}; wait for it, or name another table") from error
        except (FileExistsError, NotADirectoryError) as error:
            raise ConfigError(f"{self.folder} cannot be a table: a file lies there, and a table is a folder of shards; name another") from error
        except OSError as error:
            raise ConfigError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        try:
            strange = [path.name for path in self.folder.iterdir() if not path.name.startswith((".", "part-"))]
            if strange:
                raise ConfigError(f"{self.folder} holds {strange[0]!r}: it is no table of faceworks; name a new folder")
            for leftover in self.folder.glob(".part-*.tmp"):
                leftover.unlink()
            self.done, self.names, self.next = self._read_done()
        except BaseException:
            self.lock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()  # also when the run is interrupted: whole pictures only
        finally:
            self.lock.close()

    def _read_done(self) -> tuple[Any, Any, int]:
        """Digests (sorted) of name and content, and of names, of what is written; the next shard's number."""
        marks, names, last = [], [], -1
        for path in sorted(self.folder.glob("part-*.parquet")):
            last = int(path.stem.partition("-")[2])
            shard = self._open(path)
            part = shard.read(["source", "content", "error"])
            failed = part.column("error").is_valid()
            if self.retry_errors and self.arrow.compute.any(failed).as_py():
                self._write(path, shard.read().filter(self.arrow.compute.invert(failed)))
                part = part.filter(self.arrow.compute.invert(failed))
            for batch in part.to_batches():
                for source, content in zip(batch.column("source").to_pylist(), batch.column("content").to_pylist(), strict=True):
                    marks.append(_digest(source, content or ""))
                    names.append(_digest(source))
        return np.unique(np.array(marks, "S16")), np.unique(np.array(names, "S16")), last + 1

    def _open(self, path: Path) -> Any:
        try:
            shard = self.parquet.ParquetFile(path)
            about = json.loads((shard.schema_arrow.metadata or {})[KEY])
        except (OSError, self.arrow.ArrowException, KeyError, ValueError) as error:
            raise ConfigError(f"{path} is no shard of a table of faceworks ({error}); move it away, or name another table") from error
        if about["task"] != self.about["task"]:
            raise ConfigError(f"{self.folder} was written by {about['task']!r}, this run is {self.about['task']!r}; name another table")
        return shard

    def holds(self, picture: Any) -> bool:
        """Whether the picture is in the table, under this name and with this content. Only names that are in it are read and hashed."""
        if not _within(self.names, _digest(str(picture))):
            return False
        try:
            content = sources.content_hash(picture)
        except FaceworksError:
            content = ""
        if _within(self.done, _digest(str(picture), content)):
            self.resumed += 1
            return True
        return False

    def add(self, source: Any, faces: list[dict[str, Any]] | None, error: FaceworksError | None) -> None:
        """Take in one picture's rows."""
        name = str(source)
        if error is not None or faces is None:
            content = ""
            with contextlib.suppress(FaceworksError):
                content = sources.content_hash(source)
            self.buffer.append({"source": name, "content": content, "error": str(error)})
            self.errors += 1
            if len(self.failed) < NAMED:
                self.failed.append(str(error) if name in str(error) else f"{name}: {error}")
        else:
            self.buffer += [{"source": name, **row} for row in faces]
            self.faces += sum("box" in row for row in faces)
        self.pictures += 1
        self.held += 1
        if self.held >= SHARD_PICTURES or time.monotonic() - self.since >= SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Close the shard that is being filled."""
        if self.buffer:
            self._write(self.folder / f"part-{self.next:05d}.parquet", self.arrow.Table.from_pylist(self.buffer, schema=self.schema))
            self.buffer, self.next = [], self.next + 1
        self.held, self.since = 0, time.monotonic()

    def _write(self, path: Path, table: Any) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with temporary.open("wb") as file:
                self.parquet.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise ConfigError(
                f"{path} cannot be written: {error.strerror or error}; run again when there is room, what is done stays done"
            ) from error


def _attributes(task: rows.FaceRows) -> str:
    if task.step != "analyze":
        return ""
    chosen = {name: cards.get(model, "attribute").name for name, model in task.models.items()}
    return json.dumps({"attributes": list(task.attributes), "models": chosen}, sort_keys=True)


def _digest(*parts: str) -> bytes:
    # Hex of 64 bits would be shorter, but a collision would lose a picture silently: 128 bits, without zero bytes, which NumPy's byte strings drop.
    raw = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return raw.replace(b"\0", b"\1")


def _within(known: Any, digest: bytes) -> bool:
    place = int(np.searchsorted(known, np.bytes_(digest)))
    return place < len(known) and known[place] == digest


def _take(file: Any) -> None:
    """Lock the file until it is closed (by a kill too)."""
    try:
        import fcntl
    except ImportError:  # Windows: without it two runs at once are the user's to avoid
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_rows(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a table (a folder of shards, or one Parquet file), in order, some thousand at a time.

    Raises:
        ManifestError: not such a table, or a missing column.
    """
    parquet = require("pyarrow.parquet", "parquet", "a table of faces")
    folder = Path(path)
    shards = sorted(folder.glob("part-*.parquet")) if folder.is_dir() else [folder]
    if not shards or not all(shard.is_file() for shard in shards):
        raise ManifestError(f"{path} is no table of faces: no such file, or a folder without part-*.parquet", 1)
    for shard in shards:
        try:
            file = parquet.ParquetFile(shard)
            missing = [name for name in columns or () if name not in file.schema_arrow.names]
        except (OSError, require("pyarrow", "parquet", "a table of faces").ArrowException) as error:
            raise ManifestError(f"{shard} cannot be read as Parquet: {error}", 1) from error
        if missing:
            raise ManifestError(f"{shard} has no column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}", 1)
        for batch in file.iter_batches(4096, columns=list(columns) if columns else None):
            yield from batch.to_pylist()
