"""More views of scored comparisons: tables over thresholds, DET, d′, likelihood-ratio costs, transactions.

Conventions and refusals are those of `metrics`: scores (N,) higher = closer, accept at score ≥ threshold, ties accepted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import metrics
from .metrics import Counts, Floats

__all__ = [
    "Det",
    "Transaction",
    "cllr",
    "d_prime",
    "det",
    "isotonic",
    "isotonic_llr",
    "min_cllr",
    "rates_at",
    "thresholds_of",
    "transaction",
    "val_at_far",
    "verification_table",
]


@dataclass(frozen=True, slots=True, eq=False)
class Det:
    """Detection error trade-off (Martin et al. 1997): both error rates on normal-deviate axes.

    Attributes:
        fmr, fnmr: (K,) float64 in (0, 1): the points of the ROC at which neither error is 0 or 1 (those have no normal deviate).
        x, y: (K,) float64, normal deviates of `fmr` and `fnmr`.
        thresholds: (K,) float64, descending.
    """

    fmr: Floats
    fnmr: Floats
    x: Floats
    y: Floats
    thresholds: Floats


@dataclass(frozen=True, slots=True)
class Transaction:
    """Error rates of whole transactions, failures to acquire (FTA) included (ISO/IEC 19795-1): a transaction without a template is a rejection.

    FRR = FTA + (1 − FTA) · FNMR, FAR = (1 − FTA) · FMR. In the seeds' words TAR = 1 − FRR and TRR = 1 − FAR.
    """

    fta_genuine: float
    fta_impostor: float
    frr: float
    far: float
    tar: float
    trr: float


def transaction(fmr: float, fnmr: float, fta: float, fta_impostor: float | None = None) -> Transaction:
    """Rates of comparisons and the failure rate -> rates of transactions. `fta_impostor` where failures are counted for each class.

    Raises:
        InputError: a rate outside [0, 1].
    """
    other = fta if fta_impostor is None else fta_impostor
    for name, value in (("FMR", fmr), ("FNMR", fnmr), ("FTA", fta), ("FTA of impostors", other)):
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{name} must lie in [0, 1], got {value}")
    frr, far = fta + (1 - fta) * fnmr, (1 - other) * fmr
    return Transaction(fta, other, frr, far, 1 - frr, 1 - far)


def thresholds_of(values: ArrayLike) -> Floats:
    """Thresholds (T,) as float64; infinite ones are allowed, NaN is refused."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or np.isnan(array).any():
        raise InputError(f"thresholds must be numbers of the shape (T,), at least one and none NaN, got {array.shape}")
    return array


def rates_at(scores: ArrayLike | Counts, labels: ArrayLike | None, thresholds: ArrayLike) -> tuple[Floats, Floats]:
    """TAR (T,) and TRR (T,) at given thresholds, over completed comparisons (TAR = 1 − FNMR, TRR = 1 − FMR).

    A class that is absent has the rate NaN.
    """
    c, wanted = metrics.counts(scores, labels), thresholds_of(thresholds)
    accepted = np.searchsorted(-c.thresholds, -wanted, side="right")
    true_accepts = np.append(0, c.true_accepts)[accepted]
    false_accepts = np.append(0, c.false_accepts)[accepted]
    with np.errstate(invalid="ignore"):
        return true_accepts / np.float64(c.genuine), (c.impostors - false_accepts) / np.float64(c.impostors)


def verification_table(scores: ArrayLike | Counts, labels: ArrayLike | None = None, thresholds: Sequence[float] = ()) -> list[dict[str, Any]]:
    """`[{threshold, tar, trr}]` in the order of `thresholds` (default 1.0, 0.9, … 0.0); None for the rate of an absent class."""
    wanted = list(thresholds) or [round(1 - step / 10, 1) for step in range(11)]
    tar, trr = rates_at(scores, labels, wanted)
    rows = zip(wanted, tar.tolist(), trr.tolist(), strict=True)
    return [{"threshold": float(t), "tar": None if math.isnan(a) else a, "trr": None if math.isnan(r) else r} for t, a, r in rows]


def val_at_far(scores: ArrayLike | Counts, labels: ArrayLike | None = None, far: float = 1e-3) -> float:
    """FaceNet's validation rate VAL at a false accept rate (Schroff et al. 2015, eq. 5-7): the TAR of `metrics.tar_at_fmr`, never interpolated."""
    return metrics.tar_at_fmr(scores, labels, far).tar


def det(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> Det:
    """The DET curve. Needs both classes. It is empty for scores that separate the classes: no point has two errors."""
    curve = metrics.roc(scores, labels)
    fnmr = 1.0 - curve.tar
    inside = (curve.fmr > 0) & (curve.fmr < 1) & (fnmr > 0) & (fnmr < 1)
    x, y = probit(curve.fmr[inside]), probit(fnmr[inside])
    return Det(curve.fmr[inside], fnmr[inside], x, y, curve.thresholds[inside])


_CENTRAL = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
     133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867, 5394.1960214247511077, 687.1870074920579083,
     42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
     4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459, 0.68976733498510000455,
     1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093, 0.29656057182850489123,
     1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4, 0.0148753612908506148525,
     0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def probit(rates: ArrayLike) -> Floats:
    """Normal deviates of rates in [0, 1], elementwise, to about 1e-15 (±inf at the ends): Wichura's rational approximations (1988, algorithm AS 241).

    `statistics.NormalDist` has the same constants for one number; ten million take a second here and ten there.
    """
    p = np.asarray(rates, dtype=np.float64)
    q = p - 0.5
    r = np.sqrt(-np.log(np.maximum(np.minimum(p, 1 - p), 5e-324)))
    inside = np.abs(q) <= 0.425
    x = np.empty(p.shape)
    x[inside] = q[inside] * _ratio(_CENTRAL, 0.180625 - q[inside] ** 2)
    for (top, shift), place in (((_MIDDLE, 1.6), ~inside & (r <= 5)), ((_TAIL, 5.0), ~inside & (r > 5))):
        x[place] = np.copysign(_ratio(top, r[place] - shift), q[place])
    x[p == 0], x[p == 1] = -np.inf, np.inf
    return x


def _ratio(polynomials: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    return np.asarray(np.polyval(polynomials[0], x) / np.polyval(polynomials[1], x))


def d_prime(scores: ArrayLike, labels: ArrayLike) -> float:
    """d′ = (mean of genuine − mean of impostor scores) / √((s²_genuine + s²_impostor) / 2), sample variances (ddof = 1).

    Raises:
        InputError: fewer than two comparisons of a class, or both classes without any spread.
    """
    c = metrics.counts(scores, labels)
    if min(c.genuine, c.impostors) < 2:
        raise InputError(f"d' needs two comparisons of each class, got {c.genuine} genuine and {c.impostors} impostor ones")
    values, same = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    genuine, impostor = values[same], values[~same]
    spread = math.sqrt((float(genuine.var(ddof=1)) + float(impostor.var(ddof=1))) / 2)
    if spread == 0:
        raise InputError("d' is not defined: both classes have no spread")
    return float(genuine.mean() - impostor.mean()) / spread


def cllr(llrs: ArrayLike, labels: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits (Brümmer and du Preez 2006): 0 = perfect, 1 = says nothing, more = misleads.

    ½ · mean log₂(1 + 1/LR) over genuine + ½ · mean log₂(1 + LR) over impostor comparisons.

    Args:
        llrs: (N,) natural logarithms of likelihood ratios; ±inf is allowed (wrong certainty costs inf), NaN is refused.
        labels: (N,) True for the same person.
    """
    values, same = np.asarray(llrs, dtype=np.float64), np.asarray(labels)
    if np.isnan(values).any():
        raise InputError("a log-likelihood ratio is NaN")
    found = metrics.counts(np.clip(values, -1e300, 1e300), same)  # checks shapes and labels
    if not found.genuine or not found.impostors:
        raise InputError("Cllr needs both classes")
    mask = same.astype(bool)
    return float((np.logaddexp(0, -values[mask]).mean() + np.logaddexp(0, values[~mask]).mean()) / (2 * math.log(2)))


def isotonic(values: ArrayLike, weights: ArrayLike) -> Floats:
    """The ascending sequence (N,) that is closest to `values` in weighted squares (pool adjacent violators). Weights > 0.

    Neighbors that do not ascend share a block of the solution whatever comes later, so whole runs of them are pooled at once while that shortens the
    sequence; the rest is done one by one.
    """
    levels, masses = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    sizes = np.ones(len(levels), np.int64)
    while len(levels) > 1000:
        first = np.flatnonzero(np.append(True, levels[1:] > levels[:-1]))
        if len(first) > 0.9 * len(levels):
            break
        total = np.add.reduceat(masses, first)
        levels, masses, sizes = np.add.reduceat(levels * masses, first) / total, total, np.add.reduceat(sizes, first)
    level: list[float] = []
    mass: list[float] = []
    size: list[int] = []
    for value, weight, count in zip(levels.tolist(), masses.tolist(), sizes.tolist(), strict=True):
        level.append(value)
        mass.append(weight)
        size.append(count)
        while len(level) > 1 and level[-2] >= level[-1]:
            both = mass[-2] + mass[-1]
            level[-2] = (level[-2] * mass[-2] + level[-1] * mass[-1]) / both
            mass[-2] = both
            size[-2] += size[-1]
            level.pop(), mass.pop(), size.pop()
    return np.repeat(np.array(level, dtype=np.float64), size)


def isotonic_llr(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """The best monotone map from score to log-likelihood ratio: distinct scores ascending (K,) and llr (K,), ±inf where one class is alone."""
    c = metrics.counts(scores, labels)
    if not c.genuine or not c.impostors:
        raise InputError("a likelihood ratio needs both classes")
    genuine = np.diff(np.append(0, c.true_accepts))[::-1]
    impostor = np.diff(np.append(0, c.false_accepts))[::-1]
    total = genuine + impostor
    share = isotonic(genuine / total, total)
    with np.errstate(divide="ignore"):
        odds = np.log(share) - np.log1p(-share)
    return c.thresholds[::-1], odds - math.log(c.genuine / c.impostors)


def min_cllr(scores: ArrayLike | Counts, labels: ArrayLike | None = None) -> float:
    """Cllr after the best monotone calibration on the same comparisons: what discrimination alone costs (0 where the classes do not overlap)."""
    c = metrics.counts(scores, labels)
    _, llr = isotonic_llr(c)
    genuine = np.diff(np.append(0, c.true_accepts))[::-1]
    impostor = np.diff(np.append(0, c.false_accepts))[::-1]
    g, i = genuine > 0, impostor > 0
    cost = (np.logaddexp(0, -llr[g]) * genuine[g]).sum() / c.genuine + (np.logaddexp(0, llr[i]) * impostor[i]).sum() / c.impostors
    return float(cost / (2 * math.log(2)))
