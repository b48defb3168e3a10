"""No detector: the picture already is a face, as in a folder of crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cards import Card, options
from ..runtime import SessionOptions
from ..types import Face, ImageArray
from .letterbox import check_min_score

__all__ = ["Decode", "Whole"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of the card. `score` is what every picture gets."""

    min_score: float
    score: float
    min_size: float = 0.0


class Whole:
    """One face in each picture: all of it."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode = options(card, Decode)
        self._min_score = check_min_score(min_score, self._decode.min_score)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """The whole of each picture."""
        found = []
        for picture in images:
            height, width = picture.shape[:2]
            face = Face(np.array([0, 0, width, height], np.float32), self._decode.score, None, self.card.name)
            found.append([face] if self._decode.score >= self._min_score and max(height, width) >= self._decode.min_size else [])
        return found
