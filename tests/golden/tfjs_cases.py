"""The tensors that TensorFlow.js networks are compared on: blocks of noise, made by arithmetic alone so that every machine has the same."""

from __future__ import annotations

import numpy as np

from faceworks import cards

GRAPHS = ("emotion-human", "faceres", "gear", "ssrnet-age", "ssrnet-gender", "gender-human", "antispoof-human", "liveness-human")
"""Cards whose file is a graph model: the original runtime executes the graph."""
FACE_API = {"emotion-face-api": "FaceExpressionNet", "age-gender-face-api": "AgeGenderNet"}
"""Cards whose file is weights alone -> the class of face-api.js that holds the structure."""


def pixels(name: str) -> np.ndarray:
    """Two pictures (2, H, W, C) float32 in 0..255 of the card's size."""
    spec = cards.get(name).input_for()
    height, width = spec.size
    channels = 1 if spec.color == "GRAY" else 3
    noise = np.random.default_rng(7).integers(0, 256, (2, 8, 8, channels))
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    return noise[:, rows][:, :, columns].astype(np.float32)


def tensor(name: str) -> np.ndarray:
    """What the network eats: the card's mean and std, in the layout of TensorFlow (N, H, W, C)."""
    spec = cards.get(name).input_for()
    values = pixels(name)
    channels = values.shape[-1]
    return ((values - np.float32(spec.mean[:channels])) / np.float32(spec.std[:channels])).astype(np.float32)
