"""Scores in, everything that is said about them out: rates with intervals, curves with bands, what cannot be said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from . import bootstrap, metrics, rates
from .intervals import Interval, clopper_pearson, hull, require_support, supported

__all__ = ["RATES", "Point", "Summary", "accuracy_interval", "replicates_for", "summarize"]

RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""False match rates that a report speaks of, as far as the data carry them."""
BAND = 61
"""Points of the ROC with a band."""


@dataclass(frozen=True, slots=True)
class Point:
    """One operating point, with 95 % intervals.

    Attributes:
        requested, fmr, tar, threshold, false_accepts, impostors: as `metrics.OperatingPoint`.
        tar_interval: over resamples of people that choose their own threshold for the requested FMR.
        fmr_interval: of the FMR at this threshold.
        frr, far: of whole transactions, failures included (`rates.transaction`); in the seeds' words TAR = 1 − FRR, TRR = 1 − FAR.
    """

    requested: float
    fmr: float
    tar: float
    threshold: float
    false_accepts: int
    impostors: int
    tar_interval: Interval
    fmr_interval: Interval
    frr: float
    far: float


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What scores say. Numbers are None where a class is empty.

    Attributes:
        genuine, impostors: completed comparisons. people: different people, 0 where they were not named.
        fta_genuine, fta_impostor: share of comparisons of each class without a score.
        auc, eer, d_prime, min_cllr: over completed comparisons.
        intervals: name -> 95 % interval.
        tar_at_fmr: rate as text -> point. refused: rate as text -> why it is not given.
        roc: FMR ascending with TAR, low and high: rows (fmr, tar, low, high).
        histogram: edges, genuine and impostor (counts).
        independent: True where no people were named: comparisons were taken as independent, and intervals are too narrow if they share people.
    """

    genuine: int
    impostors: int
    people: int
    fta_genuine: float
    fta_impostor: float
    auc: float | None
    eer: float | None
    d_prime: float | None
    min_cllr: float | None
    intervals: Mapping[str, Interval]
    tar_at_fmr: Mapping[str, Point]
    refused: Mapping[str, str]
    roc: tuple[tuple[float, float, float, float], ...]
    histogram: Mapping[str, Any]
    independent: bool


def replicates_for(n: int) -> int:
    """Fewer resamples for many comparisons."""
    return int(np.clip(2_000_000_000 // max(n, 1) // 50, 200, bootstrap.REPLICATES))


def summarize(
    scores: ArrayLike,
    labels: ArrayLike,
    people: Sequence[tuple[Any, Any]] | None = None,
    missed: ArrayLike | None = None,
    fmrs: Sequence[float] | None = None,
    seed: int = bootstrap.SEED,
) -> Summary:
    """Summarize comparisons.

    Args:
        scores: (N,) higher = closer; what stands where `missed` is set does not matter.
        labels: (N,) True for the same person.
        people: (N,) names of both sides; without them comparisons count as independent.
        missed: (N,) True where a comparison has no score.
        fmrs: rates to report; one that the data cannot carry is refused. Default: those of `RATES` that they can, the others listed in `refused`.

    Raises:
        InputError: no comparison, shapes, NaN, or a requested rate that the data cannot carry.
    """
    same = np.asarray(labels)
    lost = np.zeros(same.shape, bool) if missed is None else np.asarray(missed, bool)
    values = np.asarray(scores, np.float64)
    if values.shape != same.shape or values.shape != lost.shape or values.ndim != 1:
        raise InputError(f"scores, labels and missed must have one shape (N,), got {values.shape}, {same.shape} and {lost.shape}")
    if people is not None and len(people) != len(values):
        raise InputError(f"people must name both sides of each of the {len(values)} comparisons, got {len(people)}")
    c = metrics.counts(values[~lost], same[~lost])
    same = same.astype(bool)
    fta = [float(lost[side].mean()) if side.any() else 0.0 for side in (same, ~same)]
    both = bool(c.genuine and c.impostors)
    for rate in fmrs or ():
        require_support(rate, c.impostors)
    wanted = list(fmrs or [rate for rate in RATES if supported(rate, c.impostors)])
    refused = {}
    for rate in RATES if fmrs is None else ():
        try:
            require_support(rate, c.impostors)
        except InputError as error:
            refused[f"{rate:g}"] = str(error)
    resampled = _resample(values[~lost], same[~lost], people, lost, wanted, c.impostors, seed) if both else None
    points = {f"{rate:g}": _point(c, rate, k, resampled, fta) for k, rate in enumerate(wanted)} if both else {}
    enough = min(c.genuine, c.impostors) >= 2 and len(c.thresholds) > 2
    return Summary(
        genuine=c.genuine,
        impostors=c.impostors,
        people=len({person for pair in people for person in pair}) if people is not None else 0,
        fta_genuine=fta[0],
        fta_impostor=fta[1],
        auc=metrics.auc(c) if both else None,
        eer=metrics.eer(c) if both else None,
        d_prime=rates.d_prime(values[~lost], same[~lost]) if enough else None,
        min_cllr=rates.min_cllr(c) if both else None,
        intervals=_intervals(c, resampled) if resampled else {},
        tar_at_fmr=points,
        refused=refused,
        roc=_roc(c, resampled) if resampled else (),
        histogram=_histogram(values[~lost], same[~lost]),
        independent=people is None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Resampled:
    curves: bootstrap.Curves
    grid: NDArray[np.float64]
    fmr_intervals: list[Interval]
    people: int


def _resample(
    values: NDArray[np.float64], same: NDArray[np.bool_], people: Sequence[tuple[Any, Any]] | None, lost: NDArray[np.bool_],
    wanted: Sequence[float], impostors: int, seed: int,
) -> _Resampled:  # fmt: skip
    if people is None:
        pairs = np.repeat(np.arange(len(values))[:, None], 2, axis=1)  # every comparison a world of its own: the plain bootstrap
    else:
        pairs = bootstrap.index_people([pair for pair, gone in zip(people, lost, strict=True) if not gone])
    if len(values) > 200_000:  # many comparisons: bands from a sample of the scores would lie, so only the grid of thresholds is thinned
        values = np.round(values, 4)
    weights = bootstrap.vertex_weights(max(int(pairs.max()) + 1, 2), replicates_for(len(values)), seed)
    grid = np.geomspace(max(1 / impostors, 1e-6), 1, BAND)
    found = bootstrap.curves(values, same, pairs, np.concatenate([np.asarray(wanted, np.float64), grid]), weights)
    c = metrics.counts(values, same)
    spans = []
    for rate in wanted:
        point = metrics.tar_at_fmr(c, fmr=rate)
        accepted = values[~same] >= point.threshold
        spans.append(bootstrap.rate_interval(accepted, pairs[~same], weights=weights))
    return _Resampled(found, grid, spans, weights.shape[1])


def _point(c: metrics.Counts, rate: float, k: int, found: _Resampled | None, fta: Sequence[float]) -> Point:
    assert found is not None
    at = metrics.tar_at_fmr(c, fmr=rate)
    misses = round((1 - at.tar) * c.genuine)
    tar = hull(bootstrap.percentiles(found.curves.tar[:, k], people=found.people), misses, c.genuine, of_successes=True)
    fmr = hull(found.fmr_intervals[k], at.false_accepts, c.impostors)
    whole = rates.transaction(at.fmr, 1 - at.tar, fta[0], fta[1])
    return Point(rate, at.fmr, at.tar, at.threshold, at.false_accepts, at.impostors, tar, fmr, whole.frr, whole.far)


def _intervals(c: metrics.Counts, found: _Resampled) -> dict[str, Interval]:
    area, value = metrics.auc(c), metrics.eer(c)
    n = min(c.genuine, c.impostors)
    eer = bootstrap.rate_span(value, found.curves.eer, found.people)
    return {"auc": bootstrap.rate_span(area, found.curves.auc, found.people), "eer": hull(eer, round(value * n), n)}


def _roc(c: metrics.Counts, found: _Resampled) -> tuple[tuple[float, float, float, float], ...]:
    rows, first = [], found.curves.tar.shape[1] - len(found.grid)
    for k, rate in enumerate(found.grid.tolist()):
        tar = metrics.tar_at_fmr(c, fmr=min(rate, 1.0)).tar
        plain = bootstrap.percentiles(found.curves.tar[:, first + k], people=found.people)
        low, high = hull(plain, round((1 - tar) * c.genuine), c.genuine, of_successes=True)
        rows.append((rate, tar, low, high))
    return tuple(rows)


def _histogram(values: NDArray[np.float64], same: NDArray[np.bool_], bins: int = 60) -> dict[str, Any]:
    edges = np.histogram_bin_edges(values, bins)
    return {
        "edges": [float(f"{edge:.6g}") for edge in edges.tolist()],
        "genuine": np.histogram(values[same], edges)[0].tolist(),
        "impostor": np.histogram(values[~same], edges)[0].tolist(),
    }


def accuracy_interval(correct: ArrayLike, people: Sequence[tuple[Any, Any]]) -> Interval:
    """Interval of a share of right decisions, by resampling people; never narrower than the exact one where fewer than ten are wrong."""
    right = np.asarray(correct, bool)
    pairs = bootstrap.index_people(people)
    wrong, n = int((~right).sum()), len(right)
    found = bootstrap.rate_interval(right, pairs, replicates_for(n)) if pairs.max() > 0 else (math.nan, math.nan)
    if math.isnan(found[0]):
        low, high = clopper_pearson(wrong, n)
        return 1 - high, 1 - low
    return hull(found, wrong, n, of_successes=True)
