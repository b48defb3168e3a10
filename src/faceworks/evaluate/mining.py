"""Hard negatives: pairs of different people that look alike to a network, in place of random ones.

The idea is FGLFW's (Deng et al. 2017), whose pairs people chose; a list mined here is another list and is never called FGLFW. The network that mines
has the hardest time with its own list: to compare networks, mine with a third.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..similarity import unit
from ..types import FloatArray
from .protocols import Pair, PairList

__all__ = ["mine_hard"]


def mine_hard(pairs: PairList, vectors: Mapping[Path, FloatArray | None]) -> PairList:
    """The same list with every different pair replaced by a hard one.

    Fold by fold: among the fold's pictures all comparisons of different people are ranked, and as many as
    the fold had different pairs are taken from the top, each two people at most once and each picture at most twice.
    Same pairs stay. Within a fold the same pairs come first, as FGLFW has it.

    Raises:
        InputError: templates, or a fold with too few people.
    """
    if pairs.members:
        raise InputError("hard pairs are mined among pictures, not templates")
    found: list[Pair] = []
    folds: list[int] = []
    for fold in np.unique(pairs.folds).tolist():
        inside = [pair for pair, number in zip(pairs.pairs, pairs.folds, strict=True) if number == fold]
        owners = {side: person for pair in inside for side, person in zip((pair.first, pair.second), pair.people, strict=True)}
        pictures = [picture for picture in owners if vectors.get(picture) is not None]
        same = [pair for pair in inside if pair.same]
        wanted = len(inside) - len(same)
        hard = _hardest(pictures, owners, vectors, wanted)
        if len(hard) < wanted:
            raise InputError(f"fold {fold} has {len(set(owners.values()))} people: too few for {wanted} hard pairs")
        found += same + hard
        folds += [fold] * len(inside)
    return PairList(tuple(found), np.array(folds), pairs.source, pairs.sha256, f"{pairs.protocol}, different pairs mined to be hard")


def _hardest(pictures: list[Path], owners: Mapping[Path, str], vectors: Mapping[Path, FloatArray | None], wanted: int) -> list[Pair]:
    units = unit(np.stack([vectors[picture] for picture in pictures]))  # type: ignore[misc]
    names = np.array([owners[picture] for picture in pictures])
    rows, columns = np.triu_indices(len(pictures), 1)
    other = names[rows] != names[columns]
    rows, columns = rows[other], columns[other]
    order = np.argsort(-(units @ units.T)[rows, columns], kind="stable")
    used: dict[int, int] = {}
    couples: set[tuple[str, str]] = set()
    chosen: list[Pair] = []
    for k in order.tolist():
        a, b = int(rows[k]), int(columns[k])
        couple = (min(names[a], names[b]), max(names[a], names[b]))
        if couple in couples or used.get(a, 0) >= 2 or used.get(b, 0) >= 2:
            continue
        couples.add(couple)
        used[a], used[b] = used.get(a, 0) + 1, used.get(b, 0) + 1
        chosen.append(Pair(pictures[a], pictures[b], False, (str(names[a]), str(names[b]))))
        if len(chosen) == wanted:
            break
    return chosen
