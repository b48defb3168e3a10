"""Pictures to tensors: the card's color order, mean, std and layout are applied here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cards import InputSpec
from ..errors import InputError
from ..types import FloatArray, ImageArray

__all__ = ["bucket", "to_blob"]


def bucket(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Round (height, width) up to the multiple that a network of free input size needs; the result depends on the picture alone."""
    height, width = (-(-max(1, side) // multiple) * multiple for side in size)
    return height, width


def _planes(image: ImageArray, color: str) -> Sequence[NDArray[np.uint8]]:
    if color == "GRAY":
        return [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)]
    red, green, blue = cv2.split(image)
    return [red, green, blue] if color == "RGB" else [blue, green, red]


def to_blob(images: Sequence[ImageArray], spec: InputSpec, size: tuple[int, int] | None = None) -> FloatArray:
    """Stack pictures into one float32 tensor as the card asks: (N, C, H, W) or (N, H, W, C), x ← (x − mean) / std on 0..255.

    Args:
        images: (h, w, 3) uint8 RGB, none larger than the target; a smaller one lies at the top left, the rest is black (0 before mean and std).
        spec: the card's `[[input]]`.
        size: (height, width) of the tensor; default the card's size, else the first picture's.

    Raises:
        InputError: a picture is larger than the tensor.
    """
    height, width = size or (spec.size if len(spec.size) == 2 else images[0].shape[:2])
    channels = 1 if spec.color == "GRAY" else 3
    blob = np.zeros((len(images), channels, height, width), dtype=np.float32)
    for target, image in zip(blob, images, strict=True):
        h, w = image.shape[:2]
        if h > height or w > width:
            raise InputError(f"a picture of {h}x{w} does not fit the network's input of {height}x{width}")
        for channel, plane in enumerate(_planes(image, spec.color)):
            target[channel, :h, :w] = plane
    mean = np.broadcast_to(np.asarray(spec.mean[:channels], dtype=np.float32), (channels,)).reshape(1, channels, 1, 1)
    std = np.broadcast_to(np.asarray(spec.std[:channels], dtype=np.float32), (channels,)).reshape(1, channels, 1, 1)
    if mean.any():
        blob -= mean
    if (std != 1).any():
        blob /= std
    return np.ascontiguousarray(blob.transpose(0, 2, 3, 1)) if spec.layout == "NHWC" else blob
