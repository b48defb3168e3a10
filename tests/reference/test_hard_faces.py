"""Babies, profiles, masks, dark glasses, two faces, black and white, drawings: what comes out, and how unsure it is.

Real pictures with painted covers; the numbers are bounds around what was measured, so that a change for the worse is seen.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

import faceworks
from faceworks import image
from faceworks.analysis import Analyzer
from faceworks.attributes.occlusion import occlusion_hints
from faceworks.pipeline import PipelineSpec
from faceworks.types import Categorical, Face, FaceResult, ImageArray, Scalar

pytestmark = [pytest.mark.shared, pytest.mark.assets]
ASKED = ("emotion", "age", "gender", "pose", "quality")


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer(PipelineSpec(select="largest", on_no_face="empty"), ASKED)


def number(result: FaceResult, name: str) -> float:
    item = result.attributes[name]
    assert isinstance(item, Scalar)
    return item.value


def distribution(result: FaceResult, name: str) -> Categorical:
    item = result.attributes[name]
    assert isinstance(item, Categorical)
    return item


@pytest.fixture(scope="module")
def portraits(shared: Path) -> list[ImageArray]:
    """Neutral adults, looking ahead."""
    return [image.load(path) for path in sorted((shared / "data" / "london" / "neutral_front").glob("*.jpg"))[:16]]


@pytest.fixture(scope="module")
def plain(analyzer: Analyzer, portraits: list[ImageArray]) -> list[FaceResult]:
    found = analyzer.analyze(portraits)
    assert all(len(faces) == 1 for faces in found)
    return [faces[0] for faces in found]


def mask(picture: ImageArray, face: Face) -> ImageArray:
    """A light blue surgical mask, painted."""
    assert face.landmarks is not None
    nose, (left, _, right, bottom), wide = face.landmarks.points[2], face.box, face.width
    high, low = nose[1] - 0.02 * wide, bottom - 0.08 * wide
    corners = [[left, high], [nose[0], nose[1] - 0.1 * wide], [right, high], [right - 0.12 * wide, low], [nose[0], bottom], [left + 0.12 * wide, low]]
    out = picture.copy()
    cv2.fillPoly(out, [np.array(corners, np.int32)], (150, 190, 215))
    return out


def glasses(picture: ImageArray, face: Face) -> ImageArray:
    """Dark glasses, painted."""
    assert face.landmarks is not None
    points = face.landmarks.points
    apart = float(np.linalg.norm(points[1] - points[0]))
    out = picture.copy()
    for x, y in points[:2]:
        cv2.ellipse(out, (int(x), int(y)), (int(apart * 0.38), int(apart * 0.28)), 0, 0, 360, (20, 20, 22), -1)
    return out


def test_babies_are_not_called_adults(shared: Path, analyzer: Analyzer) -> None:
    folder = shared / "data" / "age_gender"
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        names = [row["image"] for row in csv.DictReader(file) if int(row["age"]) <= 2][:24]
    found = [faces[0] for faces in analyzer.analyze([image.load(folder / "utkface" / name) for name in names]) if faces]
    ages = np.array([number(item, "age") for item in found])
    assert len(ages) >= 20
    assert (ages < 10).mean() >= 0.9, ages.round(1)
    sure = np.array([max(distribution(item, "gender").probabilities.values()) for item in found])
    assert sure.mean() < 0.95, "nobody can tell a baby's gender from its face"


def test_profiles_are_seen_as_turned(shared: Path, analyzer: Analyzer) -> None:
    root = shared / "data" / "lfw" / "images"
    pictures = sorted(root.glob("*/*_0001.jpg"))[::25][:60]
    found = [faces[0] for faces in analyzer.analyze([image.load(path) for path in pictures]) if faces]
    yaw = np.array([abs(number(item, "yaw")) for item in found])
    quality = np.array([number(item, "quality") for item in found])
    assert yaw.max() > 30
    assert quality[yaw > 30].mean() < quality[yaw < 10].mean()


def test_a_mask_makes_the_answer_less_sure_and_is_hinted_at(analyzer: Analyzer, portraits: list[ImageArray], plain: list[FaceResult]) -> None:
    covered = [mask(picture, item.face) for picture, item in zip(portraits, plain, strict=True)]
    found = analyzer.analyze_faces(covered, [[item.face] for item in plain])
    before = np.mean([max(distribution(item, "gender").probabilities.values()) for item in plain])
    after = np.mean([max(distribution(faces[0], "gender").probabilities.values()) for faces in found])
    assert after < before
    hints = [occlusion_hints(picture, item.face) for picture, item in zip(covered, plain, strict=True)]
    assert np.mean(["the mouth may be covered" in item for item in hints]) >= 0.9
    assert sum(bool(occlusion_hints(picture, item.face)) for picture, item in zip(portraits, plain, strict=True)) <= 1
    quality = found[0][0].attributes["quality"]
    assert isinstance(quality, Scalar)
    assert "the mouth may be covered" in quality.reasons


def test_dark_glasses_are_hinted_at(portraits: list[ImageArray], plain: list[FaceResult]) -> None:
    hints = [occlusion_hints(glasses(picture, item.face), item.face) for picture, item in zip(portraits, plain, strict=True)]
    assert np.mean(["the eyes may be covered" in item for item in hints]) >= 0.9


def test_black_and_white_says_nearly_the_same(analyzer: Analyzer, portraits: list[ImageArray], plain: list[FaceResult]) -> None:
    gray = [np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2) for picture in portraits]
    found = [faces[0] for faces in analyzer.analyze(gray)]
    assert np.mean([distribution(a, "gender").label == distribution(b, "gender").label for a, b in zip(plain, found, strict=True)]) >= 0.8
    assert np.abs(np.array([number(a, "age") - number(b, "age") for a, b in zip(plain, found, strict=True)])).mean() < 8


def test_two_faces_are_answered_apart(portraits: list[ImageArray], plain: list[FaceResult]) -> None:
    woman = next(i for i, item in enumerate(plain) if distribution(item, "gender").label == "female")
    man = next(i for i, item in enumerate(plain) if distribution(item, "gender").label == "male")
    pair = np.concatenate([portraits[woman], portraits[man]], axis=1)
    found = sorted(faceworks.analyze(pair, ("gender", "quality")), key=lambda item: float(item.face.box[0]))
    assert [distribution(item, "gender").label for item in found] == ["female", "male"]
    quality = found[0].attributes["quality"]
    assert isinstance(quality, Scalar)
    assert any("2 faces" in reason for reason in quality.reasons)


def test_a_drawing_is_answered_with_more_doubt(analyzer: Analyzer, portraits: list[ImageArray], plain: list[FaceResult]) -> None:
    drawn = []
    for picture in portraits:
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        line = cv2.divide(gray, 255 - cv2.GaussianBlur(255 - gray, (0, 0), 6), scale=256)  # a pencil drawing: dodge against the blurred negative
        drawn.append(np.repeat(np.asarray(line, np.uint8)[:, :, None], 3, axis=2))
    found = [faces[0] for faces in analyzer.analyze(drawn) if faces]
    assert found, "faces are found in pencil drawings too"
    doubt = np.mean([distribution(item, "emotion").entropy for item in found])
    error = np.mean([abs(number(item, "age") - 28) for item in found])
    assert doubt > 0.4
    assert error < 40
