"""Embedded pictures on disk, so that an evaluation embeds each picture once and a killed one continues.

A folder of NumPy archives (no pickle), one for each few hundred pictures, written atomically; full ones never change. The folder's name stands for
the recipe and every option with an effect (`batch.task_id`), a picture's key is the hash of its content: a moved file is found again, a changed
one is not.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .. import batch, image, settings
from ..errors import ConfigError, FaceworksError, ImageError
from ..types import FloatArray
from .tasks import Embedders

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec
    from .tasks import Task

__all__ = ["Embedded", "VectorStore", "embed_pictures", "embed_with_each"]

SHARD = 256
"""Pictures in one archive."""
UNSAVED = 2.0
"""Seconds of work that a killed run loses at most: as often the archive that is not full yet is written."""


class VectorStore:
    """Content hash -> vector (D,) float32, or None where no face was found.

    It holds vectors of faces, that is personal data: its folder can be read by its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unwritable(folder, error) from error
        self.folder = folder
        self._open = folder / f"open-{secrets.token_hex(8)}.npz"
        self._saved = time.monotonic()
        self._fresh: dict[str, FloatArray | None] = {}
        self.vectors: dict[str, FloatArray | None] = {}
        for path in sorted(folder.glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as shard:
                    keys, rows, vectors = shard["keys"], shard["rows"], shard["vectors"]
                self.vectors.update({str(key): None if row < 0 else vectors[row] for key, row in zip(keys, rows, strict=True)})
            except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile):
                continue  # a damaged archive is worth nothing: its pictures are embedded again

    def add(self, key: str, vector: FloatArray | None) -> None:
        """Keep a picture's vector; an archive is written every `UNSAVED` seconds, and is full with `SHARD` pictures."""
        self.vectors[key] = self._fresh[key] = vector
        if len(self._fresh) >= SHARD:
            self.flush()
        elif time.monotonic() - self._saved >= UNSAVED:
            self._write(self._open)

    def flush(self) -> None:
        """Write what is not written yet."""
        if not self._fresh:
            return
        name = hashlib.sha256("".join(self._fresh).encode()).hexdigest()[:16]
        self._write(self.folder / f"{name}.npz")
        self._open.unlink(missing_ok=True)
        self._fresh.clear()

    def _write(self, path: Path) -> None:
        vectors = [vector for vector in self._fresh.values() if vector is not None]
        rows = np.cumsum([vector is not None for vector in self._fresh.values()]) - 1
        rows[[vector is None for vector in self._fresh.values()]] = -1
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                np.savez(file, keys=np.array(list(self._fresh)), rows=rows, vectors=np.stack(vectors) if vectors else np.empty((0, 0), np.float32))
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _unwritable(self.folder, error) from error
        self._saved = time.monotonic()


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot keep vectors in {folder}: {error.strerror or error}; name another folder (--out), or free some space")


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Pictures with their vectors.

    Attributes:
        vectors: picture -> (D,) float32 as the network gives it; None where no face was found or the picture could not be read.
        errors: picture -> why it could not be read.
        computed: how many different pictures were embedded now; the others came from the store.
        fallbacks: pictures in which no face was found, and which the fall-back embedded.
        contents: picture -> hash of its content; unreadable files have none.
    """

    vectors: dict[Path, FloatArray | None]
    errors: dict[Path, FaceworksError]
    computed: int
    fallbacks: frozenset[Path] = frozenset()
    contents: Mapping[Path, str] = field(default_factory=dict)


def embed_pictures(
    pictures: Sequence[Path],
    spec: PipelineSpec,
    store: Path,
    *,
    executor: Literal["serial", "threads", "processes"] = "serial",
    workers: int | None = None,
    batch_size: int = 8,
    progress: bool = True,
    task: Task | None = None,
    fallback: Task | None = None,
) -> Embedded:
    """Embed the selected face of each picture once; `store` is a folder of vector folders.

    `task` is done instead of the spec's pipeline; `fallback` is done with the pictures in which that finds no face.

    `on_no_face="raise"` in the spec is read as "empty": in an evaluation a missed face is a result.

    Raises:
        ConfigError: `select="all"`, since a picture then has no one vector.
    """
    if fallback is not None:
        found = embed_pictures(pictures, spec, store, executor=executor, workers=workers, batch_size=batch_size, progress=progress, task=task)
        lost = [picture for picture, vector in found.vectors.items() if vector is None and picture not in found.errors]
        if not lost:
            return found
        second = embed_pictures(lost, spec, store, executor=executor, workers=workers, batch_size=batch_size, progress=progress, task=fallback)
        fallen = frozenset(picture for picture, vector in second.vectors.items() if vector is not None)
        return Embedded(found.vectors | second.vectors, found.errors | second.errors, found.computed + second.computed, fallen, found.contents)
    spec = _tolerant(spec)
    identity = batch.task_id(spec) if task is None else task.identity
    kept = _store(store, identity)
    return _embed(pictures, lambda _: spec if task is None else task, [kept], executor, workers, batch_size, progress)[0]


def embed_with_each(
    pictures: Sequence[Path],
    specs: Sequence[PipelineSpec],
    store: Path,
    *,
    executor: Literal["serial", "threads", "processes"] = "serial",
    workers: int | None = None,
    batch_size: int = 8,
    progress: bool = True,
) -> list[Embedded]:
    """`embed_pictures` for several specs that differ after detection alone; each picture is decoded and searched for faces once.

    Embedders whose store has every picture do not run.

    Raises:
        ConfigError: `select="all"`; or specs that find different faces.
    """
    several = Embedders(tuple(_tolerant(spec) for spec in specs))
    kept = [_store(store, batch.task_id(spec)) for spec in several.specs]
    return _embed(pictures, lambda lacking: Embedders(tuple(several.specs[k] for k in lacking)), kept, executor, workers, batch_size, progress)


def _store(folder: Path, identity: str) -> VectorStore:
    return VectorStore(folder / hashlib.sha256(identity.encode()).hexdigest()[:16])


def _tolerant(spec: PipelineSpec) -> PipelineSpec:
    """The spec for a run that goes on after a picture without a face."""
    if spec.select == "all":
        raise ConfigError("an evaluation needs one face of each picture: select='largest' or 'central', not 'all'")
    return spec.with_options(on_no_face="empty") if spec.on_no_face == "raise" else spec


def _embed(
    pictures: Sequence[Path],
    task_for: Callable[[list[int]], PipelineSpec | Task | Embedders],
    stores: Sequence[VectorStore],
    executor: Literal["serial", "threads", "processes"],
    workers: int | None,
    batch_size: int,
    progress: bool,
) -> list[Embedded]:
    """Fill the stores that lack pictures with what their task gives: its first face for the first of them, and so on."""
    errors: dict[Path, FaceworksError] = {}
    keys: dict[Path, str] = {}
    with settings.use():  # read once, not for each of thousands of files
        for picture in pictures:
            try:
                keys[picture] = image.content_hash(picture)
            except ImageError as error:
                errors[picture] = error
    needed = set(keys.values())
    lacking = [k for k, kept in enumerate(stores) if not needed <= kept.vectors.keys()]
    missing = {key: picture for picture, key in reversed(keys.items()) if any(key not in stores[k].vectors for k in lacking)}
    todo = list(reversed(missing.values()))
    failed: dict[str, FaceworksError] = {}
    try:
        for item in batch.map_images(task_for(lacking or [0]), todo, executor, workers, batch_size, progress=progress):
            key = keys[item.source]
            if item.error is not None:
                failed[key] = item.error
                continue
            for place, k in enumerate(lacking):
                if key not in stores[k].vectors:
                    stores[k].add(key, item.result[place].embedding.vector if item.result else None)
    finally:
        for kept in stores:
            kept.flush()
    errors |= {picture: failed[key] for picture, key in keys.items() if key in failed}
    computed = len(todo) - len(failed)
    return [Embedded({picture: kept.vectors.get(keys.get(picture, "")) for picture in pictures}, errors, computed, contents=keys) for kept in stores]
