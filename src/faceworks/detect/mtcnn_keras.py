"""What the package `mtcnn` 1.0 (TensorFlow) does between MTCNN's networks.

It differs from facenet-pytorch in every step: fractional area means for the pyramid (OpenCV's INTER_AREA computes the same) and truncated level
sizes, bilinear crops whose outermost samples lie on the box and that see gray outside the picture, offsets applied before suppression, and a
suppression that is not greedy: a box goes when *any* better box covers it, even one that was dropped itself. The final boxes are cut to the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cards import InputSpec
from ..types import FloatArray, ImageArray
from .mtcnn import Candidates, Decode, Sampler, pick
from .mtcnn_facenet import _log_odds, _probability

__all__ = ["finish", "levels", "merge", "propose", "refine", "sampler", "windows"]

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Smooth:
    """A normalized picture (H, W, 3) float32."""

    pixels: FloatArray

    def resampled(self, size: tuple[int, int]) -> FloatArray:
        """Area means with fractional pixels at the ends."""
        out = cv2.resize(self.pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(out.transpose(2, 0, 1))

    def crops(self, boxes: Boxes, side: int) -> FloatArray:
        """TensorFlow's crop_and_resize: samples from edge to edge of the box, bilinear, 0 (gray) outside the picture."""
        height, width = self.pixels.shape[:2]
        out = np.empty((len(boxes), 3, side, side), np.float32)
        steps = np.arange(side, dtype=np.float32)
        # in float32, operation by operation: whether a sample on the border is in or out decides over its row
        share = (boxes / np.tile([width, height], 2)).astype(np.float32)
        last = np.array([width - 1, height - 1], np.float32)
        start, pitch = share[:, :2] * last, (share[:, 2:] - share[:, :2]) * last / np.float32(side - 1)
        for index, target in enumerate(out):
            x, y = (start[index, axis] + steps * pitch[index, axis] for axis in (0, 1))
            (x0, x1, u), (y0, y1, v) = _neighbors(x, width), _neighbors(y, height)
            rows = self.pixels[y0] * (1 - v)[:, None, None] + self.pixels[y1] * v[:, None, None]
            patch = rows[:, x0] * (1 - u)[:, None] + rows[:, x1] * u[:, None]
            patch *= ((y >= 0) & (y <= height - 1))[:, None, None] & ((x >= 0) & (x <= width - 1))[:, None]
            target[:] = patch.transpose(2, 0, 1)
        return out


def _neighbors(places: FloatArray, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    inside = np.clip(places, 0, count - 1)
    low = np.floor(inside).astype(np.intp)
    return low, np.minimum(low + 1, count - 1), (inside - low).astype(np.float32)


def sampler(picture: ImageArray, spec: InputSpec) -> Sampler:
    """The picture as the networks see it, resampled bilinearly or by area."""
    pixels = picture.astype(np.float32)
    pixels -= np.asarray(spec.mean, np.float32)
    pixels /= np.asarray(spec.std, np.float32)
    return _Smooth(pixels)


def levels(size: tuple[int, int], decode: Decode) -> list[tuple[float, tuple[int, int]]]:
    """Scale and (height, width) of each level; their number follows from the shorter side alone."""
    count = round(-(math.log(min(size) / decode.window) / math.log(decode.factor) + 1))
    scales = [decode.window / decode.min_face * decode.factor**index for index in range(max(count, 0))]
    return [(scale, (max(int(size[0] * scale), 1), max(int(size[1] * scale), 1))) for scale in scales if min(size) * scale >= decode.window]


def propose(answers: FloatArray, scale: float, decode: Decode) -> Candidates:
    """Windows of one level with a high score, moved by their offsets, suppressed."""
    picture, row, column = np.nonzero(answers[:, 0] > _log_odds(decode.scores[0]))
    near = np.stack([column, row], axis=1).astype(np.float64) * decode.stride + 1
    side = decode.window - 1
    boxes = np.concatenate([near, near + side], axis=1) + answers[picture, 1:, row, column] * side
    return _ranked(Candidates(picture, boxes / scale, _probability(answers[picture, 0, row, column])), decode.suppression[0])


def merge(parts: Sequence[Candidates], decode: Decode) -> Candidates:
    """Suppression between levels, then squares."""
    if not parts:
        return Candidates(np.zeros(0, np.intp), np.zeros((0, 4)), np.zeros(0, np.float32))
    found = Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("picture", "boxes", "scores")))
    return _squared(_ranked(found, decode.suppression[1]))


def windows(candidates: Candidates, sizes: Sequence[tuple[int, int]]) -> tuple[Candidates, Boxes]:
    """The boxes themselves."""
    return candidates, candidates.boxes


def refine(candidates: Candidates, answers: FloatArray, decode: Decode) -> Candidates:
    """After the R-Net: offsets, high scores, suppression, squares."""
    passed = np.flatnonzero(answers[:, 0] > _log_odds(decode.scores[1]))
    found = Candidates(candidates.picture[passed], _moved(candidates.boxes, answers)[passed], _probability(answers[passed, 0]))
    return _squared(_ranked(found, decode.suppression[2]))


def finish(candidates: Candidates, answers: FloatArray, decode: Decode, sizes: Sequence[tuple[int, int]], min_score: float) -> Candidates:
    """After the O-Net: points, offsets, high scores, suppression by the share of the smaller box; boxes are cut to the picture."""
    sides = candidates.boxes[:, 2:] - candidates.boxes[:, :2] + 1
    offsets = np.stack([answers[:, 5:10], answers[:, 10:15]], axis=2)
    points = sides[:, None] * offsets + candidates.boxes[:, None, :2] - 1
    passed = np.flatnonzero(answers[:, 0] > _log_odds(min_score))
    boxes = _moved(candidates.boxes, answers)[passed]
    found = Candidates(candidates.picture[passed], boxes, _probability(answers[passed, 0]), points[passed])
    found = _ranked(found, decode.suppression[3], smaller=True)
    limits = np.array(sizes, dtype=np.float64).reshape(-1, 2)[found.picture][:, ::-1] - 1
    cut = np.clip(found.boxes, 0, np.tile(limits, 2))
    return Candidates(found.picture, cut, found.scores, found.points)


def _moved(boxes: Boxes, answers: FloatArray) -> Boxes:
    moved: Boxes = boxes + answers[:, 1:5] * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return moved


def _squared(found: Candidates) -> Candidates:
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True) if len(sides) else sides[:, :1]
    corner = found.boxes[:, :2] + sides * 0.5 - longer * 0.5
    return Candidates(found.picture, np.concatenate([corner, corner + longer], axis=1), found.scores)


def _ranked(found: Candidates, overlap: float, smaller: bool = False) -> Candidates:
    """Rows that no better row of the same picture overlaps by more than `overlap` (of the union, or of the smaller box), best first."""
    order = np.argsort(found.scores.astype(np.float64))[::-1]  # the package's own way: it decides between windows whose scores round to 1
    kept = [np.zeros(0, np.intp)]
    for index in np.unique(found.picture):
        rows = order[found.picture[order] == index]
        kept.append(rows[~_covered(found.boxes[rows], overlap, smaller)])
    return pick(found, np.concatenate(kept))


def _covered(boxes: Boxes, overlap: float, smaller: bool) -> NDArray[np.bool_]:
    """Which of the boxes (N, 4), best first, overlap an earlier one too much."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    covered: Any = np.zeros(len(boxes), dtype=bool)
    for start in range(0, len(boxes), 256):
        stop = min(start + 256, len(boxes))
        own, better = boxes[start:stop], boxes[:stop]
        near = np.maximum(own[:, None, :2], better[None, :, :2])
        far = np.minimum(own[:, None, 2:], better[None, :, 2:])
        width, height = (np.maximum(far[..., axis] - near[..., axis], 0) for axis in (0, 1))
        common = width * height
        whole = np.minimum(area[start:stop, None], area[None, :stop]) if smaller else area[start:stop, None] + area[None, :stop] - common
        earlier = np.arange(stop)[None] < np.arange(start, stop)[:, None]
        covered[start:stop] = ((common > overlap * whole) & earlier).any(axis=1)
    return np.asarray(covered, dtype=np.bool_)
