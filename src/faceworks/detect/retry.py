"""The retry ladder: what to try with a picture in which the detector finds no face, or finds it lying. Opt-in; `found_by` says which step found a face.

    pad         the picture in the middle of a black frame, half a side wide: a face that fills it gets surroundings
    rotate90    … 180, 270: turned counterclockwise by that angle
    tile        the picture in overlapping tiles of the detector's own input size: tiny faces in large pictures
    larger      twice the detector's input size: smaller faces than it looks for

The steps run in the order given until one finds a face. Boxes and points always are those of the original picture.

The rotations also look at pictures in which the detector found something as they are: YuNet finds one sideways face in two and every one that stands
on its head, with a lower score and with five points that are set out as if it stood upright, so that nothing downstream could tell. Of all
orientations tried, the picture is taken in that in which its best face has the highest score (in log-odds, since many scores crowd below 1), less
`_LYING` where its eye line is more than 45° from level; as it is, it wins by `_MARGIN`. So a rotation in the ladder costs a detection for every
picture. On 28 pictures in four orientations with seven detectors that chose the right one each time, by 0.5 at least; scores alone failed CenterFace
7 times, and the fit of the five points to a template said nothing of faces that stand on their heads.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import cards, geometry, image
from ..align import eye_centers
from ..cards import Card
from ..runtime import SessionOptions
from ..types import Face, ImageArray, Landmarks
from . import Detector, build_detector

__all__ = ["STEPS", "Retrying", "carried", "fitness", "with_retry"]

STEPS = ("pad", "rotate90", "rotate180", "rotate270", "tile", "larger")
_FRAME = 0.5
"""Width of the frame over the picture's longer side."""
_TILE, _OVERLAP = 640, 0.25
"""Side of a tile where the card names no input size, and the share of it that neighbors have in common."""
_SAME = 0.4
"""Two tiles' boxes that overlap by more are one face."""

_MARGIN = 0.25
"""How much better, in log-odds, a turned picture must be than the picture as it is."""
_LYING = 2.0
"""What a face loses, in log-odds, whose eyes stand above each other or upside down."""

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


def carried(face: Face, matrix: NDArray[np.float64], step: str) -> Face:
    """The face in the coordinates that `matrix` leads to."""
    x1, y1, x2, y2 = face.box.tolist()
    corners = geometry.apply(matrix, [[x1, y1], [x2, y1], [x1, y2], [x2, y2]])
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)]).astype(np.float32)
    points = face.landmarks
    if points is not None:
        points = Landmarks(geometry.apply(matrix, points.points).astype(np.float32), points.scheme, points.scores)
    return dataclasses.replace(face, box=box, landmarks=points, found_by=step)


def fitness(faces: Sequence[Face]) -> float:
    """How well the best of the faces stands upright: the log-odds of its score, less 2 where its eyes say that it lies; −inf for none."""
    best = -math.inf
    for face in faces:
        score = min(max(face.score, 1e-6), 1 - 1e-6)
        value = math.log(score / (1 - score))
        if face.landmarks is not None:
            left, right = eye_centers(face.landmarks)
            value -= _LYING * bool(abs(right[1] - left[1]) >= right[0] - left[0])
        best = max(best, value)
    return best


class Retrying:
    """A detector that tries harder where it finds nothing, or what does not stand upright.

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
        turned = any(step.startswith("rotate") for step in self._steps)
        fits = [fitness(faces) + _MARGIN * bool(faces) for faces in found] if turned else []
        for step in self._steps:
            rotation = step.startswith("rotate")
            for index, faces in enumerate(found):
                if faces and not (rotation and (faces[0].found_by == "" or faces[0].found_by.startswith("rotate"))):
                    continue
                fresh, fit = self._attempt(images[index], step)
                if not rotation:
                    found[index] = fresh
                elif fit > fits[index]:
                    found[index], fits[index] = fresh, fit
        return found

    def _attempt(self, picture: ImageArray, step: str) -> tuple[list[Face], float]:
        """One step with one picture: faces in its coordinates, and how well they stand upright in the view that the detector saw."""
        if step == "tile":
            faces = self._in_tiles(picture)
            return faces, fitness(faces)
        detector = self._larger() if step == "larger" else self._plain
        if step == "pad":
            view, back = _padded(picture)
        elif step == "larger":
            view, back = _larger(picture) if max(picture.shape[:2]) <= _TILE else (picture, np.array([[1.0, 0, 0], [0, 1.0, 0]]))
        else:
            view, back = _rotated(picture, int(step.removeprefix("rotate")) // 90)
        faces = detector.detect([view])[0]
        return [carried(face, back, step) for face in faces], fitness(faces)

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
                    faces += [carried(face, back, "tile") for face in some]
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
