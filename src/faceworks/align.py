"""Cutting a face out of a picture the way a network was trained to see it.

The crop grammar, as cards write it:

    arcface-112x112, arcface-112x96   five points, least-squares similarity onto the ArcFace template
    square:K                          the square about the box center, K times its longer side: nothing is flattened, outside is black
    box:K                             the box scaled by K about its center, stretched to the size (shape not kept)
    box                               the box grown by `margin` pixels of the *crop* in all (FaceNet's rule)
    whole                             the whole picture, stretched

Every crop keeps its (2, 3) matrix from picture to crop, so that anything found in it can be carried back.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from . import geometry, image
from .errors import ConfigError, InputError
from .types import Crop, Face, ImageArray

__all__ = ["TEMPLATES", "crop", "needs_scheme", "square", "template_points"]

_ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Reference points for 112x112 (height x width), pixel centers: published with SphereFace for 112x96 and widened by 8 px in ArcFace."""

TEMPLATES: Mapping[str, tuple[NDArray[np.float64], tuple[int, int], str]] = {
    "arcface-112x112": (_ARCFACE, (112, 112), "arcface5"),
    "arcface-112x96": (_ARCFACE - [8.0, 0.0], (112, 96), "arcface5"),
}
"""Template name -> (points (K, 2), size (height, width) they are given for, landmark scheme)."""


def needs_scheme(template: str) -> str | None:
    """Landmark scheme that a crop needs, or None when the box is enough."""
    return TEMPLATES[template][2] if template in TEMPLATES else None


def template_points(template: str, size: tuple[int, int]) -> NDArray[np.float64]:
    """Template points scaled to `size` (height, width) about pixel centers."""
    points, base, _ = TEMPLATES[template]
    scale = np.array([size[1] / base[1], size[0] / base[0]])
    scaled: NDArray[np.float64] = (points + 0.5) * scale - 0.5
    return scaled


def _box_matrix(box: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Picture → crop for a box stretched to a size: box edges become the outer edges of the crop's pixels."""
    x1, y1, x2, y2 = (float(v) for v in box)
    width, height = max(x2 - x1, 1e-3), max(y2 - y1, 1e-3)
    sx, sy = size[1] / width, size[0] / height
    return np.array([[sx, 0.0, -x1 * sx + 0.5 * sx - 0.5], [0.0, sy, -y1 * sy + 0.5 * sy - 0.5]])


def _factor(template: str) -> float:
    _, _, text = template.partition(":")
    try:
        factor = float(text or "1")
    except ValueError:
        factor = -1.0
    if not 0 < factor < float("inf"):
        raise ConfigError(f"crop {template!r}: the factor must be a positive number")
    return factor


def matrix_for(face: Face, template: str, size: tuple[int, int], image_size: tuple[int, int], margin: float = 0.0) -> NDArray[np.float64]:
    """The (2, 3) transform from picture to crop."""
    kind = template.partition(":")[0]
    if template in TEMPLATES:
        scheme = TEMPLATES[template][2]
        if face.landmarks is None or face.landmarks.scheme != scheme:
            have = "none" if face.landmarks is None else face.landmarks.scheme
            raise InputError(f"the crop {template!r} needs {scheme} landmarks, the face of {face.detector or 'unknown origin'} has {have}")
        return geometry.similarity_transform(face.landmarks.points, template_points(template, size))
    if kind == "square":
        return _box_matrix(geometry.square_box(face.box, _factor(template)), size)
    if kind == "box":
        box = geometry.scale_about_center(face.box, _factor(template))
        if margin:
            grow_x, grow_y = margin * face.width / (size[1] - margin) / 2, margin * face.height / (size[0] - margin) / 2
            box = box + np.array([-grow_x, -grow_y, grow_x, grow_y], dtype=np.float32)
        return _box_matrix(box, size)
    if kind == "whole":
        return _box_matrix(np.array([0, 0, image_size[1], image_size[0]], dtype=np.float32), size)
    raise ConfigError(f"unknown crop {template!r}; known: {', '.join(TEMPLATES)}, square:K, box:K, whole")


def crop(
    picture: ImageArray,
    face: Face,
    template: str = "arcface-112x112",
    size: tuple[int, int] | None = None,
    border: str = "black",
    interpolation: str = "linear",
    margin: float = 0.0,
) -> Crop:
    """Cut one face out of `picture` ((H, W, 3) uint8 RGB).

    Args:
        face: with the landmarks that the template needs.
        template: crop grammar, see the module.
        size: (height, width) of the crop; default the template's own, else 112x112.
        border: what lies outside the picture: "black" or "replicate".
        interpolation: "linear", "area" or "cubic".
        margin: for "box": pixels added in all, measured in the crop.

    Raises:
        InputError: the face lacks the landmarks.
        ConfigError: unknown template.
    """
    size = size or (TEMPLATES[template][1] if template in TEMPLATES else (112, 112))
    height, width = picture.shape[:2]
    matrix = matrix_for(face, template, size, (height, width), margin)
    return Crop(image.warp(picture, matrix, size, border=border, interpolation=interpolation), matrix, template)


def square(picture: ImageArray, face: Face, factor: float = 1.0, size: int = 224) -> Crop:
    """The square about the box center with `factor` times its longer side, `size` x `size`, outside the picture black: nothing is flattened."""
    return crop(picture, face, f"square:{factor:g}", (size, size))
