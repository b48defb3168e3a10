"""Did the editor change the face alone, or did it make the whole picture anew? The edit is carried onto its source and compared by region.

Evidence, not proof: an editor may re-create a background so well that it looks untouched, and a local edit may be re-saved by a program that scales it.

All measures are taken at the working size. ΔE2000, the dearest of them, is taken at every `STEP`-th pixel of every `STEP`-th row, and only where the two
pictures differ at all; structural similarity only about such places: elsewhere they are 0 and 1.
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
from .registration import register
from .working import FACE, Floats, Mask, Working, fine_detail, hull

__all__ = ["Locality", "compare", "compare_pictures", "heat_map", "regress", "verdict"]

Single: TypeAlias = NDArray[np.float32]
STEP = 2
"""Distance of the pixels at which ΔE2000 is taken, in both directions."""
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
class Locality:
    """One edit against its source.

    Attributes:
        row: for the table. difference: the ΔE2000 map (h, w) float32 at a `STEP`-th of the working size, 0 where the edit does not cover; None where the edit
            could not be registered.
    """

    row: dict[str, Any]
    difference: Single | None


def compare_pictures(source: ImageArray, edit: ImageArray, source_points: Floats, edit_points: Floats) -> Locality:
    """Compare two pictures (H, W, 3) uint8 RGB with their 68 points in pixels of each."""
    return compare(Working(source, source_points), Working(edit, edit_points))


def compare(source: Working, edit: Working) -> Locality:
    """Compare an edit with its source."""
    found = register(source, edit)
    row: dict[str, Any] = {
        "resized": source.size != edit.size, "residual": found.residual, "matches": found.matches, "inliers": found.inliers, "scale": found.scale,
    }  # fmt: skip
    for region in REGIONS:
        row |= {f"delta_e_{region}": None, f"ssim_{region}": None, f"same_{region}": None}
    row |= {"delta_e_outside": None, "sharpness_outside": None}
    if found.matrix is None or not found.holds:
        return Locality(row | {"verdict": "unregistered"}, None)
    size = source.shape
    # a fit that moves no corner by half a pixel is taken for the identity: resampling would only blur what is to be compared
    still = source.shape == edit.shape and _still(found.matrix, size)
    warped = edit.pixels if still else image.warp(edit.pixels, found.matrix, size, interpolation="cubic")
    beyond = source.beyond & ~hull(geometry.apply(found.matrix, edit.points), size, FACE)
    regions = {"face": ~beyond, "hair_neck": beyond & source.around, "background": beyond & ~source.around, "outside": beyond}
    if not still:
        covered = image.warp(np.full_like(edit.pixels, 255), found.matrix, size)[..., 0] > 254
        regions = {name: mask & covered for name, mask in regions.items()}
    apart = cv2.absdiff(source.pixels, warped)
    alike = cv2.inRange(apart, (0, 0, 0), (2, 2, 2))
    differs = cv2.inRange(apart, (0, 0, 0), (0, 0, 0)) == 0
    difference, structure = _difference(source.pixels, warped, differs), _structure(source.pixels, warped, differs)
    if not still:
        difference *= covered[::STEP, ::STEP]
    for region, mask in regions.items():
        sparse = mask[::STEP, ::STEP]
        if sparse.any():
            row[f"delta_e_{region}"] = _mean(difference, sparse)
            if region != "outside":
                row |= {f"ssim_{region}": _mean(structure, mask), f"same_{region}": _mean(alike, mask) / 255}
    if row["delta_e_outside"] is not None:
        row["sharpness_outside"] = _sharpness(source, edit.fine if still else fine_detail(warped), regions["outside"])
    return Locality(row | {"verdict": verdict(row)}, difference)


def _mean(values: Any, mask: Any) -> float:
    """Mean of `values` where the mask is; the sum runs in one order whatever the number of threads."""
    return float((values * mask).sum(dtype=np.float64)) / int(np.count_nonzero(mask))


def _difference(a: ImageArray, b: ImageArray, differs: Mask) -> Single:
    """ΔE2000 at every `STEP`-th pixel of every `STEP`-th row."""
    sparse = differs[::STEP, ::STEP]
    out = np.zeros(sparse.shape, np.float32)
    if sparse.any():
        first, second = (lab(picture[::STEP, ::STEP][sparse], np.float32) for picture in (a, b))
        out[sparse] = delta_e2000(first, second)
    return out


def _structure(a: ImageArray, b: ImageArray, differs: Mask) -> Single:
    """Structural similarity (h, w), computed in the rectangle whose windows see a difference."""
    out = np.ones(differs.shape, np.float32)
    x, y, width, height = cv2.boundingRect(differs.view(np.uint8))
    if width:
        reach = 5  # half a window: where it begins to see the difference; twice that, so that the windows are whole
        inner, outer = ((slice(max(0, y - grow), y + height + grow), slice(max(0, x - grow), x + width + grow)) for grow in (reach, 2 * reach))
        part = ssim_map(a[outer], b[outer])
        top, left = inner[0].start - outer[0].start, inner[1].start - outer[1].start
        rows, columns = out[inner].shape
        out[inner] = part[top : top + rows, left : left + columns]
    return out


def verdict(row: Mapping[str, Any]) -> str:
    """ "local", "global" or "unregistered" from the numbers of a row, by the constants of this module."""
    if row["delta_e_outside"] is None:
        return "unregistered"
    scaled = row["resized"] or (row["scale"] is not None and abs(row["scale"] - 1) > SCALED)
    blurred = row["sharpness_outside"] is not None and row["sharpness_outside"] < OUTSIDE_SHARPNESS
    return "global" if row["delta_e_outside"] > OUTSIDE_DELTA_E or blurred or scaled else "local"


def _still(matrix: Floats, size: tuple[int, int]) -> bool:
    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]], np.float64)
    return float(np.abs(geometry.apply(matrix, corners) - corners).max()) < 0.5


def _sharpness(source: Working, edit: Single, where: Mask) -> float | None:
    """Energy of the finest detail of the edit over the source's, on the source's most detailed tenth outside the face; None if all is flat."""
    values = source.strength[::STEP, ::STEP][where[::STEP, ::STEP]]
    if values.size < 250:
        return None
    place = round(0.9 * (values.size - 1))
    values.partition(place)
    chosen = where & (source.strength >= max(float(values[place]), 4.0))
    if np.count_nonzero(chosen) < 200:
        return None
    # the covariance with the source, not the plain energy: noise of compression is no detail
    kept = source.fine * chosen
    return float((kept * edit).sum(dtype=np.float64) / (kept * source.fine).sum(dtype=np.float64))


def heat_map(source: ImageArray, difference: Single, top: float = 20.0) -> ImageArray:
    """The source in gray under the difference in color: transparent at 0, yellow to red at `top` ΔE2000 and more. The size is that of `source`."""
    height, width = source.shape[:2]
    values = cv2.resize(difference, (width, height), interpolation=cv2.INTER_AREA if height < difference.shape[0] else cv2.INTER_LINEAR)
    level = (np.clip(values / top, 0, 1) * 255).astype(np.uint8)
    gray = (source.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    mixed = gray * _HEAT[level, 3:] + _HEAT[level, :3]
    return np.asarray((mixed + 0.5).astype(np.uint8))


def _heat() -> Single:
    """Color and what is left of the gray, for 256 strengths."""
    strength = (np.arange(256) / 255.0)[:, None]
    color = np.array([255.0, 220.0, 40.0]) * (1 - strength) + np.array([200.0, 0.0, 40.0]) * strength
    return np.concatenate([color * np.sqrt(strength), 1 - np.sqrt(strength)], axis=1).astype(np.float32)


_HEAT = _heat()


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
