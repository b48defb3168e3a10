"""Nearest neighbors among faces: the candidates for being one person."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..types import FloatArray

__all__ = ["IntArray", "neighbors"]

IntArray: TypeAlias = NDArray[np.int64]

BLOCK = 2048
"""Rows of the similarity matrix that are in memory at once."""


def neighbors(vectors: FloatArray, least: float, k: int = 64, among: IntArray | None = None) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of faces whose cosine is at least `least`, of each face at most its `k` closest.

    Args:
        vectors: (N, D) float32 unit vectors.
        least: smallest cosine. k: most pairs of one face as their nearer end; a pair is kept when either end wants it.
        among: faces whose pairs are wanted; None: all. Pairs go to all faces.

    Returns:
        Three arrays (E,): first and second index with first < second, each pair once, and the cosine; the closest first (ties: by index).
    """
    wanted = np.arange(len(vectors)) if among is None else np.asarray(among)
    firsts, seconds, scores = [], [], []
    for start in range(0, len(wanted), BLOCK):
        rows = wanted[start : start + BLOCK]
        cosines = vectors[rows] @ vectors.T
        cosines[np.arange(len(rows)), rows] = -2.0
        if cosines.shape[1] > k:
            floor = np.partition(cosines, -k, axis=1)[:, -k][:, None]
            keep = cosines >= np.maximum(floor, least)
        else:
            keep = cosines >= least
        row, column = np.nonzero(keep)
        firsts.append(np.minimum(rows[row], column))
        seconds.append(np.maximum(rows[row], column))
        scores.append(cosines[row, column])
    first, second, score = (np.concatenate(parts) if parts else np.zeros(0) for parts in (firsts, seconds, scores))
    _, places = np.unique(first.astype(np.int64) * max(1, len(vectors)) + second.astype(np.int64), return_index=True)
    order = places[np.lexsort((second[places], first[places], -score[places]))]
    return first[order].astype(np.int64), second[order].astype(np.int64), score[order].astype(np.float32)
