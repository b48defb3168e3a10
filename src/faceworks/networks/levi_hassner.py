"""Levi and Hassner's network for age groups and gender: "Age and Gender Classification using Convolutional Neural Networks", CVPR workshops 2015,
https://doi.org/10.1109/CVPRW.2015.7301352, section 3.2 and figure 2.

(N, 3, 227, 227) → (N, classes) logits: 8 age groups or 2 genders (they train one network each). Three convolutions, of which the first two are
followed by local response normalization, and three fully connected layers with dropout 0.5. Pools round up, as Caffe's do:
227 → 56 → 28 → 14 → 7.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he, normal
from .nn1 import lrn

__all__ = ["LeviHassner"]


class LeviHassner(nn.Module):
    """The network.

    Args:
        classes: outputs.
        initialization: "paper": Gaussians of deviation 0.01, zero biases; "he": variance by fan, which learns from small sets.
        size: side of the square input; the paper's is 227.
        dropout: of the two hidden layers.
    """

    def __init__(self, classes: int = 8, initialization: str = "paper", size: int = 227, dropout: float = 0.5) -> None:
        super().__init__()
        if initialization not in ("paper", "he"):
            raise TypeError(f"initialization is 'paper' or 'he', got {initialization!r}")

        def pool() -> Any:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, 4),
            nn.ReLU(),
            pool(),
            lrn(),
            nn.Conv2d(96, 256, 5, padding=2),
            nn.ReLU(),
            pool(),
            lrn(),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            pool(),
        )
        side = (size - 7) // 4 + 1
        for _ in range(3):
            side = -(-(side - 3) // 2) + 1
        self.head = nn.Sequential(
            nn.Linear(384 * side * side, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, classes),
        )
        if initialization == "he":
            he(self, fan="fan_in")
        else:
            normal(self, 0.01)

    def forward(self, x: Any) -> Any:
        """Logits (N, classes)."""
        return self.head(torch.flatten(self.features(x), 1))
