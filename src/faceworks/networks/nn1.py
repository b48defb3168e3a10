"""NN1, FaceNet's first network: Schroff et al. 2015, https://arxiv.org/abs/1503.03832, table 1; after Zeiler and Fergus 2013
(https://arxiv.org/abs/1311.2901) with 1x1 convolutions between the others (Lin et al. 2013).

(N, 3, 220, 220) → (N, dim) of length 1; about 140 M parameters, nearly all in the two maxout layers. The paper gives no batch normalization; it
normalizes local responses ("rnorm") and names neither constants nor initialization: LRN is AlexNet's (size 5, α 1e-4, β 0.75), weights begin
after He et al.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he

__all__ = ["NN1", "lrn"]

_STAGES = ((192, 384), (384, 256), (256, 256), (256, 256))
"""conv3 to conv6: channels of the 1x1 layer before ("a") and of the 3x3 one; pools lie behind conv3 and conv6."""


def lrn() -> Any:
    """Local response normalization over 5 neighboring channels, with AlexNet's constants."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)


def _convolution(channels: int, width: int, kernel: int, stride: int = 1) -> Any:
    return nn.Sequential(nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2), nn.ReLU(inplace=True))


def _pool() -> Any:
    return nn.MaxPool2d(3, 2, padding=1)


class _Maxout(nn.Module):
    """Goodfellow et al. 2013, https://arxiv.org/abs/1302.4389: the larger of `pieces` linear functions, for each output."""

    def __init__(self, inputs: int, outputs: int, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, outputs * pieces)

    def forward(self, x: Any) -> Any:
        return self.linear(x).reshape(len(x), -1, self.pieces).amax(dim=2)


class NN1(nn.Module):
    """The network.

    Args:
        dim: length of the embedding.
        size: side of the square input, a multiple of 4 from 32 on; the paper's is 220.
        width: outputs of the two maxout layers, 32 · 128 in the paper.
    """

    def __init__(self, dim: int = 128, size: int = 220, width: int = 4096) -> None:
        super().__init__()
        self.conv1 = _convolution(3, 64, 7, 2)
        self.conv2 = nn.Sequential(_pool(), lrn(), _convolution(64, 64, 1), _convolution(64, 192, 3), lrn(), _pool())
        layers, channels = [], 192
        for index, (inner, outer) in enumerate(_STAGES):
            layers += [_convolution(channels, inner, 1), _convolution(inner, outer, 3), *([_pool()] if index in (0, 3) else [])]
            channels = outer
        self.stages = nn.Sequential(*layers)
        side = size
        for _ in range(5):  # conv1 and four pools, each halving with ends rounded up
            side = (side + 1) // 2
        self.fc1 = _Maxout(channels * side * side, width)
        self.fc2 = _Maxout(width, width)
        self.fc7128 = nn.Linear(width, dim)
        he(self)

    def forward(self, x: Any) -> Any:
        """Embeddings (N, dim) of length 1."""
        x = self.stages(self.conv2(self.conv1(x)))
        x = self.fc7128(self.fc2(self.fc1(torch.flatten(x, 1))))
        return nn.functional.normalize(x)
