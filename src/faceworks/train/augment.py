"""Random changes of training crops. A function of the generator alone, so that a run that goes on after a break sees what it would have seen."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .config import AugmentConfig

__all__ = ["augment"]


def augment(pixels: NDArray[np.uint8], options: AugmentConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8 → a changed copy: mirrored, moved (edges repeated), brighter or darker, with more or less contrast about the picture's mean."""
    found = np.array(pixels)
    n, height, width = found.shape[:3]
    mirrored = rng.random(n) < (0.5 if options.mirror else 0.0)
    moves = rng.integers(-options.shift, options.shift + 1, (n, 2)) if options.shift else np.zeros((n, 2), np.int64)
    brightness: Any = rng.uniform(-options.brightness, options.brightness, n) * 255
    contrast: Any = 1 + rng.uniform(-options.contrast, options.contrast, n)
    found[mirrored] = found[mirrored, :, ::-1]
    for k in np.flatnonzero(moves.any(axis=1)):
        matrix = np.array([[1, 0, moves[k, 0]], [0, 1, moves[k, 1]]], np.float64)
        found[k] = cv2.warpAffine(found[k], matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    if options.brightness or options.contrast:
        values: Any = found.astype(np.float32)
        mean = values.mean(axis=(1, 2, 3), keepdims=True)
        values = (values - mean) * contrast[:, None, None, None] + mean + brightness[:, None, None, None]
        found = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found
