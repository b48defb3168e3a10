"""How an edited picture lies on its source: a similarity fitted to what both show outside the face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import geometry
from .working import Floats, Working

__all__ = ["Registration", "register"]

MATCHES = 12
"""Fewer matches outside the face say nothing about how the pictures lie."""
RESIDUAL, INLIERS = 0.6, 0.8
"""Registered: the median residual of all matches is at most this (px of the working size), and this share of them agrees with the fit within 2 px."""
WINDOW = (21, 21)
"""What is followed: a square of the picture about each corner, px."""
RETURN = 0.5
"""A corner that is followed to the edit and back ends at most so far (px) from where it began, else it was lost."""


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """How an edit lies on its source.

    Attributes:
        matrix: (2, 3) from edit to source in working pixels, or None.
        residual: median distance of all matches after the fit, px. matches, inliers: number, and share within 2 px.
        scale: of the fit, relative to the nominal ratio of the sizes.
    """

    matrix: Floats | None
    residual: float | None
    matches: int
    inliers: float | None
    scale: float | None

    @property
    def holds(self) -> bool:
        """Whether the two pictures can be compared pixel by pixel."""
        return self.residual is not None and self.inliers is not None and self.residual <= RESIDUAL and self.inliers >= INLIERS


def register(source: Working, edit: Working) -> Registration:
    """A similarity from edit to source by features outside both faces.

    First the corners of the source are followed into the edit (pyramidal Lucas and Kanade, there and back): most editors hardly move a picture, and this takes
    a tenth of the time of the rest. Corners that are lost count as disagreeing. Where that does not register the pictures, SIFT features are matched,
    wherever they went, and their verdict stands. RANSAC is OpenCV's, whose generator has a fixed start.
    """
    if source.shape == edit.shape:
        found = _follow(source, edit)
        if found.holds:
            return found
    return _match(source, edit)


def _follow(source: Working, edit: Working) -> Registration:
    start = source.corners
    if len(start) < MATCHES:
        return Registration(None, None, len(start), None, None)
    there, kept = start.copy(), np.ones(len(start), bool)
    if (moving := _touched(source, edit, start)).any():
        out, seen, _ = cv2.calcOpticalFlowPyrLK(source.gray, edit.gray, start[moving], None, winSize=WINDOW)
        back, again, _ = cv2.calcOpticalFlowPyrLK(edit.gray, source.gray, out, None, winSize=WINDOW)
        there[moving] = out
        kept[moving] = (seen.ravel() == 1) & (again.ravel() == 1) & (np.linalg.norm(back - start[moving], axis=2).ravel() <= RETURN)
    start, there = start.reshape(-1, 2), there.reshape(-1, 2)
    place = np.clip(there.round().astype(np.intp), 0, np.array(edit.shape[::-1]) - 1)
    judged = ~kept | (edit.outside[place[:, 1], place[:, 0]] > 0)  # one that the edited face covers is no witness
    kept &= judged
    return _fit(there[kept], start[kept], int(judged.sum()), source.shape[0] / edit.shape[0])


def _touched(source: Working, edit: Working, corners: Any) -> NDArray[np.bool_]:
    """Which corners (N, 1, 2) have anything new in their window; the others stayed where they are."""
    changed = cv2.blur(cv2.absdiff(source.gray, edit.gray).astype(np.float32), WINDOW)
    x, y = corners.reshape(-1, 2).round().astype(np.intp).T
    return np.asarray(changed[y, x] > 0)


def _match(source: Working, edit: Working) -> Registration:
    (keys_a, words_a), (keys_b, words_b) = source.features, edit.features
    if words_a is None or words_b is None or len(words_a) < MATCHES or len(words_b) < MATCHES:
        return Registration(None, None, 0, None, None)
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(words_b, words_a, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.8 * pair[1].distance]
    start, end = np.array([keys_b[item.queryIdx].pt for item in good]), np.array([keys_a[item.trainIdx].pt for item in good])
    return _fit(start, end, len(good), source.shape[0] / edit.shape[0])


def _fit(start: Floats, end: Floats, judged: int, nominal: float) -> Registration:
    """The similarity from `start` to `end` (both (N, 2)), of `judged` features that could have agreed."""
    if len(start) < MATCHES:
        return Registration(None, None, judged, None, None)
    start, end = start.astype(np.float64), end.astype(np.float64)
    matrix, _ = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=2.0, maxIters=2000, confidence=0.999)
    if matrix is None:
        return Registration(None, None, judged, None, None)
    distance = np.linalg.norm(geometry.apply(matrix, start) - end, axis=1)
    near = distance <= 2.0
    if near.sum() >= MATCHES:
        matrix = geometry.similarity_transform(start[near], end[near])
        distance = np.linalg.norm(geometry.apply(matrix, start) - end, axis=1)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))) / nominal
    return Registration(matrix, float(np.median(distance)), judged, float((distance <= 2.0).sum()) / judged, scale)
