"""How good a picture of a face is for recognition, and why it is not better: plain measurements, no network.

Every measure is mapped to 0..1 by a straight line between a value that is useless and one that is enough; the score is 100 times their geometric
mean, so one useless measure makes the whole useless. What the score is worth is measured: `docs/concepts/galleries.md` has the error-versus-discard
curve on LFW. Names follow ISO/IEC 29794-5 where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .. import image
from ..types import Face, ImageArray

__all__ = ["Quality", "QualityOptions", "measure"]

SIDE = 112
"""Faces are brought to this height (pixels) before sharpness is measured, so that it does not depend on the picture's size."""


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """For each measure (useless, enough); the line between them may fall.

    Attributes:
        sharpness: standard deviation of the Laplacian of the face at 112 pixels, gray levels.
        exposure: distance of the mean brightness from the ends of the scale, 0 = black or white, 0.5 = middle gray.
        clipped: share of pixels below 6 or above 249.
        contrast: standard deviation of brightness, gray levels.
        size: shorter side of the box, pixels. eyes: distance of the eyes, pixels.
        turn: nose beside the middle of the eyes, in eye distances. tilt: nose above or below its usual height, in eye distances.
        roll: degrees. cut: share of the box outside the picture.
        reason_below: measures that map below this are named as reasons.
    """

    sharpness: tuple[float, float] = (1.5, 9.0)
    exposure: tuple[float, float] = (0.04, 0.2)
    clipped: tuple[float, float] = (0.6, 0.1)
    contrast: tuple[float, float] = (6.0, 28.0)
    size: tuple[float, float] = (16.0, 64.0)
    eyes: tuple[float, float] = (8.0, 28.0)
    turn: tuple[float, float] = (0.75, 0.2)
    tilt: tuple[float, float] = (0.7, 0.2)
    roll: tuple[float, float] = (90.0, 25.0)
    cut: tuple[float, float] = (0.5, 0.05)
    reason_below: float = 0.5


REASONS: Mapping[str, str] = {
    "sharpness": "blurred", "exposure": "too dark or too bright", "clipped": "parts are black or white", "contrast": "flat, little contrast",
    "size": "the face is small", "eyes": "the eyes are close together in pixels", "turn": "turned to the side", "tilt": "looking up or down",
    "roll": "the head is tilted", "cut": "the face is cut off at the edge",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Quality of one face.

    Attributes:
        score: 0 useless to 100 good. measures: name -> what was measured, in the units of `QualityOptions`; a measure that cannot be taken
            (no landmarks) is absent. factors: name -> 0..1. reasons: what is wrong, worst first.
        n_faces: faces in the picture. norm: magnitude of the embedding, or None; neither counts in the score.
    """

    score: float
    measures: Mapping[str, float]
    factors: Mapping[str, float]
    reasons: tuple[str, ...]
    n_faces: int = 1
    norm: float | None = None


def measure(picture: ImageArray, face: Face, options: QualityOptions | None = None, *, n_faces: int = 1, norm: float | None = None) -> Quality:
    """Measure a face of a picture (H, W, 3) uint8 RGB."""
    options = options or QualityOptions()
    measures = _of_pixels(picture, face) | _of_points(face) | {"size": min(face.width, face.height), "cut": _cut(face, picture.shape[:2])}
    limits = {item.name: getattr(options, item.name) for item in fields(options) if item.name in measures}
    factors = {name: float(np.clip((measures[name] - low) / (enough - low), 0.0, 1.0)) for name, (low, enough) in limits.items()}
    score = 100.0 * float(np.prod(list(factors.values()))) ** (1.0 / len(factors))
    weak = sorted((value, name) for name, value in factors.items() if value < options.reason_below)
    reasons = [f"{REASONS[name]} ({name} {measures[name]:.3g}, enough is {limits[name][1]:g})" for _, name in weak]
    if n_faces > 1:
        reasons.append(f"{n_faces} faces in the picture")
    return Quality(score, measures, factors, tuple(reasons), n_faces, norm)


def _of_pixels(picture: ImageArray, face: Face) -> dict[str, float]:
    height, width = picture.shape[:2]
    x1, y1 = (int(max(0, np.floor(value))) for value in face.box[:2])
    x2, y2 = int(min(width, np.ceil(face.box[2]))), int(min(height, np.ceil(face.box[3])))
    if x2 - x1 < 3 or y2 - y1 < 3:
        return {"sharpness": 0.0, "exposure": 0.0, "clipped": 1.0, "contrast": 0.0}
    region = picture[y1:y2, x1:x2]
    gray = _gray(region)
    scale = SIDE / (y2 - y1)
    small = _gray(image.resize(region, (SIDE, max(3, round((x2 - x1) * scale))))) if scale < 1 else gray
    laplacian = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:] - 4 * small[1:-1, 1:-1]
    mean = float(gray.mean()) / 255
    # a face enlarged to 112 pixels would lose its edges: where it is smaller, each edge counts for the pixels it would cover
    return {
        "sharpness": float(laplacian.std()) * min(1.0, 1.0 / scale),
        "exposure": min(mean, 1 - mean),
        "clipped": float(((gray < 6) | (gray > 249)).mean()),
        "contrast": float(gray.std()),
    }


def _gray(region: ImageArray) -> NDArray[np.float32]:
    """ITU-R BT.601 luma."""
    return np.asarray(region.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


def _of_points(face: Face) -> dict[str, float]:
    if face.landmarks is None or face.landmarks.scheme != "arcface5":
        return {}
    left, right, nose, mouth_left, mouth_right = face.landmarks.points.astype(np.float64)
    across = right - left
    distance = float(np.hypot(*across))
    if distance < 1e-6:
        return {"eyes": 0.0}
    along = across / distance
    down = np.array([-along[1], along[0]])
    middle, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    depth = float((mouth - middle) @ down)
    height = float((nose - middle) @ down) / depth if depth > 1e-6 else 0.0
    return {
        "eyes": distance,
        "turn": abs(float((nose - middle) @ along)) / distance,
        "tilt": abs(height - 0.5) * 2,  # the nose tip lies half the way from the eyes to the mouth in a frontal face (the ArcFace template)
        "roll": abs(float(np.degrees(np.arctan2(across[1], across[0])))),
    }


def _cut(face: Face, size: tuple[int, int]) -> float:
    inside = max(0.0, min(size[1], float(face.box[2])) - max(0.0, float(face.box[0])))
    inside *= max(0.0, min(size[0], float(face.box[3])) - max(0.0, float(face.box[1])))
    return 1.0 - min(1.0, inside / face.area) if face.area > 0 else 1.0
