"""Center loss: a point for each person that its pictures are drawn to."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .margin import Softmax

__all__ = ["Center", "SoftmaxCenter"]


class Center(nn.Module):
    """Center loss (Wen et al. 2016, https://doi.org/10.1007/978-3-319-46478-7_31, eq. 2 to 4):

        L = (1/N) Σᵢ ½ ‖xᵢ − c_yᵢ‖²;    in training, after each batch   cⱼ ← cⱼ − α Σᵢ[yᵢ = j] (cⱼ − xᵢ) / (1 + Σᵢ[yᵢ = j])

    Centers follow this rule, not the optimizer; the paper sums over the batch, here it is the mean, so that the weight does not hang on its size.

    Args:
        rate: α, in 0..1.
    """

    centers: Any

    def __init__(self, classes: int, dim: int, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("centers", torch.zeros(classes, dim))

    def forward(self, embeddings: Any, labels: Any) -> Any:
        """Scalar from (N, D) and (N,)."""
        loss = (embeddings - self.centers.to(embeddings.dtype)[labels]).pow(2).sum(dim=1).mean() / 2
        if self.training:
            with torch.no_grad():
                counts = torch.zeros(len(self.centers), dtype=self.centers.dtype, device=labels.device).index_add_(
                    0, labels, torch.ones_like(labels, dtype=self.centers.dtype)
                )
                pulls = torch.zeros_like(self.centers).index_add_(0, labels, self.centers[labels] - embeddings.to(self.centers.dtype))
                # a new tensor: the old one may still be needed for the gradient
                self.centers = self.centers - self.rate * pulls / (1 + counts)[:, None]
        return loss


class SoftmaxCenter(nn.Module):
    """Softmax and center loss together (Wen et al. 2016, eq. 5):   L = L_softmax + λ L_center

    Center loss alone is least for vectors that are all equal: it needs the other.

    Args:
        weight: λ.
        rate: α of the centers.
    """

    def __init__(self, classes: int, dim: int, weight: float = 0.003, rate: float = 0.5) -> None:
        super().__init__()
        self.softmax, self.center, self.share = Softmax(classes, dim), Center(classes, dim, rate), weight

    def forward(self, embeddings: Any, labels: Any) -> Any:
        """Scalar from (N, D) and (N,)."""
        return self.softmax(embeddings, labels) + self.share * self.center(embeddings, labels)
