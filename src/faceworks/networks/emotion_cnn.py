"""The small network that deepface reads emotions with; the seed gives its layers (they are Keras's, without padding).

(N, 1, 48, 48) gray → (N, classes) logits. Sides: 48 → 44 → 20 → 18 → 16 → 7 → 5 → 3 → 1; 1,485,831 parameters with 7 classes. The softmax of the
original is left to the loss, which needs logits. Trained on FER2013, https://arxiv.org/abs/1307.0414.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he

__all__ = ["EmotionCNN"]


class EmotionCNN(nn.Module):
    """The network.

    Args:
        classes: number of emotions.
        initialization: "he" (variance by fan, zero biases), or "default": torch's own, with which the deep narrow stack stays near chance for long.
        dropout: of the two hidden layers.
    """

    def __init__(self, classes: int = 7, initialization: str = "he", dropout: float = 0.2) -> None:
        super().__init__()
        if initialization not in ("he", "default"):
            raise TypeError(f"initialization is 'he' or 'default', got {initialization!r}")
        self.features = nn.Sequential(
            nn.Conv2d(1, 64, 5),
            nn.ReLU(),
            nn.MaxPool2d(5, 2),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.AvgPool2d(3, 2),
            nn.Conv2d(64, 128, 3),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3),
            nn.ReLU(),
            nn.AvgPool2d(3, 2),
        )
        self.head = nn.Sequential(
            nn.Linear(128, 1024),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(1024, 1024),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(1024, classes),
        )
        if initialization == "he":
            he(self, fan="fan_in")
            nn.init.normal_(self.head[-1].weight, std=0.01)  # all classes alike at first: no random answers to unlearn

    def forward(self, x: Any) -> Any:
        """Logits (N, classes)."""
        return self.head(torch.flatten(self.features(x), 1))
