"""The FaceNet seed's dlib examples, and dlib's own network, run beside our adapters at the same parameters. Needs the dlib wheel.

The seed reads with OpenCV and hands BGR to detectors that were trained on RGB. Here both sides get RGB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import need
from faceworks import align, assets, cards, crops, image
from faceworks.detect import load_detector
from faceworks.embed import load_embedder
from faceworks.landmarks import load_landmarker
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Crop, Face, Landmarks, View

dlib = pytest.importorskip("dlib", reason="the extra faceworks[dlib] is not installed")
pytestmark = pytest.mark.assets
NAMES = ("person_a_1", "person_b_1", "impostor_2")


def path(name: str) -> str:
    need(name)
    return str(assets.fetch(cards.get(name).file[0], progress=False))


def corners(rectangle: dlib.rectangle) -> list[int]:
    return [rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1]


@pytest.mark.parametrize("name", NAMES)
def test_seed_hog(name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """`dlib.get_frontal_face_detector()(image)`: the same rectangles, in coordinates of the picture."""
    want = [corners(r) for r in dlib.get_frontal_face_detector()(pictures[name])]
    faces = load_detector("dlib-hog").detect([pictures[name]])[0]
    assert sorted(face.box.tolist() for face in faces) == sorted(map(list, np.array(want, float).tolist()))
    assert all(face.score >= 0.5 for face in faces)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[:2])
def test_seed_mmod(name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """`dlib.cnn_face_detection_model_v1(...)(image)`: the same rectangles."""
    small = image.resize(pictures[name], (300, round(300 * pictures[name].shape[1] / pictures[name].shape[0])))
    want = [corners(item.rect) for item in dlib.cnn_face_detection_model_v1(path("dlib-mmod"))(small)]
    assert [face.box.tolist() for face in load_detector("dlib-mmod").detect([small])[0]] == np.array(want, float).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_seed_crop_align_detect_again(name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """width 800, HOG, FaceAligner(5 points, 256), HOG again, face 256 wide. The seed upsamples twice; here not at all, on both sides, for time."""
    path("dlib-5")
    source = pictures[name]
    picture = image.resize(source, (round(source.shape[0] * 800 / source.shape[1]), 800), "area" if source.shape[1] > 800 else "linear")
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(path("dlib-5"))
    rectangle = max(detector(picture), key=lambda r: r.area())
    points = np.array([(p.x, p.y) for p in predictor(picture, rectangle).parts()])
    right, left = points[0], points[2]
    angle = np.degrees(np.arctan2(*(right - left)[::-1]))
    middle = (left + right) // 2
    matrix = cv2.getRotationMatrix2D((int(middle[0]), int(middle[1])), angle, 0.3 * 256 / np.hypot(*(right - left)))
    matrix[:, 2] += [128 - middle[0], 256 * 0.35 - middle[1]]
    aligned = cv2.warpAffine(picture, matrix, (256, 256), flags=cv2.INTER_CUBIC)

    pipeline = Pipeline(PipelineSpec(detector="dlib-hog", select="largest", on_no_face="empty"))
    ours = crops.cut_faces(pipeline, [picture], "facealigner", 256, landmarker="dlib-5")[0][0]
    assert np.abs(ours.pixels.astype(int) - aligned).mean() <= 1
    again = crops.cut_faces(pipeline, [picture], "facealigner", 256, landmarker="dlib-5", redetect=True)[0][0]
    found = detector(aligned)
    assert again.template.endswith("+redetect") == bool(len(found))
    if found:
        best = max(found, key=lambda r: r.area())
        inside = align.crop(aligned, Face(np.array(corners(best), np.float32), 1.0, None, "dlib-hog"), "square:1", (256, 256)).pixels
        assert np.abs(again.pixels.astype(int) - inside).mean() <= 2


@pytest.mark.parametrize("name", NAMES)
def test_vectors_equal_dlibs_on_the_same_chip(name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """1e-5 in each of 128 numbers; landmarks and chips of dlib and of ours from the same box."""
    recognizer, predictor = dlib.face_recognition_model_v1(path("dlib-resnet-v1")), dlib.shape_predictor(path("dlib-5"))
    rectangle = max(dlib.get_frontal_face_detector()(pictures[name]), key=lambda r: r.area())
    shape = predictor(pictures[name], rectangle)
    chip = dlib.get_face_chip(pictures[name], shape, 150, 0.25)
    face = Face(np.array(corners(rectangle), np.float32), 1.0, None, "dlib-hog")
    view = View(face, (150, 150), 1, (Crop(chip, np.eye(2, 3), "dlib-150:0.25"),))
    vector = load_embedder("dlib-resnet-v1").embed([view])[0][0]
    assert np.abs(vector - np.array(recognizer.compute_face_descriptor(chip))).max() <= 1e-5
    points = load_landmarker("dlib-5").locate([pictures[name]], [[face]])[0][0]
    assert np.array_equal(points.points, [(p.x, p.y) for p in shape.parts()])
    ours = align.crop(pictures[name], Face(face.box, 1.0, Landmarks(points.points, "dlib5"), "dlib-hog"), "dlib-150:0.25").pixels
    assert np.abs(ours.astype(int) - chip).mean() <= 0.02


def test_the_wheel_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from faceworks.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingDependency, match=r"faceworks\[dlib\]"):
        load_detector("dlib-hog")


def test_dlib_is_imported_in_one_module_alone() -> None:
    source = Path(align.__file__).parent.parent
    users = [item.name for item in source.rglob("*.py") if 'require("dlib"' in item.read_text("utf-8") or "\nimport dlib" in item.read_text("utf-8")]
    assert users == ["dlib_hog.py"]
