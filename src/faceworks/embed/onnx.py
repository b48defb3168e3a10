"""Every ONNX embedder: the card names crop, color order, mean, std and the output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..cards import Card
from ..errors import CardError, InputError
from ..runtime import SessionOptions, open_session, run_batched, to_blob
from ..types import FloatArray, View

__all__ = ["OnnxEmbedder"]


class OnnxEmbedder:
    """One network, one crop, one vector."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        self._input = card.input_for()
        self._output = next((item for item in card.output if item.kind == "embedding"), None)
        if self._output is None:
            raise CardError(f"card {card.name}: an embedder needs an [[output]] of the kind 'embedding'")
        self._session = open_session(card, options=session_options)

    def embed(self, views: Sequence[View]) -> tuple[FloatArray, FloatArray | None]:
        """Raw vectors (N, D) float32 and their norms (N,), or None when the card says that the network normalizes inside."""
        assert self._output is not None
        if not views:
            return np.zeros((0, self._output.dim), np.float32), np.zeros(0, np.float32)
        crops = [view.crops[0].pixels for view in views]
        for pixels in crops:
            if self._input.size and pixels.shape[:2] != self._input.size:
                height, width = self._input.size
                raise InputError(
                    f"{self.card.name} takes crops of {height}x{width}, got {pixels.shape[0]}x{pixels.shape[1]}; "
                    f"cut them with align.crop(picture, face, {self._input.crop!r}, ({height}, {width}))"
                )
        blob = to_blob(crops, self._input)
        names = [self._output.tensor] if self._output.tensor else None
        vectors = run_batched(self._session, blob, outputs=names)[0].reshape(len(views), -1)
        if vectors.shape[1] != self._output.dim:
            raise CardError(f"card {self.card.name}: the network gives {vectors.shape[1]} numbers, the card says dim = {self._output.dim}")
        norms = None if self._output.normalize == "inside" else np.linalg.norm(vectors, axis=1).astype(np.float32)
        return vectors, norms
