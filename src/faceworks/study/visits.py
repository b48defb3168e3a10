"""One pass over the pictures, identity by identity: each picture is decoded once, the models look at it, and it is compared with its source.

What is done is kept in two journals, which survive a kill -9: what the models said of a picture is found again for another study of the same models, and
what a comparison found does not depend on any model but the detector and the points.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import batch, image, settings
from ..batch.journal import Journal
from ..batch.pool import apply
from ..types import ImageArray
from .config import StudyConfig
from .locality_run import Kept, judge, key_of, source_of
from .manifest import Picture
from .measure import Measure, Record, record_of
from .working import Working

__all__ = ["measure_all"]

AT_ONCE = 4
"""Pictures that a worker holds at once, besides the source."""
MOST = 24
"""Pictures of one visit: the others of an identity are another worker's."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """Pictures of one identity, sources first.

    Attributes:
        source: the first source with a face and its points, where an earlier run found them.
        known: keys of comparisons that need not be made again.
    """

    pictures: tuple[Picture, ...]
    source: tuple[Picture, Any] | None
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Visitor:
    """Task for `map_images`: visits in; for each picture (entry of the journal or None, error), and key -> row of locality out."""

    measure: Measure
    folder: Path

    def __call__(self, visits: Sequence[_Visit]) -> list[tuple[list[tuple[Any, str]], dict[str, Any]]]:
        return [self._visit(visit) for visit in visits]

    def _visit(self, visit: _Visit) -> tuple[list[tuple[Any, str]], dict[str, Any]]:
        entries: list[tuple[Any, str]] = []
        rows: dict[str, Any] = {}
        source: tuple[Picture, Working] | None = None
        for start in range(0, len(visit.pictures), AT_ONCE):
            some = visit.pictures[start : start + AT_ONCE]
            decoded: dict[str, ImageArray] = {}

            def load(item: Picture, decoded: dict[str, ImageArray] = decoded) -> ImageArray:
                return decoded.setdefault(item.name, image.load(item.path))

            for item, (found, error) in zip(some, apply(lambda pictures, names: self.measure(pictures), load, some), strict=True):
                entries.append((found, "" if error is None else str(error)))
                if error is not None or "points" not in found:
                    continue
                points = np.asarray(found["points"], np.float64)
                if item.role == "source" and visit.source is None and source is None:
                    source = item, source_of(decoded[item.name], points, item, self.folder)
                elif item.role == "edit":
                    source = source or self._known(visit)
                    if source is not None and (key := key_of(source[0], item)) not in visit.known:
                        rows[key] = judge(source[1], decoded[item.name], points, item, self.folder)
        return entries, rows

    def _known(self, visit: _Visit) -> tuple[Picture, Working] | None:
        if visit.source is None:
            return None
        item, points = visit.source
        return item, source_of(image.load(item.path), np.asarray(points, np.float64), item, self.folder)


def _as_is(visit: Any) -> Any:
    return visit


def measure_all(
    config: StudyConfig,
    pictures: Sequence[Picture],
    folder: Path,
    kept: Kept,
    executor: Literal["serial", "threads", "processes"] = "serial",
    workers: int | None = None,
    progress: bool = True,
) -> tuple[list[Record], int]:
    """A record for each picture, in their order, and how many came from the journal in `folder`; comparisons that could be made beside go to `kept`.

    The journal holds vectors of faces: only its owner can read it.
    """
    task = Measure(config.detector, config.landmarker, config.embedders, config.emotion, config.affect)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Journal(folder / f"{task.digest}.jsonl", batch.task_id(task)) as journal:
        keys = {item.name: journal.key_of(item.digest) for item in pictures}
        records = {item.name: record_of(journal.read(keys[item.name])) for item in pictures if keys[item.name] in journal.places}
        resumed = len(records)
        visits = _visits(pictures, records, kept)
        with settings.use(threads=_threads(executor, workers)):
            for done in batch.map_images(
                _Visitor(task, kept.folder), visits, executor, workers, 1, on_error="raise", progress=progress, load=_as_is,
                counts=lambda visit: len(visit.pictures), total=len(pictures), skipped=lambda: resumed,
            ):  # fmt: skip
                entries, rows = done.result
                for item, (found, error) in zip(done.source.pictures, entries, strict=True):
                    records[item.name] = Record(error=error) if error else record_of(journal.write(keys[item.name], found))
                kept.add(rows)
    return [records[item.name] for item in pictures], resumed


def _visits(pictures: Sequence[Picture], records: dict[str, Record], kept: Kept) -> list[_Visit]:
    groups: dict[str, list[Picture]] = {}
    for item in pictures:
        groups.setdefault(item.identity, []).append(item)
    visits = []
    for group in groups.values():
        sources = [item for item in group if item.role == "source"]
        first = next(((item, records[item.name].points) for item in sources if item.name in records and records[item.name].found), None)
        if first is not None and any(item.name not in records for item in sources[: sources.index(first[0])]):
            first = None  # one before it is yet to be looked at
        todo = [item for item in sorted(group, key=lambda item: item.role != "source") if item.name not in records]
        known = kept.among(sources, todo)
        visits += [_Visit(tuple(todo[start : start + MOST]), first, known) for start in range(0, len(todo), MOST)]
    return visits


def _threads(executor: str, workers: int | None) -> int:
    """Threads of each network: the cores are shared out among the workers, unless the user has decided."""
    chosen = settings.current().threads
    if chosen or executor == "serial":
        return chosen
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (workers or cores))
