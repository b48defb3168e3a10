"""Classification losses and their margins: softmax, NormFace, SphereFace, CosFace, ArcFace, combined.

All are cross entropy over logits zⱼ:   L = −(1/N) Σᵢ log( exp(z_yᵢ) / Σⱼ exp(zⱼ) );   they differ in zⱼ, above all in the one of the right person.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError

__all__ = ["ArcFace", "Classified", "CombinedMargin", "CosFace", "NormFace", "Softmax", "SphereFace", "multiple_angle"]

_EDGE = 1e-7
"""Cosines are kept this far from ±1, where the slope of the angle is infinite."""


class Classified(nn.Module):
    """What these losses share: rows W (classes, D) and cross entropy. A loss says its logits, for all rows or for a sampled part of them."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        if classes < 2:
            raise ConfigError(f"a classification loss needs at least two people, got {classes}")
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.normal_(self.weight, std=0.01)

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits against the rows `weight` (C, D), the margin applied where `labels` (N,) says."""
        raise NotImplementedError

    def extra(self, embeddings: Any) -> Any:
        """A term that is added to the cross entropy; 0 for most."""
        return 0.0

    def forward(self, embeddings: Any, labels: Any) -> Any:
        """Scalar from (N, D) and (N,)."""
        return nn.functional.cross_entropy(self.logits(embeddings, labels, self.weight), labels) + self.extra(embeddings)


def cosines(embeddings: Any, weight: Any) -> Any:
    """cos θⱼ of all embeddings and rows: (N, C), within ±(1 − 1e-7) in float32."""
    limit = 1 - (_EDGE if embeddings.dtype == torch.float32 else 1e-12 if embeddings.dtype == torch.float64 else 1e-3)
    return (nn.functional.normalize(embeddings) @ nn.functional.normalize(weight).T).clamp(-limit, limit)


def place(cosine: Any, labels: Any, target: Any) -> Any:
    """`cosine` (N, C) with `target` (N,) in the column of each label."""
    return cosine.scatter(1, labels[:, None], target[:, None].to(cosine.dtype))


class Softmax(Classified):
    """Softmax loss (the seed's L₁; ArcFace's eq. 1):   zⱼ = Wⱼᵀ xᵢ + bⱼ"""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__(classes, dim)
        self.bias = nn.Parameter(torch.zeros(classes))

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        if len(weight) != len(self.bias):
            raise ConfigError("softmax has a bias for each class; take normface or a margin loss to sample classes")
        return embeddings @ weight.T + self.bias


class NormFace(Classified):
    """NormFace (Wang et al. 2017, https://arxiv.org/abs/1704.06369, eq. 6):   zⱼ = s cos θⱼ

    Args:
        scale: s.
    """

    def __init__(self, classes: int, dim: int, scale: float = 64.0) -> None:
        super().__init__(classes, dim)
        self.scale = scale

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        return self.scale * cosines(embeddings, weight)


def multiple_angle(angle: Any, m: float = 1.0) -> Any:
    """ψ = (−1)ᵏ cos(mθ) − 2k for mθ in [kπ, (k + 1)π]: falls from 1 to 1 − 2m while θ goes from 0 to π (SphereFace, eq. 7)."""
    turned = angle * m
    k = (turned / math.pi).floor().detach()
    sign = 1 - 2 * (k % 2)
    return sign * torch.cos(turned) - 2 * k


class SphereFace(Classified):
    """SphereFace, A-Softmax (Liu et al. 2017, https://arxiv.org/abs/1704.08063, eq. 6 and 7):

        zⱼ = ‖xᵢ‖ cos θⱼ,   z_y = ‖xᵢ‖ (λ cos θ_y + ψ(θ_y)) / (1 + λ),   ψ(θ) = (−1)ᵏ cos(mθ) − 2k,  θ in [kπ/m, (k + 1)π/m]

    λ anneals the margin in, as in the authors' code: λ = max(λ_min, λ₀ / (1 + 0.1 t)) after t training steps.

    Args:
        margin: m, a whole factor of the angle.
        start, least: λ₀ and λ_min; both 0: the pure loss.
    """

    steps: Any

    def __init__(self, classes: int, dim: int, margin: int = 4, start: float = 1000.0, least: float = 5.0) -> None:
        super().__init__(classes, dim)
        if margin < 1 or int(margin) != margin:
            raise ConfigError(f"SphereFace multiplies the angle by a whole number, got {margin}")
        self.margin, self.start, self.least = int(margin), start, least
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        if self.training:
            self.steps += 1
        ease = max(self.least, self.start / (1 + 0.1 * int(self.steps)))
        cosine = cosines(embeddings, weight)
        right = cosine.gather(1, labels[:, None])[:, 0]
        target = (ease * right + multiple_angle(torch.acos(right), self.margin)) / (1 + ease)
        return place(cosine, labels, target) * embeddings.norm(dim=1, keepdim=True)


class CosFace(NormFace):
    """CosFace, large margin cosine loss (Wang et al. 2018, https://arxiv.org/abs/1801.09414, eq. 4):   z_y = s (cos θ_y − m),   zⱼ = s cos θⱼ

    Args:
        scale: s.
        margin: m, a difference of cosines.
    """

    def __init__(self, classes: int, dim: int, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__(classes, dim, scale)
        self.margin = margin

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        cosine = cosines(embeddings, weight)
        return self.scale * place(cosine, labels, cosine.gather(1, labels[:, None])[:, 0] - self.margin)


def arc(cosine: Any, margin: float, easy: bool = False) -> Any:
    """cos(θ + m), made to fall all the way: beyond θ = π − m, where it would rise again, it goes on as cos θ − m sin m.

    `easy`: the margin holds for θ < 90° alone, cos θ beyond.
    """
    added = cosine * math.cos(margin) - (1 - cosine * cosine).sqrt() * math.sin(margin)
    if easy:
        return torch.where(cosine > 0, added, cosine)
    return torch.where(cosine > math.cos(math.pi - margin), added, cosine - margin * math.sin(margin))


class ArcFace(NormFace):
    """ArcFace, additive angular margin (Deng et al. 2019, https://arxiv.org/abs/1801.07698, eq. 3; the seed's L₃):

        z_y = s cos(θ_y + m),   zⱼ = s cos θⱼ

    Args:
        scale: s.
        margin: m, in radians.
        easy: the margin for θ_y < 90° alone.
    """

    def __init__(self, classes: int, dim: int, scale: float = 64.0, margin: float = 0.5, easy: bool = False) -> None:
        super().__init__(classes, dim, scale)
        if not 0 <= margin < math.pi / 2:
            raise ConfigError(f"ArcFace's margin is an angle in radians, 0 to π/2, got {margin}")
        self.margin, self.easy = margin, easy

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        cosine = cosines(embeddings, weight)
        return self.scale * place(cosine, labels, arc(cosine.gather(1, labels[:, None])[:, 0], self.margin, self.easy))


class CombinedMargin(NormFace):
    """Combined margin (ArcFace, eq. 4):   z_y = s (cos(m₁ θ_y + m₂) − m₃),   zⱼ = s cos θⱼ

    (m, 0, 0) is SphereFace's margin on the unit sphere, (1, m, 0) ArcFace, (1, 0, m) CosFace. Where m₁θ + m₂ > π, cos is continued by ψ
    (`multiple_angle`), so that the logit falls all the way.

    Args:
        scale: s.
        m1: factor of the angle.
        m2: radians.
        m3: difference of cosines.
    """

    def __init__(self, classes: int, dim: int, scale: float = 64.0, m1: float = 1.0, m2: float = 0.3, m3: float = 0.2) -> None:
        super().__init__(classes, dim, scale)
        if m1 < 1 or m2 < 0 or m3 < 0:
            raise ConfigError(f"the combined margin needs m1 >= 1, m2 >= 0 and m3 >= 0, got {m1}, {m2}, {m3}")
        self.m1, self.m2, self.m3 = m1, m2, m3

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        cosine = cosines(embeddings, weight)
        angle = torch.acos(cosine.gather(1, labels[:, None])[:, 0])
        return self.scale * place(cosine, labels, multiple_angle(self.m1 * angle + self.m2) - self.m3)
