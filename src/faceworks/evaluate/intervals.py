"""Exact intervals for counted errors, and what a number of comparisons can carry. No SciPy: the incomplete beta function is written out."""

from __future__ import annotations

import math
from typing import TypeAlias

from ..errors import InputError

__all__ = ["FEW", "Interval", "clopper_pearson", "hull", "incomplete_beta", "require_support", "rule_of_three", "student_t", "supported"]

Interval: TypeAlias = tuple[float, float]
"""Lower and upper end."""
FEW = 10
"""With fewer errors than this an interval is never narrower than the exact binomial one."""
CARRIED = 3
"""A rate f is carried by n comparisons when n · f is at least this: with no error seen, 3/n bounds the rate with 95 % confidence."""


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularized incomplete beta function I_x(a, b), by its continued fraction (Lentz's method; DLMF 8.17.22). a, b > 0."""
    if not 0.0 <= x <= 1.0:
        raise InputError(f"x must lie in [0, 1], got {x}")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny, c, d, value = 1e-300, 1.0, 0.0, 1.0
    for step in range(1000):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / (1.0 + term * d or tiny)
        c = 1.0 + term / c or tiny
        value *= c * d
        if step and abs(1.0 - c * d) < 1e-15:
            break
    return front * (value - 1.0)


def _beta_quantile(p: float, a: float, b: float) -> float:
    """Bisection; the width of the last step is below the resolution of a float."""
    low, high = 0.0, 1.0
    for _ in range(1100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if incomplete_beta(middle, a, b) < p:
            low = middle
        else:
            high = middle
        if high - low < 1e-15 * high:
            break
    return (low + high) / 2


def clopper_pearson(errors: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact two-sided binomial interval for `errors` of `n` independent trials; equals `scipy.stats.binomtest(…).proportion_ci("exact")`.

    Raises:
        InputError: n < 1, errors outside 0..n, confidence outside (0, 1).
    """
    if n < 1 or not 0 <= errors <= n:
        raise InputError(f"errors must lie in 0..n with n ≥ 1, got {errors} of {n}")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"a confidence lies in (0, 1), got {confidence}")
    tail = (1 - confidence) / 2
    low = 0.0 if errors == 0 else _beta_quantile(tail, errors, n - errors + 1)
    high = 1.0 if errors == n else _beta_quantile(1 - tail, errors + 1, n - errors)
    return low, high


def student_t(p: float, df: float) -> float:
    """Quantile p > ½ of Student's t distribution with `df` degrees of freedom; equals `scipy.stats.t.ppf`.

    Raises:
        InputError: p outside (½, 1) or df not positive.
    """
    if not 0.5 < p < 1.0 or df <= 0:
        raise InputError(f"a quantile p in (0.5, 1) of at least one degree of freedom, got {p} and {df}")
    # P(T > t) = I_x(df / 2, 1 / 2) / 2 with x = df / (df + t²)
    x = _beta_quantile(2 * (1 - p), df / 2, 0.5)
    return math.sqrt(df * (1 - x) / x)


def rule_of_three(n: int) -> float:
    """Upper 95 % bound for a rate when `n` independent trials showed no error: 3 / n (Louis 1981; Hanley and Lippman-Hand 1983), at most 1."""
    if n < 1:
        raise InputError(f"at least one trial is needed, got {n}")
    return min(1.0, 3.0 / n)


def supported(fmr: float, impostors: int) -> bool:
    """Whether `impostors` comparisons can carry a statement about the false match rate `fmr`: 3 expected false matches at least."""
    return impostors * fmr >= CARRIED * (1 - 1e-9)


def require_support(fmr: float, impostors: int) -> None:
    """Refuse a false match rate that the data cannot carry.

    Raises:
        InputError: naming the number of impostor comparisons it would take; or fmr outside (0, 1].
    """
    if not 0.0 < fmr <= 1.0:
        raise InputError(f"a false match rate lies in (0, 1], got {fmr}")
    if not supported(fmr, impostors):
        needed = math.ceil(CARRIED / fmr - 1e-9)
        raise InputError(
            f"{impostors} impostor comparisons cannot carry a statement about FMR {fmr:g}: it takes {needed} (rule of three; ten times as many "
            f"for a useful interval). Compare more people, or ask for FMR {CARRIED / max(impostors, 1):.2g} or more"
        )


def hull(interval: Interval, errors: int, n: int, of_successes: bool = False) -> Interval:
    """With fewer than `FEW` errors, the interval widened to hold the exact binomial one; otherwise as it is.

    `of_successes`: the interval is for 1 − error rate.
    """
    if errors >= FEW:
        return interval
    low, high = clopper_pearson(errors, n)
    if of_successes:
        low, high = 1 - high, 1 - low
    return min(interval[0], low), max(interval[1], high)
