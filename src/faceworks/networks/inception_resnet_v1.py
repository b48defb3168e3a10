"""Inception-ResNet-v1, the network of the public FaceNet models: Szegedy et al. 2016, https://arxiv.org/abs/1602.07261, figures 9 to 14.

(N, 3, 160, 160) → (N, 512) of length 1, or logits with `classify = True`. Residual branches are scaled before they are added (section 3.3 of the
paper): 0.17, 0.10, 0.20. Any size from 80x80 on works: the last map is averaged.

Checkpoint layout: facenet-pytorch's `.pt` files hold these keys bare, beside the classifier `logits.*`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he

__all__ = ["InceptionResnetV1"]

Kernel = int | tuple[int, int]


class _Convolution(nn.Module):
    """Convolution, BN (epsilon 0.001), ReLU."""

    def __init__(self, channels: int, width: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.bn(self.conv(x)))


class _Residual(nn.Module):
    """Parallel branches, joined, projected back to the input's channels, scaled and added; ReLU except in the very last block."""

    def __init__(self, branches: list[Any], joined: int, channels: int, scale: float, rectify: bool = True) -> None:
        super().__init__()
        for index, branch in enumerate(branches):
            setattr(self, f"branch{index}", branch)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.count, self.scale, self.rectify = len(branches), scale, rectify

    def forward(self, x: Any) -> Any:
        joined = torch.cat([getattr(self, f"branch{index}")(x) for index in range(self.count)], dim=1)
        y = x + self.scale * self.conv2d(joined)
        return torch.relu(y) if self.rectify else y


def _block35(scale: float = 0.17) -> _Residual:
    one = _Convolution(256, 32, 1)
    two = nn.Sequential(_Convolution(256, 32, 1), _Convolution(32, 32, 3, padding=1))
    three = nn.Sequential(_Convolution(256, 32, 1), _Convolution(32, 32, 3, padding=1), _Convolution(32, 32, 3, padding=1))
    return _Residual([one, two, three], 96, 256, scale)


def _block17(scale: float = 0.10) -> _Residual:
    two = nn.Sequential(_Convolution(896, 128, 1), _Convolution(128, 128, (1, 7), padding=(0, 3)), _Convolution(128, 128, (7, 1), padding=(3, 0)))
    return _Residual([_Convolution(896, 128, 1), two], 256, 896, scale)


def _block8(scale: float = 0.20, rectify: bool = True) -> _Residual:
    two = nn.Sequential(_Convolution(1792, 192, 1), _Convolution(192, 192, (1, 3), padding=(0, 1)), _Convolution(192, 192, (3, 1), padding=(1, 0)))
    return _Residual([_Convolution(1792, 192, 1), two], 384, 1792, scale, rectify)


class _Reduction(nn.Module):
    """Parallel stride-2 branches and a max-pool, joined."""

    def __init__(self, branches: list[Any]) -> None:
        super().__init__()
        for index, branch in enumerate(branches):
            setattr(self, f"branch{index}", branch)
        self.count = len(branches)

    def forward(self, x: Any) -> Any:
        parts = [getattr(self, f"branch{index}")(x) for index in range(self.count)]
        return torch.cat([*parts, nn.functional.max_pool2d(x, 3, 2)], dim=1)


def _reduction_a() -> _Reduction:
    two = nn.Sequential(_Convolution(256, 192, 1), _Convolution(192, 192, 3, padding=1), _Convolution(192, 256, 3, stride=2))
    return _Reduction([_Convolution(256, 384, 3, stride=2), two])


def _reduction_b() -> _Reduction:
    one = nn.Sequential(_Convolution(896, 256, 1), _Convolution(256, 384, 3, stride=2))
    two = nn.Sequential(_Convolution(896, 256, 1), _Convolution(256, 256, 3, stride=2))
    three = nn.Sequential(_Convolution(896, 256, 1), _Convolution(256, 256, 3, padding=1), _Convolution(256, 256, 3, stride=2))
    return _Reduction([one, two, three])


class InceptionResnetV1(nn.Module):
    """The network.

    Args:
        dim: length of the embedding.
        classes: people of the training set; makes the layer `logits`.
        classify: give logits (N, classes) instead of embeddings.
        dropout: probability before the last linear layer.
    """

    def __init__(self, dim: int = 512, classes: int = 0, classify: bool = False, dropout: float = 0.6) -> None:
        super().__init__()
        if classify and not classes:
            raise TypeError("classify = True needs classes")
        self.classify = classify
        self.conv2d_1a = _Convolution(3, 32, 3, stride=2)
        self.conv2d_2a = _Convolution(32, 32, 3)
        self.conv2d_2b = _Convolution(32, 64, 3, padding=1)
        self.conv2d_3b = _Convolution(64, 80, 1)
        self.conv2d_4a = _Convolution(80, 192, 3)
        self.conv2d_4b = _Convolution(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _reduction_a()
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = _reduction_b()
        self.repeat_3 = nn.Sequential(*(_block8() for _ in range(5)))
        self.block8 = _block8(scale=1.0, rectify=False)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(1792, dim, bias=False)
        self.last_bn = nn.BatchNorm1d(dim, eps=0.001)
        if classes:
            self.logits = nn.Linear(dim, classes)
        he(self)

    def forward(self, x: Any) -> Any:
        """Embeddings (N, dim) of length 1, or logits (N, classes) where `classify`."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_3b(nn.functional.max_pool2d(x, 3, 2))
        x = self.conv2d_4b(self.conv2d_4a(x))
        x = self.mixed_7a(self.repeat_2(self.mixed_6a(self.repeat_1(x))))
        x = self.block8(self.repeat_3(x))
        x = self.dropout(nn.functional.adaptive_avg_pool2d(x, 1))
        x = self.last_bn(self.last_linear(torch.flatten(x, 1)))
        return self.logits(x) if self.classify else nn.functional.normalize(x)
