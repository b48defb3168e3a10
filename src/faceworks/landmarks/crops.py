"""Squares about boxes, at a network's size: what the landmarkers that look at crops eat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import image
from ..types import FloatArray, ImageArray

__all__ = ["edge_matrix", "square_crop"]


def edge_matrix(square: FloatArray, side: int) -> NDArray[np.float64]:
    """Picture → crop: the square's edges become the outer edges of the crop's pixels."""
    scale = side / max(float(square[2] - square[0]), 1e-3)
    return np.array([[scale, 0.0, (0.5 - float(square[0])) * scale - 0.5], [0.0, scale, (0.5 - float(square[1])) * scale - 0.5]])


def square_crop(picture: ImageArray, square: FloatArray, side: int) -> ImageArray:
    """A square (x1, y1, x2, y2) of the picture at side x side, black outside; large squares are averaged, not sampled."""
    times = max(1, int(float(square[2] - square[0]) // side))
    pixels = image.warp(picture, edge_matrix(square, side * times), (side * times, side * times))
    return pixels if times == 1 else image.resize(pixels, (side, side))
