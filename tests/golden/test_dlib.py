"""Our dlib models against numbers that dlib itself gave for the sample pictures: `tools/dlib_goldens.py` makes them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import need
from faceworks import align, geometry
from faceworks.detect import load_detector
from faceworks.embed import load_embedder
from faceworks.landmarks import load_landmarker
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Crop, Face, Landmarks, View

pytestmark = pytest.mark.assets
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "dlib.json").read_text(encoding="utf-8"))["pictures"]
PORTRAITS = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
CARDS = {"dlib5": "dlib-5", "ibug68": "dlib-68"}


def face_of(entry: Mapping[str, Any], scheme: str | None = None) -> Face:
    left, top, right, bottom = entry["face"]
    points = None if scheme is None else Landmarks(np.array(entry[scheme], np.float32), scheme)  # type: ignore[arg-type]
    return Face(np.array([left, top, right + 1, bottom + 1], np.float32), 1.0, points, "dlib-hog")


@pytest.fixture(params=PORTRAITS)
def case(request: pytest.FixtureRequest, pictures: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, Any]]:
    return pictures[request.param], GOLDEN[f"{request.param}.jpg"]


@pytest.mark.parametrize("scheme", ["dlib5", "ibug68"])
def test_points_equal_dlibs(case: tuple[np.ndarray, dict[str, Any]], scheme: str) -> None:
    """Within 0.01 px: the same pixels."""
    need(CARDS[scheme])
    picture, entry = case
    found = load_landmarker(CARDS[scheme]).locate([picture], [[face_of(entry)]])[0][0]
    assert found.scheme == scheme
    assert np.abs(found.points - entry[scheme]).max() <= 0.01


def test_faces_located_together_equal_faces_located_alone(case: tuple[np.ndarray, dict[str, Any]]) -> None:
    need("dlib-5")
    picture, entry = case
    face = face_of(entry)
    shifted = Face(face.box + np.float32(9), 1.0, None, "dlib-hog")
    together = load_landmarker("dlib-5").locate([picture], [[shifted, face]])[0]
    assert np.array_equal(together[1].points, load_landmarker("dlib-5").locate([picture], [[face]])[0][0].points)


@pytest.mark.parametrize("scheme", ["dlib5", "ibug68"])
def test_chip_equals_dlibs(case: tuple[np.ndarray, dict[str, Any]], scheme: str) -> None:
    """No pixel off by more than 1, mean absolute difference at most 0.02 of 255."""
    picture, entry = case
    chip = align.crop(picture, face_of(entry, scheme), "dlib-150:0.25").pixels
    off = np.abs(chip[::15, ::15].reshape(-1).astype(int) - entry[f"chip-{scheme}"])
    assert off.max() <= 1
    assert off.mean() <= 0.02


def test_vector_equals_dlibs(case: tuple[np.ndarray, dict[str, Any]]) -> None:
    """Points, chip and network of ours against dlib's own chain: 1e-3 in each of 128 numbers (1e-5 on the same chip: tests/reference)."""
    need("dlib-resnet-v1", "dlib-5")
    picture, entry = case
    crop = align.crop(picture, face_of(entry, "dlib5"), "dlib-150:0.25")
    vector = load_embedder("dlib-resnet-v1").embed([View(face_of(entry), (150, 150), 1, (crop,))])[0][0]
    assert np.abs(vector - entry["vector"]).max() <= 1e-3


@pytest.mark.parametrize("name", PORTRAITS)
def test_mmod_equals_dlibs(name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """The same boxes (IoU at least 0.99) in the same order, scores to 1e-4; dlib's scores above 1 are 1."""
    need("dlib-mmod")
    want = GOLDEN[f"{name}.jpg"]["mmod"]
    faces = load_detector("dlib-mmod").detect([pictures[name]])[0]
    assert len(faces) == len(want)
    for face, (box, score) in zip(faces, want, strict=True):
        assert geometry.iou(face.box, np.add(box, [0, 0, 1, 1]))[0, 0] >= 0.99
        assert face.score == pytest.approx(min(score, 1.0), abs=1e-4)


@pytest.mark.parametrize("detector", ["yunet-2023mar-int8bq", "dlib-mmod"])
def test_the_pipeline_asks_the_landmarker(detector: str, pictures: Mapping[str, np.ndarray]) -> None:
    """Two detectors with other points, or none, feed the dlib chip: the same person is near, another is not; faces without points come back with them."""
    need(detector, "dlib-resnet-v1", "dlib-5")
    pipeline = Pipeline(PipelineSpec(detector=detector, embedder="dlib-resnet-v1", metric="euclidean"))
    names = ["person_b_1", "person_b_2", "impostor_2"]
    results = [group[0] for group in pipeline.embed([pictures[name] for name in names])]
    vectors = [result.embedding.vector for result in results if result.embedding is not None]
    assert np.linalg.norm(vectors[0] - vectors[1]) < 0.6 < np.linalg.norm(vectors[0] - vectors[2])
    assert pipeline.models["landmarker"].startswith("dlib-5@")
    assert "dlib-5" in pipeline.embedding_id
    kept = {"yunet-2023mar-int8bq": "arcface5"}.get(detector, "dlib5")  # a detector's own points stay on the face
    assert all(result.face.landmarks is not None and result.face.landmarks.scheme == kept for result in results)
    crop = pipeline.crop(pictures[names[0]], results[0].face)
    assert isinstance(crop, Crop)
    assert crop.pixels.shape == (150, 150, 3)
