"""YOLO face detectors with five points: YOLO5Face (Qi et al., 2021) and YOLOv8-face (a pose head with distribution focal loss).

`yolov5`: one output whose rows are decoded already: center x, center y, width, height, objectness, five points, class probability; the score is
objectness times class probability. `yolov8`: one map per stride with 4 · `bins` logits of the distances to the four sides (the expectation of a
softmax over 0 … bins − 1), one class logit, and five points as (x, y, visibility).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .. import geometry
from ..cards import Card
from ..errors import ModelError
from ..runtime import SessionOptions
from ..types import Face, FloatArray, ImageArray
from .letterbox import Decoded, grid, one_shot, opened

__all__ = ["Decode", "Yolo", "decode_v5", "decode_v8"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a YOLO card. `strides` and `bins` are for the head `yolov8`."""

    min_score: float
    head: Literal["yolov5", "yolov8"]
    iou: float
    candidates: int
    strides: tuple[int, ...] = ()
    bins: int = 16
    min_size: float = 0.0


def decode_v5(rows: FloatArray, min_score: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Boxes (N, 4), scores (N,) and points (N, 5, 2) of rows (M, 16) that reach the score."""
    scores = rows[:, 4] * rows[:, 15]
    chosen = np.flatnonzero(scores >= min_score)
    half = rows[chosen, 2:4] / 2
    boxes = np.concatenate([rows[chosen, :2] - half, rows[chosen, :2] + half], axis=1)
    return boxes, scores[chosen], rows[chosen, 5:15].reshape(-1, 5, 2)


def decode_v8(maps: FloatArray, stride: int, bins: int, min_score: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same from one map (4 · bins + 16, rows, columns). Box distances start at cell centers, points at cell corners, twice as coarse."""
    channels, rows, columns = maps.shape
    flat = maps.reshape(channels, -1)
    scores = 1 / (1 + np.exp(-flat[4 * bins]))
    chosen = np.flatnonzero(scores >= min_score)
    cells = grid((rows, columns), 1)[chosen]
    logits = flat[: 4 * bins, chosen].T.reshape(-1, 4, bins)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    sides = (weights @ np.arange(bins, dtype=np.float32)) / weights.sum(axis=2)
    boxes = np.concatenate([cells + 0.5 - sides[:, :2], cells + 0.5 + sides[:, 2:]], axis=1) * stride
    points = (flat[4 * bins + 1 :, chosen].T.reshape(-1, 5, 3)[..., :2] * 2 + cells[:, None]) * stride
    return boxes, scores[chosen], points


class Yolo:
    """Detector over a YOLOv5-face or YOLOv8-face graph."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, min_size=self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        if self._decode.head == "yolov5":
            boxes, scores, points = decode_v5(tensors[0].reshape(-1, tensors[0].shape[-1]), self._min_score)
        else:
            boxes, scores, points = self._levels(tensors, size)
        kept = geometry.non_maximum_suppression(boxes, scores, self._decode.iou, top=self._decode.candidates)
        return boxes[kept], scores[kept], points[kept]

    def _levels(self, tensors: list[FloatArray], size: tuple[int, int]) -> tuple[FloatArray, FloatArray, FloatArray]:
        by_shape = {tensor.shape[-2:]: tensor[0] for tensor in tensors if tensor.ndim == 4}
        parts = []
        for stride in self._decode.strides:
            level = (-(-size[0] // stride), -(-size[1] // stride))
            if level not in by_shape:
                raise ModelError(f"{self.card.name}: no output map of {level[0]}x{level[1]} for stride {stride}; got {sorted(by_shape)}")
            parts.append(decode_v8(by_shape[level], stride, self._decode.bins, self._min_score))
        return tuple(np.concatenate(items) for items in zip(*parts, strict=True))  # type: ignore[return-value]
