"""Locality of every edit of a study, with thumbnails and difference maps; what is done is kept, so that a killed run continues."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import batch, image
from ..types import ImageArray
from .locality import compare, heat_map
from .manifest import Manifest, Picture
from .measure import Floats, Record
from .working import Working

__all__ = ["Kept", "judge", "key_of", "measure_locality", "source_of"]

THUMB, HEAT = 128, 260
VERSION = 2
"""Part of every key: raised when what is measured changes."""


def key_of(source: Picture, edit: Picture) -> str:
    """Key of a pair in the journal."""
    return f"{VERSION} {source.digest} {edit.digest}"


def source_of(picture: ImageArray, points: Floats, item: Picture, folder: Path) -> Working:
    """A source made ready for comparisons; its thumbnail goes into `folder`."""
    image.save(folder / f"{item.digest[:16]}.jpg", _cut(picture, points))
    return Working(picture, points)


def judge(source: Working, picture: ImageArray, points: Floats, item: Picture, folder: Path) -> dict[str, Any]:
    """The row of an edit; thumbnail and difference map go into `folder`."""
    found = compare(source, Working(picture, points))
    image.save(folder / f"{item.digest[:16]}.jpg", _cut(picture, points))
    if found.difference is not None:
        image.save(folder / f"{item.digest[:16]}-heat.jpg", heat_map(_small(source.pixels, HEAT), found.difference))
    return found.row


class Kept:
    """The rows that are known, in memory and in a journal that a kill -9 leaves readable; the pictures lie in `folder`.

    Attributes:
        rows: key -> row.
    """

    def __init__(self, out: Path) -> None:
        self.folder, self._journal = out / "thumbs", out / "journal" / "locality.jsonl"
        self.folder.mkdir(exist_ok=True, parents=True)
        self._journal.parent.mkdir(exist_ok=True, mode=0o700)
        self.rows: dict[str, dict[str, Any]] = {}
        text = self._journal.read_text(encoding="utf-8") if self._journal.is_file() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self.rows[entry["key"]] = entry["row"]
            except (ValueError, KeyError, TypeError):  # cut by a kill
                continue
        self._torn = bool(text) and not text.endswith("\n")

    def add(self, rows: Mapping[str, dict[str, Any]]) -> None:
        """Keep more rows."""
        with self._journal.open("a", encoding="utf-8") as file:
            file.write("\n" * self._torn)  # a line that was cut shall not take the next one with it
            self._torn = False
            for key, row in rows.items():
                file.write(json.dumps({"key": key, "row": row}) + "\n")
        self.rows |= rows

    def among(self, sources: Iterable[Picture], edits: Collection[Picture]) -> frozenset[str]:
        """The keys of these pictures that are known."""
        return frozenset(key for one in sources for two in edits if (key := key_of(one, two)) in self.rows)


@dataclass(frozen=True, slots=True)
class _Compare:
    """Task for `map_images`: (source, its points, [(edit, its points), …]) in; key -> row out."""

    folder: Path

    def __call__(self, jobs: Sequence[Any]) -> list[dict[str, dict[str, Any]]]:
        return [self._source(*job) for job in jobs]

    def _source(self, item: Picture, points: Any, edits: Sequence[tuple[Picture, Any]]) -> dict[str, dict[str, Any]]:
        source = source_of(image.load(item.path), np.asarray(points), item, self.folder)
        return {key_of(item, edit): judge(source, image.load(edit.path), np.asarray(other), edit, self.folder) for edit, other in edits}


def _as_is(job: Any) -> Any:
    return job


def _cut(picture: ImageArray, points: Floats) -> ImageArray:
    """The square about the face with some hair and neck."""
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2 - [0, 0.12 * (high[1] - low[1])], max(1.0, 0.95 * float((high - low).max()))
    whole = _small(picture, max(THUMB, round(max(picture.shape[:2]) * THUMB / (2 * half))))  # shrunk by areas first, so that nothing flickers
    ratio = whole.shape[0] / picture.shape[0]
    scale = THUMB / (2 * half * ratio)
    x, y = (center - half) * ratio
    return image.warp(whole, np.array([[scale, 0, -x * scale], [0, scale, -y * scale]]), (THUMB, THUMB), border="replicate")


def _small(picture: ImageArray, side: int) -> ImageArray:
    scale = side / max(picture.shape[:2])
    return picture if scale >= 1 else image.resize(picture, (max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))))


def measure_locality(
    manifest: Manifest, records: Mapping[str, Record], kept: Kept, executor: Literal["serial", "threads", "processes"], workers: int | None, progress: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row for each edit with a face whose identity has a source with one; compares those that `kept` does not know."""
    first = {item.identity: item for item in reversed(manifest.of_role("source")) if records[item.name].found}
    edits = [item for item in manifest.of_role("edit") if records[item.name].found and item.identity in first]
    jobs: dict[str, tuple[Picture, Any, list[tuple[Picture, Any]]]] = {}
    for item in edits:
        source = first[item.identity]
        if key_of(source, item) not in kept.rows:
            jobs.setdefault(source.name, (source, records[source.name].points, []))[2].append((item, records[item.name].points))
    for done in batch.map_images(
        _Compare(kept.folder), list(jobs.values()), executor, workers, 1, load=_as_is, progress=progress, on_error="raise",
        counts=lambda job: len(job[2]), total=sum(len(job[2]) for job in jobs.values()),
    ):  # fmt: skip
        kept.add(done.result)
    return [_head(item, first[item.identity]) | kept.rows[key_of(first[item.identity], item)] for item in edits]


def _head(item: Picture, source: Picture) -> dict[str, Any]:
    return {
        "identity": item.identity, "condition": item.condition, "replicate": item.replicate, "edit": item.name, "source": source.name,
        "control": item.control, "thumb": item.digest[:16], "source_thumb": source.digest[:16],
    }  # fmt: skip
