"""The retry ladder: what to try with a picture in which the detector finds no face. Opt-in; a face says in `found_by` which step found it.

    pad         the picture in the middle of a black frame, half a side wide: a face that fills it gets surroundings
    rotate90    … 180, 270: turned counterclockwise by that angle
    tile        the picture in overlapping tiles of the detector's own input size: tiny faces in large pictures
    larger      twice the detector's input size: smaller faces than it looks for

The steps run in the order given until one finds a face. Boxes and points always are those of the original picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import cards, geometry, image
from ..cards import Card
from ..runtime import SessionOptions
from ..types import Face, ImageArray, Landmarks
from . import Detector, build_detector

__all__ = ["STEPS", "Retrying", "with_retry"]

STEPS = ("pad", "rotate90", "rotate180", "rotate270", "tile", "larger")
_FRAME = 0.5
"""Width of the frame over the picture's longer side."""
_TILE, _OVERLAP = 640, 0.25
"""Side of a tile where the card names no input size, and the share of it that neighbors have in common."""
_SAME = 0.4
"""Two tiles' boxes that overlap by more are one face."""

View: TypeAlias = tuple[ImageArray, NDArray[np.float64]]
"""A picture made of another one, and the (2, 3) transform from it to the other."""


def _padded(picture: ImageArray) -> View:
    height, width = picture.shape[:2]
    frame = max(1, round(max(height, width) * _FRAME))
    out = np.zeros((height + 2 * frame, width + 2 * frame, 3), np.uint8)
    out[frame : frame + height, frame : frame + width] = picture
    return out, np.array([[1.0, 0.0, -frame], [0.0, 1.0, -frame]])


def _rotated(picture: ImageArray, quarters: int) -> View:
    """The picture turned counterclockwise by quarters of a circle. Pixel centers land on pixel centers."""
    height, width = picture.shape[:2]
    back = {
        1: [[0.0, -1.0, width - 1], [1.0, 0.0, 0.0]],
        2: [[-1.0, 0.0, width - 1], [0.0, -1.0, height - 1]],
        3: [[0.0, 1.0, 0.0], [-1.0, 0.0, height - 1]],
    }[quarters]
    return np.ascontiguousarray(np.rot90(picture, quarters)), np.array(back)


def _tiles(picture: ImageArray, side: int) -> Iterator[View]:
    """Overlapping squares that cover the picture; none when one tile would hold it all."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return
    step = round(side * (1 - _OVERLAP))
    starts = [sorted({min(start, max(0, length - side)) for start in range(0, length, step)}) for length in (height, width)]
    for top in starts[0]:
        for left in starts[1]:
            yield np.ascontiguousarray(picture[top : top + side, left : left + side]), np.array([[1.0, 0.0, left], [0.0, 1.0, top]])


def _larger(picture: ImageArray) -> View:
    height, width = picture.shape[:2]
    size = (2 * height, 2 * width)
    return image.resize(picture, size, "cubic"), geometry.invert(np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]]))


def _carried(face: Face, matrix: NDArray[np.float64], step: str) -> Face:
    """The face in the coordinates that `matrix` leads to."""
    x1, y1, x2, y2 = face.box.tolist()
    corners = geometry.apply(matrix, [[x1, y1], [x2, y1], [x1, y2], [x2, y2]])
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)]).astype(np.float32)
    points = face.landmarks
    if points is not None:
        points = Landmarks(geometry.apply(matrix, points.points).astype(np.float32), points.scheme, points.scores)
    return dataclasses.replace(face, box=box, landmarks=points, found_by=step)


class Retrying:
    """A detector that tries harder where it finds nothing.

    Args:
        plain: the detector.
        steps: names of `STEPS`, in order.
        larger: gives the same detector with twice the input size; asked once, when the step is first needed.
    """

    def __init__(self, plain: Detector, steps: Sequence[str], larger: Callable[[], Detector]) -> None:
        self.card = plain.card
        self._plain = plain
        self._steps = tuple(steps)
        self._larger = larger

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first; `found_by` names the step that found them."""
        found = self._plain.detect(images)
        for step in self._steps:
            empty = [index for index, faces in enumerate(found) if not faces]
            for index in empty:
                found[index] = self._attempt(images[index], step)
        return found

    def _attempt(self, picture: ImageArray, step: str) -> list[Face]:
        """One step with one picture."""
        if step == "tile":
            return self._in_tiles(picture)
        detector = self._larger() if step == "larger" else self._plain
        if step == "pad":
            view, back = _padded(picture)
        elif step == "larger":
            view, back = _larger(picture) if max(picture.shape[:2]) <= _TILE else (picture, np.array([[1.0, 0, 0], [0, 1.0, 0]]))
        else:
            view, back = _rotated(picture, int(step.removeprefix("rotate")) // 90)
        return [_carried(face, back, step) for face in detector.detect([view])[0]]

    def _in_tiles(self, picture: ImageArray) -> list[Face]:
        """Every tile, a few at a time, so that memory does not grow with the picture; what neighbors both saw counts once."""
        side = max(next((item.size for item in self.card.input if len(item.size) == 2 and item.crop in ("image", "whole")), (_TILE, _TILE)))
        faces: list[Face] = []
        waiting: list[View] = []
        for view in [*_tiles(picture, side), None]:
            if view is not None:
                waiting.append(view)
            if waiting and (view is None or len(waiting) == 8):
                for (_, back), some in zip(waiting, self._plain.detect([pixels for pixels, _ in waiting]), strict=True):
                    faces += [_carried(face, back, "tile") for face in some]
                waiting = []
        if not faces:
            return []
        kept = geometry.non_maximum_suppression(np.stack([face.box for face in faces]), [face.score for face in faces], _SAME)
        return [faces[index] for index in kept]


def _doubled(card: Card) -> Card:
    """The card with twice the input size, where its network takes pictures of any size."""
    inputs = tuple(
        dataclasses.replace(item, size=tuple(2 * side for side in item.size)) if item.crop == "image" and item.batch == "dynamic" else item
        for item in card.input
    )
    return dataclasses.replace(card, input=inputs)


def with_retry(name: str, steps: Sequence[str], options: SessionOptions | None = None, min_score: float | None = None) -> Retrying:
    """The detector whose card is called `name`, with a retry ladder."""
    card = cards.get(name, "detect")
    return Retrying(build_detector(card, options, min_score), steps, lambda: build_detector(_doubled(card), options, min_score))
