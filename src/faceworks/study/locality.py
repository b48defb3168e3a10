"""Did the editor change the face alone, or did it make the whole picture anew? The edit is carried onto its source and compared by region.

Evidence, not proof: an editor may re-create a background so well that it looks untouched, and a local edit may be re-saved by a program that scales it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import geometry, image
from ..types import ImageArray
from .color import delta_e2000, lab, ssim_map

__all__ = ["Locality", "Registration", "compare_pictures", "heat_map", "hull", "register", "verdict"]

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
SIDE = 640
"""Pictures are compared with their longer side at most this, both scaled alike."""
MATCHES = 12
"""Fewer matches outside the face say nothing about how the pictures lie."""
RESIDUAL, INLIERS = 0.6, 0.8
"""Registered: the median residual of all matches is at most this (px of the working size), and this share of them agrees with the fit within 2 px."""
SCALED = 0.004
"""A fitted scale farther from 1 means that the picture was resampled."""
OUTSIDE_DELTA_E, OUTSIDE_SHARPNESS = 3.0, 0.65
"""Local: outside the face the mean ΔE2000 stays below 3 (JPEG at quality 75 reaches 0.7 on portraits, 2.1 on dense texture), and its finest detail keeps
65 % of its strength.

Measured on six portraits of the London set: JPEG at quality 75 keeps 0.75 to 0.86 of the detail, pictures that went through another resolution
(0.5, 0.7, 1.5 times) 0.16 to 0.54.
"""
REGIONS = ("face", "hair_neck", "background")


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


@dataclass(frozen=True, slots=True, eq=False)
class Locality:
    """One edit against its source: `row` for the table, `difference` the ΔE2000 map (h, w) of the working size (0 where the edit does not cover)."""

    row: dict[str, Any]
    difference: Floats | None


def compare_pictures(source: ImageArray, edit: ImageArray, source_points: Floats, edit_points: Floats) -> Locality:
    """Compare two pictures (H, W, 3) uint8 RGB with their 68 points in pixels of each."""
    a, scale_a = _working(source)
    b, scale_b = _working(edit)
    points_a, points_b = (source_points + 0.5) * scale_a - 0.5, (edit_points + 0.5) * scale_b - 0.5
    found = register(a, b, hull(points_a, a.shape[:2], 0.12), hull(points_b, b.shape[:2], 0.12))
    row: dict[str, Any] = {
        "resized": source.shape[:2] != edit.shape[:2], "residual": found.residual, "matches": found.matches, "inliers": found.inliers, "scale": found.scale,
    }  # fmt: skip
    for region in REGIONS:
        row |= {f"delta_e_{region}": None, f"ssim_{region}": None, f"same_{region}": None}
    row |= {"delta_e_outside": None, "sharpness_outside": None}
    if found.matrix is None or not _registered(found):
        return Locality(row | {"verdict": "unregistered"}, None)
    size = a.shape[:2]
    # a fit that moves no corner by half a pixel is taken for the identity: resampling would only blur what is to be compared
    still = a.shape == b.shape and _still(found.matrix, size)
    warped = b if still else image.warp(b, found.matrix, size, interpolation="cubic")
    covered: Mask = np.ones(size, bool) if still else image.warp(np.full_like(b, 255), found.matrix, size)[..., 0] > 254
    face = hull(points_a, size, 0.06) | hull(geometry.apply(found.matrix, points_b), size, 0.06)
    near = _around(points_a, size) & ~face
    regions = {"face": face & covered, "hair_neck": near & covered, "background": ~face & ~near & covered}
    difference = delta_e2000(lab(a), lab(warped)) * covered
    structure = ssim_map(a, warped)
    same = np.asarray((np.abs(a.astype(np.int16) - warped.astype(np.int16)) <= 2).all(axis=2), np.float64)
    for region, mask in regions.items():
        if mask.any():
            row |= {
                f"delta_e_{region}": float(difference[mask].mean()), f"ssim_{region}": float(structure[mask].mean()), f"same_{region}": float(same[mask].mean()),
            }  # fmt: skip
    outside = ~face & covered
    row["delta_e_outside"] = float(difference[outside].mean()) if outside.any() else None
    row["sharpness_outside"] = _sharpness(a, warped, outside)
    return Locality(row | {"verdict": verdict(row)}, difference)


def verdict(row: Mapping[str, Any]) -> str:
    """ "local", "global" or "unregistered" from the numbers of a row, by the constants of this module."""
    if row["delta_e_outside"] is None:
        return "unregistered"
    scaled = row["resized"] or (row["scale"] is not None and abs(row["scale"] - 1) > SCALED)
    blurred = row["sharpness_outside"] is not None and row["sharpness_outside"] < OUTSIDE_SHARPNESS
    return "global" if row["delta_e_outside"] > OUTSIDE_DELTA_E or blurred or scaled else "local"


def _registered(found: Registration) -> bool:
    return found.residual is not None and found.inliers is not None and found.residual <= RESIDUAL and found.inliers >= INLIERS


def _still(matrix: Floats, size: tuple[int, int]) -> bool:
    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]], np.float64)
    return float(np.abs(geometry.apply(matrix, corners) - corners).max()) < 0.5


def _working(picture: ImageArray) -> tuple[ImageArray, float]:
    scale = min(1.0, SIDE / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, 1.0
    return image.resize(picture, (round(picture.shape[0] * scale), round(picture.shape[1] * scale))), scale


def hull(points: Floats, size: tuple[int, int], grow: float) -> Mask:
    """The face: convex hull of 68 points and a forehead as high as half the way from brows to mouth, grown by a share of the width of the face."""
    down = points[48:60].mean(axis=0) - points[17:27].mean(axis=0)
    outline = np.concatenate([points, points[17:27] - 0.5 * down])
    mask = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(outline.round().astype(np.int32)), 1)
    radius = max(1, round(grow * float(np.linalg.norm(points[16] - points[0]))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask, kernel), bool)


def _around(points: Floats, size: tuple[int, int]) -> Mask:
    """Hair and neck: an ellipse about the face, 1.9 times as wide and 2.6 times as high as the points."""
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2 - [0, 0.1 * (high[1] - low[1])], (high - low) / 2 * [1.9, 2.6]
    y, x = np.mgrid[: size[0], : size[1]]
    return np.asarray(((x - center[0]) / half[0]) ** 2 + ((y - center[1]) / half[1]) ** 2 <= 1)


def register(source: ImageArray, edit: ImageArray, source_face: Mask, edit_face: Mask) -> Registration:
    """A similarity from edit to source by features outside both faces: SIFT, ratio test, RANSAC (OpenCV's, whose generator has a fixed start)."""
    detector = cv2.SIFT.create(nfeatures=1000, contrastThreshold=0.02)
    (keys_a, words_a), (keys_b, words_b) = (
        detector.detectAndCompute(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (~face).astype(np.uint8) * 255)
        for picture, face in ((source, source_face), (edit, edit_face))
    )
    if words_a is None or words_b is None or len(words_a) < MATCHES or len(words_b) < MATCHES:
        return Registration(None, None, 0, None, None)
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(words_b, words_a, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.8 * pair[1].distance]
    if len(good) < MATCHES:
        return Registration(None, None, len(good), None, None)
    start = np.array([keys_b[item.queryIdx].pt for item in good], np.float64)
    end = np.array([keys_a[item.trainIdx].pt for item in good], np.float64)
    matrix, _ = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=2.0, maxIters=2000, confidence=0.999)
    if matrix is None:
        return Registration(None, None, len(good), None, None)
    distance = np.linalg.norm(geometry.apply(matrix, start) - end, axis=1)
    near = distance <= 2.0
    if near.sum() >= MATCHES:
        matrix = geometry.similarity_transform(start[near], end[near])
        distance = np.linalg.norm(geometry.apply(matrix, start) - end, axis=1)
    nominal = source.shape[0] / edit.shape[0]
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))) / nominal
    return Registration(matrix, float(np.median(distance)), len(good), float((distance <= 2.0).mean()), scale)


def _sharpness(source: ImageArray, edit: ImageArray, where: Mask) -> float | None:
    """Energy of the finest detail (Laplacian) of the edit over the source's, on the source's most detailed tenth outside the face; None if all is flat."""
    luma = np.array([0.299, 0.587, 0.114], np.float32)
    fine_a, fine_b = (np.asarray(cv2.Laplacian(picture.astype(np.float32) @ luma, cv2.CV_32F)) for picture in (source, edit))
    values = np.abs(fine_a[where])
    if values.size < 1000:
        return None
    level = max(float(np.quantile(values, 0.9)), 4.0)
    chosen = where & (np.abs(fine_a) >= level)
    if chosen.sum() < 200:
        return None
    # the covariance with the source, not the plain energy: noise of compression is no detail
    return float((fine_a[chosen] * fine_b[chosen]).sum() / (fine_a[chosen] ** 2).sum())


def heat_map(source: ImageArray, difference: Floats, top: float = 20.0) -> ImageArray:
    """The source in gray under the difference in color: transparent at 0, yellow to red at `top` ΔE2000 and more."""
    small = image.resize(source, difference.shape) if source.shape[:2] != difference.shape else source
    gray = np.repeat((small.astype(np.float64) @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
    strength = np.clip(difference / top, 0, 1)[..., None]
    color = np.array([255.0, 220.0, 40.0]) * (1 - strength) + np.array([200.0, 0.0, 40.0]) * strength
    mixed = gray * (1 - np.sqrt(strength)) + color * np.sqrt(strength)
    return np.asarray(mixed.round(), np.uint8)


def regress(rows: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]], embedders: Sequence[str]) -> list[dict[str, Any]]:
    """Identity (z of the set's impostors) on ΔE2000 outside the face, by embedder: slope with 95 % interval and Pearson's r over registered edits."""
    from scipy import stats

    outside = {row["edit"]: row["delta_e_outside"] for row in rows if row["delta_e_outside"] is not None}
    table = []
    for embedder in embedders:
        points = [
            (outside[row["edit"]], row["z"]) for row in pairs if row["embedder"] == embedder and row["z"] is not None and row["edit"] in outside
        ]
        entry: dict[str, Any] = {"embedder": embedder, "n": len(points), "slope": None, "low": None, "high": None, "r": None, "p": None}
        x, y = np.array([a for a, _ in points]), np.array([b for _, b in points])
        if len(points) > 3 and np.ptp(x) > 0 and np.ptp(y) > 0:
            fit = stats.linregress(x, y)
            half = float(stats.t.ppf(0.975, len(x) - 2) * fit.stderr)
            entry |= {
                "slope": float(fit.slope),
                "low": float(fit.slope) - half,
                "high": float(fit.slope) + half,
                "r": float(fit.rvalue),
                "p": float(fit.pvalue),
            }
        table.append(entry)
    return table
