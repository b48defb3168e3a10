"""Losses that compare pictures with each other: contrastive, triplet, circle."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from ..mining import MINERS, Triplets, mine

__all__ = ["Circle", "Contrastive", "Triplet", "squared_distances"]


def squared_distances(embeddings: Any) -> Any:
    """‖xᵢ − xⱼ‖² of all pairs, (N, D) → (N, N), at least 0.

    From the differences themselves and not from ‖a‖² + ‖b‖² − 2 a·b: near 0 that form loses all its digits, and its gradient with them.
    """
    return (embeddings[:, None, :] - embeddings[None, :, :]).pow(2).sum(dim=2)


def _zero(embeddings: Any) -> Any:
    """0 with a gradient (of 0), for a batch that gives no pair."""
    return embeddings.sum() * 0.0


class Contrastive(nn.Module):
    """Contrastive loss over all pairs i < j of the batch (Hadsell, Chopra, LeCun 2006, eq. 4; http://yann.lecun.com/exdb/publis/pdf/hadsell-chopra-lecun-06.pdf):

        L = mean of  ½ d²  for the same person,  ½ max(0, m − d)²  for two people;   d = ‖xᵢ − xⱼ‖

    Args:
        margin: m, in units of distance (vectors of length 1 are at most 2 apart).
        normalize: bring embeddings to length 1 first.
    """

    def __init__(self, margin: float = 1.0, normalize: bool = True) -> None:
        super().__init__()
        self.margin, self.normalize = margin, normalize

    def forward(self, embeddings: Any, labels: Any) -> Any:
        """Scalar from (N, D) and (N,)."""
        x = nn.functional.normalize(embeddings) if self.normalize else embeddings
        first, second = torch.triu_indices(len(x), len(x), offset=1, device=x.device)
        if not len(first):
            return _zero(x)
        squared = (x[first] - x[second]).pow(2).sum(dim=1)
        # the root's slope is infinite at 0, where two pictures of different people have one vector: a floor keeps the gradient finite
        distance = squared.clamp_min(1e-12).sqrt()
        same = labels[first] == labels[second]
        return torch.where(same, squared / 2, (self.margin - distance).clamp_min(0).pow(2) / 2).mean()


class Triplet(nn.Module):
    """Triplet loss (Schroff et al. 2015, FaceNet, eq. 2; https://arxiv.org/abs/1503.03832):

        L = mean over triplets (a, p, n) of  [ ‖xᵃ − xᵖ‖² − ‖xᵃ − xⁿ‖² + α ]₊

    The mean is over all mined triplets, those of loss 0 included. Distances are **squared** and embeddings have length 1, as in FaceNet.

    Args:
        margin: α, in units of squared distance (at most 4).
        miner: which triplets of the batch count: "semi-hard", "batch-hard", "all" (see `mining`).
        normalize: bring embeddings to length 1 first.
    """

    def __init__(self, margin: float = 0.2, miner: str = "semi-hard", normalize: bool = True) -> None:
        super().__init__()
        if miner not in MINERS:
            raise ConfigError(f"no miner is called {miner!r}; known: {', '.join(MINERS)}")
        self.margin, self.miner, self.normalize = margin, miner, normalize
        self.mined = 0

    def forward(self, embeddings: Any, labels: Any, triplets: Triplets | None = None) -> Any:
        """Scalar from (N, D) and (N,); `triplets` are mined here unless they are given. A batch without a valid triplet has loss 0."""
        x = nn.functional.normalize(embeddings) if self.normalize else embeddings
        squared = squared_distances(x)
        anchors, positives, negatives = triplets if triplets is not None else mine(self.miner, squared.detach(), labels, self.margin)
        self.mined = len(anchors)
        if not self.mined:
            return _zero(x)
        return (squared[anchors, positives] - squared[anchors, negatives] + self.margin).clamp_min(0).mean()


class Circle(nn.Module):
    """Circle loss over the pairs of a batch (Sun et al. 2020, eq. 4 to 8; https://arxiv.org/abs/2002.10857), for each anchor:

        L = log[ 1 + Σⱼ exp(γ αₙʲ (sₙʲ − m)) · Σᵢ exp(−γ αₚⁱ (sₚⁱ − (1 − m))) ],   αₚ = [1 + m − sₚ]₊,   αₙ = [sₙ + m]₊

    sₚ, sₙ are cosines with pictures of the same and of other people; the weights α carry no gradient. The mean is over anchors that have both.

    Args:
        margin: m, a difference of cosines.
        scale: γ.
    """

    def __init__(self, margin: float = 0.25, scale: float = 256.0) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale

    def forward(self, embeddings: Any, labels: Any) -> Any:
        """Scalar from (N, D) and (N,)."""
        x = nn.functional.normalize(embeddings)
        cosine = x @ x.T
        same = labels[:, None] == labels[None, :]
        positive = same & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
        usable = positive.any(dim=1) & (~same).any(dim=1)
        if not usable.any():
            return _zero(x)
        cosine, positive, negative = cosine[usable], positive[usable], ~same[usable]
        m, low = self.margin, torch.finfo(cosine.dtype).min
        near = -self.scale * (1 + m - cosine.detach()).clamp_min(0) * (cosine - (1 - m))
        far = self.scale * (cosine.detach() + m).clamp_min(0) * (cosine - m)
        both = torch.logsumexp(near.masked_fill(~positive, low), dim=1) + torch.logsumexp(far.masked_fill(~negative, low), dim=1)
        return nn.functional.softplus(both).mean()
