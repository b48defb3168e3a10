"""Cutting: shapes are kept, points land where the template says, identity is exact, outside is black."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceworks import align, geometry
from faceworks.errors import ConfigError, InputError
from faceworks.types import Crop, Face, Landmarks
from synthetic import ARCFACE, disk, dots, face_at, gradient, moved, noise, spot_center, turned


def extent(picture: np.ndarray) -> tuple[float, float]:
    """Width and height of what is brighter than the middle."""
    bright = picture[..., 0] > 157
    return float(np.ptp(np.flatnonzero(bright.any(axis=0))) + 1), float(np.ptp(np.flatnonzero(bright.any(axis=1))) + 1)


def box_face(x1: float, y1: float, x2: float, y2: float) -> Face:
    return Face(np.array([x1, y1, x2, y2], np.float32), 0.9, None, "drawn")


# --- squares ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [(110, 40, 190, 200), (60, 100, 240, 160), (100, 70, 200, 170)], ids=["tall", "wide", "square"])
@pytest.mark.parametrize("factor", [1.3, 2.0])
def test_a_circle_stays_a_circle(box: tuple[int, int, int, int], factor: float) -> None:
    picture = disk(240, 300, (150, 120), 40)
    cut = align.square(picture, box_face(*box), factor, 200)
    width, height = extent(cut.pixels)
    assert abs(width - height) <= 1
    side = max(box[2] - box[0], box[3] - box[1]) * factor
    assert width == pytest.approx(80 * 200 / side, abs=2)


def test_a_stretched_box_is_stretched() -> None:
    """box:K does not keep the shape: the control of the test above."""
    cut = align.crop(disk(240, 300, (150, 120), 40), box_face(110, 40, 190, 200), "box:1", (200, 200))
    width, height = extent(cut.pixels)
    assert width == pytest.approx(2 * height, abs=4)


@pytest.mark.parametrize("template", ["square:1", "box:1"])
def test_a_box_at_its_own_size_is_copied_exactly(template: str) -> None:
    picture = noise(90, 120)
    cut = align.crop(picture, box_face(30, 20, 94, 84), template, (64, 64))
    assert np.array_equal(cut.pixels, picture[20:84, 30:94]), "a box covers the pixels x1 … x2 − 1"


def test_the_whole_picture_at_its_own_size_is_copied_exactly() -> None:
    picture = noise(33, 47)
    assert np.array_equal(align.crop(picture, box_face(0, 0, 1, 1), "whole", (33, 47)).pixels, picture)


def test_outside_is_black_or_repeated() -> None:
    picture = np.full((50, 50, 3), 200, np.uint8)
    face = box_face(-25, -25, 25, 25)
    black = align.crop(picture, face, "square:1", (100, 100)).pixels
    assert not black[:48, :48].any()
    assert (black[52:, 52:] == 200).all()
    assert (align.crop(picture, face, "square:1", (100, 100), border="replicate").pixels == 200).all()


def test_a_box_far_outside_gives_black() -> None:
    assert not align.crop(noise(), box_face(500, 500, 600, 600), "square:1", (32, 32)).pixels.any()


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3, 2.7])
def test_the_matrix_carries_the_box_edges_to_the_crop_edges(factor: float) -> None:
    face = box_face(20, 30, 80, 110)
    cut = align.crop(noise(), face, f"box:{factor}", (80, 60))
    x1, y1, x2, y2 = geometry.scale_about_center(face.box, factor)
    # box edges run along pixel edges: half a pixel before the first center
    corners = geometry.apply(cut.matrix, [[x1 - 0.5, y1 - 0.5], [x2 - 0.5, y2 - 0.5]])
    assert np.abs(corners - [[-0.5, -0.5], [59.5, 79.5]]).max() < 1e-4


def test_a_margin_is_measured_in_the_crop() -> None:
    """FaceNet's rule: with 160 px and margin 14, the bare box covers 146 px of the crop, in the middle."""
    face = box_face(50, 60, 150, 200)
    cut = align.crop(noise(300, 300), face, "box", (160, 160), margin=14)
    edges = geometry.apply(cut.matrix, [[49.5, 59.5], [149.5, 199.5]])
    assert np.abs(edges - [[6.5, 6.5], [152.5, 152.5]]).max() < 1e-3


# --- templates -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [0, 15, -40, 90, 180])
@pytest.mark.parametrize("scale", [0.6, 1.0, 2.5])
def test_template_points_land_on_the_template(degrees: float, scale: float) -> None:
    """Spots drawn at five points of a turned, scaled face are found in the crop where the template puts them."""
    points = moved(ARCFACE - 55.5, turned(degrees, scale, (200, 200)))
    picture = dots(400, 400, points, radius=3 * scale)
    cut = align.crop(picture, face_at(points))
    for want in ARCFACE:
        assert np.abs(spot_center(cut.pixels, want) - want).max() < 0.25
    assert np.abs(geometry.apply(cut.matrix, points) - ARCFACE).max() < 1e-3
    assert (cut.template, cut.pixels.shape) == ("arcface-112x112", (112, 112, 3))


def test_upright_points_on_the_template_cut_an_identical_crop() -> None:
    picture = noise(150, 160)
    cut = align.crop(picture, face_at(ARCFACE + np.array([20, 30])))
    assert np.array_equal(cut.pixels, picture[30:142, 20:132])


def test_the_narrow_template_is_the_wide_one_moved_by_eight() -> None:
    picture, face = noise(150, 160), face_at(ARCFACE + np.array([20, 30]))
    wide, narrow = align.crop(picture, face), align.crop(picture, face, "arcface-112x96")
    assert narrow.pixels.shape == (112, 96, 3)
    assert np.array_equal(narrow.pixels, wide.pixels[:, 8:104])


def test_a_template_scales_about_pixel_centers() -> None:
    """At twice the size, a point at center c of the small crop lies at 2 (c + 0.5) − 0.5."""
    assert np.allclose(align.template_points("arcface-112x112", (224, 224)), 2 * (ARCFACE + 0.5) - 0.5)
    points = ARCFACE + np.array([40, 40])
    cut = align.crop(dots(220, 220, points), face_at(points), size=(224, 224))
    assert np.abs(geometry.apply(cut.matrix, points) - (2 * ARCFACE + 0.5)).max() < 1e-3


def test_turning_the_picture_does_not_change_the_crop() -> None:
    picture = gradient(300, 300)
    points = ARCFACE * 1.5 + 60
    turned_picture = np.ascontiguousarray(np.rot90(picture, -1))  # clockwise
    turned_points = np.stack([299 - points[:, 1], points[:, 0]], axis=1)
    straight, quarter = align.crop(picture, face_at(points)), align.crop(turned_picture, face_at(turned_points))
    assert np.abs(straight.pixels.astype(int) - quarter.pixels).max() <= 2


def test_the_crop_of_a_mirror_image_is_not_a_mirror_image() -> None:
    """Points are as the viewer sees them: in the mirrored picture left and right change names, and the warp stays without reflection."""
    picture = noise(200, 200)
    points = ARCFACE + np.array([40, 40])
    swapped = np.stack([199 - points[:, 0], points[:, 1]], axis=1)[[1, 0, 2, 4, 3]]
    cut = align.crop(np.ascontiguousarray(picture[:, ::-1]), face_at(swapped))
    assert np.linalg.det(cut.matrix[:, :2]) > 0


def test_templates_need_their_landmarks() -> None:
    assert align.needs_scheme("arcface-112x112") == "arcface5"
    assert align.needs_scheme("square:1.3") is None
    with pytest.raises(InputError, match="needs arcface5 landmarks, the face of drawn has none"):
        align.crop(noise(), box_face(0, 0, 10, 10))
    dlib = Face(np.array([0, 0, 50, 50]), 0.9, Landmarks(ARCFACE, "dlib5"), "hog")
    with pytest.raises(InputError, match="the face of hog has dlib5"):
        align.crop(noise(), dlib)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("arcface-100x100", "unknown crop"),
        ("square:x", "positive number"),
        ("square:-1", "positive number"),
        ("box:0", "positive number"),
        ("box:nan", "positive"),
    ],
)
def test_a_crop_that_does_not_exist(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        align.crop(noise(), box_face(0, 0, 10, 10), template)


def test_points_that_coincide_are_refused() -> None:
    with pytest.raises(InputError, match="coincide"):
        align.crop(noise(), face_at(np.full((5, 2), 20.0)))


def test_an_empty_box_is_cut_without_a_crash() -> None:
    assert align.crop(noise(), box_face(10, 10, 10, 10), "square:1", (16, 16)).pixels.shape == (16, 16, 3)


def test_the_picture_is_not_touched_and_may_be_read_only() -> None:
    picture = noise()
    picture.setflags(write=False)
    before = picture.copy()
    cut = align.crop(picture, face_at(ARCFACE * 0.4))
    assert np.array_equal(picture, before)
    assert isinstance(cut, Crop)
    assert not cut.pixels.flags.writeable


def _original_piece(height: int, width: int, box: tuple[int, int, int, int], scale: float) -> tuple[int, int, int, int]:
    """`CropImage` of minivision-ai/Silent-Face-Anti-Spoofing, re-derived: first and last column and row, inclusive; the box is x, y, width, height."""
    x, y, w, h = box
    scale = min((height - 1) / h, min((width - 1) / w, scale))
    left, top = w / 2 + x - w * scale / 2, h / 2 + y - h * scale / 2
    right, bottom = w / 2 + x + w * scale / 2, h / 2 + y + h * scale / 2
    if left < 0:
        right, left = right - left, 0.0
    if top < 0:
        bottom, top = bottom - top, 0.0
    if right > width - 1:
        left, right = left - (right - width + 1), width - 1.0
    if bottom > height - 1:
        top, bottom = top - (bottom - height + 1), height - 1.0
    return int(left), int(top), int(right), int(bottom)


@given(
    st.tuples(st.integers(2, 300), st.integers(2, 300)),
    st.tuples(st.integers(-100, 350), st.integers(-100, 350), st.integers(1, 400), st.integers(1, 400)),
    st.sampled_from([1.0, 2.7, 4.0]),
)
def test_a_shifted_crop_is_the_original_piece_resized(sides: tuple[int, int], box: tuple[int, int, int, int], factor: float) -> None:
    picture = np.random.default_rng(sum(box) % 97).integers(0, 256, (*sides, 3), np.uint8)
    x, y, w, h = box
    cut = align.crop(picture, Face(np.array([x, y, x + w - 1, y + h - 1]), 1.0), f"box:{factor}", (80, 80), border="shift")
    left, top, right, bottom = _original_piece(*sides, box, factor)
    assert np.array_equal(cut.pixels, cv2.resize(picture[top : bottom + 1, left : right + 1], (80, 80)))
    corners = geometry.apply(geometry.invert(cut.matrix), np.array([[-0.5, -0.5], [79.5, 79.5]]))
    np.testing.assert_allclose(corners, [[left - 0.5, top - 0.5], [right + 0.5, bottom + 0.5]], atol=1e-3)


def test_a_crop_of_one_pixel_can_be_shifted() -> None:
    cut = align.crop(np.full((1, 1, 3), 7, np.uint8), Face(np.array([-3, 0, 2, 0]), 1.0), "box:2.7", (80, 80), border="shift")
    assert (cut.pixels == 7).all()


@pytest.mark.parametrize("template", ["square:1.3", "arcface-112x112", "box"])
def test_only_boxes_are_shifted(template: str) -> None:
    face = Face(np.array([1, 1, 9, 9]), 1.0, Landmarks(np.array([[2, 2], [6, 2], [4, 4], [2, 6], [6, 7]], np.float32), "arcface5"))
    with pytest.raises(ConfigError, match="goes with box:K"):
        align.crop(np.zeros((20, 20, 3), np.uint8), face, template, (80, 80), border="shift", margin=10)
