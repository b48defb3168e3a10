"""Named strategies: eyes become level, marks land where they should, a turned head comes back to the front."""

from __future__ import annotations

import math

import numpy as np
import pytest

from faceworks import align, geometry
from faceworks.align import frontal
from faceworks.align.mean_face import MEAN_FACE, MIDDLE, PAIRS
from faceworks.errors import ConfigError, InputError
from faceworks.types import Face, Landmarks
from synthetic import disk

SIZE, SCALE = 500, 110.0


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def project(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    return np.asarray(points @ turn[:2].T * SCALE + [SIZE / 2, SIZE / 2 - 20])


def render(turn: np.ndarray, marks: list[int]) -> np.ndarray:
    """The mean head as a surface, painted from back to front, gray with white marks at some of its points."""
    n = 420
    x, y = np.meshgrid(np.linspace(-1.15, 1.15, n), np.linspace(-1.2, 1.95, n))
    head = np.stack([x, y, frontal._depth(MEAN_FACE, x, y)], axis=2)
    shade = np.full((n, n), 90, np.uint8)
    for index in marks:
        shade[(x - MEAN_FACE[index, 0]) ** 2 + (y - MEAN_FACE[index, 1]) ** 2 < 0.045**2] = 255
    order = np.argsort((head @ turn.T)[..., 2].reshape(-1))
    places = np.floor(project(head.reshape(-1, 3), turn))[order].astype(int)
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    for dx in (0, 1):
        for dy in (0, 1):
            picture[np.clip(places[:, 1] + dy, 0, SIZE - 1), np.clip(places[:, 0] + dx, 0, SIZE - 1)] = shade.reshape(-1)[order, None]
    return picture


def marks_in(pixels: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Centers of the white marks near their expected places."""
    out = []
    for x, y in expected:
        left, top = int(x) - 7, int(y) - 7
        weight = np.clip(pixels[top : top + 16, left : left + 16, 0].astype(float) - 130, 0, None)
        assert weight.sum() > 0, "a mark is lost"
        rows, columns = np.mgrid[top : top + 16, left : left + 16]
        out.append([(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()])
    return np.array(out)


MARKS = [36, 45, 39, 42, 48, 54, 27, 30, 57]


@pytest.mark.parametrize("yaw", [-45, -30, -15, 15, 30, 45])
def test_a_turned_head_comes_back_to_the_front(yaw: float) -> None:
    """The marks, measured in the pixels: mirror asymmetry at most 3 % of the eye distance; the pose fitted to the result at most 5 degrees."""
    turn = rotation(yaw)
    points = Landmarks(project(MEAN_FACE, turn).astype(np.float32), "ibug68")
    front = align.frontalize(render(turn, MARKS), points, 448)
    assert front.pose.yaw == pytest.approx(yaw, abs=0.5)
    found = marks_in(front.pixels, front.points[MARKS])
    eyes = 0.30 * 448
    axis = (448 - 1) / 2
    for a, b in ((0, 1), (2, 3), (4, 5)):
        assert abs(found[a, 0] + found[b, 0] - 2 * axis) <= 0.03 * eyes
        assert abs(found[a, 1] - found[b, 1]) <= 0.03 * eyes
    assert np.abs(found[6:, 0] - axis).max() <= 0.03 * eyes
    placed = front.points.copy()
    placed[MARKS] = found
    assert abs(align.fit_pose(Landmarks(placed, "ibug68")).yaw) <= 5


def test_a_frontal_face_hardly_changes() -> None:
    """Marks of a frontal head keep their places up to a similarity: within 2 % of the eye distance."""
    turn = rotation(0)
    source = project(MEAN_FACE, turn)
    picture = render(turn, MARKS)
    front = align.frontalize(picture, Landmarks(source.astype(np.float32), "ibug68"), 448)
    before, after = marks_in(picture, source[MARKS]), marks_in(front.pixels, front.points[MARKS])
    moved = geometry.apply(geometry.similarity_transform(before, after), before)
    assert np.linalg.norm(moved - after, axis=1).max() <= 0.02 * 0.30 * 448
    assert front.seen.min() == 1.0, "nothing is taken from the other half"


@pytest.mark.parametrize("stretch", [(1, 1, 0.8), (1, 1.1, 1.1), (1.05, 0.95, 1)])
@pytest.mark.parametrize("yaw", [-30, 0, 30])
def test_another_symmetric_head_keeps_its_own_shape(stretch: tuple[float, float, float], yaw: float) -> None:
    """The head is adapted to the person: its points project onto the landmarks within 1 % of the eye distance, and width to height stays."""
    head = MEAN_FACE * stretch
    pose = align.fit_pose(Landmarks(project(head, rotation(yaw)).astype(np.float32), "ibug68"))
    off = np.abs(pose.project(pose.points) - project(head, rotation(yaw)))[17:]
    assert off.max() <= 0.01 * SCALE
    ratio = pose.points[57, 1] / pose.points[45, 0] / (head[57, 1] / head[45, 0])
    assert ratio == pytest.approx(1, abs=0.08)


def test_angles_have_the_documented_signs() -> None:
    for yaw, pitch, roll in ((20, 0, 0), (0, 15, 0), (0, 0, 12), (15, -10, 8)):
        pose = align.fit_pose(Landmarks(project(MEAN_FACE, rotation(yaw, pitch, roll)).astype(np.float32), "ibug68"))
        assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((yaw, pitch, roll), abs=1.0)
    nose = project(MEAN_FACE, rotation(20))[30, 0] - project(MEAN_FACE, rotation(20))[27, 0]
    assert nose > 0, "positive yaw: the nose points to the viewer's right"
    clockwise = project(MEAN_FACE, rotation(0, 0, 12))
    assert clockwise[45, 1] > clockwise[36, 1], "positive roll: clockwise"
    down = project(MEAN_FACE, rotation(0, 15))
    assert down[30, 1] - down[27, 1] > project(MEAN_FACE, rotation(0))[30, 1] - project(MEAN_FACE, rotation(0))[27, 1], "positive pitch: downward"


def test_the_mean_face_is_symmetric() -> None:
    assert np.abs(MEAN_FACE[PAIRS[:, 0]] * [-1, 1, 1] - MEAN_FACE[PAIRS[:, 1]]).max() < 1e-3
    assert np.abs(MEAN_FACE[MIDDLE, 0]).max() < 1e-3
    assert sorted([*PAIRS.reshape(-1).tolist(), *MIDDLE.tolist()]) == list(range(68))


def eyed(left: tuple[float, float], right: tuple[float, float], scheme: str = "arcface5") -> Face:
    x, y = (left[0] + right[0]) / 2, (left[1] + right[1]) / 2
    if scheme == "arcface5":
        points = [left, right, (x, y + 20), (x - 12, y + 38), (x + 12, y + 38)]
    else:
        points = [(right[0] + 6, right[1]), (right[0] - 6, right[1]), (left[0] - 6, left[1]), (left[0] + 6, left[1]), (x, y + 25)]
    return Face(np.array([x - 40, y - 35, x + 40, y + 60], np.float32), 1.0, Landmarks(np.array(points, np.float32), scheme), "drawn")  # type: ignore[arg-type]


@pytest.mark.parametrize("angle", [-40, -10, 0, 5, 33, 80])
@pytest.mark.parametrize("strategy", ["eyes:1.2", "facealigner:.35"])
def test_the_eye_line_becomes_level(angle: float, strategy: str) -> None:
    half = 25 * np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    face = eyed(tuple(np.array([150.0, 140.0]) - half), tuple(np.array([150.0, 140.0]) + half))
    matrix = align.matrix_for(face, strategy, (224, 224), (300, 300))
    left, right = geometry.apply(matrix, align.eye_centers(face.landmarks))
    limit = 0.5 if strategy.startswith("eyes") else 2.5  # imutils cuts eye centers to whole pixels: up to a pixel in 50
    assert abs(math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))) <= limit


def test_facealigner_puts_the_left_eye_where_it_is_wanted() -> None:
    face = eyed((120, 100), (180, 100))
    for text, wanted in (("facealigner", (0.35, 0.35)), ("facealigner:.3,.4", (0.3, 0.4))):
        left = geometry.apply(align.matrix_for(face, text, (256, 256), (300, 300)), [120, 100])
        assert left == pytest.approx([256 * wanted[0], 256 * wanted[1]], abs=1e-6)


@pytest.mark.parametrize("box", [(110, 80, 190, 160), (-60, 40, 80, 200)], ids=["inside", "half outside"])
def test_a_circle_stays_a_circle_also_with_the_box_half_outside(box: tuple[int, int, int, int]) -> None:
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    x = max(middle[0], 35)
    picture = disk(240, 300, (x, middle[1]), 30)
    cut = align.square(picture, Face(np.array(box, np.float32), 1.0, None, "drawn"), 1.3, 224).pixels[..., 0] > 157
    width, height = np.ptp(np.flatnonzero(cut.any(axis=0))) + 1, np.ptp(np.flatnonzero(cut.any(axis=1))) + 1
    rows, columns = np.nonzero(cut)
    spread = np.std(columns) / np.std(rows)
    assert spread == pytest.approx(1, abs=0.01)
    assert abs(width - height) <= 2


def test_what_a_strategy_needs_is_said() -> None:
    bare = Face(np.array([10, 10, 60, 60], np.float32), 1.0, None, "drawn")
    picture = np.zeros((100, 100, 3), np.uint8)
    for strategy, word in (("dlib-chip", "dlib5"), ("eyes:1", "landmarks"), ("facealigner", "landmarks"), ("frontalize", "ibug68")):
        assert align.needs_scheme(strategy)
        with pytest.raises(InputError, match=word):
            align.crop(picture, bare, strategy, (96, 96))
    face = eyed((40, 40), (60, 40), "dlib5")
    for wrong in ("dlib-0:0.25", "dlib-150:x", "dlib-150:-1", "facealigner:.6", "facealigner:a", "facealigner:.3,.4,.5"):
        with pytest.raises(ConfigError):
            align.crop(picture, face, wrong, (150, 150))
    with pytest.raises(ConfigError, match="150x150"):
        align.crop(picture, face, "dlib-150:0.25", (112, 112))
    assert align.crop(picture, face, "dlib-chip", (96, 96)).pixels.shape == (96, 96, 3)
    assert align.crop(picture, bare, "none", (32, 32)).pixels.shape == (32, 32, 3)


def test_a_chip_outside_the_picture_is_black() -> None:
    face = eyed((540, 540), (580, 540), "dlib5")
    assert not align.crop(np.full((100, 100, 3), 200, np.uint8), face, "dlib-150:0.25").pixels.any()


def test_chip_points_land_where_the_matrix_says() -> None:
    face = eyed((140, 140), (180, 150), "dlib5")
    cut = align.crop(np.zeros((300, 300, 3), np.uint8), face, "dlib-150:0.25")
    assert face.landmarks is not None
    back = geometry.apply(geometry.invert(cut.matrix), geometry.apply(cut.matrix, face.landmarks.points))
    assert np.allclose(back, face.landmarks.points, atol=1e-3)
    nose = geometry.apply(cut.matrix, face.landmarks.points[4])
    assert nose == pytest.approx([75, 88], abs=8)
