"""dlib's frontal face detector (histograms of oriented gradients, five linear filters), run by dlib itself: the only module that imports it.

Its rectangles name the first and last pixels inside; boxes here end one pixel later. Its scores are unbounded; they are given as 1 / (1 + exp(−s)).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cards import Card, options
from ..optional import require
from ..runtime import SessionOptions
from ..types import Face, ImageArray
from .letterbox import check_min_score

__all__ = ["Decode", "DlibHog"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of the card: the lowest score (0.5 is dlib's threshold 0), and how many times the picture is doubled first."""

    min_score: float
    upsample: int = 0


class DlibHog:
    """Detector over `dlib.get_frontal_face_detector()`."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        del session_options  # dlib's filters run on the CPU in one thread
        self.card = card
        self._decode = options(card, Decode)
        score = min(max(check_min_score(min_score, self._decode.min_score), 1e-6), 1 - 1e-6)
        self._threshold = math.log(score / (1 - score))
        self._detector = require("dlib", "dlib", f"the detector {card.name}").get_frontal_face_detector()
        self._lock = threading.Lock()  # the object keeps a scratch pyramid

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        found = []
        for picture in images:
            with self._lock:
                rectangles, scores, _ = self._detector.run(np.ascontiguousarray(picture), self._decode.upsample, self._threshold)
            boxes = [np.array([r.left(), r.top(), r.right() + 1, r.bottom() + 1], np.float32) for r in rectangles]
            faces = [Face(box, 1 / (1 + math.exp(-score)), None, self.card.name) for box, score in zip(boxes, scores, strict=True)]
            found.append(sorted(faces, key=lambda face: -face.score))
        return found
