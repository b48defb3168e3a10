"""dlib's face chip: the square piece that its recognizer was trained on, with dlib's own sampling.

The chip is placed by a least-squares similarity of points (five, or 33 of 68) and then sampled bilinearly: from the picture itself, or from a half,
quarter, … picture where the piece is more than twice as wide as the chip. Both are checked against dlib pixel by pixel (`tests/golden`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import InputError
from ..types import FloatArray, ImageArray, Landmarks
from .templates import DLIB5, DLIB68, DLIB68_POINTS

__all__ = ["chip", "chip_points", "matrix"]

_HALF = np.array([[0.5, 0.0, -1.25], [0.0, 0.5, -0.75]])
"""Picture to half picture, as dlib has it (a true half lies at −1, −1)."""

_TINY = 1 / 512
"""Lifts float32 sums that fall just short of a whole number before they are rounded down."""


def chip_points(landmarks: Landmarks | None, size: int, padding: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (K, 2) in a chip of `size` pixels, and where they are in the picture.

    Raises:
        InputError: neither `dlib5` nor `ibug68` landmarks.
    """
    scheme = None if landmarks is None else landmarks.scheme
    if landmarks is None or scheme not in ("dlib5", "ibug68"):
        raise InputError(f"the dlib chip needs dlib5 or ibug68 landmarks, the face has {scheme or 'none'}; ask the landmarker dlib-5 for them")
    points = landmarks.points.astype(np.float64)
    template, there = (DLIB5, points) if scheme == "dlib5" else (DLIB68, points[DLIB68_POINTS])
    return (template + padding) / (1 + 2 * padding) * size, there


def _placed(landmarks: Landmarks | None, size: int, padding: float) -> tuple[complex, float, complex]:
    """The chip's piece of the picture: center, width (of its pixels' outer edges), and the direction of its rows."""
    placed, there = chip_points(landmarks, size, padding)
    matrix = geometry.similarity_transform(placed, there)
    center = geometry.apply(matrix, [size / 2, size / 2])
    along = complex(matrix[0, 0], matrix[1, 0])
    return complex(*center), size * abs(along), along / abs(along)


def _corners(center: complex, width: float, along: complex) -> NDArray[np.float64]:
    """First, second and third corner pixel (3, 2): top left, top right, bottom left."""
    half = (width - 1) / 2
    places = [center + along * complex(x, y) * half for x, y in ((-1, -1), (1, -1), (-1, 1))]
    return np.array([[item.real, item.imag] for item in places])


def _affine(size: int, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chip → picture (2, 3)."""
    across, down = (corners[1] - corners[0]) / (size - 1), (corners[2] - corners[0]) / (size - 1)
    return np.column_stack([across, down, corners[0]])


def _halve(pixels: FloatArray) -> FloatArray:
    """Every second pixel of the picture smoothed by the binomial filter 1 4 6 4 1, rounded down; empty for one of up to eight pixels."""
    import cv2

    if min(pixels.shape[:2]) <= 8:
        return np.zeros((0, 0, 3), np.float32)
    rows, columns = ((side - 3) // 2 for side in pixels.shape[:2])
    return np.asarray(np.floor(cv2.pyrDown(pixels)[1 : rows + 1, 1 : columns + 1]), dtype=np.float32)  # in float32 OpenCV's sums are exact


def _sample(pixels: FloatArray, matrix: NDArray[np.float64], size: int) -> ImageArray:
    """Bilinear, rounded down; black where one of the four neighbors is outside."""
    import cv2

    height, width = pixels.shape[:2]
    if height < 2 or width < 2:
        return np.zeros((size, size, 3), np.uint8)
    smooth = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    out: ImageArray = (smooth + np.float32(_TINY)).astype(np.uint8)
    corners = matrix[:, :2] @ (np.array([[0, 1, 0, 1], [0, 0, 1, 1]]) * (size - 1)) + matrix[:, 2:]
    if corners.min() < 0 or (corners.max(axis=1) >= (width - 1, height - 1)).any():
        steps = np.arange(size, dtype=np.float64)
        x = matrix[0, 0] * steps + matrix[0, 1] * steps[:, None] + matrix[0, 2]
        y = matrix[1, 0] * steps + matrix[1, 1] * steps[:, None] + matrix[1, 2]
        out[(x < 0) | (y < 0) | (x >= width - 1) | (y >= height - 1)] = 0
    return out


def matrix(landmarks: Landmarks | None, size: int, padding: float) -> NDArray[np.float64]:
    """Picture → chip (2, 3)."""
    return geometry.invert(_affine(size, _corners(*_placed(landmarks, size, padding))))


def chip(picture: ImageArray, landmarks: Landmarks | None, size: int, padding: float) -> tuple[ImageArray, NDArray[np.float64]]:
    """The chip (size, size, 3) uint8 RGB, and the (2, 3) transform from picture to chip."""
    center, width, along = _placed(landmarks, size, padding)
    corners = _corners(center, width, along)
    forward = geometry.invert(_affine(size, corners))
    # halve until the next step would leave fewer pixels than the chip has; dlib counts the pixels of the unturned rectangle
    depth, grow = 0, 2.0
    low, high = np.array([center.real, center.imag]) - (width - 1) / 2, np.array([center.real, center.imag]) + (width - 1) / 2
    span = np.stack([low, high])
    smaller = geometry.apply(_HALF, span)
    while np.prod(smaller[1] - smaller[0] + 1) > size * size:
        depth, grow, smaller = depth + 1, grow * 2 + 2, geometry.apply(_HALF, smaller)
    # the piece of the picture that matters
    fourth = corners[1] + corners[2] - corners[0]
    reach = np.vstack([corners, fourth])
    limit = np.array([picture.shape[1] - 1, picture.shape[0] - 1])
    first = np.floor(np.clip(reach.min(axis=0) - grow, 0, limit) + 0.5).astype(int)
    last = np.floor(np.clip(reach.max(axis=0) + grow, 0, limit) + 0.5).astype(int)
    piece = picture[first[1] : last[1] + 1, first[0] : last[0] + 1].astype(np.float32)
    span = span - first
    for _ in range(depth):
        piece, span = _halve(piece), geometry.apply(_HALF, span)
    middle, extent = complex(*span.mean(axis=0)), float(span[1, 0] - span[0, 0]) + 1
    return _sample(piece, _affine(size, _corners(middle, extent, along)), size), forward
