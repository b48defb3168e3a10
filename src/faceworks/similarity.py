"""Similarities and distances between embeddings, and the one place that knows which way is closer.

Inside faceworks similarity is always the cosine and higher is closer; distances exist for people and for thresholds published in them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .types import Metric

__all__ = [
    "METRICS",
    "RAW",
    "accepts",
    "as_distance_threshold",
    "chi2_matrix",
    "cosine_matrix",
    "distance",
    "from_cosine",
    "is_similarity",
    "similarity",
    "unit",
]

METRICS: tuple[Metric, ...] = ("cosine", "euclidean", "euclidean_l2", "angular", "chi2")
RAW: tuple[Metric, ...] = ("euclidean", "chi2")
"""Metrics of raw vectors: they do not follow from the cosine."""


def is_similarity(kind: str) -> bool:
    """True when a larger number means closer. `kind` is a card's word: "similarity" or "distance"."""
    if kind not in ("similarity", "distance"):
        raise InputError(f"a threshold is a 'similarity' or a 'distance', got {kind!r}")
    return kind == "similarity"


def _vectors(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"two vectors of one length are compared, got the shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("an embedding holds values that are not finite")
    return x, y


def unit(vectors: ArrayLike) -> NDArray[np.float32]:
    """Scale vectors (…, D) to length 1, as float32.

    Raises:
        InputError: a vector is zero or not finite; it has no direction.
    """
    array = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(array, axis=-1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise InputError("an embedding of length zero (or not finite) has no direction")
    return np.asarray(array / norms, dtype=np.float32)


def similarity(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine of two vectors (D,), in [−1, 1], computed in float64. Equal vectors give exactly 1."""
    x, y = _vectors(a, b)
    nx, ny = float(np.linalg.norm(x)), float(np.linalg.norm(y))
    if nx == 0.0 or ny == 0.0:
        raise InputError("an embedding of length zero has no direction")
    return max(-1.0, min(1.0, float(np.dot(x / nx, y / ny)))) if not np.array_equal(x, y) else 1.0


def distance(a: ArrayLike, b: ArrayLike, metric: Metric = "cosine") -> float:
    """Distance of two vectors (D,), never negative, lower is closer.

    cosine: 1 − cos, in [0, 2]. euclidean: length of the difference of the raw vectors. euclidean_l2: the same on unit vectors,
    √(2 (1 − cos)), in [0, 2]. angular: angle / π, in [0, 1]. chi2: 2 Σ (a − b)² / (a + b) of histograms, a place where both are 0 counting
    nothing (twice Ahonen's χ²: the scale of OpenCV's recognizer); vectors with negative numbers are refused.
    """
    if metric == "chi2":
        x, y = _vectors(a, b)
        return float(chi2_matrix(x[None], y[None])[0, 0])
    if metric == "euclidean":
        x, y = _vectors(a, b)
        return float(np.linalg.norm(x - y))
    return from_cosine(similarity(a, b), metric)


def from_cosine(cosine: float, metric: Metric) -> float:
    """The distance in `metric` that belongs to a cosine; euclidean and chi2 (of raw vectors) have none and are refused."""
    cosine = max(-1.0, min(1.0, cosine))
    if metric == "cosine":
        return 1.0 - cosine
    if metric == "euclidean_l2":
        return math.sqrt(max(0.0, 2.0 * (1.0 - cosine)))
    if metric == "angular":
        return math.acos(cosine) / math.pi
    raise InputError(
        f"no {metric} distance follows from a cosine; metrics that do: cosine, euclidean_l2, angular"
        if metric in METRICS
        else f"unknown metric {metric!r}; known: {', '.join(METRICS)}"
    )


def cosine_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """Cosines (M, N) between the rows of a (M, D) and b (N, D)."""
    product: NDArray[np.float32] = unit(a) @ unit(b).T
    return np.clip(product, -1.0, 1.0)


def chi2_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Chi-square distances (M, N) between histograms, the rows of a (M, D) and b (N, D): 2 Σ (a − b)² / (a + b)."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise InputError(f"histograms of one length are compared, got the shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or (x < 0).any() or (y < 0).any():
        raise InputError("chi2 compares histograms: numbers that are finite and not negative; take cosine for the vectors of a network")
    found = np.empty((len(x), len(y)))
    for index, row in enumerate(x):
        total = row + y
        found[index] = 2 * (np.square(row - y) / np.where(total > 0, total, 1)).sum(axis=1)
    return found


def as_distance_threshold(value: float, kind: str, metric: Metric) -> float:
    """A card's threshold as the largest distance that still counts as same.

    A similarity can be given only for the cosine: distance = 1 − similarity.
    """
    if not is_similarity(kind):
        return value
    if metric != "cosine":
        raise InputError(f"a threshold on similarity is a cosine; {metric} thresholds are distances")
    return 1.0 - value


def accepts(distance_value: float, threshold: float) -> bool:
    """The decision: same when distance ≤ threshold, ties accepted."""
    return distance_value <= threshold
