"""Error rates by group of people, at one threshold for all: who pays for the errors.

A genuine comparison belongs to its person's group, an impostor comparison to a group only if both people are in it (those across groups
are easy, and are listed apart). Ratio is largest / smallest; the Gini coefficient has the n / (n − 1) correction of ISO/IEC 19795-10.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, ManifestError
from . import bootstrap
from .intervals import Interval, hull

__all__ = ["GroupRate", "GroupReport", "bands", "gini", "group_of", "group_rates", "ratio", "read_groups"]


@dataclass(frozen=True, slots=True)
class GroupRate:
    """One group. Rates are None where it has no such comparison."""

    group: str
    genuine: int
    impostors: int
    fnmr: float | None
    fnmr_interval: Interval | None
    fmr: float | None
    fmr_interval: Interval | None


@dataclass(frozen=True, slots=True)
class GroupReport:
    """All groups at one threshold.

    Attributes:
        column: what people were grouped by.
        threshold: score.
        groups: sorted by name. across: "A x B" -> (impostor comparisons, false matches).
        fnmr_ratio, fmr_ratio: largest / smallest; None with a rate of 0 or fewer than two groups.
        fnmr_gini, fmr_gini: 0 = equal, 1 = one group bears all; None with fewer than two groups or no error.
        unknown: comparisons left out because a side has no group.
    """

    column: str
    threshold: float
    groups: tuple[GroupRate, ...]
    across: Mapping[str, tuple[int, int]]
    fnmr_ratio: float | None
    fmr_ratio: float | None
    fnmr_gini: float | None
    fmr_gini: float | None
    unknown: int


def gini(rates: ArrayLike) -> float | None:
    """Gini coefficient with the n / (n − 1) correction; None for fewer than two rates or all 0."""
    x = np.asarray(rates, np.float64)
    if len(x) < 2 or x.sum() == 0:
        return None
    n = len(x)
    return float(np.abs(np.subtract.outer(x, x)).sum() / (2 * n * n * x.mean()) * n / (n - 1))


def bands(values: Mapping[str, str], edges: Sequence[float]) -> dict[str, str]:
    """Numbers as text -> bands "<18", "18-29", "30+" by ascending edges; what is no number has no band."""
    found = {}
    names = [f"<{edges[0]:g}", *[f"{a:g}-{b:g}" for a, b in itertools.pairwise(edges)], f"{edges[-1]:g}+"]
    for key, text in values.items():
        try:
            number = float(text)
        except ValueError:
            continue
        if not math.isnan(number):
            found[key] = names[int(np.searchsorted(edges, number, side="right"))]
    return found


def read_groups(path: str | Path, column: str) -> dict[str, str]:
    """A column of a manifest (CSV with a head): picture or person -> group. The key column is `picture` (or `source`, `file`, `path`) or `person`.

    Raises:
        ManifestError: no such column; it names those there are.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as a manifest: {error}") from error
    head = list(rows[0]) if rows else []
    key = next((name for name in ("picture", "source", "file", "path", "person") if name in head), None)
    if key is None or column not in head:
        raise ManifestError(
            f"{path}: needs a column {column!r} and one of picture, source, file, path, person; it has: {', '.join(head) or 'no row'}"
        )
    return {row[key].strip(): row[column].strip() for row in rows if (row[column] or "").strip()}


def group_of(of: Mapping[str, str], picture: Path, person: str) -> str | None:
    """The group of a picture: by its path, its last folder and name, its name, its stem, or its person; None where the manifest has none of them."""
    return next((of[key] for key in (str(picture), "/".join(picture.parts[-2:]), picture.name, picture.stem, person) if key in of), None)


def group_rates(
    scores: ArrayLike,
    labels: ArrayLike,
    sides: Sequence[tuple[str | None, str | None]],
    people: Sequence[tuple[Any, Any]],
    threshold: float,
    column: str = "group",
) -> GroupReport:
    """Rates of every group at a threshold.

    Args:
        scores: (N,) completed comparisons. labels: (N,) True for the same person.
        sides: (N,) group of both sides, None where unknown. people: (N,) names of both sides.
    """
    values, same = np.asarray(scores, np.float64), np.asarray(labels, bool)
    if not len(values) == len(same) == len(sides) == len(people) or not len(values):
        raise InputError(f"scores, labels, sides and people must have one length, got {len(values)}, {len(same)}, {len(sides)}, {len(people)}")
    known = np.array([a is not None and b is not None for a, b in sides])
    first, second = np.array([a or "" for a, _ in sides]), np.array([b or "" for _, b in sides])
    names = sorted({name for pair, good in zip(sides, known, strict=True) if good for name in pair if name})
    if not names:
        raise InputError(f"no comparison has a known {column} on both sides")
    wrong, pairs = (values >= threshold) != same, bootstrap.index_people(people)
    found = []
    for name in names:
        inside = known & (first == name) & (second == name)
        fnmr, fmr = _rate(wrong, pairs, inside & same), _rate(wrong, pairs, inside & ~same)
        found.append(GroupRate(name, int((inside & same).sum()), int((inside & ~same).sum()), *fnmr, *fmr))
    across: dict[str, tuple[int, int]] = {}
    for index in np.flatnonzero(known & ~same & (first != second)):
        key = " x ".join(sorted((str(first[index]), str(second[index]))))
        n, errors = across.get(key, (0, 0))
        across[key] = (n + 1, errors + int(wrong[index]))
    fnmrs, fmrs = [g.fnmr for g in found if g.fnmr is not None], [g.fmr for g in found if g.fmr is not None]
    return GroupReport(column, threshold, tuple(found), across, ratio(fnmrs), ratio(fmrs), gini(fnmrs), gini(fmrs), int((~known).sum()))


def ratio(rates: Sequence[float]) -> float | None:
    """Largest / smallest rate; None for fewer than two, or where the smallest is 0."""
    return max(rates) / min(rates) if len(rates) > 1 and min(rates) > 0 else None


def _rate(wrong: NDArray[np.bool_], pairs: NDArray[np.int64], inside: NDArray[np.bool_]) -> tuple[float | None, Interval | None]:
    n = int(inside.sum())
    if not n:
        return None, None
    errors = int(wrong[inside].sum())
    _, packed = np.unique(pairs[inside], return_inverse=True)
    packed = packed.reshape(-1, 2)
    plain = (errors / n, errors / n) if packed.max() == 0 else bootstrap.rate_interval(wrong[inside], packed, 400)
    return errors / n, hull(plain, errors, n)
