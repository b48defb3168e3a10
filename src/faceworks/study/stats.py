"""Statistics of a study. What SciPy and statsmodels have is taken from there; intraclass correlation and Krippendorff's alpha are written out here.

Missing values are NaN (numbers) or None (labels). Where a statistic is not defined the answer is None, never a made-up number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..evaluate.intervals import clopper_pearson

__all__ = ["Icc", "Tost", "adjusted", "alpha", "bootstrap_by", "cohens_dz", "fleiss", "icc", "mean_interval", "power_tost", "share", "tost"]

Floats: TypeAlias = NDArray[np.float64]


def mean_interval(values: ArrayLike, owners: Sequence[str], confidence: float = 0.95) -> dict[str, Any]:
    """n, mean, SD, and a t interval of the mean over owners: values of one person are averaged first, since they are not independent.

    `mean` is the mean over owners' means, `sd` that of all values (ddof = 1); `low`, `high` are None with fewer than two owners.
    """
    from scipy import stats

    x = np.asarray(values, np.float64)
    if not x.size:
        return {"n": 0, "identities": 0, "mean": None, "sd": None, "low": None, "high": None}
    groups: dict[str, list[float]] = {}
    for owner, value in zip(owners, x.tolist(), strict=True):
        groups.setdefault(owner, []).append(value)
    means = np.array([np.mean(group) for group in groups.values()])
    found = {"n": len(x), "identities": len(means), "mean": float(means.mean()), "sd": float(x.std(ddof=1)) if len(x) > 1 else None}
    if len(means) < 2:
        return found | {"low": None, "high": None}
    half = float(stats.t.ppf((1 + confidence) / 2, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means)))
    return found | {"low": float(means.mean()) - half, "high": float(means.mean()) + half}


def share(hits: int, n: int) -> dict[str, Any]:
    """k of n with the exact binomial 95 % interval (Clopper and Pearson)."""
    if n < 1:
        return {"k": hits, "n": n, "share": None, "low": None, "high": None}
    low, high = clopper_pearson(hits, n)
    return {"k": hits, "n": n, "share": hits / n, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Tost:
    """Two one-sided tests (Schuirmann 1987): `p` is the larger of the two; below 0.05 the mean lies within ± margin."""

    n: int
    mean: float
    low: float
    high: float
    margin: float
    p: float | None
    equivalent: bool


def tost(differences: ArrayLike, margin: float) -> Tost:
    """Equivalence of paired differences (N,) to 0 within ± margin; `low`, `high` are the 90 % interval that goes with α = 0.05.

    Equals `statsmodels.stats.weightstats.DescrStatsW(x).ttost_mean(−margin, margin)`. Differences that are all equal need no test.
    """
    from scipy import stats

    x = np.asarray(differences, np.float64)
    if len(x) < 2 or margin <= 0:
        raise InputError(f"an equivalence test needs two differences and a positive margin, got {len(x)} and {margin}")
    mean, error = float(x.mean()), float(x.std(ddof=1)) / math.sqrt(len(x))
    if error == 0:
        return Tost(len(x), mean, mean, mean, margin, None, abs(mean) < margin)
    df = len(x) - 1
    p = max(float(stats.t.sf((mean + margin) / error, df)), float(stats.t.cdf((mean - margin) / error, df)))
    half = float(stats.t.ppf(0.95, df)) * error
    return Tost(len(x), mean, mean - half, mean + half, margin, p, p < 0.05)


def power_tost(sd: float, margin: float, power: float = 0.8, true: float = 0.0, alpha_level: float = 0.05, most: int = 100_000) -> int:
    """Identities needed for the equivalence test to succeed with probability `power`, if differences have this SD and the mean `true`.

    Exact for paired differences up to the neglect of the dependence of both tests, which makes it conservative: 1 − P(first fails) − P(second fails)
    with noncentral t distributions (Chow, Shao and Wang 2008, §3.3).

    Raises:
        InputError: |true| ≥ margin, or more than `most` would be needed.
    """
    from scipy import stats

    if sd <= 0 or margin <= 0 or abs(true) >= margin or not 0 < power < 1:
        raise InputError(f"needs sd > 0, margin > |true| and a power in (0, 1); got sd {sd}, margin {margin}, true {true}, power {power}")

    def reached(n: int) -> float:
        critical, scale = stats.t.ppf(1 - alpha_level, n - 1), sd / math.sqrt(n)
        with np.errstate(all="ignore"):
            upper = stats.nct.sf(critical, n - 1, (margin - true) / scale)
            lower = stats.nct.sf(critical, n - 1, (margin + true) / scale)
        return float(np.nan_to_num(upper, nan=1.0) + np.nan_to_num(lower, nan=1.0) - 1)

    low, high = 2, 4
    while reached(high) < power:
        low, high = high, high * 2
        if high > most:
            raise InputError(f"more than {most} identities would be needed; widen the margin or reduce the spread")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= power else (middle, high)
    return 2 if reached(2) >= power else high


def cohens_dz(differences: ArrayLike) -> float | None:
    """Standardized mean of paired differences: mean / SD (ddof = 1); None without spread."""
    x = np.asarray(differences, np.float64)
    spread = float(x.std(ddof=1)) if len(x) > 1 else 0.0
    return float(x.mean()) / spread if spread > 0 else None


def adjusted(p_values: Sequence[float | None], method: Literal["holm", "fdr_bh"]) -> list[float | None]:
    """Holm's or Benjamini and Hochberg's adjusted p values, through statsmodels; None stays None and does not count."""
    from statsmodels.stats.multitest import multipletests

    kept = [p for p in p_values if p is not None]
    if not kept:
        return list(p_values)
    found = iter(multipletests(kept, method=method)[1].tolist())
    return [None if p is None else float(next(found)) for p in p_values]


@dataclass(frozen=True, slots=True)
class Icc:
    """Intraclass correlations of absolute agreement, two-way random effects (Shrout and Fleiss 1979; McGraw and Wong 1996): one rater, and the mean of k."""

    targets: int
    raters: int
    single: float
    single_low: float
    single_high: float
    average: float
    average_low: float
    average_high: float


def icc(table: ArrayLike, confidence: float = 0.95) -> Icc | None:
    """ICC(2,1) and ICC(2,k) of ratings (targets, raters) without gaps; None where ratings have no spread or the table is smaller than 2 x 2.

    Interval: McGraw and Wong (1996), table 7, ICC(A,1), with Satterthwaite's degrees of freedom. Checked against pingouin.
    """
    from scipy import stats

    x = np.asarray(table, np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise InputError(f"ICC needs a table (targets, raters) without gaps, got {x.shape}")
    n, k = x.shape
    if n < 2 or k < 2 or np.ptp(x) == 0:
        return None
    grand = x.mean()
    rows = k * float(((x.mean(axis=1) - grand) ** 2).sum()) / (n - 1)
    columns = n * float(((x.mean(axis=0) - grand) ** 2).sum()) / (k - 1)
    total = float(((x - grand) ** 2).sum())
    error = max(0.0, (total - rows * (n - 1) - columns * (k - 1)) / ((n - 1) * (k - 1)))
    bottom = rows + (k - 1) * error + k * (columns - error) / n
    if bottom <= 0:
        return None
    single = (rows - error) / bottom
    average = (rows - error) / (rows + (columns - error) / n) if rows + (columns - error) / n > 0 else 0.0
    if error <= 1e-15 * total:
        return Icc(n, k, single, single, single, average, average, average)
    f = columns / error
    vn = (k - 1) * (n - 1) * (k * single * f + n * (1 + (k - 1) * single) - k * single) ** 2
    vd = (n - 1) * k**2 * single**2 * f**2 + (n * (1 + (k - 1) * single) - k * single) ** 2
    v = vn / vd
    tail = (1 + confidence) / 2
    f_low, f_high = float(stats.f.ppf(tail, n - 1, v)), float(stats.f.ppf(tail, v, n - 1))
    low = n * (rows - f_low * error) / (f_low * (k * columns + (k * n - k - n) * error) + n * rows)
    high = n * (f_high * rows - error) / (k * columns + (k * n - k - n) * error + n * f_high * rows)
    return Icc(n, k, single, low, high, average, low * k / (1 + low * (k - 1)), high * k / (1 + high * (k - 1)))


def alpha(units: Sequence[Sequence[Any]], level: Literal["nominal", "ordinal", "interval"]) -> float | None:
    """Krippendorff's alpha: 1 − observed / expected disagreement over pairable values (Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability"). Checked against the package krippendorff and the paper's worked examples.

    Args:
        units: for each unit (picture) the values its raters gave, gaps left out; units with fewer than two values do not count.

    Returns:
        None without two values that can be paired, or where all values are the same.
    """
    kept = [list(unit) for unit in units if len(unit) > 1]
    values = sorted({value for unit in kept for value in unit})
    if len(values) < 2:
        return None
    place = {value: index for index, value in enumerate(values)}
    coincidence = np.zeros((len(values), len(values)))
    for unit in kept:
        counts = np.bincount([place[value] for value in unit], minlength=len(values)).astype(np.float64)
        coincidence += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = coincidence.sum(axis=0)
    if level == "nominal":
        distance = 1.0 - np.eye(len(values))
    elif level == "ordinal":
        ranks = np.cumsum(totals) - totals / 2  # the sum from g to k minus half of both ends is the difference of mid-ranks
        distance = np.subtract.outer(ranks, ranks) ** 2
    else:
        numbers = np.array(values, np.float64)
        distance = np.subtract.outer(numbers, numbers) ** 2
    expected = float((np.outer(totals, totals) * distance).sum()) / (totals.sum() - 1)
    return None if expected == 0 else 1.0 - float((coincidence * distance).sum()) / expected


def fleiss(units: Sequence[Sequence[str]]) -> float | None:
    """Fleiss' kappa through statsmodels, over units with the largest common number of ratings; None where it is not defined."""
    from statsmodels.stats.inter_rater import fleiss_kappa

    sizes = [len(unit) for unit in units if len(unit) > 1]
    if not sizes:
        return None
    common = max(set(sizes), key=lambda size: (sizes.count(size), size))
    kept = [unit for unit in units if len(unit) == common]
    labels = sorted({label for unit in kept for label in unit})
    if len(labels) < 2 or len(kept) < 2:
        return None
    return float(fleiss_kappa(np.array([[list(unit).count(label) for label in labels] for unit in kept])))


def bootstrap_by(owners: Sequence[str], statistic: Any, replicates: int, seed: int) -> tuple[float, float] | None:
    """95 % percentile interval of `statistic(indices)` when owners (people) are drawn with replacement, all their rows with them.

    Replicates for which the statistic is None or NaN are left out; None where fewer than half remain.
    """
    names = sorted(set(owners))
    if len(names) < 2:
        return None
    rows = {name: np.flatnonzero(np.array(owners) == name) for name in names}
    random = np.random.default_rng(seed)
    found = []
    for _ in range(replicates):
        drawn = random.integers(0, len(names), len(names))
        value = statistic(np.concatenate([rows[names[i]] for i in drawn]))
        if value is not None and math.isfinite(value):
            found.append(float(value))
    if len(found) < replicates / 2:
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)
