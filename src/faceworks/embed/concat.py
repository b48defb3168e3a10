"""Fusion: the weighted unit vectors of several embedders side by side are one embedding.

With shares w that sum to 1, the vector (√w₁ u₁, √w₂ u₂, …) of unit vectors u has length 1, and the inner product of two of them is Σ wᵢ cosᵢ, the
weighted mean of the parts' cosines. Galleries, indexes and evaluation need nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import cards, similarity
from ..cards import Card
from ..errors import CardError, InputError
from ..runtime import SessionOptions
from ..types import FloatArray, View
from . import Embedder, load_embedder

__all__ = ["Concat"]


class Concat:
    """The embedders of a card's `[[part]]` entries, in order. A view holds one crop for each of them."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        if len(card.part) < 2:
            raise CardError(f"card {card.name}: a fusion needs at least two [[part]] entries, it has {len(card.part)}")
        total = sum(part.weight for part in card.part)
        self.parts: tuple[tuple[Embedder, float, bool], ...] = tuple(
            (load_embedder(member.name, session_options), part.weight / total, part.flip)
            for member, part in zip(cards.members(card), card.part, strict=True)
        )

    def embed(self, views: Sequence[View]) -> tuple[FloatArray, FloatArray | None]:
        """Vectors (N, ΣD) float32 of length 1; no norms, since a fusion normalizes inside."""
        from .augment import embed_variants

        return embed_variants(self, [views])

    def join(self, blocks: Sequence[FloatArray]) -> FloatArray:
        """Raw vectors of the parts, (N, Dᵢ) each, as one (N, ΣDᵢ).

        Raises:
            InputError: a part gave a vector of length zero, which has no direction.
        """
        scaled = []
        for (part, share, _), block in zip(self.parts, blocks, strict=True):
            try:
                scaled.append(np.sqrt(share) * similarity.unit(block).astype(np.float64))
            except InputError as error:
                raise InputError(f"{self.card.name}: of its part {part.card.name}: {error}") from error
        return np.concatenate(scaled, axis=1).astype(np.float32)
