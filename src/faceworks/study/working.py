"""A picture as the comparison of pictures needs it: at a bounded size, with everything that is used more than once computed once."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import image
from ..types import ImageArray

__all__ = ["FACE", "SIDE", "Floats", "Mask", "Working", "fine_detail", "hull"]

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
SIDE = 640
"""Pictures are compared with their longer side at most this, both scaled alike."""
FACE, APART = 0.06, 0.12
"""The face is its hull grown by the first share of its width; features count as outside of it beyond the second."""
CORNERS, BETWEEN = 200, 8
"""So many corners are followed at most, so far apart (px)."""


def hull(points: Floats, size: tuple[int, int], grow: float) -> Mask:
    """The face: convex hull of 68 points and a forehead as high as half the way from brows to mouth, grown by a share of the width of the face."""
    down = points[48:60].mean(axis=0) - points[17:27].mean(axis=0)
    outline = np.concatenate([points, points[17:27] - 0.5 * down])
    corners = cv2.convexHull(outline.round().astype(np.int32))
    mask = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(mask, corners, 1)
    radius = max(1, round(grow * float(np.linalg.norm(points[16] - points[0]))))
    cv2.polylines(mask, [corners], True, 1, 2 * radius + 1)  # a line with round ends: what a dilation by a disc adds, at a fraction of its time
    return mask.view(np.bool_)


class Working:
    """One picture for comparisons; safe to share between threads, which at worst compute a part twice.

    Attributes:
        size: (height, width) of the picture as it was given.
        pixels: (h, w, 3) uint8 RGB, the longer side at most `SIDE`. points: its 68 points (68, 2) in pixels of that size.
    """

    def __init__(self, picture: ImageArray, points: Floats) -> None:
        self.size: tuple[int, int] = (picture.shape[0], picture.shape[1])
        scale = min(1.0, SIDE / max(self.size))
        self.pixels = picture if scale == 1.0 else image.resize(picture, (round(self.size[0] * scale), round(self.size[1] * scale)))
        self.points: Floats = (points + 0.5) * scale - 0.5

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of `pixels`."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @cached_property
    def gray(self) -> Any:
        """(h, w) uint8."""
        return cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY)

    @cached_property
    def outside(self) -> Any:
        """(h, w) uint8, 255 where features count as outside the face."""
        return np.where(hull(self.points, self.shape, APART), 0, 255).astype(np.uint8)

    @cached_property
    def beyond(self) -> Mask:
        """(h, w): what is not the face."""
        return ~hull(self.points, self.shape, FACE)

    @cached_property
    def around(self) -> Mask:
        """(h, w): hair, neck and the face, an ellipse 1.9 times as wide and 2.6 times as high as the points."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        center, half = (low + high) / 2 - [0, 0.1 * (high[1] - low[1])], (high - low) / 2 * [1.9, 2.6]
        x, y = (((np.arange(self.shape[1 - k]) - center[k]) / half[k]).astype(np.float32) ** 2 for k in (0, 1))
        return np.asarray(y[:, None] + x[None] <= 1)

    @cached_property
    def corners(self) -> Any:
        """(N, 1, 2) float32 corners outside the face (Shi and Tomasi)."""
        found = cv2.goodFeaturesToTrack(self.gray, CORNERS, 0.01, BETWEEN, mask=self.outside)
        return np.zeros((0, 1, 2), np.float32) if found is None else found

    @cached_property
    def features(self) -> tuple[Any, Any]:
        """SIFT outside the face: keypoints and descriptors (None without any)."""
        return cv2.SIFT.create(nfeatures=1000, contrastThreshold=0.02).detectAndCompute(self.gray, self.outside)

    @cached_property
    def fine(self) -> Any:
        """(h, w) float32: the finest detail, the Laplacian of the luma."""
        return fine_detail(self.pixels)

    @cached_property
    def strength(self) -> Any:
        """(h, w) float32: the size of `fine`."""
        return np.abs(self.fine)


def fine_detail(pixels: ImageArray) -> Any:
    """Laplacian (h, w) float32 of the luma of (h, w, 3) uint8 RGB."""
    return cv2.Laplacian(cv2.transform(pixels.astype(np.float32), np.array([[0.299, 0.587, 0.114]], np.float32)), cv2.CV_32F)
