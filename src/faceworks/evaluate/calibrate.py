"""Measure a calibration: all comparisons of a folder of person folders, split by people, resampled by people.

Similarity becomes a log-likelihood ratio in two ways, a straight line (logistic regression; Platt 1999, Brümmer's "affine calibration") and the best
monotone map (isotonic, pool adjacent violators); the one that costs less on people not used for fitting is taken.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..calibration import Calibration, Row
from ..errors import InputError
from ..types import FloatArray
from . import bootstrap
from .all_pairs import GRID, AllPairs, compare_all, edge, false_matches
from .intervals import FEW, Interval, clopper_pearson, hull, supported
from .metrics import Floats
from .rates import isotonic

__all__ = ["RATES", "Reliability", "fit_calibration", "fit_logistic", "realized", "reliability"]

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
REPLICATES = 400


@dataclass(frozen=True, slots=True)
class Reliability:
    """Comparisons whose stated probability lies in a range: how many, the mean stated, the share that was true, its exact interval."""

    low: float
    high: float
    n: int
    stated: float
    true: float
    interval: Interval


@dataclass(frozen=True, slots=True, eq=False)
class _Histogram:
    """Weights of genuine and impostor comparisons by score, each class summing to 1: prior odds are even."""

    centers: Floats
    genuine: Floats
    impostor: Floats


def _histogram(pairs: AllPairs, coarse: int = 20) -> _Histogram:
    """`coarse` steps of the grid in one: 0.002 in the cosine."""
    place = np.clip(((pairs.genuine + 1) * GRID + 1e-6).astype(np.int64), 0, 2 * GRID)
    genuine = np.bincount(place, weights=pairs.genuine_weights, minlength=2 * GRID + 1)
    length = -(-(2 * GRID + 1) // coarse) * coarse
    folded = [
        np.pad(values.astype(np.float64), (0, length - len(values))).reshape(-1, coarse).sum(axis=1) for values in (genuine, pairs.impostor_bins)
    ]
    centers = (np.arange(length // coarse) * coarse + coarse / 2) / GRID - 1
    return _Histogram(centers, folded[0] / folded[0].sum(), folded[1] / folded[1].sum())


def fit_logistic(centers: ArrayLike, genuine: ArrayLike, impostor: ArrayLike) -> tuple[float, float]:
    """(slope, intercept) of the log-odds over scores, by Newton's method on weighted points; a ridge of 1e-9 keeps separated classes finite."""
    x = np.asarray(centers, np.float64)
    g, i = np.asarray(genuine, np.float64), np.asarray(impostor, np.float64)
    design, total = np.stack([x, np.ones_like(x)], axis=1), g + i
    beta = np.zeros(2)
    for _ in range(200):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        gradient = design.T @ (g - total * p) - 1e-9 * beta
        hessian = design.T @ (design * (total * p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 20.0 / float(np.abs(step).max() + 1e-300))
        beta = beta + step
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(beta[0]), float(beta[1])


def _fit_isotonic(found: _Histogram, bounds: Interval) -> tuple[tuple[float, float], ...]:
    """Knots of the monotone map, cut to what the data can carry."""
    used = (found.genuine + found.impostor) > 0
    total = (found.genuine + found.impostor)[used]
    share = isotonic(found.genuine[used] / total, total)
    with np.errstate(divide="ignore"):
        llr = np.clip(np.log(share) - np.log1p(-share), *bounds)
    x = found.centers[used]
    corner = np.ones(len(x), bool)
    corner[1:-1] = (np.diff(llr)[:-1] != 0) | (np.diff(llr)[1:] != 0)
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x[corner], llr[corner], strict=True))


def _bounds(pairs: AllPairs) -> Interval:
    """Largest and smallest llr that the counts carry: rule of three on both tails. Genuine ones count as pictures, not as pairs."""
    effective = max(float(pairs.genuine_weights.sum()) * 2, 3.001)
    return -math.log(effective / 3), math.log(max(pairs.impostors, 4) / 3)


def _cost(found: _Histogram, llr: Floats) -> float:
    return float((found.genuine @ np.logaddexp(0, -llr) + found.impostor @ np.logaddexp(0, llr)) / (2 * math.log(2)))


def _costs(halves: Sequence[AllPairs], whole: AllPairs) -> tuple[dict[str, float], list[Reliability]]:
    """Cllr in bits: each method fitted on one half and charged on the other, and the least that any monotone map costs; reliability of the better."""
    costs: dict[str, list[float]] = {"logistic": [], "isotonic": []}
    stated: dict[str, list[tuple[Floats, _Histogram]]] = {"logistic": [], "isotonic": []}
    for fit, test in (halves, halves[::-1]):
        bounds, fitted, charged = _bounds(fit), _histogram(fit), _histogram(test)
        slope, intercept = fit_logistic(fitted.centers, fitted.genuine, fitted.impostor)
        x, y = np.array(_fit_isotonic(fitted, bounds)).T
        straight = np.clip(slope * charged.centers + intercept, *bounds)
        for name, llr in (("logistic", straight), ("isotonic", np.interp(charged.centers, x, y))):
            costs[name].append(_cost(charged, llr))
            stated[name].append((llr, charged))
    found = _histogram(whole)
    x, y = np.array(_fit_isotonic(found, _bounds(whole))).T
    means = {name: round(float(np.mean(values)), 6) for name, values in costs.items()}
    better = min(means, key=lambda name: means[name])
    return means | {"min": round(_cost(found, np.interp(found.centers, x, y)), 6)}, _held_out(stated[better], whole)


def _held_out(stated: Sequence[tuple[Floats, _Histogram]], whole: AllPairs, bins: int = 10) -> list[Reliability]:
    """Stated probability against the truth, both classes equally likely, on people not used for fitting."""
    mass = np.zeros((bins, 3))
    for llr, charged in stated:
        p = 1 / (1 + np.exp(-llr))
        place = np.minimum((p * bins).astype(int), bins - 1)
        both = charged.genuine + charged.impostor
        for column, weight in enumerate((charged.genuine, both, both * p)):
            mass[:, column] += np.bincount(place, weights=weight, minlength=bins)
    # Each class sums to 1 in both halves; the genuine comparisons, of which there are fewer, decide how many independent ones a share rests on.
    scale = float(whole.genuine_weights.sum()) / 2
    rows = []
    for k, (genuine, every, total) in enumerate(mass.tolist()):
        n = max(1, round(every * scale))
        if every > 0:
            interval = clopper_pearson(min(n, round(genuine * scale)), n)
            rows.append(Reliability(k / bins, (k + 1) / bins, n, total / every, genuine / every, interval))
    return rows


def _half(vectors: FloatArray, people: np.ndarray, chosen: np.ndarray) -> AllPairs:
    keep = np.isin(people, chosen)
    _, index = np.unique(people[keep], return_inverse=True)
    return compare_all(vectors[keep], index)


def _tail(pairs: AllPairs) -> tuple[tuple[float, float], ...]:
    """Ten points per decade from FMR 1 down to the last with `FEW` false matches."""
    accepted, total = pairs.accepted, pairs.impostors
    points: list[tuple[float, float]] = []
    for step in range(200):
        place = int(np.argmax(accepted <= total * 10 ** (-step / 10)))
        count = int(accepted[place])
        if count < FEW:
            break
        if not points or (edge(place) > points[-1][0] and count / total < points[-1][1]):
            points.append((round(edge(place), 6), count / total))
    if len(points) < 2:
        raise InputError(f"{total} impostor comparisons are too few for a calibration: fewer than {FEW} of them lie above their own median")
    return tuple(points)


def _rows(pairs: AllPairs, rates: Sequence[float], halves: Sequence[AllPairs], seed: int) -> tuple[Row, ...]:
    carried = [rate for rate in rates if supported(rate, pairs.impostors)]
    if not carried:
        return ()
    weights = bootstrap.vertex_weights(int(pairs.people.max()) + 1, REPLICATES, seed)
    owners, scores = false_matches(pairs, pairs.threshold(max(carried)))
    samples = np.bincount(pairs.people)
    genuine_mass = weights[:, pairs.genuine_people] * pairs.genuine_weights if len(pairs.genuine) * REPLICATES < 2e8 else None
    rows = []
    for rate in carried:
        threshold = pairs.threshold(rate)
        hits = owners[scores >= threshold - 1e-9]
        reached = len(hits) / pairs.impostors
        low, high = hull(bootstrap.rate_span(reached, _impostor_rates(hits, samples, weights), len(samples)), len(hits), pairs.impostors)
        missed = pairs.genuine < threshold - 1e-9
        fnmr = float((pairs.genuine_weights * missed).sum() / pairs.genuine_weights.sum())
        if genuine_mass is not None:
            replicates = (genuine_mass @ missed) / np.maximum(genuine_mass.sum(axis=1), 1e-300)
        else:
            replicates = np.array([np.average(missed, weights=w[pairs.genuine_people] * pairs.genuine_weights) for w in weights])
        several = len(np.unique(pairs.genuine_people))
        interval = hull(bootstrap.rate_span(fnmr, replicates, several), int(missed.sum()), len(missed))
        rows.append(
            Row(
                fmr=rate,
                threshold=round(threshold, 6),
                threshold_low=round(pairs.threshold(high), 6),
                threshold_high=round(pairs.threshold(max(low, 0.5 / pairs.impostors)), 6),
                reached=reached,
                low=low,
                high=high,
                false_matches=len(hits),
                fnmr=fnmr,
                fnmr_low=interval[0],
                fnmr_high=interval[1],
                held_out=tuple(b.fmr(a.threshold(rate)) for a, b in (halves, halves[::-1])),
            )
        )
    return tuple(rows)


def _impostor_rates(hits: np.ndarray, samples: np.ndarray, weights: Floats) -> Floats:
    """FMR of each replicate, from the people of the false matches; by a matrix of people where that is less work."""
    n = len(samples)
    if len(hits) * 4 > n * n and n <= 8000:
        counts = np.zeros((n, n), np.float32)
        np.add.at(counts, (hits[:, 0], hits[:, 1]), 1)
        return bootstrap.matrix_rates(counts + counts.T, samples, weights.astype(np.float32))
    top = np.zeros(len(weights))
    for start in range(0, len(hits), 100_000):
        part = hits[start : start + 100_000]
        top += np.einsum("bm,bm->b", weights[:, part[:, 0]], weights[:, part[:, 1]])
    mass = weights * samples
    bottom = mass.sum(axis=1) ** 2 - (mass**2).sum(axis=1)
    return np.asarray(np.divide(2 * top, bottom, out=np.full(len(top), np.nan), where=bottom > 0), np.float64)


def fit_calibration(
    vectors: ArrayLike,
    people: Sequence[str],
    *,
    recipe: str,
    dataset: str,
    models: Mapping[str, str] | None = None,
    software: Mapping[str, str] | None = None,
    failures: int = 0,
    rates: Sequence[float] = RATES,
    seed: int = bootstrap.SEED,
) -> tuple[Calibration, list[Reliability]]:
    """Fit on all comparisons of the given vectors; thirty million take some 20 seconds.

    Args:
        vectors: (N, D) of one recipe. people: (N,) names.
        recipe, dataset, models, software: provenance. failures: pictures without a face, which are not among the vectors.
        rates: false match rates of the table; those that the data cannot carry are left out.

    Returns:
        The calibration, and its reliability on people not used for fitting (each half judged by the other's fit).

    Raises:
        InputError: fewer than eight people, nobody with two pictures in a half, or too few impostor comparisons.
    """
    names, index = np.unique(np.asarray(people), return_inverse=True)
    if len(names) < 8:
        raise InputError(f"a calibration is checked on people not used for fitting: at least 8 are needed, got {len(names)}")
    array = np.asarray(vectors, np.float32)
    pairs = compare_all(array, index)
    order = np.random.default_rng(seed).permutation(len(names))
    # People with several pictures are dealt out evenly, so that both halves have genuine comparisons.
    order = order[np.argsort(-np.bincount(index)[order].clip(max=2), kind="stable")]
    halves = [_half(array, index, order[0::2]), _half(array, index, order[1::2])]
    found, bounds = _histogram(pairs), _bounds(pairs)
    costs, checks = _costs(halves, pairs)
    slope, intercept = fit_logistic(found.centers, found.genuine, found.impostor)
    calibration = Calibration(
        recipe=recipe,
        dataset=dataset,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        people=len(names),
        pictures=len(array),
        failures=failures,
        genuine=len(pairs.genuine),
        impostors=pairs.impostors,
        method="logistic" if costs["logistic"] <= costs["isotonic"] else "isotonic",
        slope=slope,
        intercept=intercept,
        knots=_fit_isotonic(found, bounds),
        llr_range=bounds,
        cllr=costs,
        rows=_rows(pairs, rates, halves, seed),
        tail=_tail(pairs),
        models=dict(models or {}),
        software=dict(software or {}),
    )
    return calibration, checks


def realized(calibration: Calibration, vectors: ArrayLike, people: Sequence[str]) -> list[tuple[Row, float, int]]:
    """What the table's thresholds do on other people: (row, FMR reached over all their comparisons, impostor comparisons)."""
    _, index = np.unique(np.asarray(people), return_inverse=True)
    pairs = compare_all(vectors, index)
    return [(row, pairs.fmr(row.threshold), pairs.impostors) for row in calibration.rows]


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = 10) -> list[Reliability]:
    """The reliability diagram's numbers; empty ranges are left out. Labels must be as frequent as the prior of the probabilities."""
    p, same = np.asarray(probabilities, np.float64), np.asarray(labels, bool)
    if p.shape != same.shape or p.ndim != 1 or not p.size or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"probabilities in [0, 1] and labels must have one shape (N,), got {p.shape} and {same.shape}")
    place = np.minimum((p * bins).astype(int), bins - 1)
    found = []
    for k in range(bins):
        inside = place == k
        if n := int(inside.sum()):
            hits = int(same[inside].sum())
            found.append(Reliability(k / bins, (k + 1) / bins, n, float(p[inside].mean()), hits / n, clopper_pearson(hits, n)))
    return found
