"""Local binary patterns against scikit-image (exact), LBPH against OpenCV's recognizer on the AT&T faces (distances to 1e-6)."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.feature import local_binary_pattern

import faceworks
from faceworks import similarity
from faceworks.embed import lbp
from faceworks.embed.lbph import Decode, Recognizer, describe
from faceworks.errors import ConfigError, InputError
from faceworks.pipeline import Pipeline, PipelineSpec

rng = np.random.default_rng(4)
PICTURES = {
    "noise": rng.integers(0, 256, (40, 53), np.uint8),
    "few levels, many ties": rng.integers(0, 3, (31, 45), np.uint8),
    "flat": np.full((12, 9), 200, np.uint8),
    "ramp": np.add.outer(np.arange(30), 3 * np.arange(40)).astype(np.uint8),
}
VARIANTS = {"all": "default", "rotation": "ror", "uniform": "nri_uniform", "rotation_uniform": "uniform"}


@pytest.mark.parametrize("patterns", VARIANTS)
@pytest.mark.parametrize("name", PICTURES)
def test_codes_equal_scikit_images(name: str, patterns: lbp.Patterns) -> None:
    picture = PICTURES[name]
    for points, radius in ((8, 1), (8, 2), (16, 2), (12, 1.5), (5, 3.3)):
        want = local_binary_pattern(picture, points, radius, VARIANTS[patterns])
        got = lbp.codes(picture, points, radius, patterns)
        assert np.array_equal(got, want), f"{points} points on {radius}: {np.argwhere(got != want)[:3].tolist()}"


def test_darker_is_0_and_brighter_or_equal_is_1() -> None:
    """By hand: right brighter, upper right equal, the rest darker. Corners are interpolated, so the plane stays flat about them."""
    picture = np.zeros((5, 5), np.uint8)
    picture[2, 2], picture[2, 3] = 100, 101
    assert lbp.codes(picture)[2, 2] == 1
    picture[1, 2] = 100
    assert lbp.codes(picture)[2, 2] == 0b101
    assert lbp.inner_codes(picture)[1, 1] == 0b101
    assert lbp.codes(np.full((5, 5), 7, np.uint8))[2, 2] == 255, "equal counts as brighter"


def test_histograms_are_shares_of_whole_cells() -> None:
    patterns = np.arange(5 * 7).reshape(5, 7) % 3
    got = lbp.histograms(patterns, (2, 3), 3).reshape(2, 3, 3)
    for row, column in itertools.product(range(2), range(3)):
        cell = patterns[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel().tolist()
        assert got[row, column].tolist() == [cell.count(code) / 4 for code in range(3)]


def test_chi2_by_hand() -> None:
    assert similarity.distance([1, 0, 2], [1, 0, 2], "chi2") == 0
    assert similarity.distance([1, 0, 2], [0, 0, 4], "chi2") == pytest.approx(2 * (1 / 1 + 4 / 6))
    with pytest.raises(InputError, match="histograms"):
        similarity.distance([1, -1], [1, 1], "chi2")
    with pytest.raises(InputError, match="no chi2 distance follows from a cosine"):
        similarity.from_cosine(0.5, "chi2")


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="gray picture"):
        lbp.codes(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="no pixel whose circle"):
        lbp.inner_codes(np.zeros((2, 9), np.uint8))
    with pytest.raises(InputError, match="has no 8x8 cells"):
        describe(np.zeros((9, 30), np.uint8))
    with pytest.raises(ConfigError, match="never trained"):
        Recognizer.train([], []).predict([np.zeros((20, 20), np.uint8)])
    with pytest.raises(InputError, match="each picture needs a label"):
        Recognizer.train([np.zeros((20, 20), np.uint8)], [])
    with pytest.raises(ValueError, match="patterns must be one of"):
        Decode(patterns="none")


@pytest.fixture(scope="module")
def att(shared: Path) -> list[list[np.ndarray]]:
    """40 people, ten gray pictures each."""
    root = shared / "data" / "att_faces"
    return [[cv2.imread(str(root / f"s{person}" / f"{k}.pgm"), cv2.IMREAD_GRAYSCALE) for k in range(1, 11)] for person in range(1, 41)]


@pytest.mark.shared
@pytest.mark.parametrize(("radius", "points", "grid"), [(1, 8, (8, 8)), (2, 8, (6, 5)), (1, 6, (4, 4))])
def test_recognizer_equals_opencvs(att: list[list[np.ndarray]], radius: int, points: int, grid: tuple[int, int]) -> None:
    theirs = cv2.face.LBPHFaceRecognizer_create(radius=radius, neighbors=points, grid_x=grid[1], grid_y=grid[0])
    first = [pictures[0] for pictures in att]
    theirs.train(first, np.arange(40))
    ours = Recognizer.train(first, range(40), Decode(points=points, radius=radius, grid=grid))
    for got, want in zip(ours.histograms, theirs.getHistograms(), strict=True):
        assert np.abs(got - want.ravel()).max() <= 1e-7
    theirs.update([pictures[1] for pictures in att[:20]], np.arange(20))
    ours = ours.updated([pictures[1] for pictures in att[:20]], range(20))
    asked = [pictures[k] for pictures in att for k in (4, 9)]
    for index, (picture, (person, distance)) in enumerate(zip(asked, ours.predict(asked), strict=True)):
        want_person, want_distance = theirs.predict(picture)
        assert person == want_person, index
        assert distance == pytest.approx(want_distance, abs=1e-6), index


@pytest.mark.shared
def test_the_card_gives_opencvs_distances(att: list[list[np.ndarray]]) -> None:
    """Whole pictures through the pipeline: nothing is resampled, since the card's size is theirs."""
    pictures = [np.repeat(att[person][k][..., None], 3, axis=2) for person in range(6) for k in (0, 1)]
    results = faceworks.embed(pictures, embedder="lbph", detector="whole", select="largest", metric="chi2")
    vectors = [result[0].embedding for result in results]
    for person, (learned, asked) in enumerate(zip(vectors[::2], vectors[1::2], strict=True)):
        theirs = cv2.face.LBPHFaceRecognizer_create()
        theirs.train([att[person][0]], np.array([person]))
        assert learned is not None
        assert asked is not None
        assert similarity.distance(learned.vector, asked.vector, "chi2") == pytest.approx(theirs.predict(att[person][1])[1], abs=1e-6)


def test_a_decision_needs_a_measured_threshold() -> None:
    measured = Pipeline(PipelineSpec(embedder="lbph", metric="chi2")).decision()
    assert measured.threshold == 105.5
    assert "LFW View 2" in measured.source
    with pytest.raises(ConfigError, match="no threshold for the metric 'euclidean_l2'"):
        Pipeline(PipelineSpec(embedder="lbph", metric="euclidean_l2")).decision()
    assert Pipeline(PipelineSpec(embedder="lbph", metric="chi2", threshold=70.0)).decision().threshold == 70
