"""Margins that adapt: CurricularFace to the course of training, MagFace and AdaFace to the quality that a vector's length tells."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...errors import ConfigError
from .margin import ArcFace, NormFace, arc, cosines, place

__all__ = ["AdaFace", "CurricularFace", "MagFace"]


class CurricularFace(ArcFace):
    """CurricularFace (Huang et al. 2020, https://arxiv.org/abs/2004.00288, eq. 3 to 8):

        z_y = s cos(θ_y + m);   zⱼ = s cos θⱼ if cos θⱼ ≤ cos(θ_y + m), else s cos θⱼ (t + cos θⱼ)

    t is the running mean of cos θ_y (t ← 0.99 t + 0.01 r, from 0): hard people weigh little at first and more as training goes on.

    Args:
        scale: s.
        margin: m, in radians.
        momentum: share of the new in t.
    """

    t: Any

    def __init__(self, classes: int, dim: int, scale: float = 64.0, margin: float = 0.5, momentum: float = 0.01) -> None:
        super().__init__(classes, dim, scale, margin)
        self.momentum = momentum
        self.register_buffer("t", torch.zeros(()))

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        cosine = cosines(embeddings, weight)
        right = cosine.gather(1, labels[:, None])[:, 0]
        # the hardness of the others is judged by cos(θ_y + m) itself, without its continuation beyond π − m
        bound = right * math.cos(self.margin) - (1 - right * right).sqrt() * math.sin(self.margin)
        if self.training:
            with torch.no_grad():
                self.t = self.momentum * right.mean().to(self.t.dtype) + (1 - self.momentum) * self.t
        hard = cosine > bound[:, None]
        others = torch.where(hard, cosine * (self.t.to(cosine.dtype) + cosine), cosine)
        return self.scale * place(others, labels, arc(right, self.margin))


class MagFace(NormFace):
    """MagFace (Meng et al. 2021, https://arxiv.org/abs/2103.06627, eq. 3 to 6): with a = ‖xᵢ‖, kept in [l_a, u_a],

        z_y = s cos(θ_y + m(a)),   m(a) = l_m + (u_m − l_m)(a − l_a)/(u_a − l_a),   L += λ · mean g(a),   g(a) = a/u_a² + 1/a

    A long vector must do with a larger margin and g rewards length: length comes to tell quality.

    Args:
        scale: s.
        least_norm, most_norm: l_a, u_a.
        least_margin, most_margin: l_m, u_m, in radians.
        weight: λ.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        scale: float = 64.0,
        least_norm: float = 10.0,
        most_norm: float = 110.0,
        least_margin: float = 0.45,
        most_margin: float = 0.8,
        weight: float = 35.0,
    ) -> None:
        super().__init__(classes, dim, scale)
        if not (0 < least_norm < most_norm and 0 <= least_margin <= most_margin < math.pi / 2):
            raise ConfigError("MagFace needs 0 < least_norm < most_norm and 0 <= least_margin <= most_margin < π/2")
        self.least_norm, self.most_norm = least_norm, most_norm
        self.least_margin, self.most_margin, self.share = least_margin, most_margin, weight

    def _norms(self, embeddings: Any) -> Any:
        return embeddings.norm(dim=1).clamp(self.least_norm, self.most_norm)

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        slope = (self.most_margin - self.least_margin) / (self.most_norm - self.least_norm)
        margin = self.least_margin + slope * (self._norms(embeddings) - self.least_norm)
        cosine = cosines(embeddings, weight)
        right = cosine.gather(1, labels[:, None])[:, 0]
        added = right * torch.cos(margin) - (1 - right * right).sqrt() * torch.sin(margin)
        target = torch.where(right > torch.cos(math.pi - margin), added, right - margin * torch.sin(margin))
        return self.scale * place(cosine, labels, target)

    def extra(self, embeddings: Any) -> Any:
        """λ · mean g(a)."""
        a = self._norms(embeddings)
        return self.share * (a / self.most_norm**2 + 1 / a).mean()


class AdaFace(NormFace):
    """AdaFace (Kim et al. 2022, https://arxiv.org/abs/2204.00964, eq. 10 to 13): with q = clip((‖xᵢ‖ − μ) / (σ/h), −1, 1), without gradient,

        z_y = s (cos(θ_y + g_angle) − g_add),   g_angle = −m q,   g_add = m q + m

    μ and σ are running mean and deviation of the lengths. A good picture (q = 1) has the margin of CosFace reaching hard samples, a poor one (q = −1)
    that of ArcFace, which does not press samples that cannot be known.

    Args:
        scale: s.
        margin: m, radians in g_angle, a difference of cosines in g_add.
        spread: h.
        momentum: share of the new in μ and σ.
    """

    mean: Any
    deviation: Any

    def __init__(self, classes: int, dim: int, scale: float = 64.0, margin: float = 0.4, spread: float = 0.333, momentum: float = 0.01) -> None:
        super().__init__(classes, dim, scale)
        self.margin, self.spread, self.momentum = margin, spread, momentum
        self.register_buffer("mean", torch.full((), 20.0))
        self.register_buffer("deviation", torch.full((), 100.0))

    def logits(self, embeddings: Any, labels: Any, weight: Any) -> Any:
        """(N, C) logits."""
        with torch.no_grad():
            norms = embeddings.norm(dim=1).clamp(0.001, 100.0)
            if self.training and len(norms) > 1:
                self.mean = self.momentum * norms.mean().to(self.mean.dtype) + (1 - self.momentum) * self.mean
                self.deviation = self.momentum * norms.std().to(self.mean.dtype) + (1 - self.momentum) * self.deviation
            quality = ((norms - self.mean) / (self.deviation + 1e-3) * self.spread).clamp(-1, 1).to(embeddings.dtype)
        cosine = cosines(embeddings, weight)
        angle = torch.acos(cosine.gather(1, labels[:, None])[:, 0])
        turned = (angle - self.margin * quality).clamp(1e-3, math.pi - 1e-3)
        return self.scale * place(cosine, labels, torch.cos(turned) - (self.margin * quality + self.margin))
