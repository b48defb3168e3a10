"""A hint that mouth or eyes are covered, from pixels alone: a mask has no lips, dark glasses no whites.

It is a hint, not a detector: covers painted on 16 portraits are found in at least 90 % (`tests/reference/test_hard_faces.py`);
a patterned mask or clear glasses go unseen, a beard or deep shadow may be taken for a cover.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import align
from ..types import Face, ImageArray

__all__ = ["EYES", "MOUTH", "occlusion_hints"]

MOUTH = 0.3
"""A mouth is covered when its vertical edges are weaker than this, in those of the eyes (uncovered faces: 0.5 and more in 99 %)."""
EYES = 0.3
"""Eyes are covered when they are darker than this, in the brightness of the cheeks (uncovered faces: 0.36 and more in 99 %)."""

_MOUTH = (slice(84, 100), slice(40, 73))
_LEFT, _RIGHT = (slice(45, 59), slice(28, 49)), (slice(45, 59), slice(63, 84))
_CHEEKS = (slice(66, 78), slice(30, 82))


def _edges(gray: NDArray[np.float32], part: tuple[slice, slice]) -> float:
    rows, columns = part
    return float(np.abs(gray[rows.start + 1 : rows.stop + 1, columns] - gray[rows.start - 1 : rows.stop - 1, columns]).mean())


def occlusion_hints(picture: ImageArray, face: Face) -> tuple[str, ...]:
    """What seems to be covered, in words; nothing for a face without the five `arcface5` points, or one smaller than 32 pixels."""
    if face.landmarks is None or face.landmarks.scheme != "arcface5" or min(face.width, face.height) < 32:
        return ()
    pixels = align.crop(picture, face, "arcface-112x112", (112, 112)).pixels
    gray = np.asarray(pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))
    eyes = (_edges(gray, _LEFT) + _edges(gray, _RIGHT)) / 2
    cheeks = float(gray[_CHEEKS].mean())
    hints = []
    if eyes > 4 and _edges(gray, _MOUTH) < MOUTH * eyes:
        hints.append("the mouth may be covered")
    if cheeks > 30 and max(float(gray[_LEFT].mean()), float(gray[_RIGHT].mean())) < EYES * cheeks:
        hints.append("the eyes may be covered")
    return tuple(hints)
