"""YuNet (Wu, Peng, Yu, Machine Intelligence Research 20, 2023): anchor-free, one prior per cell at strides 8, 16 and 32.

The decoding follows the paper's head; it is checked against `cv2.FaceDetectorYN` on the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card
from ..runtime import SessionOptions
from ..types import Face, FloatArray, ImageArray
from .letterbox import Decoded, one_shot, opened

__all__ = ["Decode", "Yunet"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a YuNet card. `min_size` drops boxes whose longer side is shorter, in pixels of the picture."""

    min_score: float
    strides: tuple[int, ...]
    iou: float
    candidates: int
    min_size: float = 0.0


class Yunet:
    """Detector over YuNet's twelve outputs (cls, obj, bbox and kps at three strides)."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)
        self._outputs = [f"{kind}_{stride}" for stride in self._decode.strides for kind in ("cls", "obj", "bbox", "kps")]

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, self._outputs, self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        rows, places = [], []
        for level, stride in enumerate(self._decode.strides):
            cls, obj, bbox, kps = (tensor[0] for tensor in tensors[4 * level : 4 * level + 4])
            # thousands of cells, few faces: only what can reach the score is looked at closely
            cells = np.flatnonzero((cls * obj)[:, 0] >= self._min_score**2 * (1 - 1e-5))
            row, column = np.divmod(cells, size[1] // stride)
            rows.append(np.concatenate([cls[cells], obj[cells], bbox[cells], kps[cells]], axis=1))
            places.append(np.stack([column, row, np.full(len(cells), stride)], axis=1))
        found, place = np.concatenate(rows), np.concatenate(places).astype(np.float32)
        scores = np.sqrt(np.clip(found[:, 0], 0, 1) * np.clip(found[:, 1], 0, 1))
        sure = scores >= self._min_score
        found, place, scores = found[sure], place[sure], scores[sure]
        origin, step = place[:, :2], place[:, 2:]
        center, half = (origin + found[:, 2:4]) * step, np.exp(found[:, 4:6]) * step / 2
        boxes = np.concatenate([center - half, center + half], axis=1)
        kept = geometry.non_maximum_suppression(boxes, scores, self._decode.iou, top=self._decode.candidates)
        points = (found[kept, 6:].reshape(-1, 5, 2) + origin[kept, None]) * step[kept, None]
        return boxes[kept], scores[kept], points
