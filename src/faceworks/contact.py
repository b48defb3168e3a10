"""All detectors on one picture, side by side: what `faceworks detect --all` shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import assets, cards, image
from .detect import load_detector
from .detect.retry import carried
from .draw import draw, grid
from .errors import FaceworksError, InputError
from .runtime import SessionOptions
from .types import Face, ImageArray

__all__ = ["CELL", "Sighting", "contact_sheet", "ready_detectors", "sightings"]

CELL = 480
"""Longer side of each picture on the sheet: boxes and letters are drawn at this size, whatever the picture's own."""
_LEFT_OUT = frozenset({"whole"})
"""No detector: it finds the picture itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What one detector found in a picture: faces in its coordinates and the milliseconds that took, or why it could not run."""

    detector: str
    faces: tuple[Face, ...]
    milliseconds: float
    error: str = ""


def ready_detectors() -> list[str]:
    """Detectors whose files are here and whose license the settings allow; nothing is fetched. One whose package is missing says so when it runs."""
    found = []
    for name in cards.names("detect"):
        card = cards.get(name)
        try:
            cards.check_license(card)
        except FaceworksError:
            continue
        if name not in _LEFT_OUT and all(assets.status(file) == "ready" for file in card.file):
            found.append(name)
    return found


def sightings(
    picture: ImageArray, names: Sequence[str] | None = None, options: SessionOptions | None = None, min_score: float | None = None
) -> list[Sighting]:
    """Run detectors (default: `ready_detectors()`) on a picture, each at its card's score unless `min_score` is given. The first look, which opens the
    network, is not timed.

    A detector that cannot run is named with its reason; it does not stop the others.
    """
    found = []
    for name in ready_detectors() if names is None else names:
        try:
            detector = load_detector(name, options, min_score)
            detector.detect([picture[:64, :64]])
            start = time.perf_counter()
            faces = detector.detect([picture])[0]
            found.append(Sighting(name, tuple(faces), round(1e3 * (time.perf_counter() - start), 1)))
        except FaceworksError as error:
            found.append(Sighting(name, (), 0.0, str(error)))
    return found


def contact_sheet(picture: ImageArray, found: Sequence[Sighting]) -> ImageArray:
    """One sheet: the picture once for each detector that ran, with boxes and points, and its name, number of faces and time below.

    Raises:
        InputError: no detector ran.
    """
    ran = [item for item in found if not item.error]
    if not ran:
        why = f": {found[0].detector}: {found[0].error}" if found else "; run: faceworks models pull --all-default"
        raise InputError(f"no detector could run{why}")
    height, width = picture.shape[:2]
    scale = CELL / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = image.resize(picture, size)
    matrix = np.array([[size[1] / width, 0, 0.5 * size[1] / width - 0.5], [0, size[0] / height, 0.5 * size[0] / height - 0.5]])
    cells = [draw(small, [carried(face, matrix, face.found_by) for face in item.faces]) for item in ran]
    texts = [f"{item.detector}\n{len(item.faces)} face{'s' * (len(item.faces) != 1)}, {item.milliseconds:.0f} ms" for item in ran]
    # cells of the picture's shape; a very wide or tall one still gets room for its caption
    return grid(cells, texts, cell=(max(size[0], CELL // 4), max(size[1], CELL // 2)))
