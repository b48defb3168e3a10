"""Landmarks by regression networks over ONNX: a crop in, points in fractions of the crop out. The card names crop, size, color and scheme.

A crop turned by the eyes (`eyes:K`, MediaPipe's rule) is the square about the box, not turned, for a face that has no points yet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import align, geometry
from ..cards import Card
from ..errors import CardError
from ..runtime import SessionOptions, open_session, run_batched, to_blob
from ..types import SCHEMES, Face, ImageArray, Landmarks

__all__ = ["OnnxLandmarker"]


class OnnxLandmarker:
    """One network, one crop about the box, K points.

    The card's output says how a number becomes a crop coordinate: (x · scale + offset), in fractions of the crop's edges.
    """

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        self._input = card.input_for()
        output = next((item for item in card.output if item.kind == "points"), None)
        if output is None or output.scheme not in SCHEMES:
            raise CardError(f"card {card.name}: a landmarker needs an [[output]] of the kind 'points' with a scheme of {', '.join(SCHEMES)}")
        self._output = output
        self._session = open_session(card, options=session_options)

    def locate(self, images: Sequence[ImageArray], faces: Sequence[Sequence[Face]]) -> list[list[Landmarks]]:
        """Points of each face of each picture."""
        size = (self._input.size[0], self._input.size[1])
        pairs = [(picture, face) for picture, group in zip(images, faces, strict=True) for face in group]
        spec = self._input
        crops = [align.crop(picture, face, self._crop_of(face), size, spec.border, spec.interpolation, spec.margin) for picture, face in pairs]
        if not crops:
            return [[] for _ in images]
        names = [self._output.tensor] if self._output.tensor else None
        count = SCHEMES[self._output.scheme]
        raw = run_batched(self._session, to_blob([item.pixels for item in crops], spec), outputs=names)[0].reshape(len(crops), -1)
        if raw.shape[1] not in (2 * count, 3 * count):  # the third is a depth, which nobody asked for
            raise CardError(f"card {self.card.name}: the network gives {raw.shape[1]} numbers, {self._output.scheme} needs {2 * count}")
        fractions = raw.reshape(len(crops), count, -1)[..., :2].astype(np.float64) * self._output.scale + self._output.offset
        inside = fractions * [size[1], size[0]] - 0.5
        points = iter([geometry.apply(geometry.invert(item.matrix), one).astype(np.float32) for item, one in zip(crops, inside, strict=True)])
        return [[Landmarks(next(points), self._output.scheme) for _ in group] for group in faces]  # type: ignore[arg-type]

    def _crop_of(self, face: Face) -> str:
        """The card's crop; what needs eyes, without points, is not turned."""
        kind, _, factor = self._input.crop.partition(":")
        return f"square:{factor}" if kind == "eyes" and face.landmarks is None else self._input.crop
