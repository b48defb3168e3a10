"""LBPH: a face as the histograms of its local binary patterns in a grid of cells. The classical baseline, without weights.

T. Ahonen, A. Hadid, M. Pietikäinen, "Face description with local binary patterns: application to face recognition", PAMI 2006. Histograms and
distances are those of OpenCV's `LBPHFaceRecognizer`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..cards import Card, options
from ..errors import CardError, ConfigError, InputError
from ..runtime import SessionOptions, to_blob
from ..types import FloatArray, View
from . import lbp

__all__ = ["Decode", "Lbph", "Recognizer", "describe"]


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of the card: neighbors on a circle of `radius` pixels, cells as rows and columns, and the variant of the patterns (`lbp.PATTERNS`)."""

    points: int = 8
    radius: int = 1
    grid: tuple[int, ...] = (8, 8)
    patterns: lbp.Patterns = "all"

    def __post_init__(self) -> None:
        if len(self.grid) != 2 or min(self.grid) < 1:
            raise ValueError(f"grid must be [rows, columns], got {list(self.grid)}")
        if self.patterns not in lbp.PATTERNS:
            raise ValueError(f"patterns must be one of {', '.join(lbp.PATTERNS)}, got {self.patterns!r}")
        if not 1 <= self.points <= 12:
            raise ValueError(f"points must lie in 1..12, got {self.points}")
        if self.radius < 1:
            raise ValueError(f"radius must be 1 or more, got {self.radius}")

    @property
    def bins(self) -> int:
        """Numbers of one cell."""
        return int(lbp.lookup(self.points, self.patterns).max()) + 1

    @property
    def dim(self) -> int:
        """Numbers of a face."""
        return self.bins * self.grid[0] * self.grid[1]


def describe(gray: NDArray[np.uint8], decode: Decode | None = None) -> FloatArray:
    """The histograms of a gray picture (H, W) uint8, cells row by row: (D,) float32, each cell summing to 1."""
    decode = decode or Decode()
    patterns = lbp.inner_codes(gray, decode.points, decode.radius, decode.patterns)
    return lbp.histograms(patterns, (decode.grid[0], decode.grid[1]), decode.bins)


class Lbph:
    """An embedder like any other; its vectors are compared by the metric `chi2`."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        self._input = card.input_for()
        self._decode = options(card, Decode)
        if self._input.color != "GRAY":
            raise CardError(f'card {card.name}: local binary patterns are taken of gray pictures: the input needs color = "GRAY"')
        dim = next((item.dim for item in card.output if item.kind == "embedding"), 0)
        if dim != self._decode.dim:
            raise CardError(f"card {card.name}: its grid and patterns give {self._decode.dim} numbers, the card says dim = {dim}")

    def embed(self, views: Sequence[View]) -> tuple[FloatArray, FloatArray | None]:
        """Histograms (N, D) float32; no norms, since every cell sums to 1."""
        if not views:
            return np.zeros((0, self._decode.dim), np.float32), None
        blob = to_blob([view.crops[0].pixels for view in views], self._input).astype(np.uint8)
        pictures = blob[..., 0] if self._input.layout == "NHWC" else blob[:, 0]
        return np.stack([describe(picture, self._decode) for picture in pictures]), None


@dataclass(frozen=True, slots=True, eq=False)
class Recognizer:
    """Nearest neighbor over histograms, as `cv2.face.LBPHFaceRecognizer`: `train`, `updated`, `predict`.

    Attributes:
        histograms: (N, D) float32.
        labels: N names, or whatever tells people apart.
        decode: how histograms are made.
    """

    histograms: FloatArray
    labels: tuple[Any, ...]
    decode: Decode = dataclasses.field(default_factory=Decode)

    def __post_init__(self) -> None:
        found = np.array(self.histograms, dtype=np.float32)
        if found.shape != (len(self.labels), self.decode.dim):
            raise InputError(f"{len(self.labels)} labels need histograms of the shape {(len(self.labels), self.decode.dim)}, got {found.shape}")
        found.setflags(write=False)
        object.__setattr__(self, "histograms", found)

    @classmethod
    def train(cls, pictures: Sequence[NDArray[np.uint8]], labels: Sequence[Any], decode: Decode | None = None) -> Recognizer:
        """Learn gray pictures (H, W) uint8 with their labels."""
        decode = decode or Decode()
        return cls(np.zeros((0, decode.dim), np.float32), (), decode).updated(pictures, labels)

    def updated(self, pictures: Sequence[NDArray[np.uint8]], labels: Sequence[Any]) -> Recognizer:
        """A recognizer that knows these pictures too; what was learned before stays.

        Raises:
            InputError: not as many labels as pictures.
        """
        if len(pictures) != len(labels):
            raise InputError(f"each picture needs a label: got {len(pictures)} pictures and {len(labels)} labels")
        fresh = [describe(picture, self.decode)[None] for picture in pictures]
        return Recognizer(np.concatenate([self.histograms, *fresh]), (*self.labels, *labels), self.decode)

    def predict(self, pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[Any, float]]:
        """Label and chi-square distance of the nearest learned picture, the earliest among equals.

        Raises:
            ConfigError: nothing was learned.
        """
        if not self.labels:
            raise ConfigError("a recognizer that was never trained knows nobody; call train or updated first")
        if not len(pictures):
            return []
        distances = similarity.chi2_matrix(np.stack([describe(picture, self.decode) for picture in pictures]), self.histograms)
        nearest = distances.argmin(axis=1)
        return [(self.labels[index], float(row[index])) for row, index in zip(distances, nearest, strict=True)]
