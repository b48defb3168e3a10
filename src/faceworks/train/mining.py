"""Which triplets (anchor, positive, negative) of a batch, or of a whole set, a triplet loss learns from.

FaceNet (Schroff et al. 2015, section 3.2): taking the very hardest negatives early leads to collapsed models (all vectors equal), all triplets
are mostly too easy; so for every anchor-positive pair of a batch it takes a *semi-hard* negative: farther than the positive, but within the margin.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..errors import ConfigError

__all__ = ["MINERS", "Triplets", "all_triplets", "batch_hard", "mine", "mine_offline", "semi_hard"]


class Triplets(NamedTuple):
    """Places of anchors, positives and negatives: three (T,) int64 tensors."""

    anchors: Any
    positives: Any
    negatives: Any


def _pairs(labels: Any) -> tuple[Any, Any]:
    """Masks (N, N): same person but another picture; another person."""
    same = labels[:, None] == labels[None, :]
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def all_triplets(squared: Any, labels: Any, margin: float = 0.0) -> Triplets:
    """Every valid triplet, in order of (anchor, positive, negative); `squared` and `margin` are not used.

    A batch of P people with K pictures each has PK(K − 1)(P − 1)K of them.
    """
    positive, negative = _pairs(labels)
    return Triplets(*torch.nonzero(positive[:, :, None] & negative[:, None, :], as_tuple=True))


def batch_hard(squared: Any, labels: Any, margin: float = 0.0) -> Triplets:
    """For each anchor its farthest positive and its nearest negative (Hermans et al. 2017, https://arxiv.org/abs/1703.07737, eq. 5); ties: the first.
    Anchors without a positive or a negative are left out. FaceNet's argmax and argmin within a batch."""
    positive, negative = _pairs(labels)
    anchors = torch.nonzero(positive.any(dim=1) & negative.any(dim=1), as_tuple=True)[0]
    farthest = squared.masked_fill(~positive, -1.0).argmax(dim=1)
    nearest = squared.masked_fill(~negative, float("inf")).argmin(dim=1)
    return Triplets(anchors, farthest[anchors], nearest[anchors])


def semi_hard(squared: Any, labels: Any, margin: float = 0.2) -> Triplets:
    """FaceNet's online rule: for **every** anchor-positive pair the nearest negative n with

        ‖xᵃ − xᵖ‖² < ‖xᵃ − xⁿ‖² < ‖xᵃ − xᵖ‖² + α      (eq. 4, within the margin)

    Pairs that have none are left out: their negatives are all too easy (loss 0) or too hard.
    """
    positive, negative = _pairs(labels)
    anchors, positives = torch.nonzero(positive, as_tuple=True)
    reach = squared[anchors, positives][:, None]
    candidates = squared[anchors]
    fits = negative[anchors] & (candidates > reach) & (candidates < reach + margin)
    chosen = candidates.masked_fill(~fits, float("inf")).argmin(dim=1) if len(anchors) else positives
    found = fits.any(dim=1)
    return Triplets(anchors[found], positives[found], chosen[found])


MINERS = {"semi-hard": semi_hard, "batch-hard": batch_hard, "all": all_triplets}
"""Miners of a batch, `(squared (N, N), labels (N,), margin) -> Triplets`. "offline" works on the whole set: `mine_offline`."""


def mine(name: str, squared: Any, labels: Any, margin: float) -> Triplets:
    """Mine with the miner called `name`, without gradient.

    Args:
        squared: (N, N) squared distances.
        labels: (N,) people.
        margin: α, in units of squared distance.

    Raises:
        ConfigError: no such miner.
    """
    if name not in MINERS:
        raise ConfigError(f"no miner is called {name!r}; known: {', '.join(MINERS)}")
    with torch.no_grad():
        return MINERS[name](squared, labels, margin)


def mine_offline(embeddings: Any, labels: Any, subset: int = 0, generator: Any = None, block: int = 1024) -> Triplets:
    """FaceNet's other way: every so often, with the network as it is, for each anchor the argmax positive and the argmin negative *of the whole set*.

    Args:
        embeddings: (N, D) of all pictures, of length 1.
        labels: (N,) people.
        subset: search negatives and positives among so many pictures drawn at random (FaceNet: "a subset of the data"); 0 means all.
        generator: torch generator of the draw.
        block: anchors whose distances are held at a time: memory is block · N.

    Returns:
        At most one triplet for each anchor; places into `embeddings`.
    """
    n = len(labels)
    pool = torch.randperm(n, generator=generator)[:subset].sort().values if 0 < subset < n else torch.arange(n)
    parts = []
    with torch.no_grad():
        for start in range(0, n, block):
            anchors = torch.arange(start, min(start + block, n))
            squared = torch.cdist(embeddings[anchors].double(), embeddings[pool].double()).pow(2)
            same = labels[anchors][:, None] == labels[pool][None, :]
            positive = same & (anchors[:, None] != pool[None, :])
            usable = positive.any(dim=1) & (~same).any(dim=1)
            farthest = pool[squared.masked_fill(~positive, -1.0).argmax(dim=1)]
            nearest = pool[squared.masked_fill(same, float("inf")).argmin(dim=1)]
            parts.append((anchors[usable], farthest[usable], nearest[usable]))
    return Triplets(*(torch.cat(items) for items in zip(*parts, strict=True)))
