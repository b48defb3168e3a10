"""Building blocks that several published networks share; the names of their parameters are those of the checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["Convolution", "ResidualUnit"]


class Convolution(nn.Module):
    """Convolution without bias, BN and, unless linear, PReLU (Chen et al. 2018, https://arxiv.org/abs/1804.07573)."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.prelu = None if linear else nn.PReLU(width)

    def forward(self, x: Any) -> Any:
        """(N, channels, H, W) → (N, width, H', W')."""
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class _Excitation(nn.Module):
    """Channels weighed by a sigmoid of two layers over their means (Hu et al. 2018, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Any) -> Any:
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class ResidualUnit(nn.Module):
    """ArcFace's improved residual unit (Deng et al. 2019, https://arxiv.org/abs/1801.07698, section 2.2) with plain subsampling as the skip where the
    width stays: BN, conv 3x3, BN where `normalize`, PReLU, conv 3x3 (with the stride), BN, squeeze-and-excitation where `excite`, plus the skip."""

    def __init__(self, channels: int, width: int, stride: int, normalize: bool = False, excite: bool = False) -> None:
        super().__init__()
        self.shortcut_layer: Any
        if channels == width:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            *([nn.BatchNorm2d(width)] if normalize else []),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            *([_Excitation(width)] if excite else []),
        )

    def forward(self, x: Any) -> Any:
        """(N, channels, H, W) → (N, width, H / stride, W / stride)."""
        return self.res_layer(x) + self.shortcut_layer(x)
