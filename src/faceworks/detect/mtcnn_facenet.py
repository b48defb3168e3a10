"""What facenet-pytorch 2.6 does between MTCNN's networks, step by step and in float32, so that the boxes are its own (FastMTCNN's too).

Windows are cut with inclusive edges counted from 1, as in the authors' MATLAB code; suppression ranks boxes before they are moved by the offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cards import InputSpec
from ..types import FloatArray, ImageArray
from .area import Integral
from .mtcnn import Candidates, Decode, Sampler, pick

__all__ = ["finish", "levels", "merge", "propose", "refine", "sampler", "windows"]


def sampler(picture: ImageArray, spec: InputSpec) -> Sampler:
    """Means over boxes of whole pixels."""
    return Integral.of(picture, spec)


def levels(size: tuple[int, int], decode: Decode) -> list[tuple[float, tuple[int, int]]]:
    """Scale and (height, width) of each level of the pyramid, as long as the shorter side holds the window."""
    scale, found = decode.window / decode.min_face, []
    shorter = min(size) * scale
    while shorter >= decode.window:
        found.append((scale, (int(size[0] * scale + 1), int(size[1] * scale + 1))))
        scale *= decode.factor
        shorter *= decode.factor
    return found


def propose(answers: FloatArray, scale: float, decode: Decode) -> Candidates:
    """Windows of one level (B, 5, rows, columns) with a high score, suppressed within level and picture. Boxes: 4 corners, then 4 offsets."""
    picture, row, column = np.nonzero(answers[:, 0] >= _log_odds(decode.scores[0]))
    near = np.stack([column, row], axis=1).astype(np.float32) * decode.stride + 1
    corners = np.floor(np.concatenate([near, near + (decode.window - 1)], axis=1) / np.float32(scale))
    boxes = np.concatenate([corners, answers[picture, 1:, row, column]], axis=1)
    found = Candidates(picture, boxes, _probability(answers[picture, 0, row, column]))
    return pick(found, _suppress(found, decode.suppression[0]))


def merge(parts: Sequence[Candidates], decode: Decode) -> Candidates:
    """Suppression between levels, then the boxes are moved by their offsets and squared."""
    found = _joined(parts)
    found = pick(found, _suppress(found, decode.suppression[1]))
    corners, offsets = found.boxes[:, :4], found.boxes[:, 4:]
    sides = corners[:, 2:] - corners[:, :2]
    return Candidates(found.picture, _square(corners + offsets * np.tile(sides, 2)), found.scores)


def windows(candidates: Candidates, sizes: Sequence[tuple[int, int]]) -> tuple[Candidates, NDArray[np.intp]]:
    """Whole pixels under each box, cut to the picture: (N, 4), right and bottom exclusive. Boxes with none are dropped."""
    limits = np.array(sizes, dtype=np.intp).reshape(-1, 2)[candidates.picture]
    cells = np.trunc(candidates.boxes).astype(np.intp)
    cells[:, :2] = np.maximum(cells[:, :2], 1) - 1
    cells[:, 2:] = np.minimum(cells[:, 2:], limits[:, ::-1])
    held = np.flatnonzero((cells[:, 2:] > cells[:, :2]).all(axis=1))
    return pick(candidates, held), cells[held]


def refine(candidates: Candidates, answers: FloatArray, decode: Decode) -> Candidates:
    """After the R-Net: high scores, suppression, then the offsets, then squares."""
    passed = np.flatnonzero(answers[:, 0] > _log_odds(decode.scores[1]))
    found = Candidates(candidates.picture[passed], candidates.boxes[passed], _probability(answers[passed, 0]))
    kept = _suppress(found, decode.suppression[2])
    found = pick(found, kept)
    return Candidates(found.picture, _square(_moved(found.boxes, answers[passed][kept, 1:5])), found.scores)


def finish(candidates: Candidates, answers: FloatArray, decode: Decode, sizes: Sequence[tuple[int, int]], min_score: float) -> Candidates:
    """After the O-Net: high scores, offsets and points, then suppression by the share of the smaller box."""
    passed = np.flatnonzero(answers[:, 0] > _log_odds(min_score))
    boxes, answer = candidates.boxes[passed], answers[passed]
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    points = sides[:, None] * np.stack([answer[:, 5:10], answer[:, 10:15]], axis=2) + boxes[:, None, :2] - 1
    found = Candidates(candidates.picture[passed], _moved(boxes, answer[:, 1:5]), _probability(answer[:, 0]), points)
    return pick(found, _suppress_contained(found, decode.suppression[3]))


def _log_odds(probability: float) -> float:
    return float(np.log(max(probability, 1e-30) / max(1 - probability, 1e-30)))


def _probability(log_odds: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float32)


def _joined(parts: Sequence[Candidates]) -> Candidates:
    if not parts:
        return Candidates(np.zeros(0, np.intp), np.zeros((0, 8), np.float32), np.zeros(0, np.float32))
    return Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("picture", "boxes", "scores")))


def _moved(boxes: FloatArray, offsets: FloatArray) -> FloatArray:
    moved: FloatArray = boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return moved


def _square(boxes: FloatArray) -> FloatArray:
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True) if len(sides) else sides[:, :1]
    corner = boxes[:, :2] + sides * np.float32(0.5) - longer * np.float32(0.5)
    return np.concatenate([corner, corner + longer], axis=1)


def _suppress(found: Candidates, overlap: float) -> NDArray[np.intp]:
    """Greedy suppression in each picture; rows kept, picture by picture, best first."""
    kept = [np.zeros(0, np.intp)]
    for index in np.unique(found.picture):
        rows = np.flatnonzero(found.picture == index)
        corners = found.boxes[rows, :4].astype(np.float64)
        corners[:, 2:] -= corners[:, :2]
        best = cv2.dnn.NMSBoxes(corners.tolist(), found.scores[rows].tolist(), 0.0, overlap)
        kept.append(rows[np.asarray(best, dtype=np.intp).reshape(-1)])
    return np.concatenate(kept)


def _suppress_contained(found: Candidates, share: float) -> NDArray[np.intp]:
    """The same by intersection over the smaller area, edges inclusive."""
    kept: list[Any] = []
    x1, y1, x2, y2 = found.boxes.T if len(found.boxes) else np.zeros((4, 0), np.float32)
    area = (x2 - x1 + 1) * (y2 - y1 + 1)
    for index in np.unique(found.picture):
        order = np.flatnonzero(found.picture == index)
        order = order[np.argsort(-found.scores[order], kind="stable")]
        while order.size:
            best, order = order[0], order[1:]
            kept.append(best)
            width = np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order]) + 1
            height = np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order]) + 1
            common = np.maximum(width, 0) * np.maximum(height, 0)
            order = order[common / np.minimum(area[best], area[order]) <= share]
    return np.array(kept, dtype=np.intp)
