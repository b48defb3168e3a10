"""Five points by YuNet for a face whose box is known: the square about the box goes through the network, and its best cell speaks.

No score is asked for, so every box gets points; their `scores` are the best cell's score, low where YuNet sees no face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card, options
from ..runtime import SessionOptions, open_session, run_batched, to_blob
from ..types import Face, FloatArray, ImageArray, Landmarks
from .crops import edge_matrix, square_crop

__all__ = ["Decode", "YunetPoints"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of the card: the network's strides, the crop's side over the box's longer one, and the part of the crop, about its center, in which
    the face's center must lie."""

    strides: tuple[int, ...]
    factor: float
    middle: float


class YunetPoints:
    """Landmarker over YuNet's outputs cls, obj and kps."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        self._decode = options(card, Decode)
        self._input = card.input_for()
        self._session = open_session(card, options=session_options)
        self._outputs = [f"{kind}_{stride}" for stride in self._decode.strides for kind in ("cls", "obj", "kps")]

    def locate(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Landmarks]]:
        """Five points of each face of each picture, in coordinates of the picture."""
        side = self._input.size[0]
        places = [
            (picture, geometry.square_box(face.box, self._decode.factor)) for picture, group in zip(images, faces, strict=True) for face in group
        ]
        if not places:
            return [[] for _ in faces]
        blob = to_blob([square_crop(picture, square, side) for picture, square in places], self._input)
        tensors = run_batched(self._session, blob, limit=16, outputs=self._outputs)
        found = iter([self._points([tensor[row] for tensor in tensors], square, side) for row, (_, square) in enumerate(places)])
        return [[next(found) for _ in group] for group in faces]

    def _points(self, tensors: list[FloatArray], square: FloatArray, side: int) -> Landmarks:
        best, points = -1.0, np.zeros((5, 2), np.float32)
        for level, stride in enumerate(self._decode.strides):
            cls, obj, kps = tensors[3 * level : 3 * level + 3]
            score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
            columns = side // stride
            cells = np.stack([np.arange(len(score)) % columns, np.arange(len(score)) // columns], axis=1)
            away = np.abs((cells + 0.5) * stride / side - 0.5).max(axis=1)
            score = np.where(away <= self._decode.middle / 2, score, -1.0)
            cell = int(score.argmax())
            if score[cell] > best:
                best, points = float(score[cell]), (kps[cell].reshape(5, 2) + cells[cell]) * stride
        moved = geometry.apply(geometry.invert(edge_matrix(square, side)), points)
        return Landmarks(moved.astype(np.float32), "arcface5", np.full(5, max(best, 0.0), np.float32))
