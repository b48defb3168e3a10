"""Quality: each measure answers to what it names, on pictures made by code."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceworks.attributes.quality import REASONS, QualityOptions, measure
from faceworks.types import Face, Landmarks
from synthetic import ARCFACE, drawn_face, face_at, moved, turned

POINTS = np.array([[162, 190], [238, 190], [200, 240], [172, 278], [228, 278]], float)
FACE = Face(np.array([100, 90, 300, 330]), 0.9, Landmarks(POINTS))


def test_a_clear_face_is_good_and_has_no_reasons() -> None:
    found = measure(drawn_face(), FACE)
    assert found.reasons == ()
    assert found.score > 80
    assert set(found.factors) == set(REASONS)
    assert all(0 <= value <= 1 for value in found.factors.values())


@pytest.mark.parametrize(
    ("worsen", "name"),
    [
        (lambda p: cv2.GaussianBlur(p, (0, 0), 12), "sharpness"), (lambda p: p // 30, "exposure"), (lambda p: 255 - p // 20, "exposure"),
        (lambda p: 100 + p // 30, "contrast"), (lambda p: np.where(p.mean(axis=2, keepdims=True) > 150, 255, 0).astype(np.uint8).repeat(3, axis=2), "clipped"),
    ],
)  # fmt: skip
def test_worse_pixels_lower_their_measure_and_are_named(worsen, name) -> None:
    good, bad = measure(drawn_face(), FACE), measure(worsen(drawn_face()), FACE)
    assert bad.factors[name] < good.factors[name]
    assert bad.score < good.score
    assert any(f"({name} " in reason for reason in bad.reasons)


def test_small_faces() -> None:
    small = cv2.resize(drawn_face(), (40, 40), interpolation=cv2.INTER_AREA)
    face = Face(FACE.box / 10, 0.9, Landmarks(POINTS / 10))
    found = measure(small, face)
    assert found.measures["size"] == pytest.approx(20)
    assert found.measures["eyes"] == pytest.approx(7.6, rel=1e-5)
    assert {"size", "eyes"} <= {name for name, value in found.factors.items() if value < 0.5}


def test_pose_from_points() -> None:
    def of(points: np.ndarray) -> dict[str, float]:
        return dict(measure(drawn_face(), face_at(points)).measures)

    frontal = of(ARCFACE * 2)
    assert frontal["turn"] < 0.02
    assert frontal["tilt"] < 0.05
    assert frontal["roll"] < 0.5
    rolled = of(moved(ARCFACE * 2, turned(30)))
    assert rolled["roll"] == pytest.approx(30, abs=0.5)
    assert rolled["turn"] == pytest.approx(frontal["turn"], abs=1e-4), "roll does not look like turning"
    assert rolled["tilt"] == pytest.approx(frontal["tilt"], abs=1e-4)
    aside = ARCFACE * 2 + np.array([[0, 0], [0, 0], [30, 0], [0, 0], [0, 0]])
    assert of(aside)["turn"] == pytest.approx(30 / 70.47, abs=0.02)


def test_a_cut_face_and_company() -> None:
    face = Face(np.array([-100, 90, 100, 330]), 0.9)
    found = measure(drawn_face(), face, n_faces=3, norm=20.0)
    assert found.measures["cut"] == pytest.approx(0.5)
    assert "3 faces in the picture" in found.reasons
    assert (found.n_faces, found.norm) == (3, 20.0)
    assert "eyes" not in found.measures
    away = measure(drawn_face(), Face(np.array([500, 500, 600, 600]), 0.9))
    assert away.score == 0


def test_options_move_the_lines() -> None:
    strict = measure(drawn_face(), FACE, QualityOptions(size=(200.0, 400.0)))
    assert strict.factors["size"] == 0
    assert strict.score == 0
