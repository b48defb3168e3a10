"""The layouts of the course notes, read and written: a group for each person.

    literal      /Name, /Department at the root, /0/Feature Map/feature_1: what the notes' code writes, one person
    intended     /N/Name, /N/Department, /N/Feature Map/feature_k: many people

Vectors are (D,) or (1, D), of any length. Such a file names no model: who reads it must.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import FaceworksError, GalleryCorrupt, InputError
from ...types import FloatArray
from ..backend import Entries
from ..files import Files
from .base_file import UNREADABLE

__all__ = ["SeedPerson", "read_seed", "write_seed"]

SeedPerson = tuple[str, dict[str, Any], FloatArray]
"""Name, metadata, vectors (K, D)."""
MAP = "Feature Map"


def read_seed(path: str | Path) -> list[SeedPerson]:
    """People of a file in one of the two layouts.

    Raises:
        GalleryCorrupt: no HDF5 file. InputError: another layout, or vectors of different lengths.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            people = _people(file)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except FaceworksError:
        raise
    except UNREADABLE as error:
        raise GalleryCorrupt(f"{path} is no HDF5 file, or is damaged: {error}") from error
    if not people:
        raise InputError(
            f"{path} is in neither layout of the course notes: it has no group with a “{MAP}”; faceworks galleries are opened as they are"
        )
    dims = {vectors.shape[1] for _, _, vectors in people}
    if len(dims) > 1:
        raise InputError(f"{path} holds vectors of different lengths: {sorted(dims)}")
    return people


def _people(file: Any) -> list[SeedPerson]:
    groups = [name for name, item in file.items() if isinstance(item, h5py.Group) and isinstance(item.get(MAP), h5py.Group)]
    groups.sort(key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    out = []
    for name in groups:
        group = file[name]
        facts = {key: _plain(item) for key, item in group.items() if isinstance(item, h5py.Dataset)}
        facts |= {key: _plain(value) for key, value in group.attrs.items()}
        if "Name" not in facts:  # the literal layout: what is known of the one person stands at the root
            facts = {key: _plain(item) for key, item in file.items() if isinstance(item, h5py.Dataset)} | facts
        if "Name" not in facts and len(groups) > 1:
            raise InputError(f"group {name!r} has no Name")
        rows = [np.asarray(item[()], np.float32).reshape(-1) for _, item in sorted(group[MAP].items(), key=_number) if isinstance(item, h5py.Dataset)]
        if len({len(row) for row in rows}) > 1:
            raise InputError(f"group {name!r} holds vectors of different lengths")
        if rows:
            out.append((str(facts.pop("Name", name)), facts, np.stack(rows)))
    return out


def _number(item: tuple[str, Any]) -> tuple[int, str]:
    digits = "".join(letter for letter in item[0] if letter.isdigit())
    return int(digits or 0), item[0]


def _plain(value: Any) -> Any:
    got = value[()] if isinstance(value, h5py.Dataset) else value
    if isinstance(got, bytes):
        return got.decode("utf-8", "replace")
    return got.tolist() if isinstance(got, (np.ndarray, np.generic)) else got


def write_seed(path: Path, entries: Entries) -> None:
    """Write people in the intended layout (one person: it is the literal one too, with Name and Department at the root as well); whole or not at all."""
    with Files().replacing(path) as handle, h5py.File(handle, "w") as file:
        for number, person in enumerate(entries.people):
            rows = np.flatnonzero(entries.samples.person == number)
            group = file.create_group(str(number))
            facts = {"Name": person.name, **_written(person.metadata)}
            for target in [group] + [file] * (len(entries.people) == 1):
                for key, value in facts.items():
                    if key not in target:
                        target.create_dataset(key, data=value)
            vectors = group.create_group(MAP)
            for k, row in enumerate(rows, start=1):
                vectors.create_dataset(f"feature_{k}", data=entries.samples.vectors[row] * entries.samples.length[row])


def _written(metadata: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Metadata as HDF5 keeps it: a slash would be a group, a dot the group itself, a list has no place."""
    out: dict[str, str | int | float] = {}
    for key, value in metadata.items():
        name = str(key).replace("/", "_")
        if name.strip(".") and name not in ("Name", MAP):
            small = isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 1 << 63)
            out[name] = value if small or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return out
