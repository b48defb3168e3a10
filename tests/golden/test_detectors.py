"""Every detector against its original: `tools/golden_detect.py` makes the numbers again, in the originals' own environments.

Box IoU ≥ 0.99, points within 1 px, scores within 1e-3; MTCNN is held closer, since the whole cascade hangs on every rounding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ROOT, need
from faceworks import cards, geometry, image, settings
from faceworks.detect import Detector, load_detector
from faceworks.landmarks import load_landmarker
from faceworks.types import Face, Landmarks

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem.removeprefix("detect-") for path in FOLDER.glob("detect-*.json"))
ROLES = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2", "group")
EXPORTS = {"scrfd-2.5g-bnkps": "scrfd-2.5g"}
"""Cards with another export of the same weights."""
MIRRORED = {"yunet-2023mar", "scrfd-500m", "scrfd-2.5g", "ultralight-rfb320"}
"""Cards whose files no package registry has: they come from ../shared/weights."""
WIDTHS = {"": 5, "arcface5": 15, "blazeface6": 17}
"""Numbers of a face by the scheme of its points: box, score, points."""
BOX, POINTS = {"mtcnn-facenet": 0.1, "mtcnn": 0.1}, {"mtcnn-facenet": 0.1, "mtcnn": 0.1}


@pytest.fixture(autouse=True)
def mirror(request: pytest.FixtureRequest) -> Iterator[None]:
    """Puts ../shared/weights among the mirrors; skips the cards that need it where it is absent."""
    folder = next((path for path in (ROOT.parent / "shared/weights", ROOT.parent.parent / "shared/weights") if path.is_dir()), None)
    if folder is None and getattr(request.node, "callspec", None) and request.node.callspec.params.get("name") in MIRRORED:
        pytest.skip("../shared/weights is absent, and no registry has this file")
    with settings.use(mirrors=(*settings.current().mirrors, *([folder] if folder else []))):
        yield


@cache
def golden(name: str) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads((FOLDER / f"detect-{EXPORTS.get(name, name)}.json").read_text(encoding="utf-8"))
    return document["faces"]


@cache
def detector(name: str) -> Detector:
    return load_detector(name)


def compare(name: str, role: str, faces: list[Face]) -> None:
    """Each of our faces against the nearest of the original's; both must have the same number."""
    width = WIDTHS[next((item.scheme for item in cards.get(name).output if item.kind == "points"), "")]
    want = np.array(golden(name)[role], np.float64).reshape(-1, width)
    assert len(faces) == len(want), f"{role}: {len(faces)} faces, the original finds {len(want)}"
    left = list(range(len(want)))
    for face in faces:
        overlaps = geometry.iou(face.box[None], want[left, :4])[0]
        row = want[left.pop(int(overlaps.argmax()))]
        place = f"{role}, face at {np.round(face.box).tolist()}"
        assert overlaps.max() >= 0.99, f"{place}: IoU {overlaps.max():.4f}, the original's is {np.round(row[:4], 1).tolist()}"
        assert abs(face.score - row[4]) <= 1e-3, f"{place}: score {face.score:.5f}, the original's {row[4]:.5f}"
        if name in BOX:
            assert np.abs(face.box - row[:4]).max() <= BOX[name], f"{place}: the original's is {row[:4].tolist()}"
        if width > 5:
            assert face.landmarks is not None
            off = np.abs(face.landmarks.points - row[5:].reshape(-1, 2))
            assert off.max() <= POINTS.get(name, 1.0), f"{place}: point {int(off.max(axis=1).argmax())} is {off.max():.3f} px off"
        else:
            assert face.landmarks is None


@pytest.mark.assets
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", [*NAMES, *EXPORTS])
def test_sample_pictures(name: str, role: str, pictures: Mapping[str, np.ndarray], group: Path) -> None:
    need(name)
    compare(name, role, detector(name).detect([image.load(group) if role == "group" else pictures[role]])[0])


@pytest.mark.shared
@pytest.mark.parametrize("name", [*NAMES, *EXPORTS])
def test_annotated_photos(name: str, shared: Path) -> None:
    """dlib's nine annotated photos, a portrait, a crowd and two dogs, all in one call."""
    need(name)
    roles = [role for role in golden(name) if role.startswith("dlib-")]
    assert len(roles) == 12
    found = detector(name).detect([image.load(shared / "data/detection/dlib" / f"{role.removeprefix('dlib-')}.jpg") for role in roles])
    for role, faces in zip(roles, found, strict=True):
        compare(name, role, faces)


def test_the_goldens_hold_what_the_originals_found_at_solvay() -> None:
    """29 people. The cascades' boxes include false alarms, SSD at 300x300 sees none of faces this small."""
    found = {name: len(golden(name)["group"]) for name in NAMES}
    others = {
        "blazeface-short": 0,
        "blazeface-back": 0,
        "blazeface-full": 0,
        "haar-frontalface": 41,
        "mtcnn-facenet": 31,
        "retinaface-mnet025": 26,
        "ssd-res10": 0,
        "ultralight-rfb320": 17,
    }
    assert found == dict.fromkeys(NAMES, 29) | others


@pytest.mark.assets
@pytest.mark.parametrize("role", ROLES[:6])
def test_the_face_mesh_against_mediapipe(role: str, pictures: Mapping[str, np.ndarray]) -> None:
    """468 points from MediaPipe's own box and eyes, within 0.5 % of the box's side: its crop is sampled otherwise, and black where ours is."""
    need("facemesh-468")
    document = json.loads((FOLDER / "landmark-facemesh-468.json").read_text(encoding="utf-8"))
    (row,) = np.array(document["faces"][role])
    points = row.reshape(-1, 2)
    face = Face(row[:4], 1.0, Landmarks(points[2:8], "blazeface6"))
    (((found,),)) = load_landmarker("facemesh-468").locate([pictures[role]], [[face]])
    assert found.scheme == "mesh468"
    off = np.linalg.norm(found.points - points[8:], axis=1) / face.width
    assert off.max() <= 0.01, off.max()
    assert off.mean() <= 0.005, off.mean()
