"""dlib's shape predictors (`shape_predictor_5_face_landmarks.dat`, `…_68_…`) as plain arrays in a NumPy archive.

Kazemi and Sullivan, CVPR 2014: a cascade of forests. Each file is one run of integers, so it is read at once (`dlib_format.integers`) and, its trees
being of one size, taken apart by reshaping. The archive holds, for C cascades of T trees with S splits and L = S + 1 leaves, P pixels and K points:

    initial (K, 2), anchors (C, P), deltas (C, P, 2), pixels (C, T, S, 2), thresholds (C, T, S), leaves (C, T, L, K, 2)
"""

from __future__ import annotations

import io
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError
from . import Source
from .dlib_format import integers

__all__ = ["read", "shape_predictor"]


class _Stream:
    """A cursor over the integers of a file."""

    def __init__(self, values: NDArray[np.int32], name: str) -> None:
        self.values = values
        self.name = name
        self.at = 0

    def fail(self, what: str) -> NoReturn:
        raise ConversionError(f"{self.name} is not a dlib shape predictor: at integer {self.at}: {what}")

    def take(self, count: int, what: str) -> NDArray[np.int32]:
        if not 0 <= count <= len(self.values) - self.at:
            self.fail(f"{what} needs {count} integers, {len(self.values) - self.at} are left")
        self.at += count
        return self.values[self.at - count : self.at]

    def count(self, what: str, low: int, high: int) -> int:
        value = int(self.take(1, what)[0])
        if not low <= value <= high:
            self.fail(f"{what} is {value}, expected {low} to {high}")
        return value

    def reals(self, pairs: NDArray[np.int32], what: str) -> NDArray[np.float32]:
        """Real numbers from (…, 2) mantissas and exponents."""
        if pairs.size and int(np.abs(pairs[..., 1]).max()) > 1000:
            self.fail(f"{what} hold a number that is not finite")
        with np.errstate(over="ignore", under="ignore"):
            values = np.ldexp(pairs[..., 0].astype(np.float64), pairs[..., 1]).astype(np.float32)
        if not np.isfinite(values).all():
            self.fail(f"{what} hold a number beyond float32")
        return values


def _forest(stream: _Stream, trees: int, splits: int, points: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Pixels (T, S, 2), thresholds (T, S), leaves (T, L, K, 2) of one cascade."""
    leaves, leaf = splits + 1, 2 + 4 * points
    size = 1 + 4 * splits + 1 + leaves * leaf
    block = stream.take(trees * size, f"{trees} trees").reshape(trees, size)
    inner = block[:, 1 : 1 + 4 * splits].reshape(trees, splits, 4)
    outer = block[:, 2 + 4 * splits :].reshape(trees, leaves, leaf)
    heads = (block[:, 0] == splits) & (block[:, 1 + 4 * splits] == leaves)
    if not heads.all() or (outer[..., 0] != -2 * points).any() or (outer[..., 1] != -1).any():
        stream.fail("the trees are not all of one size")
    values = stream.reals(outer[..., 2:].reshape(trees, leaves, points, 2, 2), "leaves")
    return inner[..., :2], stream.reals(inner[..., 2:], "thresholds"), values


def read(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Arrays of a shape predictor, see the module.

    Raises:
        ConversionError: not such a file, a truncated one, or one whose indices point outside.
    """
    stream = _Stream(integers(data, name), name)
    stream.count("version", 1, 1)
    rows = -stream.count("points", -2 * 4096, -2)
    stream.count("columns", -1, -1)
    if rows % 2:
        stream.fail(f"{rows} coordinates are no points")
    points = rows // 2
    initial = stream.reals(stream.take(2 * rows, "the initial shape").reshape(points, 2, 2), "the initial shape")
    cascades = stream.count("number of cascades", 1, 1000)
    pixels, thresholds, leaves = [], [], []
    trees, splits = 0, 0
    for index in range(cascades):
        here = stream.count("number of trees", 1, 100_000)
        if index == 0:
            trees, splits = here, int(stream.values[stream.at]) if stream.at < len(stream.values) else 0
            if splits < 1 or splits + 1 & splits:
                stream.fail(f"a tree of {splits} splits is not full")
        elif here != trees:
            stream.fail(f"cascade {index + 1} has {here} trees, the first {trees}")
        forest = _forest(stream, trees, splits, points)
        pixels.append(forest[0])
        thresholds.append(forest[1])
        leaves.append(forest[2])
    anchors, deltas = [], []
    stream.count("number of cascades", cascades, cascades)
    count = 0
    for index in range(cascades):
        here = stream.count("number of pixels", count if index else 1, count if index else 100_000)
        count = here
        anchors.append(stream.take(count, "anchors"))
    stream.count("number of cascades", cascades, cascades)
    for _ in range(cascades):
        stream.count("number of pixels", count, count)
        deltas.append(stream.reals(stream.take(4 * count, "deltas").reshape(count, 2, 2), "deltas"))
    if stream.at != len(stream.values):
        stream.fail(f"{len(stream.values) - stream.at} integers follow")
    out = {"initial": initial, "anchors": np.stack(anchors), "deltas": np.stack(deltas), "pixels": np.stack(pixels)}
    for key, limit in (("anchors", points), ("pixels", count)):
        if out[key].min() < 0 or out[key].max() >= limit:
            stream.fail(f"{key} point outside 0 to {limit - 1}")
    return out | {"thresholds": np.stack(thresholds), "leaves": np.stack(leaves)}


def shape_predictor(source: Source) -> bytes:
    """The file as a NumPy archive."""
    target = io.BytesIO()
    np.savez(target, **read(source.path.read_bytes(), source.path.name))  # type: ignore[arg-type]
    return target.getvalue()
