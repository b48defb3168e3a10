"""IR and IR-SE: ArcFace's improved residual network of the first PyTorch port, with squeeze-and-excitation in its units (Deng et al. 2019,
https://arxiv.org/abs/1801.07698; Hu et al. 2018, https://arxiv.org/abs/1709.01507).

(N, 3, 112, 112), (x − 127.5) / 127.5 → feature (N, 512) of length 1; with `raw = True` as it is before dividing.

Differences from `adaface_ir`: no normalization between the unit's first convolution and its PReLU, an affine last normalization, and with `excite`
the SE layer (reduction 16) at each unit's end. Checkpoint layout: `model_ir_se50.pth` of https://github.com/TreB1eN/InsightFace_Pytorch holds these
keys bare.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from .initialization import he
from .units import ResidualUnit

__all__ = ["IRSE", "ir_se50", "ir_se100", "ir_se152"]

_WIDTHS = (64, 128, 256, 512)


class IRSE(nn.Module):
    """The network; `blocks` counts the units of the four stages, `excite` puts SE into them, `raw` leaves the feature's length."""

    def __init__(self, blocks: tuple[int, int, int, int], dim: int = 512, dropout: float = 0.6, excite: bool = True, raw: bool = False) -> None:
        super().__init__()
        self.raw = raw
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        units, channels = [], 64
        for width, count in zip(_WIDTHS, blocks, strict=True):
            units += [ResidualUnit(channels, width, 2, excite=excite), *(ResidualUnit(width, width, 1, excite=excite) for _ in range(count - 1))]
            channels = width
        self.body = nn.Sequential(*units)
        self.output_layer = nn.Sequential(nn.BatchNorm2d(512), nn.Dropout(dropout), nn.Flatten(), nn.Linear(512 * 7 * 7, dim), nn.BatchNorm1d(dim))
        he(self)

    def forward(self, x: Any) -> Any:
        """Feature (N, dim), of length 1 unless `raw`."""
        x = self.output_layer(self.body(self.input_layer(x)))
        return x if self.raw else nn.functional.normalize(x)


ir_se50 = partial(IRSE, (3, 4, 14, 3))
ir_se100 = partial(IRSE, (3, 13, 30, 3))
ir_se152 = partial(IRSE, (3, 8, 36, 3))
