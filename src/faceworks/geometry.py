"""Plane geometry: boxes, overlaps, suppression, similarity transforms. Pure NumPy.

Transforms are (2, 3) float64 matrices that map source points to target points; integer coordinates are pixel centers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

__all__ = [
    "apply",
    "clip_boxes",
    "compose",
    "invert",
    "iou",
    "letterbox_matrix",
    "non_maximum_suppression",
    "scale_about_center",
    "similarity_transform",
    "square_box",
]

Matrix = NDArray[np.float64]
_BLOCK = 64
"""Boxes that suppression compares at once."""


def similarity_transform(source: ArrayLike, target: ArrayLike) -> Matrix:
    """Least-squares similarity (rotation, one scale, translation) that carries source (K, 2) onto target (K, 2).

    Umeyama, IEEE PAMI 13(4), 1991, closed form in the plane: with centered points as complex numbers the best factor is
    Σ conj(s) t / Σ |s|². Never a mirror image. Checked against scikit-image's `SimilarityTransform`.

    Raises:
        InputError: fewer than two points, or all source points equal.
    """
    s, t = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if s.shape != t.shape or s.ndim != 2 or s.shape[1] != 2 or len(s) < 2:
        raise InputError(f"a similarity transform needs two equal sets of at least two points (K, 2), got {s.shape} and {t.shape}")
    s_mean, t_mean = s.mean(axis=0), t.mean(axis=0)
    zs = (s - s_mean) @ np.array([1, 1j])
    zt = (t - t_mean) @ np.array([1, 1j])
    spread = float((np.abs(zs) ** 2).sum())
    if not np.isfinite(spread) or spread < 1e-12:
        raise InputError("all source points coincide: no similarity transform is defined")
    factor = complex((zs.conj() * zt).sum() / spread)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, t_mean - linear @ s_mean])


def apply(matrix: Matrix, points: ArrayLike) -> NDArray[np.float64]:
    """Map points (…, 2) by a (2, 3) transform."""
    p = np.asarray(points, dtype=np.float64)
    return p @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix: Matrix) -> Matrix:
    """The inverse of a (2, 3) transform."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def compose(second: Matrix, first: Matrix) -> Matrix:
    """The transform that applies `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def letterbox_matrix(size: tuple[int, int], target: tuple[int, int], enlarge: bool = False, center: bool = False) -> Matrix:
    """The transform that fits a picture of `size` (height, width) into `target` without changing its shape.

    The picture is resampled about pixel centers (as `cv2.resize` does) and lies at the top left, or in the middle with `center`.
    It is enlarged only with `enlarge`.
    """
    scale = min(target[0] / size[0], target[1] / size[1])
    if not enlarge:
        scale = min(scale, 1.0)
    height, width = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    sx, sy = width / size[1], height / size[0]
    left, top = ((target[1] - width) // 2, (target[0] - height) // 2) if center else (0, 0)
    return np.array([[sx, 0.0, 0.5 * sx - 0.5 + left], [0.0, sy, 0.5 * sy - 0.5 + top]])


def scale_about_center(box: ArrayLike, factor: float) -> NDArray[np.float32]:
    """A box (4,) grown or shrunk about its center."""
    x1, y1, x2, y2 = (float(v) for v in np.asarray(box, dtype=np.float64))
    cx, cy, hw, hh = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) * factor / 2, (y2 - y1) * factor / 2
    return np.array([cx - hw, cy - hh, cx + hw, cy + hh], dtype=np.float32)


def square_box(box: ArrayLike, factor: float = 1.0) -> NDArray[np.float32]:
    """The square about a box's center with `factor` times its longer side."""
    x1, y1, x2, y2 = (float(v) for v in np.asarray(box, dtype=np.float64))
    half = max(x2 - x1, y2 - y1) * factor / 2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    return np.array([cx - half, cy - half, cx + half, cy + half], dtype=np.float32)


def clip_boxes(boxes: ArrayLike, size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes (…, 4) cut to a picture of `size` (height, width)."""
    out = np.array(boxes, dtype=np.float32)
    out[..., 0::2] = out[..., 0::2].clip(0, size[1])
    out[..., 1::2] = out[..., 1::2].clip(0, size[0])
    return out


def iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """Intersection over union (M, N) of boxes a (M, 4) and b (N, 4); 0 where a union is empty."""
    x, y = (_sides(np.asarray(boxes, dtype=np.float32).reshape(-1, 4)) for boxes in (a, b))
    return _overlaps(x, y)


def _sides(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(5, N): the four corners' numbers and the area of boxes (N, 4), each in one piece of memory."""
    sides = np.empty((5, len(boxes)), np.float32)
    sides[:4] = boxes.T
    sides[4] = np.maximum(sides[2] - sides[0], 0) * np.maximum(sides[3] - sides[1], 0)
    return sides


def _overlaps(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    # axis by axis: a product over a last axis of two costs more than all else here
    width = np.minimum(x[2, :, None], y[2])
    width -= np.maximum(x[0, :, None], y[0])
    overlap = np.minimum(x[3, :, None], y[3])
    overlap -= np.maximum(x[1, :, None], y[1])
    np.maximum(width, 0, out=width)
    np.maximum(overlap, 0, out=overlap)
    overlap *= width
    union = x[4, :, None] + y[4]
    union -= overlap
    shares: NDArray[np.float32] = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return shares


def non_maximum_suppression(boxes: ArrayLike, scores: ArrayLike, threshold: float, top: int | None = None) -> NDArray[np.intp]:
    """Greedy suppression: indices of the boxes kept, best first; a box goes when its IoU with a better kept one exceeds `threshold`.

    Ties in score are broken by index, so the answer does not depend on the sort. `top` bounds the number of candidates looked at.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float32).reshape(-1), kind="stable")[:top]
    sides = _sides(np.asarray(boxes, dtype=np.float32).reshape(-1, 4)[order])
    kept = [order[:0]]
    while order.size:
        # a block of the best against itself in one piece: far cheaper than one small product for each box kept
        block = sides[:, :_BLOCK]
        over = _overlaps(block, block) > threshold
        alive = np.ones(block.shape[1], dtype=bool)
        for index in range(len(alive)):
            if alive[index]:
                alive[index + 1 :] &= ~over[index, index + 1 :]
        kept.append(order[:_BLOCK][alive])
        order, sides = order[_BLOCK:], sides[:, _BLOCK:]
        if order.size:
            left = ~(_overlaps(block[:, alive], sides) > threshold).any(axis=0)
            order, sides = order[left], sides[:, left]
    return np.concatenate(kept)
