"""All comparisons of a set of vectors: every pair of pictures, by blocks of a matrix product. Thirty million take some seconds.

Scores are cosines. Impostor scores are counted on a fine grid (`GRID` steps per unit), so that memory does not grow with their number; a threshold is
an edge of the grid, and counts at edges are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..similarity import unit
from ..types import FloatArray
from .metrics import Floats, Integers

__all__ = ["GRID", "AllPairs", "compare_all", "false_matches"]

GRID = 10_000
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class AllPairs:
    """What all comparisons gave.

    Attributes:
        units: (N, D) float32 of length 1. people: (N,) int64 from 0.
        genuine: (G,) float64 scores; genuine_people: (G,) int64.
        genuine_weights: (G,) 1 / (pictures of the person − 1), so that each picture counts ½ in all.
        impostor_bins: (2 · GRID + 1,) int64: impostor comparisons with score in [k / GRID − 1, (k + 1) / GRID − 1).
    """

    units: FloatArray
    people: Integers
    genuine: Floats
    genuine_people: Integers
    genuine_weights: Floats
    impostor_bins: Integers

    @property
    def impostors(self) -> int:
        """Number of impostor comparisons."""
        return int(self.impostor_bins.sum())

    @property
    def accepted(self) -> Integers:
        """(2 · GRID + 1,) impostor comparisons at or above each edge k / GRID − 1."""
        return np.cumsum(self.impostor_bins[::-1])[::-1]

    def threshold(self, fmr: float) -> float:
        """The lowest edge at which at most the share `fmr` of impostor comparisons is accepted."""
        allowed = self.accepted <= fmr * self.impostors * (1 + 1e-12)
        return edge(int(np.argmax(allowed))) if allowed.any() else edge(len(self.impostor_bins))

    def fmr(self, threshold: float) -> float:
        """Share of impostor comparisons at or above an edge."""
        place = round((threshold + 1) * GRID)
        return float(self.impostor_bins[max(place, 0) :].sum()) / self.impostors


def edge(place: int) -> float:
    """Score at the lower end of a bin."""
    return (place - GRID) / GRID


def _blocks(units: FloatArray, people: Integers) -> Iterator[tuple[int, FloatArray, NDArray[np.bool_], NDArray[np.bool_]]]:
    """(first row, cosines, same person, different people) of upper-triangle blocks."""
    n = len(units)
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        scores = units[rows] @ units[start:].T
        upper = np.arange(start, n)[None, :] > np.arange(rows.start, rows.stop)[:, None]
        same = people[rows, None] == people[None, start:]
        yield start, scores, same & upper, ~same & upper


def compare_all(vectors: ArrayLike, people: ArrayLike) -> AllPairs:
    """Compare every picture with every other.

    Args:
        vectors: (N, D). people: (N,) person of each, as integers from 0.

    Raises:
        InputError: fewer than two people, or nobody with two pictures.
    """
    units, owner = unit(vectors), np.asarray(people, np.int64)
    if units.ndim != 2 or owner.shape != (len(units),):
        raise InputError(f"vectors must be (N, D) and people (N,), got {units.shape} and {owner.shape}")
    sizes = np.bincount(owner)
    if (sizes > 0).sum() < 2 or sizes.max() < 2:
        raise InputError(f"both kinds of comparisons are needed: at least two people, one of them with two pictures; got {(sizes > 0).sum()} people")
    bins = np.zeros(2 * GRID + 1, np.int64)
    scores, persons = [], []
    for start, block, same, different in _blocks(units, owner):
        place = ((block[different].astype(np.float64) + 1) * GRID + 1e-6).astype(np.int64)
        bins += np.bincount(np.clip(place, 0, 2 * GRID), minlength=2 * GRID + 1)
        scores.append(block[same].astype(np.float64))
        persons.append(owner[start : start + _BLOCK][np.nonzero(same)[0]])
    genuine, genuine_people = np.concatenate(scores), np.concatenate(persons)
    return AllPairs(units, owner, genuine, genuine_people, 1.0 / (sizes[genuine_people] - 1), bins)


def false_matches(pairs: AllPairs, threshold: float) -> tuple[Integers, Floats]:
    """Impostor comparisons at or above an edge: (M, 2) their people, (M,) their scores."""
    people, values = [], []
    limit = threshold - 1e-6 / GRID
    for start, block, _, different in _blocks(pairs.units, pairs.people):
        rows, columns = np.nonzero(different & (block >= np.float32(limit)))
        score = block[rows, columns].astype(np.float64)
        keep = (score + 1) * GRID + 1e-6 >= round((threshold + 1) * GRID)
        people.append(np.stack([pairs.people[start + rows[keep]], pairs.people[start + columns[keep]]], axis=1))
        values.append(score[keep])
    return np.concatenate(people), np.concatenate(values)
