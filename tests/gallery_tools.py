"""For the gallery's tests: people made of numbers, and a file system that fails when it is told to."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks.gallery.backend import Binding, Change, Person, Samples, samples_of
from faceworks.gallery.files import Files

NOISE = 1.25
"""Length of the noise beside a unit center; two samples of one person then have a cosine of about 1 / (1 + NOISE²) = 0.39 … see `people_of`."""


def binding(dim: int = 4) -> Binding:
    return Binding("toy@000000000000", "0123456789abcdef", dim)


def people_of(count: int, each: int, dim: int = 128, seed: int = 0, noise: float = 0.85, first: int = 1) -> tuple[list[Person], Samples]:
    """Synthetic people: unit centers plus Gaussian noise of length `noise`. Genuine cosines are 1 / (1 + noise²) = 0.58 ± 0.05 at 0.85 in 128
    dimensions, near to what the default embedder gives on LFW (mean 0.61); impostors lie at 0 ± 0.09."""
    random_ = np.random.default_rng(seed)
    centers = random_.normal(size=(count, dim))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    person = np.repeat(np.arange(count), each)
    vectors = centers[person] + random_.normal(size=(count * each, dim)) * (noise / np.sqrt(dim))
    people = [Person(f"p{first + i:06d}", f"Person {i}", {"n": i}, created=1000 + i, token=f"t{first + i}") for i in range(count)]
    ids = np.arange(first, first + count * each, dtype=np.int64)
    sources = [f"{i}.jpg" for i in ids]
    return people, samples_of([p.id for p in people], person, vectors, ids, source=sources, time=ids * 1000, quality=ids % 101)


def change_of(numbers: list[int], dim: int = 4, **more: Any) -> Change:
    """One sample each for these numbers, of a person of its own; the number decides the vector."""
    people = [Person(f"p{n}", f"Name {n}", {"n": n}, created=n) for n in numbers]
    vectors = [np.random.default_rng(n).normal(size=dim) for n in numbers]
    return Change(
        people=people, samples=samples_of([p.id for p in people], range(len(numbers)), vectors, numbers, source=[f"{n}.jpg" for n in numbers]), **more
    )


def content(backend: Any) -> dict[str, Any]:
    """Everything in a store as plain types, to be compared."""
    found = backend.entries()
    rows = {s.id: (s.person, s.vector.tobytes(), s.source, s.time, s.expires, s.removed, s.quality) for s in found.samples}
    return {"people": {p.id: p.to_json() for p in found.people}, "samples": rows}


def needed(*modules: str) -> None:
    """Skip where an optional package is absent."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            pytest.skip(f"needs {module} ({error})")


class Killed(BaseException):
    """The process ends here."""


class Unsynced(Files):
    """Files for tests that lose no power: nothing waits for a disk."""

    def fsync(self, file: Any) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


class FaultyFiles(Files):
    """The operating system's files, with a model of what is on the disk for sure.

    At operation `stop` (from 1; open for writing, write, truncate, fsync, replace, sync_folder) it raises `error`, by default `Killed`; a write
    has then written half. After `Killed`, every operation fails.
    """

    def __init__(self, folder: Path, stop: int = 0, error: BaseException | None = None) -> None:
        self.folder, self.stop, self.error, self.count, self.dead = folder, stop, error, 0, False
        self.durable: dict[int, bytes] = {}
        self.names: dict[str, int] = {}
        for path in folder.iterdir():
            self.names[path.name] = path.stat().st_ino
            self.durable[path.stat().st_ino] = path.read_bytes()

    def _step(self) -> None:
        if self.dead:
            raise Killed
        self.count += 1
        if self.count == self.stop:
            self.dead = self.error is None
            raise self.error or Killed()

    def open(self, path: Path, mode: str) -> Any:
        self._step()
        return _Faulty(super().open(path, mode), self)

    def fsync(self, file: Any) -> None:
        self._step()
        path = Path(file.name)
        self.durable[path.stat().st_ino] = path.read_bytes()

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        self.names = {path.name: path.stat().st_ino for path in folder.iterdir()}

    def power_loss(self, target: Path, kind: str, seed: int = 0) -> None:
        """Write into `target` what a disk may hold after the power went: "nothing" that was not synced, new "names" with old content, old names
        with new content ("bytes"), or any "mix" of old and new blocks."""
        now = {path.name: path for path in self.folder.iterdir()}
        live = {path.stat().st_ino: path.read_bytes() for path in now.values()}
        names = {name: path.stat().st_ino for name, path in now.items()} if kind in ("names", "mix") else dict(self.names)
        random_ = random.Random(seed)
        for name, inode in names.items():
            old, new = self.durable.get(inode, b""), live.get(inode, self.durable.get(inode, b""))
            data = new if kind == "bytes" else old
            if kind == "mix":
                size, block = random_.choice([len(old), len(new)]), 64
                whole = bytearray()
                for at in range(0, size, block):
                    piece = random_.choice([old, new])[at : min(at + block, size)]
                    whole += piece.ljust(min(block, size - at), b"\0")
                data = bytes(whole)
            (target / name).write_bytes(data)


class _Faulty:
    """A file whose writes are counted; what it cannot do, h5py does not ask for."""

    def __init__(self, file: Any, files: FaultyFiles) -> None:
        self._file, self._files, self.name = file, files, file.name

    def write(self, data: Any) -> int:
        view = memoryview(data)
        try:
            self._files._step()
        except BaseException:
            self._file.write(view[: len(view) // 2])
            raise
        return self._file.write(view)

    def truncate(self, size: int | None = None) -> int:
        self._files._step()
        return self._file.truncate(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def write_and_tell(said: Any, path: str, start: int, count: int, compact: int) -> None:
    """What a writing process of the tests does: enroll sample after sample, remove some, compact at times; `said` gets n, or −n for a removal, when it
    was acknowledged, and a 0 when the gallery is open."""
    from faceworks.gallery.hdf5 import Hdf5Backend

    store = Hdf5Backend(path, "a", binding(), wait=60)
    said.send(0)
    for n in range(start, start + count):
        store.commit(change_of([n]))
        said.send(n)
        if n % 5 == 4:
            store.commit(Change(remove_people=[f"p{n - 1}"]))
            said.send(-(n - 1))
        if compact and n % compact == 0:
            store.compact()
