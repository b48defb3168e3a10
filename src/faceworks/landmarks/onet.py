"""Five points by MTCNN's last network for a face whose box is known.

Foreign boxes are framed otherwise than MTCNN's, so the O-Net looks `passes` times: each time its offsets move the box, and the last look gives the
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import geometry
from ..cards import Card, options
from ..runtime import SessionOptions, open_session, run_batched, to_blob
from ..types import Face, ImageArray, Landmarks
from .crops import square_crop

__all__ = ["Decode", "Onet"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of the card: the first crop's side over the box's longer one, and how often the network looks."""

    factor: float
    passes: int


class Onet:
    """Landmarker over the O-Net: log-odds, four box offsets, five x, five y."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        self._decode = options(card, Decode)
        self._input = card.input_for("onet")
        self._session = open_session(card, "onet", session_options)

    def locate(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Landmarks]]:
        """Five points of each face of each picture, in coordinates of the picture."""
        pictures = [picture for picture, group in zip(images, faces, strict=True) for _ in group]
        if not pictures:
            return [[] for _ in faces]
        squares = np.stack([geometry.square_box(face.box, self._decode.factor) for group in faces for face in group])
        for look in range(self._decode.passes):
            crops = [square_crop(picture, square, self._input.size[0]) for picture, square in zip(pictures, squares, strict=True)]
            answers = run_batched(self._session, to_blob(crops, self._input), limit=8)[0]
            sides = squares[:, 2:] - squares[:, :2]
            points = squares[:, None, :2] + sides[:, None] * np.stack([answers[:, 5:10], answers[:, 10:15]], axis=2)
            if look + 1 < self._decode.passes:
                squares = np.stack([geometry.square_box(box) for box in squares + answers[:, 1:5] * np.tile(sides, 2)])
        scores = 1 / (1 + np.exp(-answers[:, 0]))
        found = iter([Landmarks(p, "arcface5", np.full(5, s, np.float32)) for p, s in zip(points, scores, strict=True)])
        return [[next(found) for _ in group] for group in faces]
