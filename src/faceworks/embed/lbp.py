"""Local binary patterns: what the neighbors of a pixel are, darker than it (0) or not (1), read as a number.

T. Ojala, M. Pietikäinen, T. Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification with local binary patterns", PAMI 2002.
Checked against scikit-image's `local_binary_pattern` (`codes`) and OpenCV's `LBPHFaceRecognizer` (`inner_codes`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, InputError

__all__ = ["PATTERNS", "Patterns", "codes", "histograms", "inner_codes", "lookup"]

Codes: TypeAlias = NDArray[np.int64]
Patterns: TypeAlias = Literal["all", "rotation", "uniform", "rotation_uniform"]
PATTERNS: tuple[Patterns, ...] = get_args(Patterns)
"""all: 2^P codes. rotation: each code becomes the smallest of its rotations. uniform: each circle with at most two changes has a code of its own, the
others share one: P (P − 1) + 3 codes. rotation_uniform: a uniform circle's code is its number of ones, the others are P + 1."""


def _check(gray: Any, points: int, radius: float) -> NDArray[np.uint8]:
    picture = np.asarray(gray)
    if picture.dtype != np.uint8 or picture.ndim != 2:
        raise InputError(f"local binary patterns are taken of a gray picture (H, W) uint8, got {picture.shape} {picture.dtype}")
    if not (1 <= points <= 24 and math.isfinite(radius) and radius > 0):
        raise ConfigError(f"local binary patterns need 1 to 24 points on a positive radius, got {points} on {radius}")
    return picture


def _bits(points: int) -> NDArray[np.int64]:
    """All codes (2^P, P) as their bits, the first point's first."""
    numbers: NDArray[np.int64] = np.arange(1 << points)[:, None] >> np.arange(points) & 1
    return numbers


def _rotation(points: int) -> Codes:
    numbers = np.arange(1 << points, dtype=np.int64)
    turned = [numbers >> n | (numbers & ((1 << n) - 1)) << (points - n) for n in range(points)]
    smallest: Codes = np.min(turned, axis=0).astype(np.int64)
    return smallest


def _changes(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray((bits != np.roll(bits, 1, axis=1)).sum(axis=1))


def _rotation_uniform(points: int) -> Codes:
    bits = _bits(points)
    return np.where(_changes(bits) <= 2, bits.sum(axis=1), points + 1)


def _uniform(points: int) -> Codes:
    """Ordered by the number of ones, then by the rotation (scikit-image's order)."""
    bits = _bits(points)
    ones = bits.sum(axis=1)
    first_one, first_zero = bits.argmax(axis=1), (1 - bits).argmax(axis=1)
    rotation = np.where(first_one == 0, ones - first_zero, points - first_one)
    code = np.where(ones == 0, 0, np.where(ones == points, points * (points - 1) + 1, 1 + (ones - 1) * points + rotation))
    return np.where(_changes(bits) <= 2, code, points * (points - 1) + 2)


_TABLES: dict[str, Callable[[int], Codes]] = {
    "all": lambda points: np.arange(1 << points, dtype=np.int64),
    "rotation": _rotation,
    "uniform": _uniform,
    "rotation_uniform": _rotation_uniform,
}


@lru_cache(maxsize=32)
def lookup(points: int, patterns: Patterns) -> Codes:
    """(2^P,) what each code is called in a variant, see `PATTERNS`."""
    if patterns not in PATTERNS:
        raise ConfigError(f"patterns must be one of {', '.join(PATTERNS)}, got {patterns!r}")
    table = np.asarray(_TABLES[patterns](points), dtype=np.int64)
    table.setflags(write=False)
    return table


def codes(gray: NDArray[np.uint8], points: int = 8, radius: float = 1.0, patterns: Patterns = "all") -> Codes:
    """The pattern of every pixel, (H, W) int64; outside the picture is black.

    A neighbor is bilinearly interpolated; one that is darker than the pixel is 0, one that is brighter or equal is 1. Point p stands at the angle
    2π p / P, counterclockwise as seen, the first to the right; it is bit p.

    Args:
        gray: (H, W) uint8.

    Raises:
        InputError: not a gray picture. ConfigError: points or radius.
    """
    center = _check(gray, points, radius).astype(np.float64)
    height, width = center.shape
    reach = math.ceil(radius) + 1
    padded = np.pad(center, reach)
    angles = 2 * np.pi * np.arange(points, dtype=np.float64) / points
    result = np.zeros(center.shape, np.int64)
    for bit, (down, right) in enumerate(zip(np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5), strict=True)):
        rows, columns = np.arange(height) + down, np.arange(width) + right
        top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
        bottom, far = np.ceil(rows).astype(int) + reach, np.ceil(columns).astype(int) + reach
        dy, dx = (rows - top)[:, None], (columns - left)[None, :]
        top, left = top + reach, left + reach
        above = (1 - dx) * padded[np.ix_(top, left)] + dx * padded[np.ix_(top, far)]
        below = (1 - dx) * padded[np.ix_(bottom, left)] + dx * padded[np.ix_(bottom, far)]
        result |= ((1 - dy) * above + dy * below - center >= 0).astype(np.int64) << bit
    return lookup(points, patterns)[result]


def inner_codes(gray: NDArray[np.uint8], points: int = 8, radius: int = 1, patterns: Patterns = "all") -> Codes:
    """The pattern of every pixel whose circle lies inside the picture, (H − 2R, W − 2R) int64, in float32 as OpenCV computes it.

    As `codes`, but a neighbor counts as equal within float32's epsilon.
    """
    picture = _check(gray, points, radius)
    radius = int(radius)
    height, width = picture.shape[0] - 2 * radius, picture.shape[1] - 2 * radius
    if height < 1 or width < 1:
        raise InputError(f"a picture of {picture.shape[0]}x{picture.shape[1]} has no pixel whose circle of radius {radius} lies inside it")
    values = picture.astype(np.float32)
    center = values[radius : radius + height, radius : radius + width]
    result = np.zeros((height, width), np.int64)
    for bit in range(points):
        angle = 2.0 * math.pi * bit / np.float64(np.float32(points))
        x, y = np.float32(radius * math.cos(angle)), np.float32(-radius * math.sin(angle))
        left, top, right, bottom = (int(n) for n in (np.floor(x), np.floor(y), np.ceil(x), np.ceil(y)))
        tx, ty = np.float32(x - np.float32(left)), np.float32(y - np.float32(top))
        one = np.float32(1)
        corners = (
            (top, left, (one - tx) * (one - ty)),
            (top, right, tx * (one - ty)),
            (bottom, left, (one - tx) * ty),
            (bottom, right, tx * ty),
        )
        value = np.zeros((height, width), np.float32)
        for row, column, weight in corners:
            value = value + weight * values[radius + row : radius + row + height, radius + column : radius + column + width]
        result |= ((value > center) | (np.abs(value - center) < np.finfo(np.float32).eps)).astype(np.int64) << bit
    return lookup(points, patterns)[result]


def histograms(patterns: Codes, grid: tuple[int, int], bins: int) -> NDArray[np.float32]:
    """Shares of the codes in each cell of a grid (rows, columns), side by side: (rows · columns · bins,) float32, each cell summing to 1.

    Cells have whole pixels; what is left over at the right and at the bottom counts nowhere, as in OpenCV.
    """
    height, width = patterns.shape[0] // grid[0], patterns.shape[1] // grid[1]
    if height < 1 or width < 1:
        raise InputError(f"a picture of {patterns.shape[0]}x{patterns.shape[1]} patterns has no {grid[0]}x{grid[1]} cells")
    tiles = patterns[: height * grid[0], : width * grid[1]].reshape(grid[0], height, grid[1], width).transpose(0, 2, 1, 3)
    cells = tiles.reshape(grid[0] * grid[1], height * width)
    offset = np.arange(len(cells))[:, None] * bins
    counts = np.bincount((cells + offset).ravel(), minlength=len(cells) * bins)
    return (counts.astype(np.float32) / np.float32(height * width)).astype(np.float32)
