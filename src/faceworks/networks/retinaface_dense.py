"""RetinaFace with its mesh branch: Deng et al. 2020, https://arxiv.org/abs/1905.00641, section 3.2.

As `retinaface` and, in train mode, a fourth output (N, A, code + 7 + 9): for each anchor shape and texture parameters, camera and light, from which
`train.losses.mesh` draws a face. The branch teaches the features below it and is left out of the exported network, which is a plain RetinaFace.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .retinaface import RetinaFace, _Head, _MobileNet, _ResNet50

__all__ = ["RetinaFaceDense", "retinaface_dense_mobilenet025", "retinaface_dense_resnet50"]


class RetinaFaceDense(RetinaFace):
    """The detector and the branch; `numbers` counts the outputs of an anchor's mesh (parameters, 7 of the camera, 9 of the light)."""

    def __init__(self, body: Any, width: int, numbers: int) -> None:
        super().__init__(body, width)
        self.MeshHead = nn.ModuleList(_Head(width, numbers) for _ in range(3))
        for head in self.MeshHead:
            nn.init.normal_(head.conv1x1.weight, std=0.01)
            nn.init.zeros_(head.conv1x1.bias)

    def forward(self, x: Any) -> tuple[Any, ...]:
        """As RetinaFace; in train mode with the mesh parameters (N, A, numbers) behind."""
        maps = self.maps(x)
        found = self.heads(maps)
        if not self.training:
            return found
        return (*found, torch.cat([head(level) for head, level in zip(self.MeshHead, maps, strict=True)], dim=1))


def retinaface_dense_mobilenet025(numbers: int = 48) -> RetinaFaceDense:
    """On MobileNet-0.25."""
    return RetinaFaceDense(_MobileNet(), 64, numbers)


def retinaface_dense_resnet50(numbers: int = 48) -> RetinaFaceDense:
    """On ResNet-50."""
    return RetinaFaceDense(_ResNet50(), 256, numbers)
