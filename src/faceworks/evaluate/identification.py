"""Who is it: closed-set ranks and open-set error rates. Pure functions; scores are higher = closer, ties accepted.

Closed set: every probe's person is enrolled; a rank counts how many enrolled people score at least as high as the true one (so ties count against the
system). Open set: a probe is known (enrolled) or a stranger; the answer is the best candidate if its score ≥ threshold, else "nobody".

TPIR (true positive identification rate) = known probes answered with the right person = 1 − FNIR; TNIR = strangers answered "nobody" = 1 − FPIR. A
wrong person is no true positive at any threshold, so the TPIR curve ends at the rank-1 accuracy and no point (1, 1) is added.
A probe without a face has the score −inf: never a true positive; a stranger so rejected counts in TNIR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .metrics import Floats, Integers
from .rates import thresholds_of

__all__ = [
    "OpenSet",
    "TpirPoint",
    "cmc",
    "identification_auc",
    "identification_table",
    "open_set",
    "rank_k",
    "ranks",
    "tpir_at_fpir",
]


@dataclass(frozen=True, slots=True, eq=False)
class OpenSet:
    """The open-set curve: reject everybody first, then a point for each distinct score.

    Attributes:
        hits: (K + 1,) int64, known probes answered rightly at score ≥ threshold. alarms: (K + 1,) int64, strangers answered with anybody.
        thresholds: (K + 1,) float64, descending, the first inf.
        known, strangers: numbers of probes.
    """

    hits: Integers
    alarms: Integers
    thresholds: Floats
    known: int
    strangers: int

    @property
    def tpir(self) -> Floats:
        """(K + 1,) float64, ascending; NaN without a known probe."""
        return self.hits / np.float64(self.known) if self.known else np.full(len(self.hits), np.nan)

    @property
    def fpir(self) -> Floats:
        """(K + 1,) float64, ascending; NaN without a stranger."""
        return self.alarms / np.float64(self.strangers) if self.strangers else np.full(len(self.alarms), np.nan)


@dataclass(frozen=True, slots=True)
class TpirPoint:
    """TPIR at a false positive identification rate: the largest whose FPIR is at most `requested`."""

    requested: float
    fpir: float
    tpir: float
    threshold: float


def _answers(truth: Sequence[Any], predicted: Sequence[Any], scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not len(truth) == len(predicted) == len(values):
        raise InputError(f"truth, predicted and scores must have one length, got {len(truth)}, {len(predicted)} and {values.shape}")
    if not len(values):
        raise InputError("no probe was given: no rate is defined over nothing")
    if np.isnan(values).any() or (values == np.inf).any():
        raise InputError("a score is NaN or +inf; a probe without a face has the score -inf")
    known = np.array([item not in (None, "") for item in truth])
    return known, known & np.array([a == b for a, b in zip(truth, predicted, strict=True)]), values


def open_set(truth: Sequence[Any], predicted: Sequence[Any], scores: ArrayLike) -> OpenSet:
    """TPIR and FPIR at every threshold that makes a difference.

    Args:
        truth: (N,) the person of each probe; None or "" for a stranger.
        predicted: (N,) the best candidate, before any threshold.
        scores: (N,) its score.
    """
    known, right, values = _answers(truth, predicted, scores)
    distinct = np.unique(values[np.isfinite(values)])[::-1]
    right_scores, stranger_scores = np.sort(values[right]), np.sort(values[~known])
    hits = right_scores.size - np.searchsorted(right_scores, distinct, side="left")
    alarms = stranger_scores.size - np.searchsorted(stranger_scores, distinct, side="left")
    return OpenSet(np.append(0, hits), np.append(0, alarms), np.append(np.inf, distinct), int(known.sum()), int((~known).sum()))


def _both(curve: OpenSet) -> OpenSet:
    if not curve.known or not curve.strangers:
        raise InputError(f"this needs known probes and strangers, got {curve.known} and {curve.strangers}")
    return curve


def identification_auc(truth: Sequence[Any], predicted: Sequence[Any], scores: ArrayLike) -> float:
    """Area under (FPIR, TPIR): the probability that a known probe is answered rightly *and* above a stranger's score, ties counting half.

    It cannot exceed the rank-1 accuracy. Summed in integers. Needs known probes and strangers.
    """
    curve = _both(open_set(truth, predicted, scores))
    # strangers without a face end the curve before FPIR 1; the rest of the way TPIR stays as it is
    hits, alarms = np.append(curve.hits, curve.hits[-1]), np.append(curve.alarms, curve.strangers)
    return int((np.diff(alarms) * (hits[1:] + hits[:-1])).sum()) / (2 * curve.known * curve.strangers)


def identification_table(truth: Sequence[Any], predicted: Sequence[Any], scores: ArrayLike, thresholds: Sequence[float] = ()) -> list[dict[str, Any]]:
    """`[{threshold, tpir, tnir}]` in the order of `thresholds` (default 1.0, 0.9, … 0.0); None for the rate of an absent kind of probe."""
    curve = open_set(truth, predicted, scores)
    wanted = list(thresholds) or [round(1 - step / 10, 1) for step in range(11)]
    place = np.searchsorted(-curve.thresholds, -thresholds_of(wanted), side="right") - 1
    rows = zip(wanted, curve.hits[place].tolist(), curve.alarms[place].tolist(), strict=True)
    known, strangers = curve.known, curve.strangers
    return [
        {"threshold": float(t), "tpir": hits / known if known else None, "tnir": (strangers - alarms) / strangers if strangers else None}
        for t, hits, alarms in rows
    ]


def tpir_at_fpir(truth: Sequence[Any], predicted: Sequence[Any], scores: ArrayLike, fpir: float = 0.01) -> TpirPoint:
    """The largest TPIR whose FPIR is at most `fpir`. Needs known probes and strangers.

    Raises:
        InputError: fpir outside [0, 1].
    """
    if not 0.0 <= fpir <= 1.0:
        raise InputError(f"a false positive identification rate lies in [0, 1], got {fpir}")
    curve = _both(open_set(truth, predicted, scores))
    last = int(np.searchsorted(curve.fpir, fpir, side="right")) - 1
    k = int(np.searchsorted(curve.tpir, curve.tpir[last], side="left"))
    return TpirPoint(fpir, float(curve.fpir[k]), float(curve.tpir[k]), float(curve.thresholds[k]))


def ranks(similarities: ArrayLike, enrolled: Sequence[Any], truth: Sequence[Any]) -> Integers:
    """Rank of the true person of each probe, from 1; 0 where the person is not enrolled or the probe has no face.

    A person with several enrolled samples has the best of their similarities; equal similarities of others count against the system.

    Args:
        similarities: (P, G) higher = closer; a row of NaN is a probe without a face.
        enrolled: (G,) the person of each enrolled sample.
        truth: (P,) the person of each probe.
    """
    matrix = np.asarray(similarities, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape != (len(truth), len(enrolled)) or not matrix.size:
        raise InputError(f"similarities must have the shape (probes, enrolled) = ({len(truth)}, {len(enrolled)}), got {matrix.shape}")
    people = list(dict.fromkeys(enrolled))
    index = {person: k for k, person in enumerate(people)}
    order = np.argsort([index[person] for person in enrolled], kind="stable")
    starts = np.searchsorted(np.array([index[person] for person in enrolled])[order], np.arange(len(people)))
    best = np.maximum.reduceat(matrix[:, order], starts, axis=1)
    found = np.zeros(len(truth), np.int64)
    for row, person in enumerate(truth):
        k = index.get(person)
        if k is not None and not np.isnan(best[row, k]):
            found[row] = int((best[row] >= best[row, k]).sum())
    return found


def cmc(rank_of_each: ArrayLike, max_rank: int) -> Floats:
    """Cumulative match characteristic (max_rank,): the share of probes whose person is among the first k. Rank 0 is never; leave strangers out."""
    values = np.asarray(rank_of_each)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "iu" or (values < 0).any():
        raise InputError(f"ranks must be whole numbers (N,), 0 or more, at least one, got {values.shape} {values.dtype}")
    if max_rank < 1:
        raise InputError(f"max_rank must be at least 1, got {max_rank}")
    return np.array(np.cumsum(np.bincount(values[(values > 0) & (values <= max_rank)], minlength=max_rank + 1)[1:]) / values.size)


def rank_k(rank_of_each: ArrayLike, k: int = 1) -> float:
    """Share of probes whose person is among the first k."""
    return float(cmc(rank_of_each, k)[-1])
