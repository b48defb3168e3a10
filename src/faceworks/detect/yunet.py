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
        boxes, scores, points = [], [], []
        for level, stride in enumerate(self._decode.strides):
            cls, obj, bbox, kps = (tensor[0] for tensor in tensors[4 * level : 4 * level + 4])
            # thousands of cells, few faces: only what can reach the score is looked at closely
            cells = np.flatnonzero(cls[:, 0] * obj[:, 0] >= self._min_score**2 * (1 - 1e-5))
            score = np.sqrt(np.clip(cls[cells, 0], 0, 1) * np.clip(obj[cells, 0], 0, 1))
            cells, score = cells[score >= self._min_score], score[score >= self._min_score]
            if not cells.size:
                continue
            columns = size[1] // stride
            origin = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
            center = (origin + bbox[cells, :2]) * stride
            half = np.exp(bbox[cells, 2:]) * stride / 2
            boxes.append(np.concatenate([center - half, center + half], axis=1))
            points.append((kps[cells].reshape(-1, 5, 2) + origin[:, None]) * stride)
            scores.append(score)
        if not boxes:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        all_boxes, all_scores, all_points = np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
        kept = geometry.non_maximum_suppression(all_boxes, all_scores, self._decode.iou, top=self._decode.candidates)
        return all_boxes[kept], all_scores[kept], all_points[kept]
