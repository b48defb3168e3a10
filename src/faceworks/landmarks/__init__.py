"""Landmarkers: faces in, points out. A task of its own, for crops that a detector's own points cannot feed.

`ensure` is the one door for callers: it asks a landmarker for those faces that lack its scheme.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from .. import cards, plugins
from ..cards import Card
from ..runtime import SessionOptions
from ..types import Face, ImageArray, Landmarks

__all__ = ["ADAPTERS", "DEFAULTS", "Landmarker", "ensure", "load_landmarker", "scheme_of"]

ADAPTERS = {
    "dlib_ert": "faceworks.landmarks.dlib_ert:DlibErt",
    "onet": "faceworks.landmarks.onet:Onet",
    "onnx": "faceworks.landmarks.onnx:OnnxLandmarker",
    "yunet": "faceworks.landmarks.yunet:YunetPoints",
}

DEFAULTS: Mapping[str, str] = {
    "arcface5": "mtcnn-onet",
    "dlib5": "dlib-5",
    "ibug68": "dlib-68",
    "mesh468": "facemesh-468",
}
"""Scheme -> the card that is asked for it where nothing else is said.

`mtcnn-onet` rather than `yunet-points`, in the boxes of Haar, SSD and dlib HOG on 120 pictures: 0.043 of the eye distance from SCRFD's own points (median)
against 0.089, and 0.059 to 0.068 against 0.077 to 0.089 from RetinaFace's; more than 0.2 off in none to 2 % of the faces against 1 to 6 %."""


class Landmarker(Protocol):
    """A landmarker keeps no mutable state and may be shared by threads."""

    card: Card

    def locate(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Landmarks]]:
        """Points of each face of each picture ((H, W, 3) uint8 RGB), in coordinates of the picture."""
        ...


def load_landmarker(name: str, options: SessionOptions | None = None) -> Landmarker:
    """Load the landmarker whose card is called `name`.

    Raises:
        UnknownModel, LicenseRefused, AssetUnavailable, DeviceUnavailable.
    """
    card = cards.get(name, "landmark")
    cards.check_license(card)
    landmarker: Landmarker = plugins.load_adapter("landmark", card.adapter, ADAPTERS)(card, options or SessionOptions())
    return landmarker


def scheme_of(card: Card) -> str:
    """The scheme of the points that a landmarker's card promises, "" if none."""
    return next((item.scheme for item in card.output if item.kind == "points"), "")


def ensure(images: Sequence[ImageArray], faces: Sequence[Sequence[Face]], landmarker: Landmarker) -> list[list[Face]]:
    """The faces, each with landmarks of the landmarker's scheme: those that have them unchanged, the others asked of it."""
    scheme = scheme_of(landmarker.card)
    missing = [[face for face in group if face.landmarks is None or face.landmarks.scheme != scheme] for group in faces]
    some = [index for index, group in enumerate(missing) if group]
    if not some:
        return [list(group) for group in faces]
    located = landmarker.locate([images[index] for index in some], [missing[index] for index in some])
    fresh = {id(face): points for index, group in zip(some, located, strict=True) for face, points in zip(missing[index], group, strict=True)}
    return [[dataclasses.replace(face, landmarks=fresh[id(face)]) if id(face) in fresh else face for face in group] for group in faces]
