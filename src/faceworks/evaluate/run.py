"""Run a protocol: embed what it names, compare, and write a report that says how it was made."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import io
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import cards, settings, similarity
from ..errors import ConfigError, InputError
from ..types import FloatArray, to_dict
from . import metrics
from .metrics import OperatingPoint
from .protocols import PairList, k_fold
from .vectors import embed_pictures

if TYPE_CHECKING:
    from ..pipeline import Pipeline, PipelineSpec

__all__ = ["Accuracy", "Failures", "Report", "StockThreshold", "evaluate_pairs"]

RATES = (1e-2, 1e-3)
"""False match rates at which the report gives the TAR."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Ten-fold accuracy over all pairs, a pair with an undetected face being wrong. `thresholds` are scores (higher = closer), one for each fold."""

    mean: float
    stderr: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StockThreshold:
    """Accuracy over all pairs at the threshold that `verify` would use; `threshold` is the largest accepted distance in `metric`."""

    accuracy: float
    threshold: float
    metric: str
    source: str


@dataclass(frozen=True, slots=True)
class Failures:
    """Pictures without a found face (or unreadable, `errors` then says why), and the pairs that they spoil."""

    pictures: int
    pairs: int
    files: tuple[str, ...]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What came out, and from what. Everything but the arrays stands in `report.json`, the arrays in `scores.csv`.

    Attributes:
        dataset: name given by the user.
        protocol, pairs_file, pairs_sha256: which comparisons.
        accuracy: over folds, see `protocols.k_fold`.
        stock: accuracy at the card's (or the given) threshold, None where there is none.
        auc, eer: over completed pairs; None where a class is empty.
        tar_at_fmr: FMR as text ("0.001") -> operating point over completed pairs.
        failures_to_detect: never dropped, see `accuracy`.
        counts: pairs, genuine, impostor, people, pictures, embedded (now; the others came from the store).
        score: what a score is ("cosine", "-euclidean" or "-chi2").
        options, recipe, models: how vectors were made; models holds name, file hashes and weight license for each role.
        software: versions.
        date: UTC, ISO 8601. seconds: wall time.
        scores: (N,) float64, higher = closer, NaN where undetected.
        labels, undetected, correct: (N,) bool; `correct` by the folds' thresholds, for paired tests (`metrics.mcnemar`).
    """

    dataset: str
    protocol: str
    pairs_file: str
    pairs_sha256: str
    accuracy: Accuracy
    stock: StockThreshold | None
    auc: float | None
    eer: float | None
    tar_at_fmr: Mapping[str, OperatingPoint]
    failures_to_detect: Failures
    counts: Mapping[str, int]
    score: str
    options: Mapping[str, Any]
    recipe: str
    models: Mapping[str, Any]
    software: Mapping[str, str]
    date: str
    seconds: float
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]
    undetected: NDArray[np.bool_]
    correct: NDArray[np.bool_]

    def to_dict(self) -> dict[str, Any]:
        """The content of `report.json`: plain JSON types, an infinite threshold as null."""
        whole: dict[str, Any] = to_dict(self)
        for name in ("scores", "labels", "undetected", "correct"):
            del whole[name]
        for point in whole["tar_at_fmr"].values():
            point["threshold"] = point["threshold"] if np.isfinite(point["threshold"]) else None
        return {"schema": 1} | whole


def evaluate_pairs(
    pairs: PairList,
    spec: PipelineSpec | None = None,
    *,
    out: str | Path | None = None,
    dataset: str = "",
    executor: Literal["serial", "threads", "processes"] = "serial",
    workers: int | None = None,
    batch_size: int = 8,
    progress: bool = True,
) -> Report:
    """Verify all pairs of a list.

    Each picture is embedded once. Vectors are kept below `out` (else below the cache folder), so a second run embeds nothing and a killed one
    continues.

    Args:
        pairs: the comparisons, in at least two folds.
        spec: default `PipelineSpec(select="central")`, LFW's rule; a spec that is given is taken as it is.
        out: folder for `report.json`, `scores.csv` and `vectors/`; nothing is reported to disk without it.
        dataset: its name and variant, as it shall stand in the report ("LFW View 2, deep-funneled").
        executor, workers, batch_size, progress: see `batch.map_images`.

    Raises:
        ConfigError: `select="all"`.
        InputError: fewer than two folds.
    """
    from ..pipeline import Pipeline, PipelineSpec

    start = time.perf_counter()
    spec = spec or PipelineSpec(select="central")
    if len(np.unique(pairs.folds)) < 2:
        raise InputError("a threshold is chosen on the other folds: the pair list needs at least two folds")
    folder = Path(out) if out is not None else None
    store = (folder or settings.current().cache) / "vectors"
    found = embed_pictures(pairs.pictures, spec, store, executor=executor, workers=workers, batch_size=batch_size, progress=progress)

    labels = pairs.labels
    sides = [(found.vectors[pair.first], found.vectors[pair.second]) for pair in pairs.pairs]
    undetected = np.array([a is None or b is None for a, b in sides])
    scores = np.array([np.nan if a is None or b is None else _score(a, b, spec) for a, b in sides])
    folds = k_fold(scores, labels, pairs.folds, undetected)
    completed = metrics.counts(scores[~undetected], labels[~undetected])
    both = bool(completed.genuine and completed.impostors)
    missed = tuple(str(picture) for picture, vector in found.vectors.items() if vector is None)
    pipeline = Pipeline(spec)
    for array in (labels, undetected, scores):
        array.setflags(write=False)
    report = Report(
        dataset=dataset,
        protocol=pairs.protocol,
        pairs_file=pairs.source,
        pairs_sha256=pairs.sha256,
        accuracy=Accuracy(folds.mean, folds.stderr, tuple(folds.accuracies.tolist()), tuple(folds.thresholds.tolist())),
        stock=_stock(pipeline, scores, labels, undetected),
        auc=metrics.auc(completed) if both else None,
        eer=metrics.eer(completed) if both else None,
        tar_at_fmr={f"{rate:g}": metrics.tar_at_fmr(completed, fmr=rate) for rate in RATES} if both else {},
        failures_to_detect=Failures(len(missed), folds.failures, missed, {str(path): str(error) for path, error in found.errors.items()}),
        counts={
            "pairs": len(pairs),
            "genuine": int(labels.sum()),
            "impostor": int((~labels).sum()),
            "people": len({person for pair in pairs.pairs for person in pair.people}),
            "pictures": len(pairs.pictures),
            "embedded": found.computed,
        },
        score=f"-{spec.metric}" if spec.metric in similarity.RAW else "cosine",
        options=to_dict(spec),
        recipe=pipeline.recipe_id,
        models=_models(spec),
        software=_software(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - start, 3),
        scores=scores,
        labels=labels,
        undetected=undetected,
        correct=folds.correct,
    )
    if folder is not None:
        _write(folder / "scores.csv", _table(pairs, report))
        _write(folder / "report.json", json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return report


def _score(a: FloatArray, b: FloatArray, spec: PipelineSpec) -> float:
    """Higher = closer. Every metric but those of raw vectors is a function of the cosine, so they share its ranking."""
    return -similarity.distance(a, b, spec.metric) if spec.metric in similarity.RAW else similarity.similarity(a, b)


def _stock(pipeline: Pipeline, scores: NDArray[np.float64], labels: NDArray[np.bool_], undetected: NDArray[np.bool_]) -> StockThreshold | None:
    """Accuracy of `verify`'s own decision; an undetected pair is wrong."""
    try:
        decision = pipeline.decision()
    except ConfigError:
        return None
    metric = pipeline.spec.metric
    distances = [
        0.0 if np.isnan(score) else -score if metric in similarity.RAW else similarity.from_cosine(score, metric) for score in scores.tolist()
    ]
    accepted = np.array([similarity.accepts(distance, decision.threshold) for distance in distances])
    return StockThreshold(float(((accepted == labels) & ~undetected).mean()), decision.threshold, metric, decision.source)


def _models(spec: PipelineSpec) -> dict[str, Any]:
    found = {}
    for role in ("detector", "embedder"):
        card = cards.get(getattr(spec, role))
        members = cards.members(card)
        files = {
            item.role if len(members) == 1 else f"{member.name} {item.role}": item.sha256 or item.git_blob or item.pin
            for member in members
            for item in member.file
        }
        found[role] = {"name": card.name, "files": files, "weights_license": card.license.weights}
    return found


def _software() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("faceworks", "numpy", "onnxruntime", "opencv-contrib-python-headless"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions


def _table(pairs: PairList, report: Report) -> str:
    """A row for each pair; an undetected one has no score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["score", "label", "fold", "correct", "first", "second"])
    rows = zip(report.scores.tolist(), report.labels.tolist(), pairs.folds.tolist(), report.correct.tolist(), pairs.pairs, strict=True)
    for score, label, fold, correct, pair in rows:
        writer.writerow(["" if np.isnan(score) else repr(score), int(label), fold, int(correct), pair.first, pair.second])
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    """All or nothing: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
