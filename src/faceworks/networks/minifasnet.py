"""MiniFASNet V2 and V1SE: the silent face anti-spoofing networks of Minivision (https://github.com/minivision-ai/Silent-Face-Anti-Spoofing,
Apache-2.0; no paper). A pruned MobileFaceNet: the odd channel counts are what pruning left.

(N, 3, 80, 80) **BGR 0..255, not divided** → logits (N, classes); class 1 is a living face. V1SE adds squeeze-and-excitation
(Hu et al. 2018, https://arxiv.org/abs/1709.01507) to the last block of each stage. About 0.43 M parameters.

Checkpoint layout: keys behind `module.`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he
from .units import Convolution

__all__ = ["MiniFASNet", "minifasnet_v1se", "minifasnet_v2"]

_V2 = {"conv_3": (13, 13, 13, 13), "conv_4": (231, 52, 26, 77, 26, 26), "conv_5": (26, 26)}
_V1SE = {"conv_3": (13, 26, 13, 52), "conv_4": (154, 52, 26, 52, 26, 26), "conv_5": (26, 26)}
"""Inner channels of each stage's residual blocks."""


class _Excitation(nn.Module):
    """Squeeze and excitation with BN: channels weighted by a gate that their averages open, reduced by 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels // 4)
        self.fc2 = nn.Conv2d(channels // 4, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Any) -> Any:
        gate = torch.relu(self.bn1(self.fc1(nn.functional.adaptive_avg_pool2d(x, 1))))
        return x * torch.sigmoid(self.bn2(self.fc2(gate)))


class _Bottleneck(nn.Module):
    """Expand by 1x1, depthwise 3x3, project by 1x1; with `residual` the input is added, with `excite` the addend is gated first."""

    def __init__(self, channels: int, inner: int, width: int, stride: int = 1, residual: bool = False, excite: bool = False) -> None:
        super().__init__()
        self.conv = Convolution(channels, inner)
        self.conv_dw = Convolution(inner, inner, 3, stride, groups=inner, padding=1)
        self.project = Convolution(inner, width, linear=True)
        self.se_module = _Excitation(width) if excite else None
        self.residual = residual

    def forward(self, x: Any) -> Any:
        y = self.project(self.conv_dw(self.conv(x)))
        if self.se_module is not None:
            y = self.se_module(y)
        return x + y if self.residual else y


class _Stage(nn.Module):
    """Residual blocks of one width."""

    def __init__(self, width: int, inner: tuple[int, ...], excite: bool) -> None:
        super().__init__()
        last = len(inner) - 1
        self.model = nn.Sequential(*(_Bottleneck(width, n, width, residual=True, excite=excite and i == last) for i, n in enumerate(inner)))

    def forward(self, x: Any) -> Any:
        return self.model(x)


class MiniFASNet(nn.Module):
    """The network; `stages` holds the inner channels, `excite` switches squeeze-and-excitation on, `classes` counts the outputs."""

    def __init__(self, stages: dict[str, tuple[int, ...]], excite: bool, classes: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv1 = Convolution(3, 32, 3, stride=2, padding=1)
        self.conv2_dw = Convolution(32, 32, 3, groups=32, padding=1)
        self.conv_23 = _Bottleneck(32, 103, 64, stride=2)
        self.conv_3 = _Stage(64, stages["conv_3"], excite)
        self.conv_34 = _Bottleneck(64, 231, 128, stride=2)
        self.conv_4 = _Stage(128, stages["conv_4"], excite)
        self.conv_45 = _Bottleneck(128, 308, 128, stride=2)
        self.conv_5 = _Stage(128, stages["conv_5"], excite)
        self.conv_6_sep = Convolution(128, 512)
        self.conv_6_dw = Convolution(512, 512, 5, groups=512, linear=True)
        self.linear = nn.Linear(512, 128, bias=False)
        self.bn = nn.BatchNorm1d(128)
        self.drop = nn.Dropout(dropout)
        self.prob = nn.Linear(128, classes, bias=False)
        he(self, slope=0.25)

    def forward(self, x: Any) -> Any:
        """Logits (N, classes)."""
        x = self.conv_23(self.conv2_dw(self.conv1(x)))
        x = self.conv_34(self.conv_3(x))
        x = self.conv_45(self.conv_4(x))
        x = self.conv_6_dw(self.conv_6_sep(self.conv_5(x)))
        return self.prob(self.drop(self.bn(self.linear(torch.flatten(x, 1)))))


def minifasnet_v2(classes: int = 3) -> MiniFASNet:
    """Version 2, published for crops 2.7 times the box."""
    return MiniFASNet(_V2, excite=False, classes=classes)


def minifasnet_v1se(classes: int = 3) -> MiniFASNet:
    """Version 1 with squeeze-and-excitation, published for crops 4.0 times the box."""
    return MiniFASNet(_V1SE, excite=True, classes=classes)
