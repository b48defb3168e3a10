"""Our numbers against numbers that other implementations gave for the same files: `tools/make_goldens.py` makes them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import faceworks
from faceworks import cards, geometry, image
from faceworks.detect.letterbox import batches
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Face, Landmarks

pytestmark = pytest.mark.assets
FOLDER = Path(__file__).parent
PORTRAITS = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")


def golden(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    card = cards.get(document["made"]["card"])
    assert card.file_for().sha256 == document["made"]["sha256"], "the card names another file than the golden was made with"
    return document


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def pictures_and_group(pictures: Mapping[str, np.ndarray], group: Path) -> Mapping[str, np.ndarray]:
    return {**pictures, "group": image.load(group)}


@pytest.mark.parametrize("role", [*PORTRAITS, "group"])
def test_yunet_equals_opencv(role: str, pictures_and_group: Mapping[str, np.ndarray]) -> None:
    """The same faces in the same order; each box edge and point within 1 px of the letterboxed picture, each score within 1e-3."""
    want = np.array(golden("yunet-2023mar-int8bq-cv2")["faces"][role])
    picture = pictures_and_group[role]
    faces = faceworks.detect(picture)
    assert len(faces) == len(want), f"{len(faces)} faces, OpenCV finds {len(want)}"
    scale = min(1.0, 640 / max(picture.shape[:2]))
    sides = np.array([round(picture.shape[1] * scale) / picture.shape[1], round(picture.shape[0] * scale) / picture.shape[0]])
    left = list(range(len(want)))
    for index, face in enumerate(faces):
        box = (face.box.reshape(2, 2) + 0.5) * sides - 0.5
        assert face.landmarks is not None
        points = (face.landmarks.points + 0.5) * sides - 0.5
        # near-equal scores may change places: take the nearest box that is left
        row = min(left, key=lambda i: np.abs(want[i, :2] - box[0]).sum())
        left.remove(row)
        corners = np.stack([want[row, :2], want[row, :2] + want[row, 2:4]])
        for what, off in (("box", np.abs(box - corners)), ("points", np.abs(points - want[row, 4:14].reshape(5, 2)))):
            place = np.unravel_index(off.argmax(), off.shape)
            assert off.max() <= 1.0, f"{role}, face {index}: {what}{[int(n) for n in place]} is {off.max():.3f} px off"
        assert abs(face.score - want[row, 14]) <= 1e-3, f"{role}, face {index}: score {face.score:.5f}, OpenCV {want[row, 14]:.5f}"


def test_the_golden_holds_the_known_number_of_faces() -> None:
    faces = golden("yunet-2023mar-int8bq-cv2")["faces"]
    assert {role: len(rows) for role, rows in faces.items()} == dict.fromkeys(PORTRAITS, 1) | {"group": 29}


@pytest.mark.parametrize("role", PORTRAITS)
def test_sface_equals_the_reference_evaluator(role: str, pictures: Mapping[str, np.ndarray]) -> None:
    """From the same five points: our transform, warp, tensor, folded and rewritten graph against the file as published."""
    document = golden("sface-2021dec-int8bq-onnx-reference")
    want = np.array(document["vectors"][role])
    points = np.array(document["points"][role], np.float32)
    face = Face(np.concatenate([points.min(axis=0), points.max(axis=0)]), 1.0, Landmarks(points))
    ((embedding,),) = Pipeline().embed_faces([pictures[role]], [[face]])
    assert cosine(embedding.vector, want) >= 0.9999
    off = np.abs(embedding.vector - want) / np.linalg.norm(want)
    worst = int(off.argmax())
    assert off.max() <= 2e-3, f"{role}: element {worst} is {embedding.vector[worst]:.5f} instead of {want[worst]:.5f}"


@pytest.mark.parametrize("role", PORTRAITS)
def test_the_whole_pipeline_gives_the_reference_vector(role: str, pictures: Mapping[str, np.ndarray]) -> None:
    """With our own detection the points differ by fractions of a pixel from OpenCV's, and the vectors by as little."""
    want = np.array(golden("sface-2021dec-int8bq-onnx-reference")["vectors"][role])
    (result,) = faceworks.embed(pictures[role], select="largest")
    assert result.embedding is not None
    assert cosine(result.embedding.vector, want) >= 0.999


def test_the_letterbox_is_what_the_golden_was_made_with(pictures: Mapping[str, np.ndarray]) -> None:
    """The way back of `letterbox.batches` is the pixel-center formula used above."""
    spec = cards.get(PipelineSpec().detector).input_for()
    for role, picture in pictures.items():
        (batch,) = batches([picture], spec, free=False)
        scale = min(1.0, 640 / max(picture.shape[:2]))
        height, width = round(picture.shape[0] * scale), round(picture.shape[1] * scale)
        want = (np.array([100.0, 200.0]) + 0.5) / [width / picture.shape[1], height / picture.shape[0]] - 0.5
        assert np.abs(geometry.apply(batch.to_picture[0], [100.0, 200.0]) - want).max() < 1e-9, role
