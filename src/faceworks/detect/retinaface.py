"""RetinaFace (Deng et al., CVPR 2020) in its single-level form with priors: boxes and five points relative to a grid of squares.

Decoding as in SSD: center + offset · variance · side, side · exp(offset · variance). Checked against the decoding of biubug6/Pytorch_Retinaface.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card
from ..errors import ModelError
from ..runtime import SessionOptions
from ..types import Face, FloatArray, ImageArray
from .letterbox import Decoded, grid, one_shot, opened

__all__ = ["Decode", "Retinaface", "priors"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a RetinaFace card. `min_sizes` are the sides of the priors at each step, in pixels of the tensor."""

    min_score: float
    steps: tuple[int, ...]
    min_sizes: tuple[tuple[int, ...], ...]
    variances: tuple[float, ...]
    iou: float
    candidates: int
    min_size: float = 0.0


def priors(size: tuple[int, int], steps: Sequence[int], min_sizes: Sequence[Sequence[int]]) -> FloatArray:
    """(N, 3) float32 center x, center y and side of every prior, in pixels of a tensor of `size` (height, width), in the network's order."""
    levels = []
    for step, sides in zip(steps, min_sizes, strict=True):
        cells = (grid(size, step) + 0.5) * step
        level = np.empty((len(cells), len(sides), 3), np.float32)
        level[..., :2] = cells[:, None]
        level[..., 2] = sides
        levels.append(level.reshape(-1, 3))
    return np.concatenate(levels)


_kept_priors = functools.lru_cache(maxsize=8)(priors)
"""Pictures of one size follow each other, and making the priors takes longer than all else here."""


class Retinaface:
    """Detector over three outputs, told apart by their last axis: 4 box offsets, 2 scores (after softmax), 10 point offsets."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, min_size=self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        by_width = {tensor.shape[-1]: tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors}
        if set(by_width) != {2, 4, 10}:
            raise ModelError(f"{self.card.name}: expected outputs with 4, 2 and 10 columns, got {sorted(by_width)}")
        scores = by_width[2][:, 1]
        anchors = _kept_priors(size, self._decode.steps, self._decode.min_sizes)
        if len(anchors) != len(scores):
            raise ModelError(f"{self.card.name}: the network gives {len(scores)} boxes, steps and min_sizes of the card make {len(anchors)}")
        chosen = np.flatnonzero(scores >= self._min_score)
        center, side = anchors[chosen, :2], anchors[chosen, 2:]
        near, far = self._decode.variances
        middle = center + by_width[4][chosen, :2] * near * side
        half = side * np.exp(by_width[4][chosen, 2:] * far) / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        points = center[:, None] + by_width[10][chosen].reshape(-1, 5, 2) * near * side[:, None]
        kept = geometry.non_maximum_suppression(boxes, scores[chosen], self._decode.iou, top=self._decode.candidates)
        return boxes[kept], scores[chosen][kept], points[kept]
