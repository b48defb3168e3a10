"""Error rates of a comparison. Pure functions; one counts core, and every number is a view of it.

Throughout, `scores` is (N,) with **higher = closer** (a distance goes in negated), `labels` is (N,) with True where both sides are the same person
("genuine", "mated") and False where they are not ("impostor", "non-mated"). **Accept means score ≥ threshold**, ties accepted: equal scores
stand or fall together. TAR (true accept rate) = 1 − FNMR; FMR is the false match rate (ISO/IEC 19795-1).

Wherever a function takes `scores, labels` it also takes a ready `Counts` in the place of `scores`, so that a report sorts once.

Refused with `InputError`, always: no comparison at all, shapes other than two equal (N,), a score that is NaN or infinite (a comparison without a
score is no score: count it as a failure, see `protocols`), labels other than True and False (or 1 and 0). A rate over a class that is absent is
not 0 but undefined: what needs both classes refuses one class alone and says which is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

__all__ = [
    "Counts",
    "McNemar",
    "OperatingPoint",
    "Roc",
    "accuracy_at",
    "auc",
    "best_threshold",
    "counts",
    "eer",
    "fnmr_at_fmr",
    "mcnemar",
    "roc",
    "tar_at_fmr",
]

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """How many comparisons of each kind are accepted, at every threshold that makes a difference.

    Attributes:
        thresholds: (K,) float64, the distinct scores, descending.
        true_accepts: (K,) int64, genuine comparisons with score ≥ thresholds[k].
        false_accepts: (K,) int64, impostor comparisons with score ≥ thresholds[k].
        genuine: number of genuine comparisons, = true_accepts[-1].
        impostors: number of impostor comparisons, = false_accepts[-1].
    """

    thresholds: Floats
    true_accepts: Integers
    false_accepts: Integers
    genuine: int
    impostors: int


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """A ROC curve with K + 1 points: accept nothing (threshold inf) first, then one for each distinct score, accept everything last.

    Attributes:
        fmr: (K + 1,) float64 in [0, 1], ascending.
        tar: (K + 1,) float64 in [0, 1], ascending.
        thresholds: (K + 1,) float64, descending, the first inf.
    """

    fmr: Floats
    tar: Floats
    thresholds: Floats


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What one threshold does.

    Attributes:
        requested: the FMR that was asked for.
        fmr: the FMR that is reached, ≤ requested.
        tar: the TAR there.
        threshold: accept at score ≥ this; inf where nothing may be accepted.
        false_accepts: impostor comparisons accepted.
        impostors: impostor comparisons in all.
    """

    requested: float
    fmr: float
    tar: float
    threshold: float
    false_accepts: int
    impostors: int


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two systems on the same comparisons: `only_a` and `only_b` count those that one got right and the other wrong."""

    only_a: int
    only_b: int
    p_value: float


def _labels(values: ArrayLike, what: str = "labels") -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"{what} must have the shape (N,), got {array.shape}")
    if array.dtype != np.bool_:
        if array.dtype.kind not in "iuf" or not ((array == 0) | (array == 1)).all():
            raise InputError(f"{what} must be True or False (or 1 and 0), got the type {array.dtype} with other values")
        array = array == 1
    return array


def counts(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> Counts:
    """Sort once and count accepted comparisons at each distinct score.

    Args:
        scores: (N,) numbers, higher = closer; or Counts, handed back as they are.
        labels: (N,) True for the same person.

    Raises:
        InputError: see the head of this module. One class alone is no error here.
    """
    if isinstance(scores, Counts):
        return scores
    if labels is None:
        raise InputError("scores come with labels (N,): True for the same person, False for two")
    values: NDArray[Any] = np.asarray(scores)
    if values.dtype.kind not in "iuf":
        raise InputError(f"scores must be numbers, got the type {values.dtype}")
    same = _labels(labels)
    if values.ndim != 1 or values.shape != same.shape:
        raise InputError(f"scores and labels must have one shape (N,), got {values.shape} and {same.shape}")
    if not values.size:
        raise InputError("no comparison was given: no rate is defined over nothing")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(f"{bad} of {values.size} scores are NaN or infinite; take comparisons without a score out and count them as failures")
    # Sorting values (twice) is far faster than sorting indices, and all queries of the search come in order.
    genuine, everything = np.sort(values[same]), np.sort(values)
    first = np.flatnonzero(np.append(True, everything[1:] != everything[:-1]))[::-1]  # lowest place of each distinct score, best score first
    distinct = everything[first]
    true_accepts = (genuine.size - np.searchsorted(genuine, distinct, side="left")).astype(np.int64)
    false_accepts = (everything.size - first).astype(np.int64) - true_accepts
    thresholds = distinct.astype(np.float64)
    for array in (thresholds, true_accepts, false_accepts):
        array.setflags(write=False)
    return Counts(thresholds, true_accepts, false_accepts, int(true_accepts[-1]), int(false_accepts[-1]))


def _both(scores: ArrayLike | Counts, labels: ArrayLike | None) -> Counts:
    found = counts(scores, labels)
    if not found.genuine or not found.impostors:
        kind = "genuine" if not found.genuine else "impostor"
        raise InputError(f"there is no {kind} comparison among {found.genuine + found.impostors}: this needs both classes")
    return found


def roc(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> Roc:
    """FMR and TAR at every threshold. Equals `sklearn.metrics.roc_curve(…, drop_intermediate=False)`. Needs both classes."""
    c = _both(scores, labels)
    return Roc(
        fmr=np.append(0.0, c.false_accepts / c.impostors),
        tar=np.append(0.0, c.true_accepts / c.genuine),
        thresholds=np.append(np.inf, c.thresholds),
    )


def auc(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> float:
    """Area under the ROC curve: the probability that a genuine comparison scores above an impostor one, ties counting half. Needs both classes.

    Summed in integers, so it is exact up to one division (Mann–Whitney's U). Equals `sklearn.metrics.roc_auc_score`.
    """
    c = _both(scores, labels)
    true_accepts, false_accepts = np.append(0, c.true_accepts), np.append(0, c.false_accepts)
    twice = (np.diff(false_accepts) * (true_accepts[1:] + true_accepts[:-1])).sum()
    return int(twice) / (2 * c.genuine * c.impostors)


def eer(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> float:
    """Equal error rate: where FMR = FNMR on the ROC curve, its points joined by straight lines. Needs both classes.

    With few comparisons no threshold has equal rates; the straight line is what makes the number unique (as SciPy's root finder on
    scikit-learn's curve does, the usual recipe).
    """
    curve = roc(scores, labels)
    gap = curve.fmr - (1.0 - curve.tar)  # ascends from -1 to 1
    k = int(np.argmax(gap >= 0))
    step = -gap[k - 1] / (gap[k] - gap[k - 1])
    return float(curve.fmr[k - 1] + step * (curve.fmr[k] - curve.fmr[k - 1]))


def tar_at_fmr(scores: ArrayLike | Counts, labels: ArrayLike | None = None, fmr: float = 1e-3) -> OperatingPoint:
    """The largest TAR whose FMR is at most `fmr`, with its threshold. Needs both classes.

    Conservative: never interpolated, so the threshold is one that was seen to keep the promise. Among thresholds with that TAR it is the
    highest, a score that occurs. With fewer than 1 / fmr impostor comparisons no false accept is allowed at all, and `impostors`
    says how little the number then rests on.

    Raises:
        InputError: fmr is not in [0, 1].
    """
    if not 0.0 <= fmr <= 1.0:
        raise InputError(f"a false match rate lies in [0, 1], got {fmr}")
    c = _both(scores, labels)
    allowed = int(np.searchsorted(c.false_accepts / c.impostors, fmr, side="right"))  # number of thresholds that keep the promise
    if not allowed or not c.true_accepts[allowed - 1]:
        return OperatingPoint(fmr, 0.0, 0.0, math.inf, 0, c.impostors)
    # Lowering the threshold over impostors alone wins nothing: step back to the last one that accepted somebody genuine.
    k = int(np.searchsorted(c.true_accepts, c.true_accepts[allowed - 1], side="left"))
    false_accepts = int(c.false_accepts[k])
    return OperatingPoint(fmr, false_accepts / c.impostors, int(c.true_accepts[k]) / c.genuine, float(c.thresholds[k]), false_accepts, c.impostors)


def fnmr_at_fmr(scores: ArrayLike | Counts, labels: ArrayLike | None = None, fmr: float = 1e-3) -> float:
    """The smallest false non-match rate whose FMR is at most `fmr`: 1 − `tar_at_fmr`. Needs both classes."""
    return 1.0 - tar_at_fmr(scores, labels, fmr).tar


def accuracy_at(scores: ArrayLike | Counts, labels: ArrayLike | None = None, threshold: float = 0.0) -> float:
    """Share of right decisions when score ≥ `threshold` is accepted. One class alone is allowed; `threshold` may be infinite, not NaN."""
    if math.isnan(threshold):
        raise InputError("a threshold must be a number, got NaN")
    c = counts(scores, labels)
    accepted = int(np.searchsorted(-c.thresholds, -threshold, side="right"))
    true_accepts, false_accepts = (int(c.true_accepts[accepted - 1]), int(c.false_accepts[accepted - 1])) if accepted else (0, 0)
    return (true_accepts + c.impostors - false_accepts) / (c.genuine + c.impostors)


def best_threshold(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> float:
    """The threshold with the largest accuracy. One class alone is allowed.

    Tie rule: of several equally good sets of accepted comparisons the smallest (the highest threshold: in doubt, a stranger). Within it the
    threshold lies halfway between the lowest score accepted and the highest refused, so that it favors neither side on comparisons
    not seen; if all are accepted it is the lowest score, if none the next number above the highest.
    """
    c = counts(scores, labels)
    right = np.append(c.impostors, c.true_accepts + (c.impostors - c.false_accepts))  # accept nothing, then each distinct score
    k = int(np.argmax(right))  # the first of the largest
    if k == 0:
        return float(np.nextafter(c.thresholds[0], np.inf))
    low = float(c.thresholds[k - 1])
    if k == len(c.thresholds):
        return low
    refused = float(c.thresholds[k])
    middle = refused + (low - refused) / 2
    return middle if refused < middle <= low else low  # two neighboring floats have no middle


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Exact two-sided McNemar test: do two systems differ on the same comparisons?

    Of the n comparisons that exactly one system gets right, each falls to either with probability 1/2 if they are equally good:
    p = min(1, 2 · P[Binomial(n, 1/2) ≤ min(only_a, only_b)]), in exact integers; p = 1 for n = 0. Equals `scipy.stats.binomtest` and
    statsmodels' `mcnemar(exact=True)`.

    Args:
        correct_a: (N,) True where system A decided right.
        correct_b: (N,) the same for B, same order.
    """
    a, b = _labels(correct_a, "correct_a"), _labels(correct_b, "correct_b")
    if a.shape != b.shape:
        raise InputError(f"both systems must be judged on the same comparisons, got {a.size} and {b.size}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n, term, tail = only_a + only_b, 1, 0
    for i in range(min(only_a, only_b) + 1):
        tail += term
        term = term * (n - i) // (i + 1)
    return McNemar(only_a, only_b, min(1.0, 2 * tail / 2**n))
