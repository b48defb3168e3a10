"""The FaceNet tutorial's detector examples in OpenCV at its own parameters, against our adapters; dlib's are in test_dlib_installed.py.

Its slips, and what is done about them here (docs/concepts/detectors.md): it hands OpenCV a size as (height, width) where (width, height) is asked
for, so its SSD sees a picture that is not square stretched the wrong way; and it subtracts 117 where the network was trained with 177. Both sides
get the tutorial's mean, and square pictures, on which the first slip has no effect.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import ROOT, SAMPLES, need
from faceworks import assets, cards
from faceworks.detect import build_detector

pytestmark = pytest.mark.assets


@pytest.mark.parametrize("name", SAMPLES)
def test_seed_haar(name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """`detectMultiScale(picture)` at its defaults (scale 1.1, 3 neighbors, any size): the same whole pixels, all of them, false alarms too."""
    need("haar-frontalface")
    card = cards.get("haar-frontalface")
    classifier = cv2.CascadeClassifier(str(assets.fetch(card.file_for())))
    want = np.array(classifier.detectMultiScale(np.ascontiguousarray(pictures[name][..., ::-1])), np.float64).reshape(-1, 4)
    want[:, 2:] += want[:, :2]
    plain = dataclasses.replace(card, decode={**card.decode, "min_neighbors": 3, "min_size": 0})
    faces = build_detector(plain).detect([pictures[name]])[0]
    assert sorted(face.box.tolist() for face in faces) == sorted(want.tolist())
    assert faces, "the example's picture has a face"


@pytest.mark.parametrize("name", SAMPLES)
def test_seed_ssd(name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """Width 300, mean (104, 117, 123), confidence above 0.9, corners cut to whole pixels; OpenCV 4's answers are in the golden file."""
    need("ssd-res10")
    document = json.loads((ROOT / "tests/golden/seed-ssd.json").read_text(encoding="utf-8"))
    want = np.array(document["faces"][name]).reshape(-1, 5)
    picture = pictures[name]
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    small = cv2.resize(picture[top : top + side, left : left + side], (300, 300), interpolation=cv2.INTER_AREA)
    card = cards.get("ssd-res10")
    faces = build_detector(dataclasses.replace(card, input=(dataclasses.replace(card.input[0], mean=(104.0, 117.0, 123.0)),)), min_score=0.9).detect(
        [small]
    )[0]
    assert len(faces) == len(want) == 1
    # a corner that lies on a whole pixel to a thousandth may be cut to either side
    assert np.abs(np.trunc(faces[0].box) - want[0, :4]).max() <= 1
    assert np.abs(faces[0].box - want[0, :4] - 0.5).max() <= 0.55
    assert abs(faces[0].score - want[0, 4]) <= 1e-3


def test_the_golden_says_how_it_was_made() -> None:
    made = json.loads((Path(ROOT) / "tests/golden/seed-ssd.json").read_text(encoding="utf-8"))["made"]
    assert made["by"].startswith("the tutorial's code on cv2 4.")
