"""Our numbers against numbers that other implementations gave for the same files: `tools/make_goldens.py` makes them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from skimage.transform import SimilarityTransform

import faceworks
from faceworks import align, assets, cards, geometry, image
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


def scale_of(picture: np.ndarray) -> float:
    """The card's rule: shrunk to 640, enlarged to 512 at most twofold."""
    longer = max(picture.shape[:2])
    return 640 / longer if longer > 640 else max(1.0, min(512 / longer, 2.0))


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
    scale = scale_of(picture)
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


@pytest.fixture(scope="module")
def vectors(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
    """(6, 128) our vectors from the golden's five points: our transform, warp, tensor, folded and rewritten graph."""
    points = [np.array(golden("sface-2021dec-int8bq-onnx-reference")["points"][role], np.float32) for role in PORTRAITS]
    faces = [[Face(np.concatenate([item.min(axis=0), item.max(axis=0)]), 1.0, Landmarks(item))] for item in points]
    return np.stack([found[0].vector for found in Pipeline().embed_faces([pictures[role] for role in PORTRAITS], faces)])


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return unit @ unit.T


def test_sface_equals_the_reference_evaluator(vectors: np.ndarray, pictures: Mapping[str, np.ndarray]) -> None:
    """The file as published, run here by onnx's own evaluator on the crop that scikit-image's transform and OpenCV's warp give."""
    card = cards.get("sface-2021dec-int8bq")
    points = np.array(golden("sface-2021dec-int8bq-onnx-reference")["points"]["person_a_1"])
    matrix = SimilarityTransform.from_estimate(points, align.TEMPLATES["arcface-112x112"][0]).params[:2]
    crop = cv2.warpAffine(pictures["person_a_1"], matrix, (112, 112))
    blob = crop.astype(np.float32).transpose(2, 0, 1)[None]
    want = np.asarray(ReferenceEvaluator(str(assets.fetch(card.file_for()))).run(None, {"data": blob})[0])[0]
    assert cosine(vectors[0], want) >= 0.9999
    off = np.abs(vectors[0] - want) / np.linalg.norm(want)
    worst = int(off.argmax())
    assert off.max() <= 2e-3, f"element {worst} is {vectors[0][worst]:.5f} instead of {want[worst]:.5f}"


def test_cosines_equal_the_reference_evaluators(vectors: np.ndarray) -> None:
    """All 15 pairs of the portraits, by the graph as published; kept as cosines: vectors are biometric data."""
    off = np.abs(cosines(vectors) - np.array(golden("sface-2021dec-int8bq-onnx-reference")["cosines"]))
    worst = np.unravel_index(off.argmax(), off.shape)
    assert off.max() <= 5e-4, f"{PORTRAITS[worst[0]]} with {PORTRAITS[worst[1]]} is {off.max():.2e} off"


def test_the_whole_pipeline_gives_the_reference_cosines(pictures: Mapping[str, np.ndarray]) -> None:
    """With our own detection the points differ by fractions of a pixel from OpenCV's, and the cosines by as little."""
    results = faceworks.embed([pictures[role] for role in PORTRAITS], select="largest", on_no_face="raise")
    rows = np.stack([found[0].embedding.vector for found in results if found[0].embedding is not None])
    assert np.abs(cosines(rows) - np.array(golden("sface-2021dec-int8bq-onnx-reference")["cosines"])).max() <= 5e-3


def test_the_letterbox_is_what_the_golden_was_made_with(pictures: Mapping[str, np.ndarray]) -> None:
    """The way back of `letterbox.batches` is the pixel-center formula used above."""
    spec = cards.get(PipelineSpec().detector).input_for()
    for role, picture in pictures.items():
        (batch,) = batches([picture], spec, free=False)
        scale = scale_of(picture)
        height, width = round(picture.shape[0] * scale), round(picture.shape[1] * scale)
        want = (np.array([100.0, 200.0]) + 0.5) / [width / picture.shape[1], height / picture.shape[0]] - 0.5
        assert np.abs(geometry.apply(batch.to_picture[0], [100.0, 200.0]) - want).max() < 1e-9, role
