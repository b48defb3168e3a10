"""dlib's convolutional detector (King, arXiv:1502.00046): a sliding window of 80x80 over a pyramid of 5/6, as one tiled picture.

The pyramid is laid out as dlib lays it out, in two columns with the same gaps: where a level lies decides which cells see it, so boxes come out as
dlib's do, pixel for pixel. They are in whole pixels, as dlib's. Checked against `dlib.cnn_face_detection_model_v1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cards import Card, options
from ..runtime import SessionOptions, open_session, to_blob
from ..types import Face, FloatArray, ImageArray
from .letterbox import check_min_score

__all__ = ["Decode", "Mmod", "layout"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of a card of this family.

    Attributes:
        min_score: scores up to this are no faces (0 is dlib's).
        window, stride, origin: side of the window; cell c looks at the pixel stride · c + origin of the tiled picture.
        overlap, covered: a box goes when it and a better one fill more than `overlap` of the box about both, or more than `covered` of either.
        pyramid: N, each level being (N − 1)/N of the one before; levels end below `min_height` rows.
        tile_padding, outer_padding: gaps between levels, and about all of them, in pixels.
        upsample: how many times the picture is doubled first.
        strip: rows of cells that one run computes; bounds the memory for large pictures.
        reach: rows of cells beyond a strip that it depends on.
    """

    min_score: float
    window: int
    stride: int
    origin: int
    overlap: float
    covered: float
    pyramid: int
    tile_padding: int
    outer_padding: int
    upsample: int = 0
    min_height: int = 5
    strip: int = 400
    reach: int = 10


def layout(size: tuple[int, int], decode: Decode) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Levels (L, 4) as left, top, width, height in the tiled picture, and its size (height, width).

    The first column goes down until the next level fits beside the one before (and half of the height is used); the second goes up again from
    the bottom right.
    """
    gap, edge, n = decode.tile_padding, decode.outer_padding, decode.pyramid
    heights, widths = [size[0]], [size[1]]
    while True:
        height, width = int((n - 1) / n * heights[-1]), int((n - 1) / n * widths[-1])
        if height < decode.min_height or width < 1:
            break
        heights.append(height)
        widths.append(width)
    total = sum(heights) + gap * len(heights) - 2 * gap
    column, before = 0, 0
    for height, width in zip(heights, widths, strict=True):
        if width <= widths[0] - before - gap and (column - heights[0]) * 2 >= total - heights[0]:
            break
        column += height + gap
        before = width
    column -= gap
    places: list[tuple[int, int, int, int]] = []
    y = edge
    while y < column + edge and len(places) < len(heights):
        places.append((edge, y, widths[len(places)], heights[len(places)]))
        y += places[-1][3] + gap
    y -= gap
    right = edge + widths[0]
    for height, width in zip(heights[len(places) :], widths[len(places) :], strict=True):
        left, top = right - width, y - height
        if left < edge + widths[0] and top < edge + heights[0]:
            break  # it would lie on the picture itself
        places.append((left, top, width, height))
        y -= height + gap
    return np.array(places, dtype=np.int64), (column + 2 * edge, widths[0] + 2 * edge)


def _shrink(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear, corner pixels upon corner pixels."""
    sy, sx = ((old - 1) / max(new - 1, 1) for old, new in zip(plane.shape, size, strict=True))
    matrix = np.array([[sx, 0, 0], [0, sy, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out: NDArray[np.float32] = cv2.warpAffine(plane, matrix, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return out


def _double(picture: ImageArray) -> ImageArray:
    """dlib's `pyramid_up`: 2H + 1 by 2W + 2 pixels, bilinear, rounded down."""
    height, width = 2 * picture.shape[0] + 1, 2 * picture.shape[1] + 2
    planes = [_shrink(np.ascontiguousarray(picture[..., channel], dtype=np.float32), (height, width)) for channel in range(3)]
    return (np.stack(planes, axis=2) + np.float32(1 / 512)).astype(np.uint8)


def _whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded as C's lround: halves away from zero."""
    return np.asarray(np.sign(values) * np.floor(np.abs(values) + 0.5))


def _suppress(boxes: NDArray[np.float64], decode: Decode) -> list[int]:
    """Greedy, best first; boxes (N, 4) hold the first and last pixels inside. The overlap is measured against the box about both."""

    def area(box: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.prod(np.clip(box[..., 2:] - box[..., :2] + 1, 0, None), axis=-1))

    kept: list[int] = []
    for index, box in enumerate(boxes):
        others = boxes[kept]
        common = area(np.hstack([np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])]))
        about = area(np.hstack([np.minimum(others[:, :2], box[:2]), np.maximum(others[:, 2:], box[2:])]))
        if not ((common / about > decode.overlap) | (common > decode.covered * np.minimum(area(others), area(box)))).any():
            kept.append(index)
    return kept


class Mmod:
    """Detector over one map of window scores."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode = options(card, Decode)
        self._min_score = check_min_score(min_score, self._decode.min_score)
        self._input = card.input_for()
        self._session = open_session(card, options=session_options)

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        return [self._detect(picture) for picture in images]

    def _detect(self, picture: ImageArray) -> list[Face]:
        for _ in range(self._decode.upsample):
            picture = _double(picture)
        places, size = layout((picture.shape[0], picture.shape[1]), self._decode)
        scores = self._scores(self._tiled(picture, places, size))
        rows, columns = np.nonzero(scores > self._min_score)
        found = scores[rows, columns]
        order = np.argsort(-found, kind="stable")
        centers = np.stack([columns, rows], axis=1)[order] * self._decode.stride + self._decode.origin
        boxes = _whole(self._to_picture(centers, places))
        kept = _suppress(boxes, self._decode)
        boxes = boxes[kept]
        for _ in range(self._decode.upsample):
            boxes = boxes / 2 - [1.25, 0.75, 1.25, 0.75]
        boxes = (_whole(boxes) if self._decode.upsample else boxes) + [0, 0, 1, 1]
        values = np.clip(found[order][kept], 0, 1)
        return [Face(box.astype(np.float32), float(score), None, self.card.name) for box, score in zip(boxes, values, strict=True)]

    def _tiled(self, picture: ImageArray, places: NDArray[np.int64], size: tuple[int, int]) -> FloatArray:
        """The pyramid as one tensor (1, 3, height, width), 0 between the levels. Each level is made from the one before."""
        planes: list[NDArray[np.float32]] = list(to_blob([picture], self._input)[0])
        blob = np.zeros((1, 3, *size), np.float32)
        for level, (left, top, width, height) in enumerate(places.tolist()):
            if level:
                planes = [_shrink(plane, (height, width)) for plane in planes]
            for target, plane in zip(blob[0], planes, strict=True):
                target[top : top + height, left : left + width] = plane
        return blob

    def _scores(self, blob: FloatArray) -> FloatArray:
        """The map of window scores (rows, columns), computed in strips where it is tall."""
        stride, strip, reach = self._decode.stride, self._decode.strip, self._decode.reach
        least = 2 * self._decode.origin + 1  # pixels that one cell looks at before the padded layers
        rows = (blob.shape[2] - least) // stride + 1
        if blob.shape[2] < least or blob.shape[3] < least:
            return np.zeros((0, 0), np.float32)
        if rows <= strip:
            scores: FloatArray = self._session.run(blob)[0][0, 0]
            return scores
        parts = []
        for start in range(0, rows, strip):
            stop = min(start + strip, rows)
            first, last = max(start - reach, 0), min(stop + reach, rows)
            part = np.ascontiguousarray(blob[:, :, stride * first : stride * (last - 1) + least])
            parts.append(self._session.run(part)[0][0, 0, start - first : stop - first])
        return np.concatenate(parts)

    def _to_picture(self, centers: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.float64]:
        """First and last corners (N, 4) of windows in the picture. A window belongs to the level that holds its center, or to the nearest."""
        low, high = places[:, :2], places[:, :2] + places[:, 2:] - 1
        apart = centers[:, None] - np.clip(centers[:, None], low, high)
        level = np.argmin((apart**2).sum(axis=2), axis=1)
        half = (self._decode.window - 1) / 2
        corners: NDArray[np.float64] = (np.hstack([centers, centers]) - np.tile(low[level], 2)) + np.array([-half, -half, half, half])
        ratio = self._decode.pyramid / (self._decode.pyramid - 1)
        for step in range(len(places) - 1):
            deeper = level > step
            corners[deeper] = corners[deeper] * ratio + 0.3
        return np.asarray(corners)
