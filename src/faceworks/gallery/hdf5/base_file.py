"""The HDF5 file of a gallery: columns that h5py and HDFView read without faceworks. It is written whole, under another name, and never changed.

attributes     format "faceworks gallery", version, uuid, generation, model, recipe, binding (JSON), created
/vectors       (N, D) float32, contiguous, each of length 1: it can be memory-mapped where `get_offset()` says
/samples/…     id, person (row of /people), time, expires, removed (int64, microseconds since 1970 UTC, 0 = never), length, norm, quality,
               box (float32, NaN = none), source, consent (text); sorted by id
/people/…      id, name, metadata (JSON), created, removed, token; sorted by id
/sealed        instead of the three, in an encrypted gallery: bytes as in the log (`faceworks.gallery.sealing`)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import GalleryCorrupt, GalleryUnavailable
from ...types import FloatArray
from ..backend import NUMBERS, TEXTS, Binding, Entries, Person, Samples
from ..directory import Directory
from ..files import Files
from ..table import EAGER, Table

__all__ = ["FORMAT", "UNREADABLE", "Base", "is_gallery", "open_base", "write_base"]

FORMAT, VERSION = "faceworks gallery", 1
SIGNATURE = b"\x89HDF\r\n\x1a\n"
Read = TypeVar("Read")
TEXT = h5py.string_dtype("utf-8")
UNREADABLE = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError, MemoryError)
"""What h5py and the checks raise about a damaged file."""


@dataclass(frozen=True)
class Base:
    """An opened base file.

    Attributes:
        path, inode: the file and its identity. uuid, generation: see the log. binding: the model. attributes: all of them, decoded.
        table: its content, or None where it is sealed. sealed: the bytes of an encrypted gallery, or None.
        handle: the file, kept open for the columns that are read later.
    """

    path: Path
    inode: int
    uuid: bytes
    generation: int
    binding: Binding | None
    attributes: dict[str, Any]
    table: Table | None
    sealed: memoryview | None
    handle: BinaryIO


def is_gallery(path: Path) -> bool:
    """Whether an HDF5 file is one of ours.

    Raises:
        GalleryCorrupt: it is no HDF5 file.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return str(file.attrs.get("format", "")) == FORMAT
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise GalleryCorrupt(f"{path} is no HDF5 file, or is damaged: {error}") from error


def write_base(
    files: Files, path: Path, attributes: dict[str, Any], binding: Binding | None, entries: Entries | None, sealed: Sequence[bytes] | None = None
) -> None:  # fmt: skip
    """Write a base file and put it in the place of the old one: temporary file, sync, rename, sync of the folder."""
    with files.replacing(path) as handle:
        try:
            _write_file(handle, attributes, binding, entries, sealed)
        except RuntimeError as error:  # h5py closes a file that could not be written: the reason stands behind
            raise _reason(error) from error


def _reason(error: BaseException) -> OSError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return OSError(cause.errno, str(cause))
        cause = cause.__context__
    return OSError(errno.EIO, str(error))


def _write_file(handle: Any, attributes: dict[str, Any], binding: Binding | None, entries: Entries | None, sealed: Sequence[bytes] | None) -> None:
    with h5py.File(handle, "w", libver=("v110", "v110"), alignment_threshold=512, alignment_interval=64) as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["model"], file.attrs["recipe"] = (binding.model, binding.recipe) if binding else ("", "")
        file.attrs["binding"] = json.dumps(binding.to_json()) if binding else ""
        for name, value in attributes.items():
            file.attrs[name] = value
        if sealed is not None:
            file.create_dataset("sealed", data=np.frombuffer(b"".join(sealed), np.uint8))
        elif entries is not None:
            _write_samples(file, entries.samples)
            _write_people(file, entries.people)


def _write_samples(file: Any, samples: Samples) -> None:
    file.create_dataset("vectors", data=np.ascontiguousarray(samples.vectors, "<f4"))
    group = file.create_group("samples")
    for name, (kind, _) in NUMBERS.items():
        group.create_dataset(name, data=np.asarray(getattr(samples, name), np.dtype(kind)))
    for name in TEXTS:
        values = getattr(samples, name)
        if any(values):
            group.create_dataset(name, data=np.array(values, object), dtype=TEXT)


def _write_people(file: Any, people: Sequence[Person]) -> None:
    group = file.create_group("people")
    ids = [person.id.encode() for person in people]
    group.create_dataset("id", data=np.array(ids, h5py.string_dtype("utf-8", max(map(len, ids), default=1))))
    texts = {
        "name": [person.name for person in people],
        "metadata": [json.dumps(dict(person.metadata), ensure_ascii=False) for person in people],
        "token": [person.token for person in people],
    }
    for name, values in texts.items():
        group.create_dataset(name, data=np.array(values, object), dtype=TEXT)
    for name in ("created", "removed"):
        group.create_dataset(name, data=np.array([getattr(person, name) for person in people], "<i8"))


def open_base(path: Path) -> Base:
    """Open a base file; vectors are mapped, texts are read when they are asked for.

    Raises:
        GalleryCorrupt: no HDF5 file, a damaged one, or one whose columns contradict each other.
        GalleryUnavailable: a file of another kind, or of a later version.
    """
    handle = None
    try:
        handle = path.open("rb")  # kept open: what is read later comes from the same file, even after a compaction has put another in its place
        with h5py.File(handle, "r") as file:
            inode = os.fstat(handle.fileno()).st_ino
            attributes = {str(name): file.attrs[name] for name in file.attrs}
            if attributes.get("format") != FORMAT:
                raise GalleryUnavailable(
                    f"{path} is an HDF5 file, but no faceworks gallery; a gallery in the layout of the course notes is brought over by: "
                    f"faceworks gallery migrate {path} --embedder NAME --gallery NEW.h5"
                )
            if int(attributes["version"]) > VERSION:
                raise GalleryUnavailable(f"{path} has format version {attributes['version']}, this faceworks knows {VERSION}: upgrade faceworks")
            binding = Binding.from_json(json.loads(attributes["binding"])) if attributes["binding"] else None
            identity = (path, inode, bytes.fromhex(str(attributes["uuid"])), int(attributes["generation"]), binding, attributes)
            if "sealed" in file:
                return Base(*identity, None, memoryview(file["sealed"][()].tobytes()), handle)
            return Base(*identity, _table(file, handle, binding), None, handle)
    except (FileNotFoundError, IsADirectoryError):
        raise
    except GalleryUnavailable:
        _close(handle)
        raise
    except PermissionError as error:
        raise GalleryUnavailable(f"cannot open {path}: no permission to read it") from error
    except UNREADABLE as error:
        _close(handle)
        if handle is not None and not _begins_as_hdf5(path):
            raise GalleryCorrupt(f"{path} is no gallery, or its beginning is lost; check the path, or restore it from a backup") from error
        raise GalleryCorrupt(f"{path} cannot be read as a gallery: {error}; restore it from a backup") from error


def _begins_as_hdf5(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE
    return True


def _close(handle: BinaryIO | None) -> None:
    if handle is not None:
        handle.close()


def _table(file: Any, handle: BinaryIO, binding: Binding | None) -> Table:
    dataset, columns = file["vectors"], {name: file[f"samples/{name}"][()] for name in EAGER}
    n, dim = dataset.shape
    ids = file["people/id"][()]
    wrong = [name for name, values in columns.items() if len(values) != n]
    if wrong or dataset.dtype != np.float32 or (binding is not None and n and dim != binding.dim):
        raise ValueError(f"columns of different lengths: {wrong}" if wrong else f"vectors are {dataset.shape} {dataset.dtype}")
    if n and not (columns["person"].min() >= 0 and columns["person"].max() < len(ids)):
        raise ValueError("a sample belongs to nobody")
    return Table(
        binding,
        _mapped(dataset, handle),
        columns,
        lambda name: _sound(handle, lambda: _column(handle, name, n)),
        Directory(ids, lambda: _sound(handle, lambda: _people(handle))),
    )


def _mapped(dataset: Any, handle: BinaryIO) -> FloatArray:
    offset = dataset.id.get_offset()
    if offset is None or offset % 4 or not dataset.size or dataset.dtype != np.dtype("<f4"):
        return np.asarray(dataset[()], np.float32)
    if offset + dataset.size * 4 > os.fstat(handle.fileno()).st_size:
        raise ValueError("the file ends inside its vectors")
    mapped: FloatArray = np.asarray(np.memmap(handle, np.float32, "r", offset, dataset.shape))
    return mapped


def _sound(handle: BinaryIO, read: Callable[[], Read]) -> Read:
    try:
        return read()
    except UNREADABLE as error:
        raise GalleryCorrupt(f"{handle.name} cannot be read as a gallery: {error}; restore it from a backup") from error


def _column(handle: BinaryIO, name: str, n: int) -> NDArray[Any] | list[str]:
    with h5py.File(handle, "r") as file:
        if name in TEXTS:
            return list(file[f"samples/{name}"].asstr()[()]) if name in file["samples"] else [""] * n
        values: NDArray[Any] = file[f"samples/{name}"][()]
        return values


def _people(handle: BinaryIO) -> list[Person]:
    with h5py.File(handle, "r") as file:
        group = file["people"]
        ids, created, removed = [id.decode() for id in group["id"][()]], group["created"][()], group["removed"][()]
        names, metadata, tokens = (group[name].asstr()[()] for name in ("name", "metadata", "token"))
    rows = zip(ids, names, metadata, created, removed, tokens, strict=True)
    return [Person(id, name, json.loads(text), int(at), int(gone), token) for id, name, text, at, gone, token in rows]


def is_sealed(path: Path) -> bool:
    """Whether a gallery file is encrypted; False for whatever is no gallery (opening it says so)."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "sealed" in file
    except UNREADABLE:
        return False
