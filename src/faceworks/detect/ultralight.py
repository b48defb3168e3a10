"""Ultra-Light-Fast-Generic-Face-Detector (Linzaer, 2019): an SSD whose graph decodes its own boxes, as shares of the picture's sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card
from ..runtime import SessionOptions
from ..types import Face, FloatArray, ImageArray
from .letterbox import Decoded, one_shot, opened

__all__ = ["Decode", "Ultralight"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of an Ultra-Light card."""

    min_score: float
    scores: str
    boxes: str
    iou: float
    candidates: int
    min_size: float = 0.0


class Ultralight:
    """Detector over two outputs: probabilities (N, 2) and corners (N, 4) in [0, 1]."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, [self._decode.scores, self._decode.boxes], self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        scores = tensors[0][0, :, 1]
        chosen = np.flatnonzero(scores > self._min_score)
        boxes = tensors[1][0, chosen] * np.array([size[1], size[0], size[1], size[0]], np.float32)
        kept = geometry.non_maximum_suppression(boxes, scores[chosen], self._decode.iou, top=self._decode.candidates)
        return boxes[kept], scores[chosen][kept], None
