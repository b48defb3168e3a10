"""The retry ladder with a detector that sees one thing only: a red rectangle of the right size the right way up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from faceworks import cards
from faceworks.align import TEMPLATES
from faceworks.detect.retry import STEPS, Retrying, fitness
from faceworks.errors import ConfigError
from faceworks.pipeline import PipelineSpec
from faceworks.types import Face, ImageArray, Landmarks


class Red:
    """Finds the red rectangle (255, 0, 0) whose top edge is marked (255, 255, 0), if its sides lie in a range and it keeps off the picture's edge."""

    def __init__(self, smallest: int = 8, largest: int = 60, frame: bool = True, limit: int = 10**9) -> None:
        self.card = cards.get("yunet-2023mar-int8bq")
        self.smallest, self.largest, self.frame, self.limit = smallest, largest, frame, limit
        self.seen: list[tuple[int, int]] = []

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        return [self._one(picture) for picture in images]

    def _one(self, picture: ImageArray) -> list[Face]:
        self.seen.append(picture.shape[:2])
        rows, columns = np.nonzero(picture[..., 0] > 200)
        if not rows.size or max(picture.shape[:2]) > self.limit:
            return []
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max(), rows.max()
        upright = picture[y1, (x1 + x2) // 2, 1] > 128
        inside = not self.frame or (x1 > 0 and y1 > 0 and x2 < picture.shape[1] - 1 and y2 < picture.shape[0] - 1)
        if not (upright and inside and self.smallest <= max(x2 - x1, y2 - y1) <= self.largest):
            return []
        points = np.array([[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2], [x2, y2]], np.float32)
        return [Face(np.array([x1, y1, x2, y2], np.float32), 0.9, Landmarks(points), "red")]


def scene(size: tuple[int, int], x: int, y: int, width: int, height: int) -> ImageArray:
    picture = np.zeros((*size, 3), np.uint8)
    picture[y : y + height, x : x + width, 0] = 255
    picture[y, x : x + width, 1] = 255
    return picture


def ladder(detector: Red, *steps: str, larger: Red | None = None) -> Retrying:
    return Retrying(detector, steps, lambda: larger or detector)


def test_nothing_but_turning_is_tried_when_a_face_is_found() -> None:
    red = Red()
    (faces,) = ladder(red, *STEPS).detect([scene((100, 120), 30, 20, 20, 30)])
    assert [face.found_by for face in faces] == [""]
    assert red.seen == [(100, 120), (120, 100), (100, 120), (120, 100)], "a face that was found may lie: the rotations look, nothing else does"
    red = Red()
    ladder(red, "pad", "tile", "larger").detect([scene((100, 120), 30, 20, 20, 30)])
    assert red.seen == [(100, 120)]


class Fooled(Red):
    """Finds the rectangle in any orientation, as YuNet does with faces: worse when it lies, with points set out as if it stood."""

    def _one(self, picture: ImageArray) -> list[Face]:
        if found := super()._one(picture):
            return [dataclasses.replace(found[0], score=0.95, landmarks=upright(found[0].box))]
        rows, columns = np.nonzero(picture[..., 0] > 200)
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
        return [Face(box, 0.88, upright(box), "fooled")]


def upright(box: np.ndarray) -> Landmarks:
    """Points where an upright face of that box has them."""
    x1, y1, x2, y2 = box
    shares = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Landmarks((shares * [x2 - x1, y2 - y1] + [x1, y1]).astype(np.float32))


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_lying_face_that_was_found_is_turned_all_the_same(quarters: int) -> None:
    picture = np.ascontiguousarray(np.rot90(scene((100, 120), 30, 20, 20, 26), -quarters))
    (faces,) = ladder(Fooled(), "rotate90", "rotate180", "rotate270").detect([picture])
    assert [face.found_by for face in faces] == [f"rotate{90 * quarters}" if quarters else ""]
    (plain,) = ladder(Fooled(), "pad", "tile").detect([picture])
    assert [face.found_by for face in plain] == [""]


def test_fitness() -> None:
    """Log-odds of the best face; one whose eyes are not level to 45 degrees loses 2, also upside down or with both eyes in one place."""
    points = TEMPLATES["arcface-112x112"][0]
    face = Face(np.array([0, 0, 9, 9], np.float32), 0.9, Landmarks(points.astype(np.float32)))
    odds = np.log(9)

    def turned(degrees: float) -> Face:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return dataclasses.replace(face, landmarks=Landmarks((points @ np.array([[c, s], [-s, c]])).astype(np.float32)))

    assert fitness([]) == -np.inf
    for degrees, loss in ((0, 0), (40, 0), (-40, 0), (50, 2), (-50, 2), (90, 2), (180, 2), (270, 2)):
        assert fitness([turned(degrees)]) == pytest.approx(odds - loss, abs=1e-5), degrees
    assert fitness([turned(90), face]) == pytest.approx(odds)
    assert fitness([dataclasses.replace(face, landmarks=None)]) == pytest.approx(odds)
    assert fitness([dataclasses.replace(face, landmarks=Landmarks(np.ones((5, 2), np.float32)))]) == pytest.approx(odds - 2)
    assert np.isfinite(fitness([dataclasses.replace(face, score=1.0)]))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotations(quarters: int) -> None:
    """A picture turned clockwise is found by the step that turns it back; box and points fit the turned picture, points keep their names."""
    picture = np.ascontiguousarray(np.rot90(scene((100, 120), 30, 20, 20, 30), -quarters))
    (faces,) = ladder(Red(), "rotate90", "rotate180", "rotate270").detect([picture])
    assert [face.found_by for face in faces] == [f"rotate{90 * quarters}"]
    rows, columns = np.nonzero(picture[..., 0])
    assert faces[0].box.tolist() == [columns.min(), rows.min(), columns.max(), rows.max()]
    assert faces[0].landmarks is not None
    x, y = faces[0].landmarks.points[0].astype(int)
    assert picture[y, x, 1] == 255, "the left eye stands on the marked edge"
    x, y = faces[0].landmarks.points[3].astype(int)
    assert picture[y, x, 1] == 0


def test_pad() -> None:
    (faces,) = ladder(Red(), "rotate90", "pad").detect([scene((40, 40), 0, 0, 40, 40)])
    assert [face.found_by for face in faces] == ["pad"]
    assert faces[0].box.tolist() == [0, 0, 39, 39]


def test_tile() -> None:
    """A face on the seam of two tiles is seen whole by an overlapping one, and counted once."""
    red = Red(limit=640)
    picture = scene((700, 1500), 630, 300, 20, 20)
    (faces,) = ladder(red, "tile").detect([picture])
    assert [face.found_by for face in faces] == ["tile"]
    assert faces[0].box.tolist() == [630, 300, 649, 319]
    assert max(max(size) for size in red.seen[1:]) == 640


def test_tile_leaves_small_pictures_alone() -> None:
    red = Red(smallest=50)
    assert ladder(red, "tile").detect([scene((300, 300), 100, 100, 20, 20)]) == [[]]
    assert len(red.seen) == 1


def test_larger() -> None:
    larger = Red(smallest=30)
    (faces,) = ladder(Red(smallest=30), "larger", larger=larger).detect([scene((100, 100), 40, 30, 20, 20)])
    assert [face.found_by for face in faces] == ["larger"]
    assert np.abs(faces[0].box - [40, 30, 59, 49]).max() <= 0.5
    assert larger.seen == [(200, 200)]


def test_only_pictures_without_a_face_are_tried_again() -> None:
    pictures = [scene((100, 120), 30, 20, 20, 30), np.zeros((50, 50, 3), np.uint8), scene((40, 40), 0, 0, 40, 40)]
    found = ladder(Red(), "pad").detect(pictures)
    assert [[face.found_by for face in faces] for faces in found] == [[""], [], ["pad"]]


@pytest.mark.parametrize("retry", ["pad", ("upside",), ("pad", "rotate45")])
def test_wrong_steps(retry: object) -> None:
    with pytest.raises(ConfigError, match="retry must be a tuple of pad, rotate90"):
        PipelineSpec(retry=retry)  # type: ignore[arg-type]
