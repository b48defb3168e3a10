"""Boosted cascades (Viola and Jones, CVPR 2001; Liao et al., 2007): OpenCV's Haar and LBP classifiers, run by OpenCV itself.

A cascade gives no probability: a face's score is the number n of windows that agreed on it, as 1 − 2^(−n / `half`). It gives no points either.
OpenCV 5 moved `CascadeClassifier` to its contrib modules, which is the package that faceworks depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .. import assets
from ..cards import Card, options
from ..errors import MissingDependency, ModelError
from ..runtime import SessionOptions
from ..types import Face, ImageArray
from .letterbox import check_min_score

__all__ = ["Cascade", "Decode"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a cascade's card, as `detectMultiScale` takes it. `equalize` spreads the histogram first; `min_size` in pixels."""

    min_score: float
    scale_factor: float
    min_neighbors: int
    min_size: float
    half: float
    equalize: bool = False


def _open(path: str) -> Any:
    """A classifier. OpenCV keeps scratch buffers in it, so every call opens its own: threads may share the detector."""
    kind = getattr(cv2, "CascadeClassifier", None)
    if kind is None:
        raise MissingDependency(f"OpenCV {cv2.__version__} has no CascadeClassifier; run: pip install opencv-contrib-python-headless")
    classifier = kind(path)
    if classifier.empty():
        raise ModelError(f"OpenCV {cv2.__version__} does not read the cascade {path}")
    return classifier


class Cascade:
    """Detector over OpenCV's CascadeClassifier."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode = options(card, Decode)
        self._min_score = check_min_score(min_score, self._decode.min_score)
        self._path = str(assets.fetch(card.file_for()))
        _open(self._path)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        classifier = _open(self._path)
        return [self._faces(classifier, picture) for picture in images]

    def _faces(self, classifier: Any, picture: ImageArray) -> list[Face]:
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        if self._decode.equalize:
            gray = cv2.equalizeHist(gray)
        least = max(1, round(self._decode.min_size))
        boxes, counts = classifier.detectMultiScale2(
            gray, scaleFactor=self._decode.scale_factor, minNeighbors=self._decode.min_neighbors, minSize=(least, least)
        )
        scores = 1 - 2.0 ** (-np.asarray(counts, dtype=np.float64).reshape(-1) / self._decode.half)
        faces = [
            Face(np.array([x, y, x + width, y + height], np.float32), float(score), None, self.card.name)
            for (x, y, width, height), score in zip(boxes, scores, strict=True)
            if score >= self._min_score
        ]
        return sorted(faces, key=lambda face: -face.score)
