"""Locality of every edit of a study, with thumbnails and difference maps; what is done is kept, so that a killed run continues."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import batch, image
from ..types import ImageArray
from .locality import compare_pictures, heat_map
from .manifest import Manifest, Picture
from .measure import Record

__all__ = ["measure_locality"]

THUMB, HEAT = 128, 260
VERSION = 1
"""Part of every key: raised when what is measured changes."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Compare:
    """Task for `map_images`: (source path, edit path, both sets of points) in; row, difference map and both thumbnails out."""

    def __call__(self, jobs: Sequence[Any]) -> list[Any]:
        answers = []
        for source, edit, a, b in jobs:
            one, two = image.load(source), image.load(edit)
            found = compare_pictures(one, two, np.array(a), np.array(b))
            picture = None if found.difference is None else _small(heat_map(one, found.difference), HEAT)
            answers.append((found.row, picture, _cut(two, np.array(b)), _cut(one, np.array(a))))
        return answers


def _as_is(job: Any) -> Any:
    return job


def _cut(picture: ImageArray, points: Any) -> ImageArray:
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
    manifest: Manifest,
    records: Mapping[str, Record],
    out: Path,
    executor: Literal["serial", "threads", "processes"],
    workers: int | None,
    progress: bool,
) -> list[dict[str, Any]]:
    """One row for each edit with a face whose identity has a source with one. Thumbnails and maps go to `out`/thumbs, rows to `out`/journal."""
    first = {item.identity: item for item in reversed(manifest.of_role("source")) if records[item.name].found}
    edits = [item for item in manifest.of_role("edit") if records[item.name].found and item.identity in first]
    folder, journal = out / "thumbs", out / "journal" / "locality.jsonl"
    folder.mkdir(exist_ok=True)
    journal.parent.mkdir(exist_ok=True, mode=0o700)
    done = _read(journal)
    keys = {item.name: f"{VERSION} {first[item.identity].digest} {item.digest}" for item in edits}
    todo = [item for item in edits if keys[item.name] not in done]
    jobs = [_job(first[item.identity], item, records) for item in todo]
    with journal.open("a", encoding="utf-8") as file:
        file.write("\n" * bool(journal.stat().st_size))  # a line that was cut shall not take the next one with it
        for item, result in zip(
            todo, batch.map_images(_Compare(), jobs, executor, workers, 2, load=_as_is, progress=progress, on_error="raise"), strict=True
        ):
            row, heat, small, small_source = result.result
            image.save(folder / f"{item.digest[:16]}.jpg", small)
            image.save(folder / f"{first[item.identity].digest[:16]}.jpg", small_source)
            if heat is not None:
                image.save(folder / f"{item.digest[:16]}-heat.jpg", heat)
            done[keys[item.name]] = row
            file.write(json.dumps({"key": keys[item.name], "row": row}) + "\n")
            file.flush()
    return [_head(item, first[item.identity]) | done[keys[item.name]] for item in edits]


def _head(item: Picture, source: Picture) -> dict[str, Any]:
    return {
        "identity": item.identity, "condition": item.condition, "replicate": item.replicate, "edit": item.name, "source": source.name,
        "control": item.control, "thumb": item.digest[:16], "source_thumb": source.digest[:16],
    }  # fmt: skip


def _job(source: Picture, edit: Picture, records: Mapping[str, Record]) -> tuple[str, str, Any, Any]:
    a, b = records[source.name].points, records[edit.name].points
    assert a is not None
    assert b is not None
    return str(source.path), str(edit.path), a.tolist(), b.tolist()


def _read(journal: Path) -> dict[str, dict[str, Any]]:
    """Rows by key; a line that was cut by a kill is not there."""
    found: dict[str, dict[str, Any]] = {}
    if journal.is_file():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                found[entry["key"]] = entry["row"]
            except (ValueError, KeyError, TypeError):
                continue
    return found
