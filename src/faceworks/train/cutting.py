"""Labeled pictures to crops that a network learns from: cut once, exactly as the card will have them cut later (`align.crop`), kept as bytes.

What cannot be read or has no face is skipped and *reported*: the run says how many and writes names and reasons into `skipped.csv`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import align, assets, image
from ..cards import InputSpec
from ..detect import load_detector
from ..errors import FaceworksError, InputError
from ..evaluate.labeled import LabeledPictures
from ..landmarks import DEFAULTS, ensure, load_landmarker
from ..types import Face, ImageArray

__all__ = ["Crops", "cut", "recompress", "write_skipped"]

_IN_MEMORY = 512 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """N crops and their labels.

    Attributes:
        pixels: (N, H, W, 3) uint8 RGB, in memory or mapped from a file.
        pictures: labels of these N.
        skipped: (name, reason) of what is not among them.
    """

    pixels: NDArray[np.uint8]
    pictures: LabeledPictures
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> Crops:
        """The crops at these places."""
        return Crops(self.pixels[places], self.pictures.take(places), self.skipped)


def recompress(pixels: ImageArray, quality: int) -> ImageArray:
    """The picture after JPEG of this quality (1 to 100), with the usual 4:2:0 colors: what FaceNet's table 4 varies."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return image.load(buffer.getvalue())


def _shrunk(pixels: ImageArray, side: int) -> ImageArray:
    """The picture with its longer side brought down to `side` pixels (never enlarged)."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    return pixels if factor >= 1 else image.resize(pixels, (max(1, round(height * factor)), max(1, round(width * factor))))


class _Cutter:
    """Finds the largest face and cuts it."""

    def __init__(self, entry: InputSpec, detector: str, jpeg_quality: int = 0, shrink: int = 0) -> None:
        self._entry, self._quality, self._shrink = entry, jpeg_quality, shrink
        self._detector = load_detector(detector)
        self._schemes = align.schemes(entry.crop)
        self._landmarker: Any = None

    def __call__(self, source: Any) -> ImageArray:
        pixels = image.load(source)
        if self._shrink:
            pixels = _shrunk(pixels, self._shrink)
        if self._quality:
            pixels = recompress(pixels, self._quality)
        faces = self._detector.detect([pixels])[0]
        if not faces:
            raise InputError("no face was found")
        face = self._pointed(pixels, max(faces, key=lambda item: item.area))
        crop = align.crop(pixels, face, self._entry.crop, self._size, self._entry.border, self._entry.interpolation, self._entry.margin)
        return crop.pixels

    @property
    def _size(self) -> tuple[int, int]:
        return self._entry.size[0], self._entry.size[1]

    def _pointed(self, pixels: ImageArray, face: Face) -> Face:
        if not self._schemes or (face.landmarks is not None and face.landmarks.scheme in self._schemes):
            return face
        if self._landmarker is None:
            self._landmarker = load_landmarker(self._entry.landmarker or DEFAULTS[self._schemes[0]])
        return ensure([pixels], [[face]], self._landmarker)[0][0]


def _results(pictures: LabeledPictures, cutter: Callable[[Any], ImageArray]) -> Iterator[tuple[int, ImageArray | FaceworksError]]:
    for place in range(len(pictures)):
        try:
            yield place, cutter(pictures.pictures[place])
        except InputError as error:
            yield place, error


def cut(
    pictures: LabeledPictures,
    entry: InputSpec,
    detector: str = "whole",
    *,
    folder: Path | None = None,
    jpeg_quality: int = 0,
    shrink: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> Crops:
    """Cut the largest face of each picture.

    Args:
        entry: the network's input: crop and size.
        detector: card; "whole" takes each picture for a face.
        folder: where crops that are too many for the memory are kept (`crops.npy`).
        jpeg_quality, shrink: spoil the pictures first: JPEG of that quality, longer side of that many pixels.
        report: called with (done, all).

    Raises:
        InputError: not one picture could be cut; the message has the first reason.
        UnknownModel, AssetUnavailable: the detector.
    """
    shape = (len(pictures), *entry.size, 3)
    large = int(np.prod(shape)) > _IN_MEMORY and folder is not None
    if large and folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        pixels: Any = np.lib.format.open_memmap(folder / "crops.npy", "w+", np.uint8, shape)
    else:
        pixels = np.empty(shape, np.uint8)
    kept: list[int] = []
    skipped = list(pictures.skipped)
    for place, result in _results(pictures, _Cutter(entry, detector, jpeg_quality, shrink)):
        if isinstance(result, FaceworksError):
            skipped.append((str(pictures.names[place]), str(result)))
        else:
            pixels[len(kept)] = result
            kept.append(place)
        if report is not None:
            report(place + 1, len(pictures))
    if not kept:
        raise InputError(f"{pictures.source}: none of {len(pictures)} pictures could be cut; the first: {skipped[0][0]}: {skipped[0][1]}")
    places = np.array(kept, np.intp)
    return Crops(pixels[: len(kept)], pictures.take(places), tuple(skipped))


def write_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """`picture,reason` as CSV; nothing where nothing was skipped."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("picture", "reason"))
    writer.writerows(skipped)
    assets.atomic_write(path, lambda out: out.write(text.getvalue().encode()))
