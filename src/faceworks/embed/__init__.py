"""Embedders: crops in, vectors out. `onnx.py` serves every ONNX network, `concat.py` a fusion of several; the card says how to feed them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .. import cards, plugins
from ..cards import Card
from ..runtime import SessionOptions
from ..types import FloatArray, View

__all__ = ["ADAPTERS", "Embedder", "load_embedder"]

ADAPTERS = {
    "concat": "faceworks.embed.concat:Concat",
    "lbph": "faceworks.embed.lbph:Lbph",
    "onnx": "faceworks.embed.onnx:OnnxEmbedder",
}


class Embedder(Protocol):
    """An embedder keeps no mutable state and may be shared by threads."""

    card: Card

    def embed(self, views: Sequence[View]) -> tuple[FloatArray, FloatArray | None]:
        """Raw vectors (N, D) float32 and their norms (N,), or None for a network that normalizes inside."""
        ...


def load_embedder(name: str, options: SessionOptions | None = None) -> Embedder:
    """Load the embedder whose card is called `name`.

    Raises:
        UnknownModel, LicenseRefused, AssetUnavailable, DeviceUnavailable.
    """
    card = cards.get(name, "embed")
    cards.check_license(card)
    embedder: Embedder = plugins.load_adapter("embed", card.adapter, ADAPTERS)(card, options or SessionOptions())
    return embedder
