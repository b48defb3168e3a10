"""dlib's landmarks by our own evaluator of its tree ensembles (Kazemi and Sullivan, CVPR 2014).

A cascade moves the points of an initial shape: each tree compares the brightness of pairs of pixels, whose places follow the current shape, and
adds the leaf that it ends in. Coordinates live in the face's box, (0, 0) its first and (1, 1) its last pixel. dlib rounds its answer to whole
pixels, and so do we, by default.

**Boxes.** The files were trained on the boxes of dlib's detectors: squares about eyes, nose and mouth. Boxes of a detector named under `native`
are taken as they are. From another detector's face that has the five ArcFace points the box is derived from the points (`center`, `side`: in
the frame whose origin is the middle of the eyes and whose unit leads from there to the middle of the mouth); without points its box is made
square about its center, `square` times its longer side.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import convert
from ..cards import Card, options
from ..errors import CardError
from ..runtime import SessionOptions
from ..types import SCHEMES, Face, ImageArray, Landmarks

__all__ = ["Decode", "DlibErt", "Trees"]

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a tree ensemble's card: see the module. `whole_pixels` rounds the answer as dlib does."""

    native: tuple[str, ...]
    center: tuple[float, ...]
    side: float
    square: float
    whole_pixels: bool = True


class Trees:
    """A shape predictor's arrays (`convert.dlib_shape`) and their evaluation. Holds no other state."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.initial: NDArray[np.float32] = arrays["initial"]
        self._anchors = arrays["anchors"]
        self._deltas = arrays["deltas"]
        cascades, trees, splits, _ = arrays["pixels"].shape
        self._depth = (splits + 1).bit_length() - 1
        self._splits = splits
        # of tree t the split i stands at t · splits + i, so that one `take` serves all trees
        self._first = np.ascontiguousarray(arrays["pixels"][..., 0].reshape(cascades, -1).astype(np.intp))
        self._second = np.ascontiguousarray(arrays["pixels"][..., 1].reshape(cascades, -1).astype(np.intp))
        self._thresholds = arrays["thresholds"].reshape(cascades, -1)
        self._leaves = arrays["leaves"].reshape(cascades, trees * (splits + 1), -1)
        self._roots = np.arange(trees, dtype=np.intp) * splits
        self._leaf_roots = np.arange(trees, dtype=np.intp) * (splits + 1) - splits
        centered = self.initial.astype(np.float64) - self.initial.mean(axis=0, dtype=np.float64)
        self._reference = centered @ np.array([1, 1j])

    def locate(self, picture: ImageArray, rectangles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (N, K, 2) for rectangles (N, 4): left, top, right, bottom, the last two being the last pixels *inside*, as dlib has them."""
        parts = [self._locate(picture, rectangles[start : start + _AT_ONCE]) for start in range(0, len(rectangles), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.initial), 2))

    def _locate(self, picture: ImageArray, rectangles: NDArray[np.float64]) -> NDArray[np.float64]:
        origin, extent = rectangles[:, None, :2], (rectangles[:, 2:] - rectangles[:, :2])[:, None]
        shape = np.repeat(self.initial[None], len(rectangles), axis=0)
        for cascade in range(len(self._anchors)):
            values = self._brightness(picture, shape, cascade, origin, extent)
            shape = self._step(values, shape, cascade)
        return origin + extent * shape

    def _brightness(
        self, picture: ImageArray, shape: NDArray[np.float32], cascade: int, origin: NDArray[np.float64], extent: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Brightness (N, P) at the cascade's pixels, 0 outside the picture: the mean of the channels, rounded down."""
        moved = (shape - shape.mean(axis=1, keepdims=True, dtype=np.float64)) @ np.array([1, 1j])
        factor = (self._reference.conj() * moved).sum(axis=1) / (np.abs(self._reference) ** 2).sum()
        a, b = factor.real.astype(np.float32)[:, None], factor.imag.astype(np.float32)[:, None]
        dx, dy = self._deltas[cascade, :, 0], self._deltas[cascade, :, 1]
        turned = np.stack([a * dx - b * dy, b * dx + a * dy], axis=2) + shape[:, self._anchors[cascade]]
        places = np.floor(origin + extent * turned + 0.5)
        height, width = picture.shape[:2]
        x, y = places[..., 0], places[..., 1]
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        column, row = np.where(inside, x, 0).astype(np.intp), np.where(inside, y, 0).astype(np.intp)
        pixel = picture[row, column]
        mean = (pixel[..., 0].astype(np.uint16) + pixel[..., 1] + pixel[..., 2]) // 3
        return np.asarray(mean * inside, dtype=np.float32)

    def _step(self, values: NDArray[np.float32], shape: NDArray[np.float32], cascade: int) -> NDArray[np.float32]:
        """The shapes (N, K, 2) plus the leaves that the values (N, P) lead to.

        The sum is float32 and runs from the shape through the trees in their order, as dlib's does: a sum in another order moves one look-up in
        ten thousand to the neighboring pixel, and that can move a point by two.
        """
        first, second, thresholds, leaves = self._first[cascade], self._second[cascade], self._thresholds[cascade], self._leaves[cascade]
        terms = np.empty((len(self._roots) + 1, leaves.shape[1]), np.float32)
        out = np.empty_like(shape)
        for face, value in enumerate(values):
            right = value.take(first) - value.take(second) <= thresholds
            place = np.zeros_like(self._roots)
            for _ in range(self._depth):
                place = 2 * place + 1 + right.take(self._roots + place)
            terms[0] = shape[face].reshape(-1)
            leaves.take(self._leaf_roots + place, axis=0, out=terms[1:], mode="clip")
            np.add.reduce(terms, axis=0, out=out[face].reshape(-1))
        return out


_lock = threading.Lock()
_loaded: dict[str, Trees] = {}


def _load(card: Card) -> Trees:
    """The card's trees, read once a process."""
    path = str(convert.prepare(card))
    with _lock:
        if path not in _loaded:
            with np.load(path, allow_pickle=False) as archive:
                _loaded[path] = Trees(dict(archive))
        return _loaded[path]


class DlibErt:
    """Landmarker over one of dlib's shape predictors."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        del session_options  # trees know no devices
        self.card = card
        self._decode = options(card, Decode)
        self.scheme = next((item.scheme for item in card.output if item.kind == "points"), "")
        if self.scheme not in SCHEMES or len(self._decode.center) != 2:
            raise CardError(f"card {card.name}: needs an [[output]] of the kind 'points' with a known scheme, and decode.center = [x, y]")

    @cached_property
    def trees(self) -> Trees:
        """The ensemble, read when it is first needed."""
        trees = _load(self.card)
        if len(trees.initial) != SCHEMES[self.scheme]:
            raise CardError(f"card {self.card.name}: the file has {len(trees.initial)} points, {self.scheme} has {SCHEMES[self.scheme]}")
        return trees

    def rectangle(self, face: Face) -> NDArray[np.float64]:
        """The rectangle that the trees are given: left, top, and the last column and row inside, in pixels of the picture."""
        x1, y1, x2, y2 = face.box.astype(np.float64)
        if face.detector in self._decode.native:
            return np.array([x1, y1, x2 - 1, y2 - 1])
        if face.landmarks is not None and face.landmarks.scheme == "arcface5":
            points = face.landmarks.points.astype(np.float64) @ np.array([1, 1j])
            eyes, mouth = points[:2].mean(), points[3:].mean()
            axis = mouth - eyes
            center = eyes + axis * complex(self._decode.center[1], -self._decode.center[0])
            x, y, side = center.real, center.imag, abs(axis) * self._decode.side
        else:
            x, y, side = (x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2, max(x2 - x1, y2 - y1) * self._decode.square
        return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])

    def locate(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Landmarks]]:
        """Landmarks of each face of each picture."""
        found = []
        for picture, group in zip(images, faces, strict=True):
            points = self.trees.locate(picture, np.array([self.rectangle(face) for face in group]).reshape(-1, 4))
            if self._decode.whole_pixels:
                points = np.floor(points + 0.5)
            found.append([Landmarks(item.astype(np.float32), self.scheme) for item in points])  # type: ignore[arg-type]
        return found
