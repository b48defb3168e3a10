"""How good a grouping is where the people are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError

__all__ = ["BCubed", "bcubed", "pairwise"]


@dataclass(frozen=True, slots=True)
class BCubed:
    """Precision, recall and their harmonic mean, in [0, 1]."""

    precision: float
    recall: float
    f: float


def _table(labels: ArrayLike, truth: ArrayLike) -> np.ndarray:
    a, b = np.asarray(labels), np.asarray(truth)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise InputError(f"labels and truth are two lists of one length, at least 1; got {a.shape} and {b.shape}")
    _, row = np.unique(a, return_inverse=True)
    _, column = np.unique(b, return_inverse=True)
    cells, counts = np.unique(row * (column.max() + 1) + column, return_counts=True)
    return np.stack([counts, np.bincount(row)[cells // (column.max() + 1)], np.bincount(column)[cells % (column.max() + 1)]]).astype(float)


def _of(precision: float, recall: float) -> BCubed:
    return BCubed(precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0)


def bcubed(labels: ArrayLike, truth: ArrayLike) -> BCubed:
    """B-cubed (Bagga & Baldwin 1998; Amigó et al. 2009): of each face's group the share that is its person, and of its person the share that is in its group,
    averaged over faces (N,)."""
    both, group, person = _table(labels, truth)
    return _of(float((both * both / group).sum() / both.sum()), float((both * both / person).sum() / both.sum()))


def pairwise(labels: ArrayLike, truth: ArrayLike) -> BCubed:
    """The same over pairs of faces: of pairs in one group those of one person, and of pairs of one person those in one group. No pair counts as 1."""
    both, _, _ = _table(labels, truth)

    def pairs(values: ArrayLike) -> float:
        _, counts = np.unique(np.asarray(values), return_counts=True)
        return float((counts * (counts - 1) / 2).sum())

    right = float((both * (both - 1) / 2).sum())
    joined, same = pairs(labels), pairs(truth)
    return _of(right / joined if joined else 1.0, right / same if same else 1.0)
