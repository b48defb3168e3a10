"""Fusion of scores: several systems on the same pairs become one score, with weights that never saw the pairs they judge.

The weights of a fold come from pairs of other folds between people who do not appear in it; so does its threshold. Fusion of *vectors* is a card
(`adapter = "concat"`); this is its yardstick, and what tells the weights for such a card.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, InputError
from ..types import frozen, to_dict
from . import metrics
from .comparison import PairScores, read_scores
from .protocols import FoldResult
from .provenance import write_whole
from .report import plain
from .summary import Summary, accuracy_interval, summarize

__all__ = ["METHODS", "FusedReport", "Method", "ScoreFusion", "fuse_reports", "fuse_scores", "logistic_weights", "sigma_weights", "write_report"]

Method: TypeAlias = Literal["logistic", "sigma"]
METHODS: tuple[Method, ...] = get_args(Method)
"""logistic: the log-odds of the same person, by logistic regression on all scores. sigma: the weighted mean of the scores with weights
proportional to 1 / σ of each system's impostor scores, that is the sum of z-norms up to a constant."""
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFusion:
    """K systems' scores of N pairs as one.

    Attributes:
        method: see `METHODS`.
        result: accuracy over the folds.
        weights: (F, K) float64, those of each fold; for "sigma" they sum to 1.
        intercepts: (F,) float64; zeros for "sigma".
        scores: (N,) float64, each pair's with the weights of its own fold; NaN where a system has none.
    """

    method: Method
    result: FoldResult
    weights: Floats
    intercepts: Floats
    scores: Floats


@dataclass(frozen=True, slots=True, eq=False)
class FusedReport:
    """`fuse_reports`: the fusion, the names of its systems, and its error rates with intervals by resampling people."""

    systems: tuple[str, ...]
    fusion: ScoreFusion
    interval: tuple[float, float]
    summary: Summary
    first: PairScores

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as they stand in `report.json`."""
        result, n = self.fusion.result, len(self.first.labels)
        return {
            "schema": 2,
            "kind": "fusion",
            "method": self.fusion.method,
            "systems": list(self.systems),
            "models": {"fusion": {"name": f"{self.fusion.method} fusion of {len(self.systems)} systems"}},
            "counts": {
                "pairs": n,
                "genuine": int(self.first.labels.sum()),
                "impostor": int((~self.first.labels).sum()),
                "undetected": result.failures,
            },
            "accuracy": {
                "mean": result.mean,
                "stderr": result.stderr,
                "folds": result.accuracies.tolist(),
                "thresholds": result.thresholds.tolist(),
                "interval": list(self.interval),
            },
            "weights": self.fusion.weights.tolist(),
            "intercepts": self.fusion.intercepts.tolist(),
            **plain(to_dict(self.summary)),
        }


def sigma_weights(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """(K,) weights proportional to 1 / σ of the impostor scores, summing to 1.

    Args:
        scores: (K, N). labels: (N,) True for the same person.

    Raises:
        InputError: fewer than two impostor pairs, or a system whose impostor scores are all alike.
    """
    impostors = np.asarray(scores, np.float64)[:, ~np.asarray(labels, np.bool_)]
    deviations = impostors.std(axis=1, ddof=1) if impostors.shape[1] > 1 else np.zeros(len(impostors))
    if not (deviations > 0).all():
        raise InputError(f"weights by 1/σ need impostor scores that differ; standard deviations are {deviations.tolist()}")
    weights: Floats = (1 / deviations) / (1 / deviations).sum()
    return weights


def logistic_weights(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, float]:
    """((K,) weights, intercept) of the log-odds of the same person, by Newton's method.

    A ridge of 1e-6 per pair on standardized scores keeps the weights of perfectly separated classes finite. Equals scikit-learn's
    `LogisticRegression(C=1 / (1e-6 · N))` on standardized scores.

    Args:
        scores: (K, N). labels: (N,) True for the same person.

    Raises:
        InputError: only one of the classes is there.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(labels, np.bool_).astype(np.float64)
    if y.min() == y.max():
        raise InputError("logistic fusion needs pairs of the same person and pairs of different people outside of each fold")
    mean, deviation = x.mean(axis=1), x.std(axis=1)
    deviation = np.where(deviation > 0, deviation, 1.0)
    design = np.vstack([(x - mean[:, None]) / deviation[:, None], np.ones(x.shape[1])])
    ridge = np.diag([*[1e-6 * len(y)] * len(x), 0.0])
    beta = np.zeros(len(design))
    for _ in range(200):
        p = 1 / (1 + np.exp(-np.clip(beta @ design, -500, 500)))
        gradient = design @ (y - p) - ridge @ beta
        hessian = (design * (p * (1 - p))) @ design.T + ridge + 1e-12 * np.eye(len(design))
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 10.0 / float(np.abs(step).max() + 1e-300))
        beta = beta + step
        if float(np.abs(step).max()) < 1e-10:
            break
    weights: Floats = beta[:-1] / deviation
    return weights, float(beta[-1] - weights @ mean)


def fuse_scores(
    scores: ArrayLike, labels: ArrayLike, folds: ArrayLike, people: Sequence[tuple[str, str]] | None = None, method: Method = "logistic"
) -> ScoreFusion:  # fmt: skip
    """Fuse K systems over folds.

    Args:
        scores: (K, N) higher = closer, K ≥ 2; NaN where a system did not find a face: the pair then counts as wrong, and teaches nothing.
        labels: (N,) True for the same person.
        folds: (N,) integers from 1.
        people: who is compared, (N,) pairs of names: pairs with a person of the judged fold teach it nothing. None: folds share no person.
        method: see `METHODS`.

    Raises:
        ConfigError: unknown method. InputError: shapes, fewer than two folds or systems, or too few pairs left to learn from.
    """
    values, same, fold = np.asarray(scores, np.float64), np.asarray(labels, np.bool_), np.asarray(folds)
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if values.ndim != 2 or len(values) < 2 or not values.shape[1:] == same.shape == fold.shape or (people is not None and len(people) != len(same)):
        raise InputError(f"a fusion needs scores (K ≥ 2, N), labels (N,) and folds (N,), got {values.shape}, {same.shape}, {fold.shape}")
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise InputError("weights and thresholds come from the other folds: at least two are needed")
    done = np.asarray(np.isfinite(values).all(axis=0))
    weights, intercepts = np.zeros((len(numbers), len(values))), np.zeros(len(numbers))
    thresholds, accuracies = np.empty(len(numbers)), np.empty(len(numbers))
    fused, correct = np.full(same.shape, np.nan), np.zeros(same.shape, np.bool_)
    for k, number in enumerate(numbers):
        inside = fold == number
        teaching = ~inside & done & ~_shares_people(people, inside)
        if len(set(same[teaching].tolist())) < 2:
            raise InputError(f"fold {number}: no pairs of both kinds between other people are left to learn from")
        if method == "sigma":
            weights[k] = sigma_weights(values[:, teaching], same[teaching])
        else:
            weights[k], intercepts[k] = logistic_weights(values[:, teaching], same[teaching])
        own = weights[k] @ np.where(done, values, 0.0) + intercepts[k]
        thresholds[k] = metrics.best_threshold(own[teaching], same[teaching])
        fused[inside & done] = own[inside & done]
        correct[inside] = ((own >= thresholds[k]) == same)[inside] & done[inside]
        accuracies[k] = correct[inside].mean()
    result = FoldResult(
        frozen(numbers, np.int64, numbers.shape, "folds"),
        frozen(thresholds, np.float64, numbers.shape, "thresholds"),
        frozen(accuracies, np.float64, numbers.shape, "accuracies"),
        float(accuracies.mean()),
        float(accuracies.std(ddof=1)) / math.sqrt(len(numbers)),
        frozen(correct, np.bool_, same.shape, "correct"),
        int((~done).sum()),
    )
    for array in (weights, intercepts, fused):
        array.setflags(write=False)
    return ScoreFusion(method, result, weights, intercepts, fused)


def _shares_people(people: Sequence[tuple[str, str]] | None, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) pairs that show a person of the fold."""
    if people is None:
        return np.zeros(inside.shape, np.bool_)
    theirs = {person for pair, judged in zip(people, inside, strict=True) if judged for person in pair}
    return np.array([a in theirs or b in theirs for a, b in people])


def fuse_reports(folders: Sequence[str | Path], method: Method = "logistic") -> FusedReport:
    """Fuse what `evaluate lfw|fglfw|pairs --out` wrote, over the same pairs.

    Args:
        folders: at least two, each with `scores.csv`.

    Raises:
        InputError: fewer than two, other pairs than the first has, or fold 0 (a development set has no other folds to learn from).
    """
    if len(folders) < 2:
        raise InputError(f"at least two reports are fused, got {len(folders)}")
    read = [read_scores(folder) for folder in folders]
    first = read[0]
    for other in read[1:]:
        first.check_same_pairs(other)
    fusion = fuse_scores(np.stack([item.scores for item in read]), first.labels, first.folds, first.people, method)
    missed = ~np.isfinite(fusion.scores)
    return FusedReport(
        tuple(item.name for item in read),
        fusion,
        accuracy_interval(fusion.result.correct, first.people),
        summarize(fusion.scores, first.labels, first.people, missed),
        first,
    )


def write_report(report: FusedReport, folder: str | Path) -> None:
    """`report.json`, and `scores.csv` as `evaluate_pairs` writes it, into a folder (made when missing); `compare_reports` and `fuse_reports` take it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["score", "label", "fold", "correct", "first", "second", "person_a", "person_b"])
    first, fusion = report.first, report.fusion
    columns = (fusion.scores.tolist(), first.labels.tolist(), first.folds.tolist(), fusion.result.correct.tolist(), first.keys, first.people)
    for score, label, fold, correct, key, people in zip(*columns, strict=True):
        writer.writerow(["" if math.isnan(score) else repr(score), int(label), fold, int(correct), *key, *people])
    write_whole(Path(folder) / "scores.csv", text.getvalue())
    write_whole(Path(folder) / "report.json", json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
