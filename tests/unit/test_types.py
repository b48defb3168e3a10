"""Values: shapes and ranges are checked at the door, arrays are copies and read-only, JSON has one form."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from faceworks.errors import InputError, ModelMismatch
from faceworks.types import SCHEMES, Categorical, Crop, Embedding, Face, FaceResult, Landmarks, Scalar, Verification, frozen, to_dict

POINTS = np.arange(10, dtype=np.float32).reshape(5, 2)


def test_frozen_copies_so_that_the_caller_keeps_his_array() -> None:
    mine = np.zeros(3)
    kept = frozen(mine, np.float32, (3,), "x")
    mine[0] = 1
    assert kept[0] == 0
    assert mine.flags.writeable
    assert not kept.flags.writeable


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_frozen_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(InputError, match="a box holds values that are not finite"):
        frozen([0, 0, 1, bad], np.float32, (4,), "a box")


@pytest.mark.parametrize(("shape", "wanted"), [((3,), (4,)), ((4, 1), (4,)), ((5, 3), (None, 2)), ((), (1,))])
def test_frozen_names_the_shape(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> None:
    with pytest.raises(InputError, match="must have the shape"):
        frozen(np.zeros(shape), np.float32, wanted, "it")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_has_its_number_of_points(scheme: str) -> None:
    assert Landmarks(np.zeros((SCHEMES[scheme], 2)), scheme).points.shape == (SCHEMES[scheme], 2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=scheme):
        Landmarks(np.zeros((SCHEMES[scheme] + 1, 2)), scheme)  # type: ignore[arg-type]


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="arcface6"):
        Landmarks(POINTS, "arcface6")  # type: ignore[arg-type]


def test_face_measures_its_box_by_corners() -> None:
    face = Face(np.array([10, 20, 40, 80]), 0.5)
    assert (face.width, face.height, face.area) == (30, 60, 1800)


def test_box_may_leave_the_picture_and_may_be_empty() -> None:
    assert Face(np.array([-5, -5, 3, 3]), 0.1).area == 64
    assert Face(np.array([5, 5, 3, 8]), 0.1).area == 0


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan, math.inf])
def test_a_score_outside_its_range_is_refused(score: float) -> None:
    with pytest.raises(InputError):
        Face(np.array([0, 0, 1, 1]), score)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_a_crop_is_a_uint8_rgb_picture(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="a crop must be"):
        Crop(pixels, np.eye(2, 3), "square:1")


def test_embeddings_of_two_models_never_meet() -> None:
    a, b = Embedding(np.ones(4), 2.0, "one@1"), Embedding(np.ones(4), 2.0, "two@2")
    a.require_same_model(Embedding(np.zeros(4), 0.0, "one@1"))
    with pytest.raises(ModelMismatch, match="one@1 with one of two@2"):
        a.require_same_model(b)


@pytest.mark.parametrize("probabilities", [{}, {"a": 0.5}, {"a": 1.2, "b": -0.2}, {"a": math.nan, "b": 1.0}])
def test_probabilities_must_be_a_distribution(probabilities: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Categorical("a", probabilities)


def test_entropy_in_nats() -> None:
    assert Categorical("a", {"a": 1.0, "b": 0.0}).entropy == 0
    assert Categorical("a", {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}).entropy == pytest.approx(math.log(4))


def test_to_dict_writes_plain_json_once() -> None:
    face = Face(np.array([1, 2, 3.3, 4]), 0.9, Landmarks(POINTS), "yunet")
    label = Categorical("happy", {"happy": 1.0})
    document = to_dict([FaceResult(face, Embedding(np.array([0.1, 0.2]), None, "m"), {"emotion": label, "age": Scalar(30.0, "years", (0, 100))})])
    assert json.loads(json.dumps(document)) == document
    written = document[0]["face"]
    assert written == {"box": [1.0, 2.0, 3.3, 4.0], "score": 0.9, "landmarks": POINTS.tolist(), "detector": "yunet"}
    assert document[0]["embedding"] == {"vector": [0.1, 0.2], "norm": None, "model": "m"}
    assert document[0]["attributes"]["age"] == {"value": 30.0, "unit": "years", "range": [0, 100]}


def test_to_dict_names_the_scheme_where_it_is_not_the_usual_one() -> None:
    assert to_dict(Face(np.zeros(4), 0.1, Landmarks(POINTS, "dlib5")))["scheme"] == "dlib5"


def test_a_float32_is_written_with_the_digits_that_identify_it() -> None:
    for value in np.random.default_rng(0).normal(size=200).astype(np.float32):
        assert np.float32(to_dict(value)) == value
    assert to_dict(np.float32(0.1)) == 0.1


def test_to_dict_of_a_verification_holds_every_field() -> None:
    face = Face(np.zeros(4), 0.1)
    answer = Verification(None, 0.5, 0.5, "cosine", 0.5, "here", None, None, (face, face), {"detector": "d"}, {"load": 0.0})
    assert list(to_dict(answer)) == [
        "verified", "similarity", "distance", "metric", "threshold", "threshold_source", "probability", "fmr", "faces", "models", "timings",
    ]  # fmt: skip
    assert to_dict(answer)["verified"] is None


@pytest.mark.parametrize("odd", [b"bytes", object(), {1, 2}, 1j])
def test_to_dict_refuses_what_has_no_json_form(odd: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        to_dict(odd)


def test_a_range_without_ends_is_json() -> None:
    plain = to_dict(Scalar(30.0, "years", (-math.inf, math.inf)))
    assert json.loads(json.dumps(plain, allow_nan=False)) == {"value": 30.0, "unit": "years", "range": [None, None]}
