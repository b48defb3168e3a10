"""Scores from a CSV, whoever computed them: verification, identification, presentation attacks, attributes."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ManifestError
from ..types import to_dict
from . import agreement, by_group, identification, pad, rates
from .experiments import val_curve
from .metrics import accuracy_at, best_threshold, counts
from .report import plain
from .summary import summarize

__all__ = ["evaluate_attributes", "evaluate_pad", "evaluate_scores", "evaluate_val", "read_columns"]


def read_columns(path: str | Path, wanted: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV with a head that has the wanted columns; each with its line under "".

    Raises:
        ManifestError: unreadable, a missing column, or no row.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            head = reader.fieldnames or []
            rows = [{**{key: (value or "").strip() for key, value in row.items() if key}, "": str(reader.line_num)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from error
    if lacking := [name for name in wanted if name not in head]:
        raise ManifestError(f"{path}: lacks the column {', '.join(lacking)}; it has: {', '.join(head) or 'none'}", 1)
    if not rows:
        raise ManifestError(f"{path}: has no row", 2)
    return rows


def _number(row: dict[str, str], column: str, path: str | Path) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ManifestError(f"{path}: a {column} is a finite number, got {row[column]!r}", int(row[""]), column)
    return value


def evaluate_scores(path: str | Path, thresholds: Sequence[float] = (), fmrs: Sequence[float] | None = None) -> dict[str, Any]:
    """Error rates of scores in a file; higher = closer.

    Columns `score,label` (1 same, 0 different; optionally `person_a,person_b`, on which the intervals then rest): verification. An empty score is a
    comparison that could not be made. Columns `probe,predicted,score` (an empty probe is a stranger, an empty score a probe without a face):
    identification. `table` has a row for each of `thresholds`.

    Raises:
        ManifestError: with the line. InputError: a rate in `fmrs` that the file cannot carry.
    """
    rows = read_columns(path, ["score"])
    if "label" in rows[0]:
        return _verification(path, rows, thresholds, fmrs)
    if "probe" in rows[0] and "predicted" in rows[0]:
        return _identification(path, rows, thresholds)
    raise ManifestError(f"{path}: needs the columns score,label (verification) or probe,predicted,score (identification)", 1)


def _comparisons(path: str | Path, rows: list[dict[str, str]]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Scores (NaN where there is none), labels, and where there is none."""
    for row in rows:
        if row["label"] not in ("0", "1"):
            raise ManifestError(f"{path}: a label is 1 (same) or 0 (different), got {row['label']!r}", int(row[""]), "label")
    scores = np.array([math.nan if row["score"] == "" else _number(row, "score", path) for row in rows])
    return scores, np.array([row["label"] == "1" for row in rows]), np.isnan(scores)


def _verification(path: str | Path, rows: list[dict[str, str]], thresholds: Sequence[float], fmrs: Sequence[float] | None) -> dict[str, Any]:
    scores, labels, missed = _comparisons(path, rows)
    named = "person_a" in rows[0] and "person_b" in rows[0]
    people = [(row["person_a"], row["person_b"]) for row in rows] if named else None
    summary = summarize(scores, labels, people, missed, fmrs)
    done = ~missed
    best = best_threshold(scores[done], labels[done])
    document = {
        "schema": 2,
        "kind": "verification",
        "source": str(path),
        "counts": {"pairs": len(rows), "genuine": int(labels.sum()), "impostor": int((~labels).sum())},
        "best_accuracy": accuracy_at(scores[done], labels[done], best) * float(done.mean()),
        "best_threshold": best,
        "table": rates.verification_table(scores[done], labels[done], thresholds),
    }
    return dict(plain(document | to_dict(summary)))


def _identification(path: str | Path, rows: list[dict[str, str]], thresholds: Sequence[float]) -> dict[str, Any]:
    truth, predicted = [row["probe"] for row in rows], [row["predicted"] for row in rows]
    scores = np.array([-math.inf if row["score"] == "" else _number(row, "score", path) for row in rows])
    curve = identification.open_set(truth, predicted, scores)
    both = bool(curve.known and curve.strangers)
    known = [(a, b, s) for a, b, s in zip(truth, predicted, scores, strict=True) if a]
    document = {
        "schema": 2,
        "kind": "identification",
        "source": str(path),
        "counts": {"probes": len(rows), "known": curve.known, "strangers": curve.strangers, "undetected": int(np.isinf(scores).sum())},
        "rank1": sum(a == b and s > -math.inf for a, b, s in known) / len(known) if known else None,
        "auc": identification.identification_auc(truth, predicted, scores) if both else None,
        "tpir_at_fpir": {f"{f:g}": to_dict(identification.tpir_at_fpir(truth, predicted, scores, f)) for f in (0.1, 0.01)} if both else {},
        "table": identification.identification_table(truth, predicted, scores, thresholds),
        "curve": _curve(curve) if both else [],
    }
    return dict(plain(document))


def _curve(found: identification.OpenSet, most: int = 400) -> list[list[float]]:
    """(FPIR, TPIR) from (0, 0) on, thinned to `most` points, both ends kept."""
    places = np.unique(np.linspace(0, len(found.tpir) - 1, most).round().astype(int))
    return [[float(found.fpir[k]), float(found.tpir[k])] for k in places]


def evaluate_val(path: str | Path, thresholds: Sequence[float] = (), steps: int = 101) -> dict[str, Any]:
    """VAL and FAR against the threshold, of a CSV `score,label`; at `steps` thresholds over the range of the scores where none are given.

    An empty score is a comparison that could not be made: left out of both rates, and counted.
    """
    rows = read_columns(path, ["score", "label"])
    scores, labels, missed = _comparisons(path, rows)
    c = counts(scores[~missed], labels[~missed])
    wanted = list(thresholds) or np.linspace(float(c.thresholds[-1]), float(c.thresholds[0]), steps).tolist()
    number = {"genuine": c.genuine, "impostor": c.impostors, "missed": int(missed.sum())}
    return {"schema": 2, "kind": "val", "source": str(path), "counts": number, "table": val_curve(c, thresholds=wanted)}


def evaluate_pad(path: str | Path, threshold: float | None = None, apcer: float = 0.05) -> dict[str, Any]:
    """ISO/IEC 30107-3 rates of a CSV `score,species`: the score of being bona fide, and the attack instrument species (empty: bona fide).

    At `threshold`, and at the threshold where no species' APCER exceeds `apcer`.
    """
    rows = read_columns(path, ["score", "species"])
    scores, species = [_number(row, "score", path) for row in rows], [row["species"] for row in rows]
    document: dict[str, Any] = {
        "schema": 2,
        "kind": "pad",
        "source": str(path),
        "bpcer_at_apcer": to_dict(pad.bpcer_at_apcer(scores, species, apcer)),
    }
    document["apcer_asked_for"] = apcer
    document["at_threshold"] = None if threshold is None else to_dict(pad.pad_rates(scores, species, threshold))
    return dict(plain(document))


def evaluate_attributes(
    path: str | Path,
    truth: str = "truth",
    predicted: str = "predicted",
    kind: Literal["auto", "labels", "numbers"] = "auto",
    groups: Sequence[str] = (),
) -> dict[str, Any]:
    """Agreement of two columns: labels (accuracy, macro-F1, kappa, unbiased hit rates, confusion) or numbers (MAE, RMSE, Pearson, CCC, SAGR).

    Rows in which either is empty are left out and counted. What is not defined is null, with the reason under `undefined`. `intervals` holds 95 %
    intervals (accuracy: exact binomial; the others by resampling rows), `groups` the same figures for each value of each column named in `groups`, and
    the worst of them.
    """
    rows = read_columns(path, [truth, predicted, *groups])
    kept = [row for row in rows if row[truth] and row[predicted]]
    if not kept:
        raise ManifestError(f"{path}: no row has both {truth} and {predicted}")
    document: dict[str, Any] = {"schema": 2, "kind": kind, "source": str(path), "counts": {"rows": len(kept), "left_out": len(rows) - len(kept)}}
    undefined: dict[str, str] = {}

    def attempt(name: str, work: Any) -> None:
        try:
            document[name] = work()
        except ValueError as error:
            document[name], undefined[name] = None, str(error)

    if kind == "numbers" or (kind == "auto" and _numeric(kept, truth) and _numeric(kept, predicted)):
        a, b = ([_number(row, column, path) for row in kept] for column in (truth, predicted))
        document["kind"] = "numbers"
        for name in ("mae", "rmse", "pearson", "ccc", "sagr"):
            attempt(name, lambda name=name: getattr(agreement, name)(a, b))
    else:
        table = agreement.confusion([row[truth] for row in kept], [row[predicted] for row in kept])
        document |= {"kind": "labels", "accuracy": table.accuracy, "macro_f1": agreement.macro_f1(table)}
        attempt("kappa", lambda: agreement.kappa(table))
        document["unbiased_hit_rate"] = agreement.unbiased_hit_rate(table)
        document["confusion"] = {"labels": list(table.labels), "matrix": table.matrix.tolist()}
    said: list[Any] = [row[predicted] for row in kept]
    right: list[Any] = [row[truth] for row in kept]
    if document["kind"] == "numbers":
        right, said = [float(value) for value in right], [float(value) for value in said]
    document["intervals"] = by_group.intervals(right, said)
    document["groups"] = {name: by_group.group_table(right, said, [row[name] for row in kept]) for name in groups}
    return dict(plain(document | {"undefined": undefined}))


def _numeric(rows: list[dict[str, str]], column: str) -> bool:
    try:
        return all(math.isfinite(float(row[column])) for row in rows)
    except ValueError:
        return False
