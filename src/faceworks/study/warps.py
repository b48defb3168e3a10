"""Deterministic edits of a face by its 68 points: expressions by displacement, morphs, composites. Material for the demo and for controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import geometry, image
from ..errors import InputError
from ..types import ImageArray
from .faces import STABLE
from .working import hull

__all__ = ["EXPRESSIONS", "composite", "express", "morph", "move"]

Floats: TypeAlias = NDArray[np.float64]

EXPRESSIONS: Mapping[str, Mapping[int, tuple[float, float]]] = {
    "happy": {48: (-0.10, -0.08), 54: (0.10, -0.08), 49: (-0.05, -0.04), 53: (0.05, -0.04), 59: (-0.05, -0.02), 55: (0.05, -0.02), 60: (-0.08, -0.06),
              64: (0.08, -0.06), 57: (0, 0.02), 40: (0, -0.02), 41: (0, -0.02), 46: (0, -0.02), 47: (0, -0.02)},
    "sad": {48: (0.01, 0.08), 54: (-0.01, 0.08), 49: (0, 0.03), 53: (0, 0.03), 59: (0, 0.05), 55: (0, 0.05), 60: (0, 0.06), 64: (0, 0.06), 20: (0.01, -0.05),
            21: (0.02, -0.08), 22: (-0.02, -0.08), 23: (-0.01, -0.05), 17: (0, 0.02), 26: (0, 0.02)},
    "angry": {19: (0.01, 0.05), 20: (0.03, 0.09), 21: (0.04, 0.11), 22: (-0.04, 0.11), 23: (-0.03, 0.09), 24: (-0.01, 0.05), 37: (0, 0.02), 38: (0, 0.02),
              43: (0, 0.02), 44: (0, 0.02), 48: (0.03, 0.02), 54: (-0.03, 0.02), 51: (0, 0.03), 57: (0, -0.03)},
    "surprise": {**dict.fromkeys(range(17, 27), (0.0, -0.12)), 37: (0, -0.03), 38: (0, -0.03), 43: (0, -0.03), 44: (0, -0.03), 55: (-0.01, 0.10), 56: (0, 0.15),
                 57: (0, 0.16), 58: (0, 0.15), 59: (0.01, 0.10), 65: (0, 0.13), 66: (0, 0.14), 67: (0, 0.13), 7: (0, 0.08), 8: (0, 0.09), 9: (0, 0.08)},
}  # fmt: skip
"""Emotion -> point -> way (right, down) in parts of the distance of the outer eye corners, in the face's own axes. Ours: they follow the action units
that the Facial Action Coding System names for the emotion (12 for a smile, 1 + 15, 4 + 24, 1 + 2 + 26), not anybody's data."""


def move(picture: ImageArray, start: Floats, end: Floats) -> ImageArray:
    """Carry the points `start` (K, 2) to `end` (K, 2); between them a thin-plate spline, zero at the picture's border.

    Raises:
        InputError: points that coincide.
    """
    from scipy.interpolate import RBFInterpolator

    height, width = picture.shape[:2]
    edge = np.array([[x * (width - 1) / 4, y * (height - 1) / 4] for x in range(5) for y in range(5) if x in (0, 4) or y in (0, 4)])
    anchors = np.concatenate([end, edge])
    try:
        # backward: where in the picture each target pixel comes from
        spline = RBFInterpolator(anchors, np.concatenate([start - end, np.zeros_like(edge)]), kernel="thin_plate_spline", smoothing=1e-6)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise InputError(f"the points do not define a warp: {error}") from error
    nodes = np.stack(np.meshgrid(np.linspace(0, width - 1, 65), np.linspace(0, height - 1, 65)), axis=-1)
    coarse = spline(nodes.reshape(-1, 2)).reshape(65, 65, 2).astype(np.float32)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    way = cv2.remap(coarse, x * np.float32(64 / max(1, width - 1)), y * np.float32(64 / max(1, height - 1)), cv2.INTER_CUBIC)
    moved = cv2.remap(picture, x + way[..., 0], y + way[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def express(picture: ImageArray, points: Floats, emotion: str, strength: float = 1.0) -> ImageArray:
    """The face with an expression of `EXPRESSIONS`; outside its hull the picture keeps every pixel."""
    across = points[45] - points[36]
    apart = float(np.linalg.norm(across))
    right = across / apart
    down = np.array([-right[1], right[0]])
    target = points.copy()
    for index, (x, y) in EXPRESSIONS[emotion].items():
        target[index] += strength * apart * (x * right + y * down)
    moved = move(picture, points, target)
    return _blend(picture, moved, hull(points, picture.shape[:2], 0.02) | hull(target, picture.shape[:2], 0.02), apart)


def morph(first: ImageArray, second: ImageArray, a: Floats, b: Floats, share: float) -> ImageArray:
    """The way from one face (points `a`) to another (points `b`), at `share` in [0, 1]; the second is laid onto the first by its eyes and nose."""
    stable = list(STABLE)
    fit = geometry.similarity_transform(b[stable], a[stable])
    laid, points = image.warp(second, fit, first.shape[:2], border="replicate"), geometry.apply(fit, b)
    middle = (1 - share) * a + share * points
    mixed = (1 - share) * move(first, a, middle).astype(np.float64) + share * move(laid, points, middle)
    return np.asarray(mixed.round(), np.uint8)


def composite(first: ImageArray, second: ImageArray, a: Floats, b: Floats) -> ImageArray:
    """The face of `second` inside the hull of the face of `first`; everything else is `first`, pixel for pixel."""
    stable = list(STABLE)
    fit = geometry.similarity_transform(b[stable], a[stable])
    laid = image.warp(second, fit, first.shape[:2], border="replicate")
    return _blend(first, laid, hull(a, first.shape[:2], 0.0), float(np.linalg.norm(a[45] - a[36])))


def _blend(ground: ImageArray, face: ImageArray, where: NDArray[np.bool_], apart: float) -> ImageArray:
    """`face` inside, `ground` outside, a soft seam of a tenth of the eye distance inside the region."""
    inside = cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 5)
    weight = np.clip(np.asarray(inside, np.float64) / max(1.0, 0.1 * apart), 0, 1)[..., None]
    return np.asarray((ground * (1 - weight) + face * weight).round(), np.uint8)
