"""A folder of person folders: who is it, in the closed and in the open set.

Open set: a share of the people stays out of the gallery (strangers). Of the others some pictures are enrolled, the rest are probes. Everything is
dealt by a seed. The threshold is chosen on a development part, in one of two ways (the seeds' "subject-dependent / independent"):

- independent: on other people (half of the people are for development, and appear nowhere else);
- dependent: on the same people, by other pictures (half of each person's probes).
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import settings
from ..batch import SUFFIXES
from ..errors import InputError
from ..similarity import unit
from ..types import FloatArray, to_dict
from . import identification
from .document import write_document
from .folder_groups import FolderGroups, folder_groups, share_interval
from .folder_pages import folder_page
from .groups import group_of
from .intervals import Interval
from .provenance import models_of, software, write_whole
from .report import plain
from .vectors import embed_pictures

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["FolderReport", "evaluate_folder", "kept_vectors", "people_of", "split_probes"]

FPIRS = (0.3, 0.1, 0.01)


def people_of(root: str | Path) -> dict[str, list[Path]]:
    """Person -> pictures, from a folder of person folders; both sorted.

    Raises:
        InputError: fewer than two people with a picture.
    """
    base = Path(root)
    if not base.is_dir():
        raise InputError(f"{base} is no folder; give a folder of person folders")
    found = {
        folder.name: pictures
        for folder in sorted(base.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        and (pictures := sorted(item for item in folder.iterdir() if item.suffix.lower() in SUFFIXES and not item.name.startswith(".")))
    }  # fmt: skip
    if len(found) < 2:
        raise InputError(f"{base} must hold at least two person folders with pictures, got {len(found)}")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Who is enrolled with what, and who is asked: indices into the pictures."""

    enrolled: NDArray[np.int64]
    probes: NDArray[np.int64]
    strangers: NDArray[np.int64]


def split_probes(owners: Sequence[str], strangers: float, enroll: int, seed: int) -> Split:
    """Deal pictures: a share of the people become strangers; of the others `enroll` pictures are enrolled if another is left to ask with.

    People with fewer than `enroll` + 1 pictures become strangers first (they cannot be asked for); if the share needs fewer, the rest is
    enrolled as distractors.
    """
    names, index = np.unique(np.asarray(owners), return_inverse=True)
    sizes, random = np.bincount(index), np.random.default_rng(seed)
    order = random.permutation(len(names))
    order = order[np.argsort(sizes[order] > enroll, kind="stable")]
    outside = set(order[: round(strangers * len(names))].tolist())
    enrolled, probes, others = [], [], []
    for person in range(len(names)):
        pictures = random.permutation(np.flatnonzero(index == person))
        if person in outside:
            others.append(pictures)
        else:
            enrolled.append(pictures[:enroll])
            probes.append(pictures[enroll:])
    parts = [np.sort(np.concatenate(part)).astype(np.int64) if part else np.empty(0, np.int64) for part in (enrolled, probes, others)]
    return Split(*parts)


@dataclass(frozen=True, slots=True)
class OpenSetPoint:
    """A threshold chosen on the development part for an FPIR, and what it did on the test part."""

    fpir_requested: float
    threshold: float
    tpir: float
    tpir_interval: Interval
    fpir: float
    fpir_interval: Interval


@dataclass(frozen=True, slots=True, eq=False)
class FolderReport:
    """Identification on a folder.

    Attributes:
        rank1, rank5, cmc: closed set, over probes of enrolled people; a probe without a face is never right.
        auc: open set, see `identification.identification_auc`. table: [{threshold, tpir, tnir}] on a grid of thresholds.
        points: thresholds from the development part.
        counts: people, those of the development part, enrolled people and pictures, probes, strangers' pictures, pictures without a face.
        groups: the test part by group, one entry for each column.
    """

    dataset: str
    split: str
    seed: int
    rank1: float
    rank1_interval: Interval
    rank5: float
    cmc: tuple[float, ...]
    auc: float | None
    table: tuple[Mapping[str, float | None], ...]
    points: tuple[OpenSetPoint, ...]
    counts: Mapping[str, int]
    recipe: str
    models: Mapping[str, Any]
    options: Mapping[str, Any]
    software: Mapping[str, str]
    date: str
    seconds: float
    groups: tuple[FolderGroups, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    truth: list[str]
    predicted: list[str]
    scores: NDArray[np.float64]
    ranks: NDArray[np.int64]
    owners: NDArray[np.str_]
    asked: NDArray[np.int64]


def _ask(units: FloatArray, found: NDArray[np.bool_], owners: NDArray[np.str_], split: Split) -> _Answers:
    """Ask the gallery about every probe and stranger; a person's score is the best of their samples."""
    gallery = split.enrolled[found[split.enrolled]]
    asked = np.concatenate([split.probes, split.strangers])
    if not len(gallery) or not len(asked):
        raise InputError("no enrolled picture has a face, or there is nobody to ask about")
    similarities = np.full((len(asked), len(gallery)), np.nan)
    seen = found[asked]
    similarities[seen] = units[asked[seen]] @ units[gallery].T
    best = np.where(seen, np.nanargmax(np.where(np.isnan(similarities), -2, similarities), axis=1), 0)
    scores = np.where(seen, similarities[np.arange(len(asked)), best], -np.inf)
    known = np.arange(len(asked)) < len(split.probes)
    truth = [str(owners[k]) if inside else "" for k, inside in zip(asked, known, strict=True)]
    ranks = identification.ranks(similarities[known], owners[gallery].tolist(), [t for t in truth if t]) if known.any() else np.empty(0, np.int64)
    return _Answers(truth, [str(owners[gallery[k]]) for k in best], scores, ranks, owners[asked], asked)


def evaluate_folder(
    root: str | Path,
    spec: PipelineSpec | None = None,
    *,
    out: str | Path | None = None,
    dataset: str = "",
    strangers: float = 0.3,
    enroll: int = 1,
    split: Literal["independent", "dependent"] = "independent",
    seed: int = 0,
    executor: Literal["serial", "threads", "processes"] = "serial",
    progress: bool = True,
    store: str | Path | None = None,
    groups: Mapping[str, Mapping[str, str]] | None = None,
) -> FolderReport:
    """Identification on a folder of person folders.

    Args:
        strangers: share of the people who are not enrolled; 0 is the closed set.
        enroll: pictures enrolled of each person.
        split: where the thresholds come from, see the head of this module.
        store: folder of kept vectors; default below `out`, else the cache.
        groups: column -> (picture or person -> group); rank 1, FNIR and FPIR are given for each group (`folder_groups`).

    Raises:
        InputError: too few people, nobody to ask about, or options that cannot hold.
    """
    from ..pipeline import Pipeline, PipelineSpec

    start = time.perf_counter()
    if not 0 <= strangers < 1 or enroll < 1 or split not in ("independent", "dependent"):
        raise InputError(f"strangers lies in [0, 1), enroll is 1 or more, split independent or dependent; got {strangers}, {enroll}, {split!r}")
    spec = spec or PipelineSpec(select="central", on_no_face="empty")
    of = people_of(root)
    pictures = [picture for group in of.values() for picture in group]
    owners = np.array([name for name, group in of.items() for _ in group])
    embedded = embed_pictures(pictures, spec, kept_vectors(store, out), executor=executor, progress=progress)
    found = np.array([embedded.vectors[picture] is not None for picture in pictures])
    units = np.zeros((len(pictures), max((len(v) for v in embedded.vectors.values() if v is not None), default=1)), np.float32)
    if found.any():
        units[found] = unit(np.stack([v for picture in pictures if (v := embedded.vectors[picture]) is not None]))
    develop, test = _deal(owners, strangers, enroll, split, seed)
    chosen, answers = _ask(units, found, owners, develop), _ask(units, found, owners, test)
    probes = answers.ranks
    if not len(probes):
        raise InputError(f"nobody has more than {enroll} pictures: there is nothing to ask about; enroll fewer")
    curve = identification.cmc(probes, max(5, min(20, len(np.unique(owners[test.enrolled])))))
    points = _points(chosen, answers) if len(test.strangers) and len(develop.strangers) else []
    least = min(points, key=lambda point: point.fpir_requested, default=None)
    pipeline = Pipeline(spec)
    report = FolderReport(
        dataset=dataset or str(root),
        split=split,
        seed=seed,
        rank1=float(curve[0]),
        rank1_interval=share_interval(probes == 1, answers.owners[: len(probes)]),
        rank5=float(curve[4]),
        cmc=tuple(curve.tolist()),
        auc=identification.identification_auc(answers.truth, answers.predicted, answers.scores) if len(test.strangers) else None,
        table=tuple(identification.identification_table(answers.truth, answers.predicted, answers.scores)),
        points=tuple(points),
        counts={
            "people": len(of),
            "development_people": len(set(owners[np.concatenate([develop.enrolled, develop.probes, develop.strangers])].tolist())),
            "pictures": len(pictures),
            "enrolled_people": len(np.unique(owners[test.enrolled])),
            "enrolled": len(test.enrolled),
            "probes": len(test.probes),
            "strangers": len(test.strangers),
            "undetected": int((~found).sum()),
            "embedded": embedded.computed,
        },
        recipe=pipeline.recipe_id,
        models=models_of(spec),
        options=to_dict(spec),
        software=software(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - start, 3),
        groups=tuple(
            folder_groups(
                column, [group_of(of_column, pictures[k], str(owners[k])) for k in answers.asked],
                answers.ranks, answers.scores, answers.owners, None if least is None else least.threshold,
            )
            for column, of_column in (groups or {}).items()
        ),
    )  # fmt: skip
    if out is not None:
        text = json.dumps({"schema": 2} | plain(to_dict(report)), indent=2, ensure_ascii=False, allow_nan=False)
        write_whole(Path(out) / "report.json", text + "\n")
        write_document(folder_page(report), Path(out))
    return report


def kept_vectors(store: str | Path | None, out: str | Path | None) -> Path:
    """The folder of kept vectors."""
    return Path(store) if store is not None else (Path(out) if out is not None else settings.current().cache) / "vectors"


def _deal(owners: NDArray[np.str_], strangers: float, enroll: int, split: str, seed: int) -> tuple[Split, Split]:
    if split == "independent":
        names = np.random.default_rng(seed).permutation(np.unique(owners))
        parts = []
        for half in (names[0::2], names[1::2]):
            inside = np.flatnonzero(np.isin(owners, half))
            part = split_probes(owners[inside].tolist(), strangers, enroll, seed)
            parts.append(Split(inside[part.enrolled], inside[part.probes], inside[part.strangers]))
        return parts[0], parts[1]
    whole = split_probes(owners.tolist(), strangers, enroll, seed)
    return (Split(whole.enrolled, whole.probes[0::2], whole.strangers[0::2]), Split(whole.enrolled, whole.probes[1::2], whole.strangers[1::2]))


def _points(chosen: _Answers, answers: _Answers) -> list[OpenSetPoint]:
    known = np.array([bool(name) for name in answers.truth])
    right = np.array([a == b for a, b in zip(answers.truth, answers.predicted, strict=True)])
    rows = []
    for fpir in FPIRS:
        if fpir * sum(not name for name in chosen.truth) < 1:
            continue
        at = identification.tpir_at_fpir(chosen.truth, chosen.predicted, chosen.scores, fpir).threshold
        hits, alarms = (right & (answers.scores >= at))[known], (answers.scores >= at)[~known]
        quiet = share_interval(~alarms, answers.owners[~known])
        rows.append(
            OpenSetPoint(
                fpir, at, float(hits.mean()), share_interval(hits, answers.owners[known]), float(alarms.mean()), (1 - quiet[1], 1 - quiet[0])
            )
        )
    return rows
