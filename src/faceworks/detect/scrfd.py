"""SCRFD (Guo et al., ICLR 2022): distances from anchor centers to the four sides and to five points, at strides 8, 16 and 32.

Exports differ in the order of their outputs and in the batch axis, so outputs are found by their shape. Checked against insightface's decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card
from ..errors import ModelError
from ..runtime import SessionOptions
from ..types import Face, FloatArray, ImageArray
from .letterbox import Decoded, grid, one_shot, opened

__all__ = ["Decode", "Scrfd"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of an SCRFD card. `anchors` is the number of boxes in each cell."""

    min_score: float
    strides: tuple[int, ...]
    anchors: int
    iou: float
    candidates: int
    min_size: float = 0.0


class Scrfd:
    """Detector over three kinds of outputs, told apart by their last axis: 1 score, 4 distances, 10 point offsets, in units of the stride."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, min_size=self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        by_shape = {tensor.shape[-2:]: tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors}
        boxes, scores, points = [], [], []
        for stride in self._decode.strides:
            cells = grid(size, stride)
            count = len(cells) * self._decode.anchors
            try:
                score, distance, offset = (by_shape[count, width] for width in (1, 4, 10))
            except KeyError:
                got = ", ".join(str(shape) for shape in sorted(by_shape))
                raise ModelError(f"{self.card.name}: no outputs of {count} rows for stride {stride}; the network gives {got}") from None
            chosen = np.flatnonzero(score[:, 0] >= self._min_score)
            center = cells[chosen // self._decode.anchors] * stride
            distance = distance[chosen] * stride
            boxes.append(np.concatenate([center - distance[:, :2], center + distance[:, 2:]], axis=1))
            points.append(center[:, None] + offset[chosen].reshape(-1, 5, 2) * stride)
            scores.append(score[chosen, 0])
        all_boxes, all_scores, all_points = np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
        kept = geometry.non_maximum_suppression(all_boxes, all_scores, self._decode.iou, top=self._decode.candidates)
        return all_boxes[kept], all_scores[kept], all_points[kept]
