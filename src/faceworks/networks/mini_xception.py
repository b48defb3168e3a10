"""mini-XCEPTION: Arriaga et al. 2017, https://arxiv.org/abs/1710.07557, section III; layers as in oarriaga/face_classification.

(N, 1, 64, 64) gray in [−1, 1] → (N, classes) logits; any size from 48x48 on. Four residual modules of separable convolutions, no fully connected
layer: the last convolution's maps are averaged, one for each class. 56,951 weights and 1,472 running statistics with 7 classes.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from .initialization import he

__all__ = ["MiniXception"]

_EPSILON = 1e-3
"""Keras's batch normalization."""


class _SamePool(nn.Module):
    """3x3 maximum of stride 2 as Keras pads it: (0, 1) for even sides, (1, 1) for odd ones."""

    def forward(self, x: Any) -> Any:
        pads = [side for length in (x.shape[3], x.shape[2]) for side in ((length % 2), 1)]
        return nn.functional.max_pool2d(nn.functional.pad(x, pads, value=float("-inf")), 3, 2)


def _separable(channels: int, width: int) -> list[Any]:
    return [
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, width, 1, bias=False),
        nn.BatchNorm2d(width, eps=_EPSILON),
    ]


class _Module(nn.Module):
    """Two separable convolutions and a pool, added to a strided 1x1 convolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.Conv2d(channels, width, 1, 2, bias=False), nn.BatchNorm2d(width, eps=_EPSILON))
        self.body = nn.Sequential(*_separable(channels, width), nn.ReLU(), *_separable(width, width), _SamePool())

    def forward(self, x: Any) -> Any:
        return self.body(x) + self.skip(x)


class MiniXception(nn.Module):
    """The network; `classes` counts the outputs."""

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        stem: list[Any] = []
        for channels in (1, 8):
            stem += [nn.Conv2d(channels, 8, 3, bias=False), nn.BatchNorm2d(8, eps=_EPSILON), nn.ReLU()]
        self.stem = nn.Sequential(*stem)
        self.modules_ = nn.Sequential(*(_Module(a, b) for a, b in ((8, 16), (16, 32), (32, 64), (64, 128))))
        self.last = nn.Conv2d(128, classes, 3, padding=1)
        he(self)

    def forward(self, x: Any) -> Any:
        """Logits (N, classes)."""
        return self.last(self.modules_(self.stem(x))).mean(dim=(2, 3))
