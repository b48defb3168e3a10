"""Head pose from landmarks: a mean head is posed under a scaled orthographic camera so that its points meet the face's (`align.fit_pose`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import align
from ..cards import Card, options
from ..errors import CardError, InputError
from ..runtime import SessionOptions
from ..types import Categorical, Scalar, View
from . import Answer

__all__ = ["PoseOfPoints", "PoseOptions"]


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """The card's `[decode]`: degrees that are added to yaw, pitch and roll, because a detector's nose point is not the mean head's."""

    offset: tuple[float, ...] = (0.0, 0.0, 0.0)


class PoseOfPoints:
    """The card's only input is points (`crop = "points"`); it sees no pixel."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        if len(card.input) != 1 or card.input[0].crop != "points":
            raise CardError(f'card {card.name}: the adapter points needs one [[input]] with crop = "points"')
        self.card = card
        self._offset = dict(zip(("yaw", "pitch", "roll"), options(card, PoseOptions).offset, strict=True))

    def predict(self, views: Sequence[View]) -> list[Answer]:
        """Yaw, pitch and roll in degrees; none for a face whose points no pose fits."""
        return [self._one(view) for view in views]

    def _one(self, view: View) -> Answer:
        try:
            pose = align.fit_pose(view.face.landmarks)
        except InputError:
            return {}
        found: dict[str, Categorical | Scalar] = {}
        for name in ("yaw", "pitch", "roll"):
            limit = 180.0 if name == "roll" else 90.0
            found[name] = Scalar(
                float(np.clip(getattr(pose, name) + self._offset[name], -limit, limit)), "degrees", (-limit, limit), None, self.card.name
            )
        return found
