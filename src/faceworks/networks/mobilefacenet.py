"""MobileFaceNet: Chen et al. 2018, https://arxiv.org/abs/1804.07573, table 1.

(N, 3, 112, 112) or (N, 3, 112, 96) → (N, dim). Inverted residual bottlenecks with PReLU, then a global *depthwise* convolution that weighs the
places of the last 7x7 (7x6) map instead of averaging them. About 1 M parameters.

Checkpoint layout: Xiaoccer/MobileFaceNet_Pytorch (`068.ckpt`: 112x96, dim 128) keeps these keys under `net_state_dict`. Its stem and the first
depthwise layer are `conv1`, `dw_conv1`; the fifteen bottlenecks are `blocks.I.conv.J`; then `conv2`, `linear7` (depthwise), `linear1`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he
from .units import Convolution

__all__ = ["MobileFaceNet"]

_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, repeats, stride of the first repeat."""


class _Bottleneck(nn.Module):
    """Expand by 1x1, depthwise 3x3, project by 1x1 without activation; a skip where the shape stays."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.conv = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.connect = stride == 1 and channels == width

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.connect else self.conv(x)


class MobileFaceNet(nn.Module):
    """The network.

    Args:
        dim: length of the feature.
        size: (height, width) of the input, multiples of 16.
    """

    def __init__(self, dim: int = 128, size: tuple[int, int] = (112, 112)) -> None:
        super().__init__()
        self.conv1 = Convolution(3, 64, 3, stride=2, padding=1)
        self.dw_conv1 = Convolution(64, 64, 3, padding=1, groups=64)
        blocks, channels = [], 64
        for expansion, width, repeats, stride in _STAGES:
            for index in range(repeats):
                blocks.append(_Bottleneck(channels, width, stride if index == 0 else 1, expansion))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = Convolution(128, 512, 1)
        self.linear7 = Convolution(512, 512, (size[0] // 16, size[1] // 16), groups=512, linear=True)
        self.linear1 = Convolution(512, dim, 1, linear=True)
        he(self, slope=0.25)

    def forward(self, x: Any) -> Any:
        """Features (N, dim), not normalized."""
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return torch.flatten(self.linear1(self.linear7(x)), 1)
