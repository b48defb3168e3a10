"""EmoNet: Toisoul et al. 2021, "Estimation of continuous valence and arousal levels from faces in naturalistic conditions",
Nature Machine Intelligence, https://doi.org/10.1038/s42256-020-00280-0; the trunk is the face alignment network of Bulat and Tzimiropoulos
2017, https://arxiv.org/abs/1703.07332.

(N, 3, 256, 256) RGB in [0, 1] → expression logits (N, classes), valence (N,), arousal (N,), the latter two in [-1, 1] for natural pictures (not
clamped here). Two stacked hourglasses find 68 landmark heatmaps; their sum is the attention with which the hourglasses' features are multiplied
before a small network reads the emotion. `heatmaps = True` appends the last heatmaps (N, 68, 64, 64).

Checkpoint layout: keys behind `module.`. Hourglasses and emotion network normalize by instance while they learn, with a learned scale and shift,
and by the running statistics, which the files carry, afterwards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he

__all__ = ["EmoNet"]

_POINTS = 68
_WIDTH = 256


class _Norm(nn.InstanceNorm2d):
    """Instance normalization that in eval mode is the fixed affine map it amounts to: exporters write one operator, and it fuses."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True, track_running_stats=True)

    def forward(self, x: Any) -> Any:
        if self.training:
            return super().forward(x)
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class _Block(nn.Module):
    """Three pre-activated 3x3 convolutions of 1/2, 1/4, 1/4 of the width, joined and added to the skip."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.bn1 = _Norm(channels)
        self.conv1 = nn.Conv2d(channels, width // 2, 3, padding=1, bias=False)
        self.bn2 = _Norm(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 4, 3, padding=1, bias=False)
        self.bn3 = _Norm(width // 4)
        self.conv3 = nn.Conv2d(width // 4, width // 4, 3, padding=1, bias=False)
        self.downsample = None
        if channels != width:
            self.downsample = nn.Sequential(_Norm(channels), nn.ReLU(), nn.Conv2d(channels, width, 1, bias=False))

    def forward(self, x: Any) -> Any:
        skip = x if self.downsample is None else self.downsample(x)
        one = self.conv1(torch.relu(self.bn1(x)))
        two = self.conv2(torch.relu(self.bn2(one)))
        three = self.conv3(torch.relu(self.bn3(two)))
        return torch.cat([one, two, three], dim=1) + skip


class _Hourglass(nn.Module):
    """Newell et al. 2016, https://arxiv.org/abs/1603.06937: four times down and up again, with a skip at every size."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for level in range(depth, 0, -1):
            for name in ("b1", "b2", *(["b2_plus"] if level == 1 else []), "b3"):
                setattr(self, f"{name}_{level}", _Block(_WIDTH, _WIDTH))

    def _level(self, level: int, x: Any) -> Any:
        low = getattr(self, f"b2_{level}")(nn.functional.max_pool2d(x, 2))
        low = self.b2_plus_1(low) if level == 1 else self._level(level - 1, low)
        low = getattr(self, f"b3_{level}")(low)
        return getattr(self, f"b1_{level}")(x) + nn.functional.interpolate(low, scale_factor=2.0, mode="nearest")

    def forward(self, x: Any) -> Any:
        return self._level(self.depth, x)


class EmoNet(nn.Module):
    """The network.

    Args:
        classes: 8 or 5 expressions.
        heatmaps: append the landmark heatmaps of the last hourglass to the outputs.
    """

    def __init__(self, classes: int = 8, heatmaps: bool = False) -> None:
        super().__init__()
        self.classes, self.heatmaps = classes, heatmaps
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = _Block(64, 128)
        self.conv3 = _Block(128, 128)
        self.conv4 = _Block(128, _WIDTH)
        for index in range(2):
            setattr(self, f"m{index}", _Hourglass(4))
            setattr(self, f"top_m_{index}", _Block(_WIDTH, _WIDTH))
            setattr(self, f"conv_last{index}", nn.Conv2d(_WIDTH, _WIDTH, 1))
            setattr(self, f"bn_end{index}", nn.BatchNorm2d(_WIDTH))
            setattr(self, f"l{index}", nn.Conv2d(_WIDTH, _POINTS, 1))
        self.bl0 = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.al0 = nn.Conv2d(_POINTS, _WIDTH, 1)
        self.conv1x1_input_emo_2 = nn.Conv2d(3 * _WIDTH, _WIDTH, 1)
        self.emo_net_2 = nn.Sequential(*(layer for _ in range(4) for layer in (_Block(_WIDTH, _WIDTH), nn.MaxPool2d(2))))
        self.emo_fc_2 = nn.Sequential(nn.Linear(_WIDTH, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, classes + 2))
        he(self)

    def forward(self, x: Any) -> tuple[Any, ...]:
        """Logits (N, classes), valence (N,), arousal (N,), and heatmaps (N, 68, 64, 64) where asked for."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.max_pool2d(self.conv2(x), 2)
        trunk = self.conv4(self.conv3(x))
        one = torch.relu(self.bn_end0(self.conv_last0(self.top_m_0(self.m0(trunk)))))
        first = self.bl0(one)
        second = trunk + first + self.al0(self.l0(one))
        two = torch.relu(self.bn_end1(self.conv_last1(self.top_m_1(self.m1(second)))))
        points = self.l1(two)
        attention = points.sum(dim=1, keepdim=True)
        y = self.conv1x1_input_emo_2(torch.cat([trunk, first * attention, two * attention], dim=1))
        y = nn.functional.avg_pool2d(self.emo_net_2(y), 4)
        y = self.emo_fc_2(torch.flatten(y, 1))
        outputs = (y[:, : self.classes], y[:, self.classes], y[:, self.classes + 1])
        return (*outputs, points) if self.heatmaps else outputs
