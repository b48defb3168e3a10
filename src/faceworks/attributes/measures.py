"""Quality as an attribute model: the measurements of `quality.py`, behind the same door as the networks."""

from __future__ import annotations

from collections.abc import Sequence

from ..cards import Card
from ..runtime import SessionOptions
from ..types import Scalar, View
from . import Answer
from .occlusion import occlusion_hints
from .quality import measure

__all__ = ["Measures"]


class Measures:
    """The card's only input is the whole picture (`crop = "image"`)."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card

    def predict(self, views: Sequence[View]) -> list[Answer]:
        """Quality 0..100 with its reasons and hints of occlusion, for each view; the hints do not count in the score."""
        return [self._one(view) for view in views]

    def _one(self, view: View) -> Answer:
        picture = view.crops[0].pixels
        found = measure(picture, view.face, n_faces=view.n_faces)
        reasons = (*found.reasons, *occlusion_hints(picture, view.face))
        return {"quality": Scalar(found.score, "1", (0.0, 100.0), None, self.card.name, reasons)}
