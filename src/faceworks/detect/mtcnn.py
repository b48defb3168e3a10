"""MTCNN (Zhang et al., IEEE Signal Processing Letters 23, 2016): three networks, each looking again at what the one before proposed.

The P-Net sees the whole pyramid, the R- and O-Net crops pooled from all pictures of a batch. Two packages published weights with rules of their
own for everything between the networks; `[decode] rules` says which hold: `mtcnn_facenet` (facenet-pytorch, FastMTCNN) or `mtcnn_keras` (the
package `mtcnn`). Boxes are those of the packages, to their convention.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .. import geometry, image
from ..cards import Card, InputSpec, options
from ..runtime import SessionOptions, open_session, run_batched
from ..types import Face, FloatArray, ImageArray
from .letterbox import check_min_score, faces_from

__all__ = ["Candidates", "Decode", "Mtcnn", "Rules", "Sampler", "pick"]

_CHUNK = {"rnet": 16, "onet": 8}
"""Crops in one run: what the processor's cache holds is run up to four times faster, per crop, than hundreds at once."""


@dataclass(frozen=True, slots=True)
class Decode:
    """`[decode]` of an MTCNN card.

    `min_score` is the O-Net's threshold, `scores` those of P- and R-Net; `suppression` the largest overlaps: within a level, between levels, after
    R-Net, after O-Net (there of the smaller box). `min_face` is the smallest face looked for, in pixels; pictures of more than `largest` pixels
    are shrunk to it first.
    """

    rules: Literal["facenet", "keras"]
    min_score: float
    scores: tuple[float, ...]
    suppression: tuple[float, ...]
    min_face: float
    factor: float
    window: int
    stride: int
    largest: int
    min_size: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes on their way through the networks: picture index (N,), boxes (N, 4), scores (N,), points (N, 5, 2) after the O-Net."""

    picture: NDArray[np.intp]
    boxes: NDArray[Any]
    scores: FloatArray
    points: NDArray[Any] | None = None


def pick(candidates: Candidates, rows: Any) -> Candidates:
    """Some of the candidates, in the order of `rows`."""
    points = None if candidates.points is None else candidates.points[rows]
    return Candidates(candidates.picture[rows], candidates.boxes[rows], candidates.scores[rows], points)


class Sampler(Protocol):
    """One picture, resampled on demand; tensors are normalized."""

    def resampled(self, size: tuple[int, int]) -> FloatArray:
        """The whole picture: (3, height, width)."""
        ...

    def crops(self, boxes: Any, side: int) -> FloatArray:
        """Pieces of it: (N, 3, side, side)."""
        ...


class Rules(Protocol):
    """What a package does between the networks. `answers` hold log-odds, box offsets and points along the last axis but for the P-Net's maps."""

    def sampler(self, picture: ImageArray, spec: InputSpec) -> Sampler:
        """What resamples one picture for every level, as the package does it."""
        ...

    def levels(self, size: tuple[int, int], decode: Decode) -> list[tuple[float, tuple[int, int]]]:
        """The pyramid of a picture of `size` (height, width): scale and the level's (height, width)."""
        ...

    def propose(self, answers: FloatArray, scale: float, decode: Decode) -> Candidates:
        """Candidates of one level from the P-Net's maps."""
        ...

    def merge(self, parts: Sequence[Candidates], decode: Decode) -> Candidates:
        """All levels of all pictures together, suppressed."""
        ...

    def windows(self, candidates: Candidates, sizes: Sequence[tuple[int, int]]) -> tuple[Candidates, Any]:
        """The squares that the next network looks at, and where they lie in the pictures."""
        ...

    def refine(self, candidates: Candidates, answers: FloatArray, decode: Decode) -> Candidates:
        """Candidates after the R-Net's answers."""
        ...

    def finish(self, candidates: Candidates, answers: FloatArray, decode: Decode, sizes: Sequence[tuple[int, int]], min_score: float) -> Candidates:
        """Faces after the O-Net's answers, best first."""
        ...


class Mtcnn:
    """Detector over three networks with the file roles pnet, rnet and onet."""

    def __init__(self, card: Card, session_options: SessionOptions, min_score: float | None = None) -> None:
        self.card = card
        self._decode = options(card, Decode)
        self._min_score = check_min_score(min_score, self._decode.min_score)
        self._input = card.input_for("pnet")
        self._pnet, self._rnet, self._onet = (open_session(card, role, session_options) for role in ("pnet", "rnet", "onet"))
        self._rules: Rules = cast(Any, importlib.import_module(f"{__package__}.mtcnn_{self._decode.rules}"))

    def detect(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """Find the faces of each picture, best score first."""
        found: list[list[Face]] = [[] for _ in images]
        for indices in self._batches(images):
            pictures, ways = zip(*(self._fitted(images[index]) for index in indices), strict=True)
            result = self._cascade(pictures)
            for row, index in enumerate(indices):
                one = pick(result, result.picture == row)
                faces = faces_from(self.card, one.boxes, one.scores, one.points, ways[row])
                found[index] = [face for face in faces if max(face.width, face.height) >= self._decode.min_size]
        return found

    def _batches(self, images: Sequence[ImageArray]) -> Iterator[list[int]]:
        """Places of pictures that go through the cascade together: equal sizes side by side, at most `largest` pixels in all or one picture."""
        order = sorted(range(len(images)), key=lambda index: images[index].shape[:2])
        batch: list[int] = []
        for index in order:
            pixels = images[index].shape[0] * images[index].shape[1]
            if batch and pixels * (len(batch) + 1) > self._decode.largest:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _fitted(self, picture: ImageArray) -> tuple[ImageArray, NDArray[np.float64]]:
        """The picture, shrunk where it is larger than the card allows, and the way back to its coordinates."""
        height, width = picture.shape[:2]
        if height * width <= self._decode.largest:
            return picture, np.array([[1.0, 0, 0], [0, 1.0, 0]])
        shrink = math.sqrt(self._decode.largest / (height * width))
        target = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        return image.resize(picture, target), geometry.invert(geometry.letterbox_matrix((height, width), target))

    def _cascade(self, pictures: Sequence[ImageArray]) -> Candidates:
        decode, rules = self._decode, self._rules
        sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
        samplers = [rules.sampler(picture, self._input) for picture in pictures]
        proposals = rules.merge(self._proposals(samplers, sizes), decode)
        candidates, crops = self._crops(proposals, samplers, sizes, "rnet")
        candidates = rules.refine(candidates, run_batched(self._rnet, crops, limit=_CHUNK["rnet"])[0], decode)
        candidates, crops = self._crops(candidates, samplers, sizes, "onet")
        return rules.finish(candidates, run_batched(self._onet, crops, limit=_CHUNK["onet"])[0], decode, sizes, self._min_score)

    def _proposals(self, samplers: Sequence[Sampler], sizes: Sequence[tuple[int, int]]) -> list[Candidates]:
        """Every picture at every level through the P-Net; pictures of one size run together."""
        parts = []
        for size in dict.fromkeys(sizes):
            members = np.flatnonzero([other == size for other in sizes])
            for scale, level in self._rules.levels(size, self._decode):
                answers = self._pnet.run(np.stack([samplers[int(member)].resampled(level) for member in members]))[0]
                found = self._rules.propose(answers, scale, self._decode)
                parts.append(Candidates(members[found.picture], found.boxes, found.scores))
        return parts

    def _crops(
        self, candidates: Candidates, samplers: Sequence[Sampler], sizes: Sequence[tuple[int, int]], role: str
    ) -> tuple[Candidates, FloatArray]:
        """The candidates whose window holds pixels, and their windows as one tensor."""
        side = self.card.input_for(role).size[0]
        kept, windows = self._rules.windows(candidates, sizes)
        crops = np.zeros((len(kept.scores), 3, side, side), np.float32)
        for index, sampler in enumerate(samplers):
            rows = np.flatnonzero(kept.picture == index)
            crops[rows] = sampler.crops(windows[rows], side)
        return kept, crops
