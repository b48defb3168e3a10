"""SSD (Liu et al., ECCV 2016): offsets from priors of several shapes on six maps; the steps that Caffe's PriorBox and DetectionOutput layers do.

Checked against OpenCV 4's reader on the same files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card
from ..errors import ModelError
from ..runtime import SessionOptions
from ..types import Face, FloatArray, ImageArray
from .letterbox import Decoded, one_shot, opened

__all__ = ["Decode", "Ssd", "priors"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of an SSD card: for each map its rows (= columns), step, smallest and largest prior and ratios, all in pixels of the tensor.

    `locations` and `confidences` name the outputs; `candidates` boxes with the best scores are looked at.
    """

    min_score: float
    locations: str
    confidences: str
    maps: tuple[int, ...]
    steps: tuple[float, ...]
    min_sizes: tuple[float, ...]
    max_sizes: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    offset: float
    variances: tuple[float, ...]
    iou: float
    candidates: int
    min_size: float = 0.0


def priors(decode: Decode) -> FloatArray:
    """(N, 4) center x, center y, width, height of every prior, in the network's order: by map, row, column, then shape.

    Shapes: the smallest square, the square of √(smallest · largest), then for every ratio r the boxes √r times as wide as high and the reverse.
    """
    found = []
    levels = zip(decode.maps, decode.steps, decode.min_sizes, decode.max_sizes, decode.ratios, strict=True)
    for count, step, smallest, largest, ratios in levels:
        middle = math.sqrt(smallest * largest)
        shapes = [(smallest, smallest), (middle, middle)]
        for ratio in ratios:
            root = math.sqrt(ratio)
            shapes += [(smallest * root, smallest / root), (smallest / root, smallest * root)]
        level = np.empty((count, count, len(shapes), 4), np.float32)
        places = (np.arange(count) + decode.offset) * step
        level[..., 0] = places[None, :, None]
        level[..., 1] = places[:, None, None]
        level[..., 2:] = shapes
        found.append(level.reshape(-1, 4))
    return np.concatenate(found)


class Ssd:
    """Detector over two outputs: box offsets (N · 4) and class probabilities (N · 2)."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)
        self._outputs = [self._decode.locations, self._decode.confidences]
        self._priors = priors(self._decode)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, self._outputs, self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        offsets, scores = tensors[0].reshape(-1, 4), tensors[1].reshape(-1, 2)[:, 1]
        if len(offsets) != len(self._priors) or len(scores) != len(self._priors):
            raise ModelError(f"{self.card.name}: the network gives {len(offsets)} boxes, the card's maps and ratios make {len(self._priors)}")
        chosen = np.flatnonzero(scores > self._min_score)
        prior, offset = self._priors[chosen], offsets[chosen] * np.asarray(self._decode.variances, np.float32)
        middle = prior[:, :2] + offset[:, :2] * prior[:, 2:]
        half = prior[:, 2:] * np.exp(offset[:, 2:]) / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        kept = geometry.non_maximum_suppression(boxes, scores[chosen], self._decode.iou, top=self._decode.candidates)
        return boxes[kept], scores[chosen][kept], None
