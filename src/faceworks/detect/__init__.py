"""Detectors: pictures in, faces out. One module per family of outputs; the card holds every number.

All adapters answer in coordinates of the picture they were given (`faceworks.types`), best score first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .. import cards, plugins
from ..cards import Card
from ..runtime import SessionOptions
from ..types import Face, ImageArray

__all__ = ["ADAPTERS", "Detector", "build_detector", "load_detector"]

ADAPTERS = {
    "blazeface": "faceworks.detect.blazeface:Blazeface",
    "cascade": "faceworks.detect.cascade:Cascade",
    "centerface": "faceworks.detect.centerface:Centerface",
    "dlib_hog": "faceworks.detect.dlib_hog:DlibHog",
    "mmod": "faceworks.detect.mmod:Mmod",
    "mtcnn": "faceworks.detect.mtcnn:Mtcnn",
    "retinaface": "faceworks.detect.retinaface:Retinaface",
    "scrfd": "faceworks.detect.scrfd:Scrfd",
    "ssd": "faceworks.detect.ssd:Ssd",
    "ultralight": "faceworks.detect.ultralight:Ultralight",
    "whole": "faceworks.detect.whole:Whole",
    "yolo": "faceworks.detect.yolo:Yolo",
    "yunet": "faceworks.detect.yunet:Yunet",
}


class Detector(Protocol):
    """A detector keeps no mutable state and may be shared by threads."""

    card: Card

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture ((H, W, 3) uint8 RGB), best score first."""
        ...


def load_detector(name: str, options: SessionOptions | None = None, min_score: float | None = None) -> Detector:
    """Load the detector whose card is called `name`.

    `min_score` replaces the card's; `options` says on which device and with how many threads its networks run.

    Raises:
        UnknownModel, LicenseRefused, AssetUnavailable, DeviceUnavailable.
    """
    return build_detector(cards.get(name, "detect"), options, min_score)


def build_detector(card: Card, options: SessionOptions | None = None, min_score: float | None = None) -> Detector:
    """The detector of a card at hand."""
    cards.check_license(card)
    detector: Detector = plugins.load_adapter("detect", card.adapter, ADAPTERS)(card, options or SessionOptions(), min_score)
    return detector
