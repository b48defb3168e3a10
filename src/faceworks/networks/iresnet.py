"""iResNet, the residual network of ArcFace ("LResNet-E-IR"): Deng et al. 2019, https://arxiv.org/abs/1801.07698, section 2.2.4.

(N, 3, 112, 112) → (N, dim). The stem keeps the resolution, every stage begins with stride 2 in its second convolution (112 → 56 → 28 → 14 → 7),
a block is BN, conv, BN, PReLU, conv, BN, and the feature is BN, dropout, fully connected, BN over the 512 · 7 · 7 map.

Checkpoint layout: insightface's `backbone.pth` (arcface_torch) holds these keys bare; MagFace's holds the same network, normalized with
`epsilon = 2e-5`, under `state_dict` with the prefix `features.module.`. The last layer is called `features`; its scale is fixed at 1 while
training.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from .initialization import normal

__all__ = ["IResNet", "iresnet18", "iresnet34", "iresnet50", "iresnet100"]

_WIDTHS = (64, 128, 256, 512)


class _Block(nn.Module):
    """BN, conv 3x3, BN, PReLU, conv 3x3 (with the stride), BN, plus the skip."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Any) -> Any:
        skip = x if self.downsample is None else self.downsample(x)
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + skip


def _stage(channels: int, width: int, blocks: int) -> Any:
    return nn.Sequential(_Block(channels, width, 2), *(_Block(width, width, 1) for _ in range(blocks - 1)))


class IResNet(nn.Module):
    """The network; `blocks` counts the residual blocks of the four stages.

    Args:
        blocks: four counts, e.g. (3, 13, 30, 3) for the network called 100.
        dim: length of the feature.
        dropout: probability before the fully connected layer (0.4 in the paper for small data, 0 in arcface_torch).
        size: (height, width) of the input, multiples of 16.
        epsilon: what normalization adds to the variance.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        dim: int = 512,
        dropout: float = 0.0,
        size: tuple[int, int] = (112, 112),
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        self.layer1 = _stage(64, _WIDTHS[0], blocks[0])
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], blocks[1])
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], blocks[2])
        self.layer4 = _stage(_WIDTHS[2], _WIDTHS[3], blocks[3])
        self.bn2 = nn.BatchNorm2d(_WIDTHS[3])
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(_WIDTHS[3] * (size[0] // 16) * (size[1] // 16), dim)
        self.features = nn.BatchNorm1d(dim)
        for module in self.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eps = epsilon
        normal(self, 0.1)
        self.features.weight.requires_grad_(False)

    def forward(self, x: Any) -> Any:
        """Features (N, dim), not normalized."""
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(torch.flatten(self.dropout(self.bn2(x)), 1)))


iresnet18 = partial(IResNet, (2, 2, 2, 2))
iresnet34 = partial(IResNet, (3, 4, 6, 3))
iresnet50 = partial(IResNet, (3, 4, 14, 3))
iresnet100 = partial(IResNet, (3, 13, 30, 3))
