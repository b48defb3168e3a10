"""Valence and arousal read off an emotion distribution: a stand-in where no network for them can be had.

Each emotion has a published place in the plane of pleasure and arousal; the answer is the mean of the places under the distribution, its spread the
standard deviation. It knows no more than the emotion model: two angry faces of different strength differ only in how sure that model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cards import Card, options
from ..errors import CardError
from ..runtime import SessionOptions
from ..types import Categorical, Scalar
from . import Answer
from .labels import canonical
from .pool import pool_categoricals

__all__ = ["Affect", "AffectOptions"]


@dataclass(frozen=True, slots=True)
class AffectOptions:
    """The card's `[decode]`: emotions and their places (pleasure, arousal in [−1, 1]); `offset` as of a pool (`pool.PoolOptions`)."""

    emotions: tuple[str, ...]
    valence: tuple[float, ...]
    arousal: tuple[float, ...]
    offset: tuple[float, ...] = ()


class Affect:
    """Pools the parts' emotions (one part: as it is), then projects."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        places = options(card, AffectOptions)
        if not card.part or not len(places.emotions) == len(places.valence) == len(places.arousal) > 0:
            raise CardError(f"card {card.name}: the adapter affect needs [[part]] entries and as many valence and arousal as emotions")
        if places.offset and len(places.offset) != len(places.emotions):
            raise CardError(f"card {card.name}: {len(places.offset)} offsets for {len(places.emotions)} emotions")
        self._offset = places.offset
        self._labels = tuple(canonical(item) for item in places.emotions)
        self._places = {"valence": np.array(places.valence), "arousal": np.array(places.arousal)}

    def combine(self, answers: Sequence[Sequence[Answer]]) -> list[Answer]:
        """One answer for each face."""
        weights = [part.weight for part in self.card.part]
        found: list[Answer] = []
        for row in zip(*answers, strict=True):
            emotions = [item["emotion"] for item in row]
            known = [item for item in emotions if isinstance(item, Categorical)]
            pooled = pool_categoricals(known, weights, self._labels, self.card.name, True, self._offset)
            found.append(self.project(pooled))
        return found

    def project(self, emotion: Categorical) -> Answer:
        """Valence and arousal of a distribution over the card's emotions."""
        shares = np.array([emotion.probabilities.get(label, 0.0) for label in self._labels])
        shares = shares / shares.sum()
        out: dict[str, Categorical | Scalar] = {}
        for name, places in self._places.items():
            mean = float(shares @ places)
            spread = float(np.sqrt(shares @ (places - mean) ** 2))
            out[name] = Scalar(mean, "1", (-1.0, 1.0), spread, self.card.name)
        return out
