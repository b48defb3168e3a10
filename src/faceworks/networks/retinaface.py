"""RetinaFace: Deng et al. 2020, https://arxiv.org/abs/1905.00641; the PyTorch layout of biubug6/Pytorch_Retinaface.

(N, 3, H, W), any size → box deltas (N, A, 4), classes (N, A, 2), landmark deltas (N, A, 10); A = 2 · (H/8 · W/8 + H/16 · W/16 + H/32 · W/32)
with sides rounded up. Classes are logits in train mode and probabilities (background, face) in eval mode, as published. A backbone gives maps at
strides 8, 16, 32; a feature pyramid (Lin et al. 2017, https://arxiv.org/abs/1612.03144) passes context down; an SSH module (Najibi et al.
2017, https://arxiv.org/abs/1708.03979) widens the receptive field at each level; three 1x1 heads per level read two anchors a place.

Checkpoint layout: keys bare or behind `module.`: `body.*` (backbone), `fpn.*`, `ssh1..3.*`, `ClassHead.I`, `BboxHead.I`, `LandmarkHead.I`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .initialization import he

__all__ = ["RetinaFace", "retinaface_mobilenet025", "retinaface_resnet50"]

_ANCHORS = 2


def _convolution(channels: int, width: int, kernel: int = 3, stride: int = 1, slope: float | None = 0.0) -> Any:
    """Convolution, BN and leaky ReLU of that slope (None: no activation), same padding."""
    layers = [nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(width)]
    return nn.Sequential(*layers, *([] if slope is None else [nn.LeakyReLU(slope)]))


def _separable(channels: int, width: int, stride: int) -> Any:
    """MobileNet's pair: depthwise 3x3 and pointwise 1x1, each with BN and leaky ReLU."""
    depthwise = [nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False), nn.BatchNorm2d(channels), nn.LeakyReLU(0.1)]
    return nn.Sequential(*depthwise, nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.1))


class _MobileNet(nn.Module):
    """MobileNet v1 with a quarter of the channels: Howard et al. 2017, https://arxiv.org/abs/1704.04861."""

    widths = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        first = [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        self.stage1 = nn.Sequential(_convolution(3, 8, stride=2, slope=0.1), *(_separable(*item) for item in first))
        self.stage2 = nn.Sequential(_separable(64, 128, 2), *(_separable(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(_separable(128, 256, 2), _separable(256, 256, 1))

    def forward(self, x: Any) -> tuple[Any, Any, Any]:
        one = self.stage1(x)
        two = self.stage2(one)
        return one, two, self.stage3(two)


class _Bottleneck(nn.Module):
    """ResNet's block: 1x1, 3x3 (with the stride), 1x1 to four times the width."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride != 1 or channels != 4 * width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x: Any) -> Any:
        skip = x if self.downsample is None else self.downsample(x)
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + skip)


class _ResNet50(nn.Module):
    """ResNet-50 without its classifier: He et al. 2016, https://arxiv.org/abs/1512.03385, table 1 (stride in the 3x3 convolution)."""

    widths = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for index, (width, count) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
            blocks = [_Bottleneck(channels, width, 1 if index == 0 else 2), *(_Bottleneck(4 * width, width, 1) for _ in range(count - 1))]
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
            channels = 4 * width

    def forward(self, x: Any) -> tuple[Any, Any, Any]:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        one = self.layer2(self.layer1(x))
        two = self.layer3(one)
        return one, two, self.layer4(two)


class _Pyramid(nn.Module):
    """Three levels brought to one width; each coarser level is enlarged (nearest) to the finer one's exact size and added."""

    def __init__(self, widths: tuple[int, int, int], width: int, slope: float) -> None:
        super().__init__()
        for index, channels in enumerate(widths):
            setattr(self, f"output{index + 1}", _convolution(channels, width, 1, slope=slope))
        self.merge1 = _convolution(width, width, slope=slope)
        self.merge2 = _convolution(width, width, slope=slope)

    def forward(self, maps: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        one, two, three = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        two = self.merge2(two + nn.functional.interpolate(three, size=two.shape[2:], mode="nearest"))
        one = self.merge1(one + nn.functional.interpolate(two, size=one.shape[2:], mode="nearest"))
        return one, two, three


class _SSH(nn.Module):
    """Receptive fields of 3, 5 and 7 side by side, the larger ones as stacks of 3x3; half, a quarter and a quarter of the channels."""

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        self.conv3X3 = _convolution(width, width // 2, slope=None)
        self.conv5X5_1 = _convolution(width, width // 4, slope=slope)
        self.conv5X5_2 = _convolution(width // 4, width // 4, slope=None)
        self.conv7X7_2 = _convolution(width // 4, width // 4, slope=slope)
        self.conv7x7_3 = _convolution(width // 4, width // 4, slope=None)

    def forward(self, x: Any) -> Any:
        shared = self.conv5X5_1(x)
        return torch.relu(torch.cat([self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))], dim=1))


class _Head(nn.Module):
    """One 1x1 convolution whose channels are (anchor, value): (N, C, h, w) → (N, h · w · anchors, values)."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(channels, _ANCHORS * values, 1)

    def forward(self, x: Any) -> Any:
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.values)


class RetinaFace(nn.Module):
    """The detector: backbone, pyramid, context modules, heads. `width` is the pyramid's (64 or 256)."""

    def __init__(self, body: Any, width: int) -> None:
        super().__init__()
        slope = 0.1 if width <= 64 else 0.0
        self.body = body
        self.fpn = _Pyramid(body.widths, width, slope)
        self.ssh1, self.ssh2, self.ssh3 = (_SSH(width, slope) for _ in range(3))
        self.ClassHead = nn.ModuleList(_Head(width, 2) for _ in range(3))
        self.BboxHead = nn.ModuleList(_Head(width, 4) for _ in range(3))
        self.LandmarkHead = nn.ModuleList(_Head(width, 10) for _ in range(3))
        he(self, slope=slope)
        for head in [*self.ClassHead, *self.BboxHead, *self.LandmarkHead]:
            nn.init.normal_(head.conv1x1.weight, std=0.01)

    def maps(self, x: Any) -> tuple[Any, Any, Any]:
        """Context maps at strides 8, 16, 32."""
        one, two, three = self.fpn(self.body(x))
        return self.ssh1(one), self.ssh2(two), self.ssh3(three)

    def heads(self, maps: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """What the three heads read from the maps."""
        boxes, classes, points = (
            torch.cat([head(level) for head, level in zip(heads, maps, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes if self.training else torch.softmax(classes, dim=-1), points

    def forward(self, x: Any) -> tuple[Any, ...]:
        """Box deltas (N, A, 4), classes (N, A, 2), landmark deltas (N, A, 10)."""
        return self.heads(self.maps(x))


def retinaface_mobilenet025() -> RetinaFace:
    """RetinaFace on MobileNet-0.25, pyramid of 64 channels: about 0.43 M parameters."""
    return RetinaFace(_MobileNet(), 64)


def retinaface_resnet50() -> RetinaFace:
    """RetinaFace on ResNet-50, pyramid of 256 channels: about 27 M parameters."""
    return RetinaFace(_ResNet50(), 256)
