"""Intervals that know that comparisons share people: the vertex bootstrap (Snijders and Borgatti 1999; for biometrics Fogliato et al. 2023).

People, not comparisons, are drawn with replacement. A person drawn w times gives a genuine comparison the weight w_i and an impostor comparison,
which has two people, the weight w_i · w_j. Drawing comparisons as if they were independent gives intervals that are too narrow (a test shows it).
On lists in which hardly any two comparisons share a person (LFW's) the product weights are on the safe side: up to √3 too wide for FMR.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .intervals import Interval, student_t
from .metrics import Floats, Integers

__all__ = [
    "REPLICATES",
    "Curves",
    "curves",
    "index_people",
    "matrix_rates",
    "percentiles",
    "rate_interval",
    "rate_span",
    "vertex_weights",
    "weights_of",
]

REPLICATES = 1000
SEED = 20220901
_CELLS = 20_000_000
"""Numbers held at once: replicates are done in blocks of this many cells."""


def index_people(people: Sequence[tuple[Any, Any]]) -> Integers:
    """Names of both sides -> (N, 2) int64 indices from 0, in the order of first appearance."""
    place: dict[Any, int] = {}
    return np.array([[place.setdefault(a, len(place)), place.setdefault(b, len(place))] for a, b in people], np.int64).reshape(-1, 2)


def vertex_weights(n_people: int, replicates: int = REPLICATES, seed: int = SEED) -> Floats:
    """(replicates, n_people): how often each person was drawn, n_people draws in each replicate."""
    if n_people < 2 or replicates < 1:
        raise InputError(f"a bootstrap needs two people and a replicate at least, got {n_people} and {replicates}")
    random = np.random.default_rng(seed)
    return random.multinomial(n_people, np.full(n_people, 1 / n_people), size=replicates).astype(np.float64)


def weights_of(weights: Floats, people: Integers) -> Floats:
    """Weights of comparisons (B, N) from those of people (B, P): w_i where both sides are one person, else w_i · w_j."""
    first, second = people[:, 0], people[:, 1]
    found = weights[:, first]
    cross = first != second
    found[:, cross] *= weights[:, second[cross]]
    return np.asarray(found)


def percentiles(values: ArrayLike, confidence: float = 0.95, people: int = 0) -> Interval:
    """The central interval of replicates; those that are NaN (nothing of a class was drawn) are left out.

    With the number of people given, the percentiles are moved out as a t interval is wider than a normal one (Hesterberg 2015, "expanded").
    """
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if not kept.size:
        return float("nan"), float("nan")
    tail = 50 * (1 - confidence)
    if people > 1:
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        tail = 100 * NormalDist().cdf(-(z + (z**3 + z) / (4 * (people - 1))) * math.sqrt(people / (people - 1)))
    low, high = np.percentile(kept, [tail, 100 - tail])
    return float(low), float(high)


def rate_span(rate: float, replicates: ArrayLike, people: int, confidence: float = 0.95) -> Interval:
    """Interval of a rate or an area from its replicates: rate ± t · standard deviation on the scale of log-odds, t with `people` − 1 degrees of freedom.

    Percentiles of replicates are too short where few people carry the errors (a test shows it): the distribution is skewed, and its spread follows the
    rate. On log-odds both are nearly gone, and no end leaves (0, 1). At a rate of 0 or 1 there are none: percentiles then, and the caller's `hull`.

    For rates at a fixed threshold, and areas. A TAR at a small FMR hangs on a few impostor scores that some replicates draw several times: its
    replicates have a long tail, of which a standard deviation says too much; percentiles are taken there.
    """
    kept = np.asarray(replicates, np.float64)
    kept = kept[np.isfinite(kept)]
    if people < 2 or not 0.0 < rate < 1.0 or len(kept) < 2 or not kept.std() > 0:
        return percentiles(kept, confidence, people)
    deviation = float(kept.std(ddof=1)) * math.sqrt(people / (people - 1))
    step = student_t((1 + confidence) / 2, people - 1) * deviation / (rate * (1 - rate))
    middle = math.log(rate) - math.log1p(-rate)
    low, high = (1 / (1 + math.exp(-min(max(end, -700.0), 700.0))) for end in (middle - step, middle + step))
    return low, high


def rate_interval(
    errors: ArrayLike,
    people: Integers,
    replicates: int = REPLICATES,
    seed: int = SEED,
    confidence: float = 0.95,
    weights: Floats | None = None,
    difference: bool = False,
) -> Interval:
    """Interval of a mean over comparisons: an error rate at a fixed threshold, an accuracy, or a difference of two.

    Args:
        errors: (N,) numbers in [0, 1], usually True for an error.
        people: (N, 2) indices of both people.
        weights: (B, P) of people, to share draws between statistics.
        difference: `errors` are differences in [-1, 1]; the interval is that of the percentiles, else `rate_span`.
    """
    values, pairs = np.asarray(errors, np.float64), np.asarray(people, np.int64)
    if values.ndim != 1 or pairs.shape != (len(values), 2) or not len(values):
        raise InputError(f"errors must be (N,) and people (N, 2), N at least 1, got {values.shape} and {pairs.shape}")
    drawn = vertex_weights(int(pairs.max()) + 1, replicates, seed) if weights is None else weights
    rates = []
    for block in _blocks(drawn, len(values)):
        of = weights_of(block, pairs)
        total = of.sum(axis=1)
        rates.append(np.divide(of @ values, total, out=np.full(len(total), np.nan), where=total > 0))
    found, counted = np.concatenate(rates), len(np.unique(pairs))
    if difference:
        return percentiles(found, confidence, counted)
    return rate_span(float(values.mean()), found, counted, confidence)


def _blocks(weights: Floats, columns: int) -> Iterator[Floats]:
    step = max(1, _CELLS // max(columns, 1))
    for start in range(0, len(weights), step):
        yield weights[start : start + step]


def matrix_rates(counts: NDArray[Any], samples: ArrayLike, weights: Floats) -> Floats:
    """False match rates (B,) over *all* comparisons of different people, from sums by pair of people.

    Args:
        counts: (P, P) symmetric, zero diagonal: false matches between the samples of two people.
        samples: (P,) samples of each person.
        weights: (B, P).
    """
    n = np.asarray(samples, np.float64)
    top = np.einsum("bp,bp->b", weights @ counts, weights)
    mass = weights * n
    bottom = mass.sum(axis=1) ** 2 - (mass**2).sum(axis=1)
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Replicates of what a ROC says.

    Attributes:
        auc, eer: (B,).
        tar: (B, F) TAR at each false match rate of `fmrs`.
        fmrs: (F,).
    """

    auc: Floats
    eer: Floats
    tar: Floats
    fmrs: Floats


def curves(scores: ArrayLike, labels: ArrayLike, people: Integers, fmrs: ArrayLike, weights: Floats) -> Curves:
    """AUC, EER and TAR at false match rates in every replicate, each with its own threshold, as `metrics` computes them.

    Args:
        scores: (N,) higher = closer. labels: (N,) True for the same person. people: (N, 2). fmrs: (F,) ascending.
        weights: (B, P) from `vertex_weights`.
    """
    values, same, wanted = np.asarray(scores, np.float64), np.asarray(labels, bool), np.asarray(fmrs, np.float64)
    order = np.argsort(-values, kind="stable")
    values, same, pairs = values[order], same[order], np.asarray(people, np.int64)[order]
    last = np.append(np.diff(values) != 0, True)
    auc, eer, tar = [], [], []
    for block in _blocks(weights, 4 * len(values)):
        of = weights_of(block, pairs)
        genuine = np.cumsum(of * same, axis=1)[:, last]
        impostor = np.cumsum(of * ~same, axis=1)[:, last]
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.pad(genuine / genuine[:, -1:], ((0, 0), (1, 0)))
            f = np.pad(impostor / impostor[:, -1:], ((0, 0), (1, 0)))
        auc.append((np.diff(f, axis=1) * (t[:, 1:] + t[:, :-1])).sum(axis=1) / 2)
        gap = f - (1 - t)
        k = np.maximum(np.argmax(gap >= 0, axis=1), 1)
        rows = np.arange(len(block))
        before, after = gap[rows, k - 1], gap[rows, k]
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.where(after > before, -before / (after - before), 0.0)
        eer.append(f[rows, k - 1] + step * (f[rows, k] - f[rows, k - 1]))
        place = np.stack([np.searchsorted(row, wanted * (1 + 1e-12), side="right") - 1 for row in f])
        tar.append(np.take_along_axis(t, np.maximum(place, 0), axis=1))
    return Curves(np.concatenate(auc), np.concatenate(eer), np.concatenate(tar), wanted)
