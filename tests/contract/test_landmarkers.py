"""Faces without points get them from a landmarker, and the pipeline knows when it needs one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from conftest import need
from faceworks import cards, image
from faceworks.detect import load_detector
from faceworks.errors import ConfigError
from faceworks.landmarks import ensure, load_landmarker
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Face

pytestmark = pytest.mark.assets
LANDMARKERS = ("yunet-points", "mtcnn-onet")
Pictures = Mapping[str, np.ndarray]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("name", LANDMARKERS)
def test_points_from_a_box(name: str, pictures: Pictures) -> None:
    """Within an eighth of the eye distance of RetinaFace's points, though box and network are others'."""
    need(name, "retinaface-mnet025", "haar-frontalface")
    images = list(pictures.values())
    reference = [faces[0] for faces in load_detector("retinaface-mnet025").detect(images)]
    bare = [[Face(face.box, face.score)] for face in reference]
    for (points,), face in zip(load_landmarker(name).locate(images, bare), reference, strict=True):
        assert points.scheme == "arcface5"
        assert points.scores is not None
        assert points.scores.min() > 0.5
        assert face.landmarks is not None
        eyes = np.linalg.norm(face.landmarks.points[1] - face.landmarks.points[0])
        off = np.linalg.norm(points.points - face.landmarks.points, axis=1).mean()
        assert off <= eyes / 8, f"{off / eyes:.3f} of the eye distance"


@pytest.mark.parametrize("name", LANDMARKERS)
def test_points_scale_with_the_picture(name: str, pictures: Pictures) -> None:
    """The same face four times as large: large boxes are averaged, not sampled."""
    need(name)
    small = image.resize(pictures["person_b_1"], (450, 358))
    large = image.resize(small, (1800, 1432))
    box = load_detector("yunet-2023mar-int8bq").detect([small])[0][0].box
    landmarker = load_landmarker(name)
    (one,), (two,) = landmarker.locate([small, large], [[Face(box, 1.0)], [Face((box + 0.5) * 4 - 0.5, 1.0)]])
    assert np.abs((one.points + 0.5) * 4 - 0.5 - two.points).max() <= 8.0


@pytest.mark.parametrize("name", LANDMARKERS)
def test_batch_equals_single_and_no_faces_are_fine(name: str, pictures: Pictures) -> None:
    need(name)
    a, b = pictures["person_a_1"], pictures["person_b_1"]
    faces = [[Face(face.box, 1.0) for face in group] for group in load_detector("yunet-2023mar-int8bq").detect([a, b])]
    landmarker = load_landmarker(name)
    together = landmarker.locate([a, b, b], [faces[0], [], [*faces[1], *faces[1]]])
    assert [len(group) for group in together] == [1, 0, 2]
    assert np.abs(together[0][0].points - landmarker.locate([a], [faces[0]])[0][0].points).max() < 1e-2
    assert landmarker.locate([a], [[]]) == [[]]
    outside = Face(np.array([-50, -80, -10, -20], np.float32), 1.0)
    assert landmarker.locate([a], [[outside]])[0][0].points.shape == (5, 2)


def test_ensure_leaves_faces_with_points_alone(pictures: Pictures) -> None:
    picture = pictures["person_b_1"]
    (face,) = load_detector("yunet-2023mar-int8bq").detect([picture])[0]
    bare = Face(face.box, 0.5)
    ((first, second),) = ensure([picture], [[face, bare]], load_landmarker("yunet-points"))
    assert first is face
    assert second.landmarks is not None
    assert second.score == 0.5


@pytest.mark.parametrize("detector", ["haar-frontalface", "ssd-res10"])
@pytest.mark.parametrize("landmarker", ["", "yunet-points"])
def test_detectors_without_points_embed(detector: str, landmarker: str, pictures: Pictures) -> None:
    """The vector is nearly the one that the default detector's own points give, and the recipe says who gave the points."""
    need(detector, "mtcnn-onet", "yunet-points")
    pipeline = Pipeline(PipelineSpec(detector=detector, landmarker=landmarker))
    picture = pictures["person_b_1"]
    (result,), (usual,) = pipeline.embed([picture])[0], Pipeline().embed([picture])[0]
    assert result.face.landmarks is not None
    assert result.embedding is not None
    assert usual.embedding is not None
    assert cosine(result.embedding.vector, usual.embedding.vector) >= 0.9
    assert pipeline.models["landmarker"].startswith(landmarker or "mtcnn-onet")


def test_recipes() -> None:
    """The landmarker counts where it works, and only there."""
    plain = Pipeline()
    assert "landmarker" not in plain.models
    assert Pipeline(PipelineSpec(landmarker="mtcnn-onet")).recipe_id == plain.recipe_id
    ids = {Pipeline(PipelineSpec(detector="haar-frontalface", landmarker=name)).recipe_id for name in ("yunet-points", "mtcnn-onet")}
    assert len(ids) == 2
    assert Pipeline(PipelineSpec(detector="haar-frontalface")).recipe_id in ids
    assert "landmarker" not in Pipeline(PipelineSpec(detector="haar-frontalface", align="square:1.2")).models
    assert Pipeline(PipelineSpec(retry=("pad",))).recipe_id != plain.recipe_id


def test_a_detector_is_no_landmarker() -> None:
    with pytest.raises(Exception, match="no landmark model is called 'yunet-2023mar-int8bq'"):
        Pipeline(PipelineSpec(detector="haar-frontalface", landmarker="yunet-2023mar-int8bq"))
    assert ConfigError.__name__ == "ConfigError"


def test_crops_of_faces_are_faces_by_themselves(pictures: Pictures) -> None:
    """`detector="whole"` on a tight crop gives nearly the vector of the whole picture; `on_no_face="whole"` still stretches."""
    picture = pictures["person_b_1"]
    (usual,) = Pipeline().embed([picture])[0]
    x1, y1, x2, y2 = (round(float(v)) for v in usual.face.box)
    crop = np.ascontiguousarray(picture[y1:y2, x1:x2])
    (result,) = Pipeline(PipelineSpec(detector="whole")).embed([crop])[0]
    assert result.embedding is not None
    assert usual.embedding is not None
    assert cosine(result.embedding.vector, usual.embedding.vector) >= 0.8
    blank = np.full((50, 50, 3), 77, np.uint8)
    (stand_in,) = Pipeline(PipelineSpec(on_no_face="whole")).embed([blank])[0]
    assert stand_in.face.landmarks is None
    assert cards.get("whole").license.weights == "none"
