"""Plane geometry against laws (hypothesis), against scikit-image, and against brute force."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from faceworks import geometry
from faceworks.errors import InputError
from synthetic import ARCFACE, moved, turned

coordinate = st.floats(-2000, 2000, width=32)
points5 = arrays(np.float64, (5, 2), elements=coordinate)
corner_pairs = st.tuples(coordinate, coordinate, st.floats(0.125, 1000, width=32), st.floats(0.125, 1000, width=32))
boxes = st.lists(corner_pairs, min_size=1, max_size=12).map(lambda rows: np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float32))
similarities = st.builds(turned, st.floats(-180, 180), st.floats(0.1, 10), st.tuples(coordinate, coordinate))


def spread(points: np.ndarray) -> float:
    return float(np.abs(points - points.mean(axis=0)).max())


# --- similarity transform --------------------------------------------------------------------------------------------------------------------


@given(points5, similarities)
def test_a_similarity_is_found_again(points: np.ndarray, matrix: np.ndarray) -> None:
    assume(spread(points) > 1)
    found = geometry.similarity_transform(points, moved(points, matrix))
    assert np.abs(moved(points, found) - moved(points, matrix)).max() < 1e-6


@given(points5, points5)
def test_the_result_is_a_similarity_and_never_a_mirror(source: np.ndarray, target: np.ndarray) -> None:
    assume(spread(source) > 1)
    (a, b, _), (c, d, _) = geometry.similarity_transform(source, target)
    assert a == pytest.approx(d)
    assert b == pytest.approx(-c)
    assert a * d - b * c >= 0


@given(points5, points5, similarities)
def test_moving_the_target_moves_the_transform(source: np.ndarray, target: np.ndarray, matrix: np.ndarray) -> None:
    assume(spread(source) > 1)
    together = geometry.similarity_transform(source, moved(target, matrix))
    apart = geometry.compose(matrix, geometry.similarity_transform(source, target))
    assert np.allclose(together, apart, rtol=1e-6, atol=1e-5)


@given(points5, points5, st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(-1, 1), st.floats(-1, 1)))
def test_no_similarity_nearby_is_better(source: np.ndarray, target: np.ndarray, step: tuple[float, float, float, float]) -> None:
    assume(spread(source) > 1)
    best = geometry.similarity_transform(source, target)
    da, db, dx, dy = step
    other = best + np.array([[da, -db, dx], [db, da, dy]])

    def error(matrix: np.ndarray) -> float:
        return float(((moved(source, matrix) - target) ** 2).sum())

    assert error(best) <= error(other) * (1 + 1e-9) + 1e-6


def test_template_warps_equal_scikit_image() -> None:
    """Umeyama's least squares in scikit-image, on noisy copies of the ArcFace template: every point of the crop's frame within 1e-4 px."""
    transform = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(1)
    frame = np.array(list(itertools.product((0, 55.5, 111), repeat=2)))
    worst = (0.0, "")
    for case in range(200):
        matrix = turned(rng.uniform(-180, 180), rng.uniform(0.2, 8), tuple(rng.uniform(-500, 2000, 2)))
        source = moved(ARCFACE, matrix) + rng.normal(scale=2, size=(5, 2))
        if hasattr(transform.SimilarityTransform, "from_estimate"):
            theirs = transform.SimilarityTransform.from_estimate(source, ARCFACE).params[:2]
        else:
            old = transform.SimilarityTransform()
            assert old.estimate(source, ARCFACE)
            theirs = old.params[:2]
        ours = geometry.similarity_transform(source, ARCFACE)
        # compared where it matters: at the picture's points that land in the crop
        there = geometry.apply(geometry.invert(theirs), frame)
        off = np.abs(geometry.apply(ours, there) - frame)
        worst = max(worst, (float(off.max()), f"case {case}, frame point {frame[off.max(axis=1).argmax()]}"))
    assert worst[0] <= 1e-4, f"{worst[0]:.2e} px at {worst[1]}"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.zeros((5, 2)), np.ones((5, 2))),
        (np.ones((1, 2)), np.ones((1, 2))),
        (np.ones((5, 3)), np.ones((5, 3))),
        (np.arange(10).reshape(5, 2), np.arange(8).reshape(4, 2)),
        (np.full((5, 2), np.nan), np.ones((5, 2))),
    ],
)
def test_what_defines_no_similarity_is_refused(source: np.ndarray, target: np.ndarray) -> None:
    with pytest.raises(InputError):
        geometry.similarity_transform(source, target)


# --- composition -----------------------------------------------------------------------------------------------------------------------------


@given(similarities, similarities, points5)
def test_compose_applies_first_then_second(first: np.ndarray, second: np.ndarray, points: np.ndarray) -> None:
    direct = geometry.apply(second, geometry.apply(first, points))
    assert np.allclose(geometry.apply(geometry.compose(second, first), points), direct, rtol=1e-9, atol=1e-6)


@given(similarities, points5)
def test_invert_undoes(matrix: np.ndarray, points: np.ndarray) -> None:
    assert np.allclose(geometry.apply(geometry.invert(matrix), geometry.apply(matrix, points)), points, rtol=1e-7, atol=1e-5)


def test_apply_agrees_with_opencv() -> None:
    rng = np.random.default_rng(2)
    points, matrix = rng.normal(size=(40, 2)) * 100, rng.normal(size=(2, 3))
    theirs = cv2.transform(points[None], matrix)[0]
    assert np.abs(geometry.apply(matrix, points) - theirs).max() < 1e-9
    assert geometry.apply(matrix, points.reshape(4, 10, 2)).shape == (4, 10, 2)


# --- letterbox -------------------------------------------------------------------------------------------------------------------------------

sides = st.integers(1, 6000)


@given(sides, sides, st.sampled_from([(640, 640), (320, 640), (112, 96)]), st.booleans(), st.booleans())
def test_letterbox_fits_and_keeps_the_edges(h: int, w: int, target: tuple[int, int], enlarge: bool, center: bool) -> None:
    matrix = geometry.letterbox_matrix((h, w), target, enlarge, center)
    # pixel centers at integers: the picture's outer edges are at −0.5 and side − 0.5, and so must the fitted picture's be
    low, high = geometry.apply(matrix, [[-0.5, -0.5], [w - 0.5, h - 0.5]])
    size = high - low
    assert np.allclose(size, np.round(size), atol=1e-6)
    assert (size >= 1 - 1e-6).all()
    assert size[0] <= target[1] + 1e-6
    assert size[1] <= target[0] + 1e-6
    assert (low >= -0.5 - 1e-6).all()
    if center:
        free = np.array([target[1], target[0]]) - np.round(size)
        assert np.allclose(low + 0.5, free // 2, atol=1e-6)
    else:
        assert np.allclose(low, -0.5, atol=1e-6)
    if not enlarge:
        assert size[0] <= w + 1e-6
        assert size[1] <= h + 1e-6


def test_letterbox_leaves_small_pictures_alone() -> None:
    assert np.array_equal(geometry.letterbox_matrix((100, 200), (640, 640)), np.eye(2, 3))


def test_letterbox_is_where_resize_puts_the_pixels() -> None:
    """A spot drawn in the large picture lies where the matrix says after cv2.resize."""
    y, x = np.mgrid[:900, :1200]
    spot = np.exp(-((x - 731.0) ** 2 + (y - 402.0) ** 2) / 800).astype(np.float32)
    matrix = geometry.letterbox_matrix((900, 1200), (640, 640))
    small = cv2.resize(spot, (640, 480), interpolation=cv2.INTER_AREA)
    yy, xx = np.mgrid[:480, :640]
    found = np.array([(small * xx).sum(), (small * yy).sum()]) / small.sum()
    assert np.abs(found - geometry.apply(matrix, [731.0, 402.0])).max() < 0.01


# --- boxes -----------------------------------------------------------------------------------------------------------------------------------


def brute_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inside = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return inside / union if union > 0 else 0.0


@given(boxes, boxes)
def test_iou_equals_the_formula(a: np.ndarray, b: np.ndarray) -> None:
    table = geometry.iou(a, b)
    assert table.shape == (len(a), len(b))
    for (i, x), (j, y) in itertools.product(enumerate(a.astype(np.float64)), enumerate(b.astype(np.float64))):
        assert table[i, j] == pytest.approx(brute_iou(x, y), abs=2e-3)


@given(boxes)
def test_iou_laws(a: np.ndarray) -> None:
    table = geometry.iou(a, a)
    assert np.allclose(table, table.T)
    assert ((table >= 0) & (table <= 1 + 1e-3)).all()
    assert np.allclose(np.diag(table), 1, atol=1e-2)


def test_iou_of_empty_boxes_is_zero() -> None:
    assert geometry.iou([[5, 5, 5, 5]], [[5, 5, 5, 5]])[0, 0] == 0
    assert geometry.iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


def test_iou_by_hand() -> None:
    assert geometry.iou([[0, 0, 2, 2]], [[1, 1, 3, 3]])[0, 0] == pytest.approx(1 / 7)


def brute_nms(candidates: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Greedy by the definition: take the best left (lowest index among equals), drop what overlaps it more than the threshold."""
    left, kept = set(range(len(candidates))), []
    overlaps = geometry.iou(candidates, candidates)
    while left:
        best = min(left, key=lambda i: (-scores[i], i))
        kept.append(best)
        left = {i for i in left if i != best and overlaps[best, i] <= threshold}
    return kept


@given(boxes, st.data(), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_suppression_equals_brute_force(candidates: np.ndarray, data: st.DataObject, threshold: float) -> None:
    scores = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.5, 0.7, 0.9]), min_size=len(candidates), max_size=len(candidates))))
    assert geometry.non_maximum_suppression(candidates, scores, threshold).tolist() == brute_nms(candidates, scores.astype(np.float32), threshold)


def test_suppression_equals_opencv() -> None:
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 300, (300, 2))
    candidates = np.concatenate([low, low + rng.uniform(20, 120, (300, 2))], axis=1).astype(np.float32)
    scores = rng.permutation(300).astype(np.float32) / 300
    theirs = cv2.dnn.NMSBoxes(np.concatenate([candidates[:, :2], candidates[:, 2:] - candidates[:, :2]], axis=1), scores, 0.0, 0.3)
    assert geometry.non_maximum_suppression(candidates, scores, 0.3).tolist() == list(np.ravel(theirs))


def test_suppression_of_nothing_and_of_the_best_few() -> None:
    assert geometry.non_maximum_suppression(np.zeros((0, 4)), [], 0.3).size == 0
    apart = [[0, 0, 1, 1], [10, 0, 11, 1], [20, 0, 21, 1]]
    assert geometry.non_maximum_suppression(apart, [0.1, 0.9, 0.5], 0.3, top=2).tolist() == [1, 2]


@given(corner_pairs, st.floats(0.25, 4))
def test_square_box_is_square_and_centered(row: tuple[float, float, float, float], factor: float) -> None:
    x, y, w, h = row
    x1, y1, x2, y2 = (float(v) for v in geometry.square_box([x, y, x + w, y + h], factor))
    assert x2 - x1 == pytest.approx(max(w, h) * factor, rel=1e-3, abs=2e-3)
    assert x2 - x1 == pytest.approx(y2 - y1, rel=1e-3, abs=2e-3)
    assert (x1 + x2) / 2 == pytest.approx(x + w / 2, abs=1e-2)
    assert (y1 + y2) / 2 == pytest.approx(y + h / 2, abs=1e-2)


@given(corner_pairs, st.floats(0.25, 4))
def test_scale_about_center_keeps_center_and_shape(row: tuple[float, float, float, float], factor: float) -> None:
    x, y, w, h = row
    x1, y1, x2, y2 = (float(v) for v in geometry.scale_about_center([x, y, x + w, y + h], factor))
    assert x2 - x1 == pytest.approx(w * factor, rel=1e-3, abs=2e-3)
    assert y2 - y1 == pytest.approx(h * factor, rel=1e-3, abs=2e-3)
    assert (x1 + x2) / 2 == pytest.approx(x + w / 2, abs=1e-2)


@given(boxes)
def test_clipped_boxes_lie_inside(a: np.ndarray) -> None:
    cut = geometry.clip_boxes(a, (480, 640))
    assert ((cut >= 0) & (cut <= [640, 480, 640, 480])).all()
    assert np.array_equal(geometry.clip_boxes(cut, (480, 640)), cut)
