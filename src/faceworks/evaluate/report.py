"""The report of a run over pairs: everything that came out, and from what; and its pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import to_dict
from .calibrate import Reliability
from .groups import GroupReport
from .intervals import Interval
from .protocols import PairList
from .summary import Point, Summary

__all__ = ["Accuracy", "Calibrated", "Failures", "Report", "StockThreshold", "WorstPair", "plain", "scores_table", "worst_pairs"]

ARRAYS = ("scores", "labels", "undetected", "correct")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy by folds over all pairs, a pair with an undetected face being wrong. `thresholds` are scores (higher = closer), one for each fold."""

    mean: float
    stderr: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    interval: Interval


@dataclass(frozen=True, slots=True)
class StockThreshold:
    """Accuracy over all pairs at the threshold that `verify` would use; `threshold` is the largest accepted distance in `metric`."""

    accuracy: float
    threshold: float
    metric: str
    source: str


@dataclass(frozen=True, slots=True)
class Failures:
    """Pictures without a found face (or unreadable, `errors` then says why), the pairs that they spoil, and how many a named fall-back crop saved."""

    pictures: int
    pairs: int
    files: tuple[str, ...]
    errors: Mapping[str, str]
    fallbacks: int = 0


@dataclass(frozen=True, slots=True)
class WorstPair:
    """A pair decided wrongly, farthest from the threshold first; names only."""

    first: str
    second: str
    score: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How the recipe's calibration does on these pairs (at a prior of one half, genuine and impostor pairs weighing alike)."""

    dataset: str
    date: str
    cllr: float
    reliability: tuple[Reliability, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What came out, and from what. Everything but the arrays stands in `report.json`, the arrays in `scores.csv`.

    Attributes:
        dataset: name given by the user.
        protocol, pairs_file, pairs_sha256: which comparisons.
        accuracy: over folds, see `protocols.k_fold`.
        stock: accuracy at the card's (or the given) threshold, None where there is none.
        summary: error rates with intervals, over completed pairs and over transactions; in the JSON its keys stand beside these.
        failures_to_detect: never dropped, see `accuracy`.
        counts: pairs, genuine, impostor, people, pictures, embedded (now; the others came from the store), repeated (pairs that stand in the list
            before), identical (pairs whose two files have one content: no comparison of two pictures).
        score: what a score is ("cosine", or "-euclidean").
        options, recipe, models: how vectors were made; models holds name, file hashes and weight license for each role.
        software: versions.
        date: UTC, ISO 8601. seconds: wall time.
        worst: "false_matches" and "false_non_matches" -> pairs. groups: error rates by group. calibrated: None without a calibration.
        scores: (N,) float64, higher = closer, NaN where undetected.
        labels, undetected, correct: (N,) bool; `correct` by the folds' thresholds, for paired tests (`metrics.mcnemar`).
    """

    dataset: str
    protocol: str
    pairs_file: str
    pairs_sha256: str
    accuracy: Accuracy
    stock: StockThreshold | None
    summary: Summary
    failures_to_detect: Failures
    counts: Mapping[str, int]
    score: str
    options: Mapping[str, Any]
    recipe: str
    models: Mapping[str, Any]
    software: Mapping[str, str]
    date: str
    seconds: float
    worst: Mapping[str, tuple[WorstPair, ...]]
    groups: tuple[GroupReport, ...]
    calibrated: Calibrated | None
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]
    undetected: NDArray[np.bool_]
    correct: NDArray[np.bool_]

    @property
    def auc(self) -> float | None:
        """Area under the ROC over completed pairs."""
        return self.summary.auc

    @property
    def eer(self) -> float | None:
        """Equal error rate over completed pairs."""
        return self.summary.eer

    @property
    def tar_at_fmr(self) -> Mapping[str, Point]:
        """FMR as text ("0.001") -> operating point."""
        return self.summary.tar_at_fmr

    def to_dict(self) -> dict[str, Any]:
        """The content of `report.json`: plain JSON types, what is not finite as null."""
        whole: dict[str, Any] = to_dict(self)
        for name in ARRAYS:
            del whole[name]
        return plain({"schema": 2} | {key: value for key, value in whole.items() if key != "summary"} | whole["summary"])  # type: ignore[no-any-return]


def plain(value: Any) -> Any:
    """JSON types with null for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def short(path: Path) -> str:
    """The last folder and the file's name."""
    return f"{path.parent.name}/{path.name}"


def worst_pairs(pairs: PairList, scores: NDArray[np.float64], threshold: float, keep: int = 12) -> dict[str, tuple[WorstPair, ...]]:
    """The false matches with the highest and the false non-matches with the lowest scores at a threshold."""
    labels = pairs.labels
    found: dict[str, tuple[WorstPair, ...]] = {}
    accepted = np.nan_to_num(scores, nan=-np.inf) >= threshold
    refused = ~accepted & np.isfinite(scores)
    for name, wrong, order in (
        ("false_matches", np.flatnonzero(accepted & ~labels), -scores),
        ("false_non_matches", np.flatnonzero(refused & labels), scores),
    ):
        chosen = wrong[np.argsort(order[wrong], kind="stable")][:keep]
        found[name] = tuple(WorstPair(short(pairs.pairs[k].first), short(pairs.pairs[k].second), float(scores[k])) for k in chosen.tolist())
    return found


def scores_table(pairs: PairList, report: Report) -> str:
    """`scores.csv`: a row for each pair; an undetected one has no score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["score", "label", "fold", "correct", "first", "second", "person_a", "person_b"])
    columns: Sequence[Sequence[Any]] = (report.scores.tolist(), report.labels.tolist(), pairs.folds.tolist(), report.correct.tolist())
    for score, label, fold, correct, pair in zip(*columns, pairs.pairs, strict=True):
        writer.writerow(["" if np.isnan(score) else repr(score), int(label), fold, int(correct), pair.first, pair.second, *pair.people])
    return text.getvalue()
