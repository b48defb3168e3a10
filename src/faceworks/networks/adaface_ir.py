"""AdaFace's improved residual network ("IR"): Kim et al. 2022, https://arxiv.org/abs/2204.00964; the blocks are ArcFace's (see `iresnet`).

(N, 3, 112, 112) **BGR** → feature (N, 512) of length 1 and norm (N, 1), the length before dividing: the paper's proxy of picture quality.
With `raw = True` the two come as one tensor, feature · norm.

Differences from `iresnet`: where the width stays the skip of a stride-2 block is plain subsampling, not a convolution, the first stage keeps 64
channels, and the last normalization has neither scale nor shift. Checkpoint layout: the Lightning `.ckpt` holds these keys under `state_dict`
with the prefix `model.`, beside the classifier `head.*`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from .initialization import he
from .units import ResidualUnit

__all__ = ["AdaFaceIR", "ir18", "ir50", "ir101"]

_WIDTHS = (64, 128, 256, 512)


class AdaFaceIR(nn.Module):
    """The network; `blocks` counts the units of the four stages, `raw` asks for feature · norm instead of the pair."""

    def __init__(self, blocks: tuple[int, int, int, int], dim: int = 512, dropout: float = 0.4, raw: bool = False) -> None:
        super().__init__()
        self.raw = raw
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        units, channels = [], 64
        for width, count in zip(_WIDTHS, blocks, strict=True):
            units += [ResidualUnit(channels, width, 2, normalize=True), *(ResidualUnit(width, width, 1, normalize=True) for _ in range(count - 1))]
            channels = width
        self.body = nn.Sequential(*units)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(dropout), nn.Flatten(), nn.Linear(512 * 7 * 7, dim), nn.BatchNorm1d(dim, affine=False)
        )
        he(self)

    def forward(self, x: Any) -> Any:
        """Feature (N, dim) of length 1 and norm (N, 1), or their product (N, dim) where `raw`."""
        x = self.output_layer(self.body(self.input_layer(x)))
        if self.raw:
            return x
        norm = torch.sqrt((x * x).sum(dim=1, keepdim=True))
        return x / norm, norm


ir18 = partial(AdaFaceIR, (2, 2, 2, 2))
ir50 = partial(AdaFaceIR, (3, 4, 14, 3))
ir101 = partial(AdaFaceIR, (3, 13, 30, 3))
