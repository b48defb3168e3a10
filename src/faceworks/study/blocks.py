"""Who rates which pictures in which order: balanced incomplete blocks, reproducible from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError

__all__ = ["make_blocks", "spread"]


def spread(items: Sequence[str], owner: Mapping[str, str], random: np.random.Generator) -> list[str]:
    """A random order in which no identity comes twice in a row.

    Raises:
        InputError: an identity has more than half of the items, so that there is no such order.
    """
    remaining: dict[str, list[str]] = {}
    for item in random.permutation(np.array(items, dtype=object)).tolist():
        remaining.setdefault(owner[item], []).append(item)
    most = max(remaining, key=lambda name: len(remaining[name]), default="")
    if most and 2 * len(remaining[most]) > len(items) + 1:
        raise InputError(f"{most!r} has {len(remaining[most])} of {len(items)} pictures: no order keeps one identity from coming twice in a row")
    order: list[str] = []
    last = ""
    for left in range(len(items), 0, -1):
        # who holds more than half of the others' places must come now; otherwise anybody may, in proportion to what he has left
        forced = [name for name, group in remaining.items() if name != last and 2 * len(group) > left]
        names = forced or [name for name, group in remaining.items() if group and name != last]
        weights = np.array([len(remaining[name]) for name in names], np.float64)
        last = names[int(random.choice(len(names), p=weights / weights.sum()))]
        order.append(remaining[last].pop())
    return order


def make_blocks(pictures: Sequence[str], owner: Mapping[str, str], per_rater: int, raters: int, seed: int) -> list[list[str]]:
    """One list of pictures for each rater; over all raters the pictures' counts differ by at most one.

    Args:
        owner: picture -> identity.
        per_rater: pictures for each; 0 gives everybody all of them, each in an order of his own.

    Raises:
        InputError: more pictures for a rater than there are, or no order keeps identities apart.
    """
    if per_rater > len(pictures) or per_rater < 0 or raters < 1:
        raise InputError(f"per rater 0 to {len(pictures)} pictures and at least one rater, got {per_rater} and {raters}")
    random = np.random.default_rng(seed)
    if not per_rater:
        return [spread(pictures, owner, random) for _ in range(raters)]
    counts = dict.fromkeys(pictures, 0)
    blocks = []
    for _ in range(raters):
        blocks.append(spread(_deal(pictures, owner, counts, per_rater, random), owner, random))
    return blocks


def _deal(pictures: Sequence[str], owner: Mapping[str, str], counts: dict[str, int], per_rater: int, random: np.random.Generator) -> list[str]:
    """The pictures that were shown least, drawn so that identities are as even as they can be within the block."""
    chosen: list[str] = []
    of: dict[str, int] = {}
    tie = dict(zip(pictures, random.permutation(len(pictures)).tolist(), strict=True))
    left = set(pictures)
    while len(chosen) < per_rater:
        item = min(left, key=lambda name: (counts[name], of.get(owner[name], 0), tie[name]))
        left.remove(item)
        chosen.append(item)
        counts[item] += 1
        of[owner[item]] = of.get(owner[item], 0) + 1
    return chosen
