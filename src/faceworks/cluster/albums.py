"""From a table of faces (`faceworks batch embed`) to people, and what is written of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..batch.tables import read_rows
from ..calibration import Calibration
from ..errors import InputError, ManifestError
from ..types import FloatArray
from .grouping import Groups, group_faces

__all__ = ["STRANGERS", "Album", "feedback", "group_album", "read_album", "read_labels", "threshold_for", "write_labels"]

STRANGERS = 0.2
"""Strangers above the threshold that a face may expect among all others: FMR = STRANGERS / number of faces. Chosen on one half of LFW's people."""
COLUMNS = ("face", "picture", "person", "similarity", "x1", "y1", "x2", "y2", "score")


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """Faces of many pictures.

    Attributes:
        faces: (N) names "picture#number" that stay the same from run to run. pictures: (N) picture of each.
        boxes: (N, 4). scores: (N,) of detection. vectors: (N, D). model: that made them.
    """

    faces: tuple[str, ...]
    pictures: tuple[str, ...]
    boxes: FloatArray
    scores: FloatArray
    vectors: FloatArray
    model: str


def read_album(table: str | Path) -> Album:
    """The faces of a table that `faceworks batch embed` wrote.

    Raises:
        ManifestError: no such table. InputError: a table without vectors, or with those of several models.
    """
    rows = [row for row in read_rows(table, ["source", "face", "box", "score", "vector", "model"]) if row["face"] is not None]
    models = {row["model"] for row in rows}
    if models - {None} != models or len(models) > 1:
        raise InputError(
            f"{table} must hold vectors of one model, it has {', '.join(sorted(str(model) for model in models))}; run: faceworks batch embed"
        )
    vectors = np.array([row["vector"] for row in rows], np.float32)
    return Album(
        tuple(f"{row['source']}#{row['face']}" for row in rows), tuple(row["source"] for row in rows),
        np.array([row["box"] for row in rows], np.float32).reshape(-1, 4), np.array([row["score"] for row in rows], np.float32),
        vectors.reshape(len(rows), -1), next(iter(models), ""),
    )  # fmt: skip


def threshold_for(calibration: Calibration, faces: int, strangers: float = STRANGERS) -> tuple[float, float]:
    """The cosine at which a face of so many is expected to have `strangers` strangers, and the false match rate that this is (not below what the calibration
    carries)."""
    rate = min(1.0, max(calibration.floor, strangers / max(1, faces - 1)))
    return calibration.threshold_at(rate), rate


def group_album(
    album: Album, threshold: float, *, must: Iterable[tuple[str, str]] = (), cannot: Iterable[tuple[str, str]] = (),
    known: Mapping[str, int] | None = None, **options: Any,
) -> Groups:  # fmt: skip
    """`group_faces` for an album: faces of one picture are never joined, constraints and earlier labels go by the names of faces.

    Raises:
        InputError: a constraint names a face that is not in the album, or contradicts another.
    """
    place = {name: index for index, name in enumerate(album.faces)}

    def pairs(named: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
        found = list(named)
        for name in (name for pair in found for name in pair):
            if name not in place:
                raise InputError(f"no face is called {name!r}; faces are named picture#number as in the column face of people.csv")
        return [(place[a], place[b]) for a, b in found]

    earlier = None if known is None else [known.get(name, -1) for name in album.faces]
    return group_faces(album.vectors, threshold, album.pictures, must=pairs(must), cannot=pairs(cannot), known=earlier, names=album.faces, **options)


def write_labels(path: Path, album: Album, groups: Groups) -> None:
    """people.csv: one row for each face, in the order of people, closest to their group first."""
    order = np.lexsort((-np.nan_to_num(groups.similarity, nan=-1), groups.labels))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for face in order:
            value = groups.similarity[face]
            writer.writerow([
                album.faces[face], album.pictures[face], int(groups.labels[face]), "" if np.isnan(value) else f"{value:.4f}",
                *(f"{edge:.1f}" for edge in album.boxes[face]), f"{album.scores[face]:.4f}",
            ])  # fmt: skip
    temporary.replace(path)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise ManifestError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(columns)}", 1)
        for row in reader:
            yield reader.line_num, row


def read_labels(path: Path) -> dict[str, int]:
    """Face -> person, of an earlier run's people.csv."""
    labels: dict[str, int] = {}
    for line, row in _rows(path, ("face", "person")):
        try:
            labels[row["face"]] = int(row["person"])
        except ValueError as error:
            raise ManifestError(f"{path}: a person is a whole number, got {row['person']!r}", line) from error
    return labels


def feedback(path: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What a person said: rows `relation,a,b` with the relation "same" or "different" and names of faces; the must-links and the cannot-links."""
    must: list[tuple[str, str]] = []
    cannot: list[tuple[str, str]] = []
    for line, row in _rows(path, ("relation", "a", "b")):
        if row["relation"] not in ("same", "different"):
            raise ManifestError(f"{path}: the relation is same or different, got {row['relation']!r}", line)
        (must if row["relation"] == "same" else cannot).append((row["a"], row["b"]))
    return must, cannot
