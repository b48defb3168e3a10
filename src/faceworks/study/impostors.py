"""What different people score against each other in this set, and the thresholds that follow: from a calibration of the recipe, else from the set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..calibration import Calibration
from ..errors import InputError
from ..evaluate.intervals import clopper_pearson, rule_of_three, supported
from ..types import Metric

__all__ = ["Impostors", "Threshold", "effective_number", "impostor_scores", "threshold"]

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Impostors:
    """Comparisons of different identities showing the same emotion, for one embedder.

    Attributes:
        cosine: (N,) ascending. euclidean: (N,) ascending distances of the raw vectors.
        conditions: condition -> comparisons.
    """

    cosine: Floats
    euclidean: Floats
    conditions: dict[str, int]

    @property
    def n(self) -> int:
        """Comparisons in all."""
        return len(self.cosine)

    def z(self, cosine: float) -> float | None:
        """The score in standard deviations of these impostors above their mean; None with fewer than three or without spread."""
        spread = float(self.cosine.std(ddof=1)) if self.n > 2 else 0.0
        return (cosine - float(self.cosine.mean())) / spread if spread > 0 else None

    def fmr(self, cosine: float) -> tuple[float, float] | None:
        """Share of impostors at or above a score, and its exact upper 95 % bound (rule of three where none is)."""
        if not self.n:
            return None
        above = self.n - int(np.searchsorted(self.cosine, cosine, side="left"))
        return above / self.n, rule_of_three(self.n) if not above else clopper_pearson(above, self.n, 0.9)[1]


def impostor_scores(groups: dict[str, list[tuple[str, Floats]]]) -> Impostors:
    """All comparisons within each condition between different identities; `groups`: condition -> (identity, vector (D,))."""
    cosines, lengths, counts = [np.zeros(0)], [np.zeros(0)], {}
    for condition, members in groups.items():
        if len(members) < 2:
            continue
        owners = np.array([owner for owner, _ in members])
        vectors = np.stack([vector for _, vector in members])
        first, second = np.triu_indices(len(members), 1)
        other = owners[first] != owners[second]
        first, second = first[other], second[other]
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines.append(np.clip((units @ units.T)[first, second], -1, 1))
        squares = (vectors**2).sum(axis=1)
        lengths.append(np.sqrt(np.maximum(squares[first] + squares[second] - 2 * (vectors @ vectors.T)[first, second], 0)))
        counts[condition] = len(first)
    return Impostors(np.sort(np.concatenate(cosines)), np.sort(np.concatenate(lengths)), counts)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A decision threshold and where it comes from.

    Attributes:
        fmr: the rate asked for. metric: of `distance`.
        distance: largest that counts as same; NaN where there is nothing to take it from.
        source: in words. kind: "calibration", "set impostors" or "none".
        limit: smallest false match rate that the source can vouch for where that is above `fmr`, else None.
    """

    fmr: float
    metric: Metric
    distance: float
    source: str
    kind: str
    limit: float | None = None


def threshold(metric: Metric, fmr: float, impostors: Impostors, calibration: Calibration | None) -> Threshold:
    """The threshold of one metric at a false match rate.

    From the recipe's calibration where it carries the rate; else the largest distance that accepts at most the share `fmr` of this set's impostors.
    With fewer than 3 / fmr impostors that is below the closest of them, and what it vouches for is the rule-of-three limit 3 / n.
    """
    if calibration is not None and metric != "euclidean":
        try:
            score = calibration.threshold_at(fmr)
        except InputError:
            pass
        else:
            return Threshold(fmr, metric, similarity.from_cosine(score, metric), f"calibration: {calibration.source(fmr)}", "calibration")
    n = impostors.n
    if not n:
        return Threshold(fmr, metric, math.nan, "none: one identity alone has no impostors", "none", 1.0)
    allowed = math.floor(fmr * n * (1 + 1e-12))
    limit = None if supported(fmr, n) else rule_of_three(n)
    words = f"set impostors, n = {n}" + (f", vouches for FMR ≤ {limit:.2g} only (rule of three)" if limit else "")
    if metric == "euclidean":
        value = float(np.nextafter(impostors.euclidean[allowed], -np.inf)) if allowed < n else math.inf
        return Threshold(fmr, metric, max(value, 0.0), words, "set impostors", limit)
    score = float(np.nextafter(impostors.cosine[n - 1 - allowed], np.inf))
    return Threshold(fmr, metric, similarity.from_cosine(min(score, 1.0), metric), words, "set impostors", limit)


def effective_number(vectors: Sequence[Floats]) -> float:
    """How many different faces a set is worth: exp of the entropy of the eigenvalues of K / n, K the cosines (Friedman and Dieng 2023, Vendi score)."""
    matrix = np.stack(vectors)
    units = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(units @ units.T / len(units))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))
