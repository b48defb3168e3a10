"""NN2, FaceNet's Inception network: Schroff et al. 2015, https://arxiv.org/abs/1503.03832, table 2; after Szegedy et al. 2014,
https://arxiv.org/abs/1409.4842.

(N, 3, 224, 224) → (N, dim) of length 1; about 7.5 M parameters. Differences from GoogLeNet: L2 pooling (root of the mean of squares) in most
modules where GoogLeNet takes the maximum, and strided modules without a 1x1 branch that pass pooled channels on unprojected. As in NN1, LRN has
AlexNet's constants; the paper has no batch normalization, but who trains from scratch may want it: `batch_norm = True` puts it behind every
convolution in place of LRN.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he
from .nn1 import lrn

__all__ = ["NN2"]

_MODULES: tuple[tuple[str, int, int, int, int, int, str, int, int], ...] = (
    # name, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pooling, its projection (0: none), stride
    ("3a", 64, 96, 128, 16, 32, "max", 32, 1),
    ("3b", 64, 96, 128, 32, 64, "L2", 64, 1),
    ("3c", 0, 128, 256, 32, 64, "max", 0, 2),
    ("4a", 256, 96, 192, 32, 64, "L2", 128, 1),
    ("4b", 224, 112, 224, 32, 64, "L2", 128, 1),
    ("4c", 192, 128, 256, 32, 64, "L2", 128, 1),
    ("4d", 160, 144, 288, 32, 64, "L2", 128, 1),
    ("4e", 0, 160, 256, 64, 128, "max", 0, 2),
    ("5a", 384, 192, 384, 48, 128, "L2", 128, 1),
    ("5b", 384, 192, 384, 48, 128, "max", 128, 1),
)


class _L2Pool(nn.Module):
    """Root of the mean of squares over 3x3; the floor keeps the slope of the root finite where all are 0."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride, padding=1)

    def forward(self, x: Any) -> Any:
        return (self.pool(x * x) + 1e-12).sqrt()


def _convolution(channels: int, width: int, kernel: int, stride: int, batch_norm: bool) -> Any:
    convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=not batch_norm)
    return nn.Sequential(convolution, *([nn.BatchNorm2d(width)] if batch_norm else []), nn.ReLU(inplace=True))


class _Inception(nn.Module):
    """1x1, 3x3 and 5x5 convolutions, the larger behind a reduction, and a pooled branch; joined by channel."""

    def __init__(self, channels: int, row: tuple[int, int, int, int, int, str, int, int], batch_norm: bool) -> None:
        super().__init__()
        one, three_in, three, five_in, five, pooling, projection, stride = row
        branches = []
        if one:
            branches.append(_convolution(channels, one, 1, 1, batch_norm))
        for inner, outer, kernel in ((three_in, three, 3), (five_in, five, 5)):
            branches.append(nn.Sequential(_convolution(channels, inner, 1, 1, batch_norm), _convolution(inner, outer, kernel, stride, batch_norm)))
        pool: Any = nn.MaxPool2d(3, stride, padding=1) if pooling == "max" else _L2Pool(stride)
        branches.append(nn.Sequential(pool, _convolution(channels, projection, 1, 1, batch_norm)) if projection else pool)
        self.branches = nn.ModuleList(branches)
        self.width = one + three + five + (projection or channels)

    def forward(self, x: Any) -> Any:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class NN2(nn.Module):
    """The network.

    Args:
        dim: length of the embedding.
        batch_norm: batch normalization behind every convolution, and no LRN.
    """

    def __init__(self, dim: int = 128, batch_norm: bool = False) -> None:
        super().__init__()

        def norm() -> list[Any]:
            return [] if batch_norm else [lrn()]

        self.stem = nn.Sequential(
            _convolution(3, 64, 7, 2, batch_norm),
            nn.MaxPool2d(3, 2, padding=1),
            *norm(),
            _convolution(64, 64, 1, 1, batch_norm),
            _convolution(64, 192, 3, 1, batch_norm),
            *norm(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        self.inception = nn.ModuleDict()
        channels = 192
        for name, *row in _MODULES:
            self.inception[name] = _Inception(channels, tuple(row), batch_norm)  # type: ignore[arg-type]
            channels = self.inception[name].width
        self.fully_connected = nn.Linear(channels, dim)
        he(self)

    def forward(self, x: Any) -> Any:
        """Embeddings (N, dim) of length 1; any input from 32x32 on (the last map is averaged)."""
        x = self.stem(x)
        for module in self.inception.values():
            x = module(x)
        return nn.functional.normalize(self.fully_connected(x.mean(dim=(2, 3))))
