"""deepface's `find`: who of a folder of pictures is nearest to each face of a picture."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..errors import ImageError, InputError, NoFaceFound
from ..optional import require
from . import deepface_faces as faces
from . import warn_once
from .deepface_compare import distance, embedded, threshold_for
from .deepface_tables import MetricName, find_confidence

__all__ = ["as_asked", "find", "return_kind"]

SUFFIXES = (".jpg", ".jpeg", ".png")
FORMATS = ("npz", "feather", "parquet")
SIDES = ("x", "y", "w", "h")


def find(
    img_path: Any,
    db_path: str,
    model_name: str = "VGG-Face",
    distance_metric: MetricName = "cosine",
    enforce_detection: bool = True,
    detector_backend: str = "opencv",
    align: bool = True,
    similarity_search: bool = False,
    k: int | None = None,
    expand_percentage: int = 0,
    threshold: float | str | None = None,
    normalization: str = "base",
    silent: bool = False,
    refresh_database: bool = True,
    anti_spoofing: bool = False,
    datastore_format: str = "npz",
    return_type: str | None = None,
) -> list[Any]:
    """The faces of a folder's pictures (.jpg, .jpeg, .png, subfolders too) that are the same person as each face of a picture, nearest first.

    Vectors are kept in the folder, as `ds_faceworks_….npz`, and follow its pictures: added, changed and removed ones are seen. They are personal data, and
    go with the folder. A folder that cannot be written is embedded at each call (with a warning).

    Args:
        img_path: as `verify`. db_path: the folder; S3 and FTP addresses are refused.
        similarity_search: True gives all faces, not only those within the threshold.
        k: at most so many for each face.
        threshold: as `verify`.
        refresh_database: False believes the kept vectors.
        datastore_format: only npz is written; the others are taken for it with a warning.
        return_type: "pandas" (a list of tables), "dict" (a list of lists of dicts), None: pandas where it is installed.

    Returns:
        For each face a table with the columns identity, hash, target_x, target_y, target_w, target_h, threshold, source_x, source_y, source_w, source_h,
        distance, confidence; a picture without a face has the distance inf.

    Raises:
        InputError (a ValueError): no folder, or no picture in it. NoFaceFound (a ValueError): none in `img_path`, and `enforce_detection`.
        MissingDependency: "pandas" without pandas.
    """
    del silent  # nothing is logged
    kind = return_kind(return_type)
    faces.check_options(expand_percentage, normalization, anti_spoofing)
    if datastore_format not in FORMATS:
        raise InputError(f"unsupported datastore_format {datastore_format!r}; known: {', '.join(FORMATS)}")
    if datastore_format != "npz":
        warn_once(f"datastore_format={datastore_format!r}: vectors are kept as npz all the same")
    limit = threshold_for(faces.model_card(model_name), model_name, distance_metric, threshold)
    options = (model_name, detector_backend, enforce_detection, align, expand_percentage)
    known = _known(db_path, refresh_database, options)
    answers = []
    for vector, area in embedded(img_path, *options):
        rows = [_row(item, vector, area, limit, model_name, distance_metric) for item in known]
        rows = [row for row in rows if similarity_search or similarity.accepts(row["distance"], limit)]
        answers.append(sorted(rows, key=lambda row: float(row["distance"]))[:k])
    return as_asked(answers, kind, _COLUMNS)


_COLUMNS: Mapping[str, Any] = {
    **dict.fromkeys(("identity", "hash"), str),
    **dict.fromkeys((f"target_{side}" for side in SIDES), np.int64),
    "threshold": np.float64,
    **dict.fromkeys((f"source_{side}" for side in SIDES), np.int64),
    **dict.fromkeys(("distance", "confidence"), np.float64),
}


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """A face of the folder; a picture without one has no vector."""

    identity: str
    hash: str
    vector: NDArray[np.float64] | None
    area: tuple[int, int, int, int]


def _row(item: _Known, vector: NDArray[np.float64], area: Mapping[str, Any], limit: float, model: str, metric: MetricName) -> dict[str, Any]:
    far = float("inf") if item.vector is None else distance(item.vector, vector, metric)
    sure = 0.0 if item.vector is None else float(find_confidence(far, model, similarity.accepts(far, limit), metric))
    return {
        "identity": item.identity,
        "hash": item.hash,
        **{f"target_{side}": value for side, value in zip(SIDES, item.area, strict=True)},
        "threshold": float(limit),
        **{f"source_{side}": area[side] for side in SIDES},
        "distance": far,
        "confidence": sure,
    }


def return_kind(asked: str | None) -> str:
    """ "pandas" or "dict".

    Raises:
        InputError: neither. MissingDependency: pandas is asked for and not installed.
    """
    if asked not in (None, "pandas", "dict"):
        raise InputError(f"unsupported return_type {asked!r}; known: 'pandas', 'dict'")
    if asked is None:
        return "dict" if importlib.util.find_spec("pandas") is None else "pandas"
    if asked == "pandas":
        require("pandas", "study", "return_type='pandas'")
    return asked


def as_asked(answers: Sequence[list[dict[str, Any]]], kind: str, columns: Mapping[str, Any]) -> list[Any]:
    """Rows as they are, or as tables; an empty table has its columns too."""
    if kind == "dict":
        return list(answers)
    pandas = require("pandas", "study", "return_type='pandas'")
    tables = []
    for rows in answers:
        values = {name: pandas.Series([row[name] for row in rows], dtype=None if rows and of is str else of) for name, of in columns.items()}
        tables.append(pandas.DataFrame(values, columns=list(columns)))
    return tables


def _pictures(folder: str) -> dict[str, str]:
    """Path -> hash of size and times, as deepface's; sorted."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(SUFFIXES):
                path = os.path.join(root, name)
                state = os.stat(path)
                text = f"{state.st_size}-{state.st_ctime}-{state.st_mtime}"
                found[path] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return dict(sorted(found.items()))


def _known(folder: str, refresh: bool, options: tuple[str, str, bool, bool, int]) -> list[_Known]:
    """The faces of a folder, from the kept vectors where they are as new as the pictures."""
    model_name, detector, _, align, expand = options
    if re.match(r"(s3|ftp|https?)://", str(folder).lower()):
        raise InputError(f"{str(folder)[:80]} is an address; faceworks reads folders: mount or copy it")
    folder = str(folder)
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is no folder")
    name = f"ds_faceworks_model_{model_name}_detector_{detector}_{'aligned' if align else 'unaligned'}_expand_{expand}"
    store = Path(folder) / f"{re.sub(r'[^a-z0-9_.]+', '', name.lower())}.npz"
    model = faces.open_pipeline(model_name).embedding_id
    kept = _load(store, model, folder)
    if not refresh:
        if not kept:
            raise InputError(f"nothing is kept in {store}; call once with refresh_database=True")
        return kept
    pictures = _pictures(folder)
    if not pictures:
        raise InputError(f"no picture ({', '.join(SUFFIXES)}) in {folder}")
    current = [item for item in kept if pictures.get(item.identity) == item.hash]
    have = {item.identity for item in current}
    fresh = [item for path, mark in pictures.items() if path not in have for item in _embed(path, mark, options)]
    everything = sorted([*current, *fresh], key=lambda item: item.identity)
    if fresh or len(current) != len(kept):
        _save(store, model, folder, everything)
    return everything


def _embed(path: str, mark: str, options: tuple[str, str, bool, bool, int]) -> list[_Known]:
    """The faces of one picture; one without a face, or that cannot be read, is kept as such."""
    try:
        found = embedded(path, *options)
    except (NoFaceFound, ImageError) as error:
        if isinstance(error, ImageError):
            warn_once(f"{path} cannot be read and is left out of find: {error}")
        return [_Known(path, mark, None, (0, 0, 0, 0))]
    return [_Known(path, mark, vector, (area["x"], area["y"], area["w"], area["h"])) for vector, area in found]


def _load(store: Path, model: str, folder: str) -> list[_Known]:
    """What was kept; nothing where the file is absent, damaged, or of another model."""
    try:
        with np.load(store, allow_pickle=False) as data:
            if str(data["model"]) != model:
                return []
            rows = zip(data["names"], data["hashes"], data["rows"], data["areas"], strict=True)
            vectors = data["vectors"].astype(np.float64)
            return [
                _Known(os.path.join(folder, str(name)), str(mark), None if row < 0 else vectors[row], (int(x), int(y), int(w), int(h)))
                for name, mark, row, (x, y, w, h) in rows
            ]
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile):
        return []


def _save(store: Path, model: str, folder: str, items: Sequence[_Known]) -> None:
    vectors = [item.vector for item in items if item.vector is not None]
    rows = np.cumsum([item.vector is not None for item in items]) - 1
    rows[[item.vector is None for item in items]] = -1
    temporary = store.with_name(f".{store.name}.{os.getpid()}.tmp")
    try:
        temporary.touch(mode=0o600)  # vectors of faces: for their owner alone
        with temporary.open("wb") as file:
            np.savez(
                file,
                model=np.array(model),
                names=np.array([os.path.relpath(item.identity, folder) for item in items]),
                hashes=np.array([item.hash for item in items]),
                rows=rows,
                areas=np.array([item.area for item in items], np.int64).reshape(-1, 4),
                vectors=np.array(vectors, np.float32) if vectors else np.zeros((0, 0), np.float32),
            )
        temporary.replace(store)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        warn_once(f"{folder} cannot be written ({error.strerror or error}): find embeds its pictures at each call")
