"""Pictures with faces, changed at random and brought to a square: RetinaFace's augmentation (section 4.2): square crops of 0.3 to 1 of the shorter side,
mirroring, light. Boxes and points go along; mirrored points change sides, since the left eye is the one that the *viewer* sees left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import image
from ..types import ImageArray
from .boxes import FaceLabels
from .config import AugmentConfig

__all__ = ["change_scene", "cut_scene", "fit_scene", "mirror_faces"]

_SWAP = (1, 0, 2, 4, 3)
_TRIES = 20
_TINY = 4.0
"""A face with a side below so many pixels after all is ignored: no anchor is near it."""


def mirror_faces(faces: FaceLabels, width: int) -> FaceLabels:
    """Faces of the mirrored picture: eyes and corners of the mouth change names. Points lie on pixel centers (x → width − 1 − x), boxes on edges
    (x → width − x)."""
    boxes = faces.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    points = faces.points[:, _SWAP].copy()
    points[..., 0] = width - 1 - points[..., 0]
    return FaceLabels(boxes, points, faces.levels, faces.ignore)


def cut_scene(pixels: ImageArray, faces: FaceLabels, square: tuple[int, int, int], size: int) -> tuple[ImageArray, FaceLabels]:
    """The piece (x, y, side) of a picture at `size` x `size` (black outside), with the faces whose centers lie in it; their boxes are cut to it, points
    are not (a network may learn where they would be)."""
    x, y, side = square
    height, width = pixels.shape[:2]
    piece = np.zeros((side, side, 3), np.uint8)
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + side, height), min(x + side, width)
    piece[top - y : bottom - y, left - x : right - x] = pixels[top:bottom, left:right]
    factor = size / side
    center = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - (x, y)
    kept = faces.take(np.asarray(((center >= 0) & (center < side)).all(axis=1), bool))
    boxes = np.clip((kept.boxes - np.array([x, y, x, y], np.float32)) * factor, 0, size).astype(np.float32)
    # pixel centers: the center of the first pixel, 0, lies half a pixel inside the edge
    points = ((kept.points - np.array([x, y], np.float32) + 0.5) * factor - 0.5).astype(np.float32)
    tiny = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < _TINY if len(boxes) else np.zeros(0, bool)
    return image.resize(piece, (size, size)), FaceLabels(boxes, points, kept.levels, kept.ignore | tiny)


def fit_scene(pixels: ImageArray, faces: FaceLabels, size: int) -> tuple[ImageArray, FaceLabels]:
    """The whole picture at the top left of a square of its longer side: nothing random, nothing lost."""
    return cut_scene(pixels, faces, (0, 0, max(pixels.shape[:2])), size)


def change_scene(
    pixels: ImageArray, faces: FaceLabels, size: int, shares: Sequence[float], options: AugmentConfig, rng: np.random.Generator
) -> tuple[ImageArray, FaceLabels]:
    """A random piece, mirrored in half the cases, with changed light.

    Args:
        shares: sides of the piece, as shares of the picture's shorter side; one is drawn. A piece without a face that counts is drawn again; after 20
            tries, and with no shares, the whole picture is taken.
    """
    height, width = pixels.shape[:2]
    found = fit_scene(pixels, faces, size)
    for _ in range(_TRIES if len(shares) and (~faces.ignore).any() else 0):
        side = max(16, round(float(rng.choice(np.asarray(shares, np.float64))) * min(height, width)))
        x, y = int(rng.integers(0, max(1, width - side + 1))), int(rng.integers(0, max(1, height - side + 1)))
        tried = cut_scene(pixels, faces, (x, y, side), size)
        if (~tried[1].ignore).any():
            found = tried
            break
    picture, kept = np.array(found[0]), found[1]
    if options.mirror and rng.random() < 0.5:
        picture, kept = np.ascontiguousarray(picture[:, ::-1]), mirror_faces(kept, size)
    if options.brightness or options.contrast:
        mean = picture.mean()
        light = rng.uniform(-options.brightness, options.brightness) * 255
        factor = 1 + rng.uniform(-options.contrast, options.contrast)
        picture = np.clip(np.rint((picture - mean) * factor + mean + light), 0, 255).astype(np.uint8)
    return picture, kept
