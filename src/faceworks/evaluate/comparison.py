"""Two systems on the same pairs: McNemar's exact test, and the differences of their rates with intervals by resampling people."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ManifestError
from . import bootstrap, metrics
from .intervals import Interval, supported
from .metrics import McNemar
from .score_files import read_columns
from .summary import RATES, replicates_for

__all__ = ["Difference", "PairScores", "PairedComparison", "compare_reports", "holm", "read_scores"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B, with its 95 % interval; it differs where the interval does not hold 0."""

    measure: str
    a: float
    b: float
    difference: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """A against B.

    Attributes:
        a, b: names. pairs: judged pairs; completed: those that both have a score for.
        mcnemar: on right decisions (each with the thresholds of its own folds; an undetected pair is wrong).
        p_holm: McNemar's p after Holm's correction over all comparisons of the run.
        differences: accuracy over all pairs; AUC and TAR at FMR over pairs that both completed.
    """

    a: str
    b: str
    pairs: int
    completed: int
    mcnemar: McNemar
    p_holm: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """A system's scores of N pairs, as `scores.csv` of a report holds them; fold 0 (development) is left out.

    Attributes:
        name: folder and models. keys: the pictures of each pair, by folder and file name. scores: (N,) float64, NaN where a face was missed.
        labels: (N,) True for the same person. correct: (N,) bool. people: names of both sides. folds: (N,) int64; 0 where the file has no folds.
    """

    name: str
    keys: list[tuple[str, str]]
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    people: list[tuple[str, str]]
    folds: NDArray[np.int64]

    def check_same_pairs(self, other: PairScores) -> None:
        """Raises InputError unless the other one holds the same pairs in the same order."""
        if self.keys != other.keys or (self.labels != other.labels).any():
            place = next((k for k, (x, y) in enumerate(zip(self.keys, other.keys, strict=False)) if x != y), min(len(self.keys), len(other.keys)))
            raise InputError(
                f"{self.name} and {other.name} do not hold the same pairs in the same order "
                f"({len(self.keys)} and {len(other.keys)}; first at {place + 1})"
            )


def read_scores(folder: str | Path) -> PairScores:
    """Read the `scores.csv` of a report's folder, or such a file.

    Raises:
        ManifestError: it is none.
    """
    path = Path(folder)
    path = path / "scores.csv" if path.is_dir() else path
    rows = [row for row in read_columns(path, ["score", "label", "correct", "first", "second", "person_a", "person_b"]) if row.get("fold") != "0"]
    name = path.parent.name
    report = path.parent / "report.json"
    if report.is_file():
        try:
            models = json.loads(report.read_text(encoding="utf-8"))["models"]
            name = f"{name} ({', '.join(item['name'] for item in models.values())})"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestError(f"{report}: is no report of an evaluation: {error}") from error
    return PairScores(
        name,
        [("/".join(Path(row["first"]).parts[-2:]), "/".join(Path(row["second"]).parts[-2:])) for row in rows],
        np.array([float(row["score"]) if row["score"] else math.nan for row in rows]),
        np.array([row["label"] == "1" for row in rows]),
        np.array([row["correct"] == "1" for row in rows]),
        [(row["person_a"], row["person_b"]) for row in rows],
        np.array([int(row["fold"]) if row.get("fold", "").isdecimal() else 0 for row in rows]),
    )


def compare_reports(folders: Sequence[str | Path], seed: int = bootstrap.SEED) -> list[PairedComparison]:
    """Compare the first report with each of the others.

    Args:
        folders: at least two, each with the `scores.csv` of `evaluate_pairs`.

    Raises:
        InputError: fewer than two, or other pairs than the first has.
    """
    if len(folders) < 2:
        raise InputError(f"at least two reports are compared, got {len(folders)}")
    first, *others = (read_scores(folder) for folder in folders)
    found = [_compare(first, other, seed) for other in others]
    corrected = holm([item.mcnemar.p_value for item in found])
    return [
        PairedComparison(item.a, item.b, item.pairs, item.completed, item.mcnemar, p, item.differences)
        for item, p in zip(found, corrected, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) over several tests; equals `statsmodels.stats.multitest.multipletests(…, method="holm")`."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, k in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[k]))
        corrected[k] = largest
    return corrected


def _compare(a: PairScores, b: PairScores, seed: int) -> PairedComparison:
    a.check_same_pairs(b)
    pairs = bootstrap.index_people(a.people)
    weights = bootstrap.vertex_weights(max(int(pairs.max()) + 1, 2), replicates_for(len(a.keys)), seed)
    gap = a.correct.astype(np.float64) - b.correct
    differences = [
        Difference(
            "accuracy",
            float(a.correct.mean()),
            float(b.correct.mean()),
            float(gap.mean()),
            bootstrap.rate_interval(gap, pairs, weights=weights, difference=True),
        )
    ]
    done = np.isfinite(a.scores) & np.isfinite(b.scores)
    labels = a.labels[done]
    if labels.any() and not labels.all():
        rates = [rate for rate in RATES if supported(rate, int((~labels).sum()))]
        curves = [bootstrap.curves(side.scores[done], labels, pairs[done], rates, weights) for side in (a, b)]
        counts = [metrics.counts(side.scores[done], labels) for side in (a, b)]
        values = [metrics.auc(c) for c in counts]
        differences.append(Difference("AUC", values[0], values[1], values[0] - values[1], bootstrap.percentiles(curves[0].auc - curves[1].auc)))
        for k, rate in enumerate(rates):
            tars = [metrics.tar_at_fmr(c, fmr=rate).tar for c in counts]
            gaps = bootstrap.percentiles(curves[0].tar[:, k] - curves[1].tar[:, k])
            differences.append(Difference(f"TAR at FMR {rate:g}", tars[0], tars[1], tars[0] - tars[1], gaps))
    test = metrics.mcnemar(a.correct, b.correct)
    return PairedComparison(a.name, b.name, len(a.keys), int(done.sum()), test, test.p_value, tuple(differences))
