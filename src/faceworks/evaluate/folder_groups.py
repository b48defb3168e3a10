"""Identification by group of people, at one threshold for all.

Of a probe the group is that of its picture or person: FNIR is over the group's probes of enrolled people, FPIR over its strangers. A stranger is
compared with everybody who is enrolled, of whatever group, as in use. Ratio is largest / smallest; Gini as in `groups`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from . import bootstrap
from .groups import gini, ratio
from .intervals import Interval, clopper_pearson, hull

__all__ = ["FolderGroups", "GroupIdentification", "folder_groups", "share_interval"]


@dataclass(frozen=True, slots=True)
class GroupIdentification:
    """One group. Rates are None where nobody of it was asked about, or no threshold could be chosen.

    Attributes:
        group: its name. probes: pictures of its enrolled people. strangers: pictures of its people who are not enrolled.
        rank1: share of the probes whose person came first. fnir: share not answered with the right person at the threshold, 1 − TPIR.
        fpir: share of the strangers answered with anybody, 1 − TNIR.
    """

    group: str
    probes: int
    rank1: float | None
    rank1_interval: Interval | None
    fnir: float | None
    fnir_interval: Interval | None
    strangers: int
    fpir: float | None
    fpir_interval: Interval | None


@dataclass(frozen=True, slots=True)
class FolderGroups:
    """All groups of a column.

    Attributes:
        column: what people were grouped by. threshold: score, that of the smallest FPIR that the development part carries; None in the closed set.
        groups: sorted by name.
        fnir_ratio, fpir_ratio, fnir_gini, fpir_gini: None where they are not defined (one group, or a rate of 0 below the ratio's line).
        unknown: pictures asked about without a group.
    """

    column: str
    threshold: float | None
    groups: tuple[GroupIdentification, ...]
    fnir_ratio: float | None
    fpir_ratio: float | None
    fnir_gini: float | None
    fpir_gini: float | None
    unknown: int


def share_interval(right: NDArray[np.bool_], owners: Sequence[str] | NDArray[np.str_]) -> Interval:
    """95 % interval of a share of right answers, by resampling the people asked about; never narrower than the exact one with few errors."""
    pairs = bootstrap.index_people([(name, name) for name in owners])
    plain = bootstrap.rate_interval(right, pairs, 400) if pairs.max() > 0 else clopper_pearson(int(right.sum()), len(right))
    return hull(plain, int((~right).sum()), len(right), of_successes=True)


def folder_groups(
    column: str,
    groups: Sequence[str | None],
    ranks: NDArray[np.int64],
    scores: ArrayLike,
    owners: NDArray[np.str_],
    threshold: float | None,
) -> FolderGroups:
    """Rates of every group.

    Args:
        groups: (N,) group of each picture asked about, None where unknown; probes of enrolled people first, then strangers.
        ranks: (P,) rank of the right person of each of the first P pictures, 1 = first.
        scores: (N,) score of the best candidate, -inf without a face. owners: (N,) whose pictures they are.
        threshold: accept means score >= threshold; None gives ranks alone.

    Raises:
        InputError: other lengths; nobody has a group.
    """
    values = np.asarray(scores, np.float64)
    if not len(groups) == len(values) == len(owners) >= len(ranks):
        raise InputError(f"groups, scores and owners must have one length, at least that of ranks; got {len(groups)}, {len(values)}, {len(owners)}")
    names = sorted({name for name in groups if name is not None})
    if not names:
        raise InputError(f"nobody who was asked about has a known {column}")
    of, first = np.array([name or "" for name in groups]), np.zeros(len(values), bool)
    known = np.array([name is not None for name in groups])
    enrolled = np.arange(len(values)) < len(ranks)
    first[: len(ranks)] = ranks == 1
    found = []
    for name in names:
        probes, strangers = known & (of == name) & enrolled, known & (of == name) & ~enrolled
        rank1, rank1_interval = _share(first[probes], owners[probes])
        fnir = _wrong(first & (values >= threshold), probes, owners) if threshold is not None else (None, None)
        fpir = _wrong(values < threshold, strangers, owners) if threshold is not None else (None, None)
        found.append(GroupIdentification(name, int(probes.sum()), rank1, rank1_interval, *fnir, int(strangers.sum()), *fpir))
    fnirs, fpirs = [g.fnir for g in found if g.fnir is not None], [g.fpir for g in found if g.fpir is not None]
    return FolderGroups(column, threshold, tuple(found), ratio(fnirs), ratio(fpirs), gini(fnirs), gini(fpirs), int((~known).sum()))


def _share(right: NDArray[np.bool_], owners: NDArray[np.str_]) -> tuple[float | None, Interval | None]:
    return (float(right.mean()), share_interval(right, owners)) if len(right) else (None, None)


def _wrong(right: NDArray[np.bool_], inside: NDArray[np.bool_], owners: NDArray[np.str_]) -> tuple[float | None, Interval | None]:
    share, interval = _share(right[inside], owners[inside])
    return (None, None) if share is None or interval is None else (1 - share, (1 - interval[1], 1 - interval[0]))
