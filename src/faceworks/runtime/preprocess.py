"""Pictures to tensors: the card's color order, mean, std and layout are applied here and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cards import InputSpec
from ..errors import InputError
from ..types import FloatArray, ImageArray

__all__ = ["bucket", "to_blob"]

_KEPT = 1 << 25
"""Bytes of the largest tensor that a thread keeps for its next picture."""


class _Spare(threading.local):
    """The last tensor and color planes of each thread: new pages, touched for the first time, cost more than what is written into them."""

    blob: FloatArray | None = None
    planes: NDArray[np.uint8] | None = None


def bucket(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Round (height, width) up to the multiple that a network of free input size needs; the result depends on the picture alone."""
    height, width = (-(-max(1, side) // multiple) * multiple for side in size)
    return height, width


_spare = _Spare()


def _planes(image: ImageArray, color: str) -> Sequence[NDArray[np.uint8]]:
    if color == "GRAY":
        return [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)]
    shape = (3, *image.shape[:2])
    if _spare.planes is None or _spare.planes.shape != shape:
        planes = np.empty(shape, np.uint8)
        _spare.planes = planes if planes.nbytes <= _KEPT else None
    else:
        planes = _spare.planes
    red, green, blue = cv2.split(image, list(planes))
    return [red, green, blue] if color == "RGB" else [blue, green, red]


def _tensor(shape: tuple[int, ...], reuse: bool) -> FloatArray:
    """Memory for a tensor; what it holds is not defined."""
    if not reuse:
        return np.empty(shape, np.float32)
    if _spare.blob is None or _spare.blob.shape != shape:
        blob = np.empty(shape, np.float32)
        _spare.blob = blob if blob.nbytes <= _KEPT else None
        return blob
    return _spare.blob


def to_blob(images: Sequence[ImageArray], spec: InputSpec, size: tuple[int, int] | None = None, reuse: bool = False) -> FloatArray:
    """Stack pictures into one float32 tensor as the card asks: (N, C, H, W) or (N, H, W, C), x ← (x − mean) / std on 0..255.

    Args:
        images: (h, w, 3) uint8 RGB, none larger than the target; a smaller one lies at the top left, the rest is black (0 before mean and std).
        spec: the card's `[[input]]`.
        size: (height, width) of the tensor; default the card's size, else the first picture's.
        reuse: the tensor lives until this thread's next call with `reuse`: for callers who run it at once and forget it.

    Raises:
        InputError: a picture is larger than the tensor.
    """
    height, width = size or (spec.size if len(spec.size) == 2 else images[0].shape[:2])
    channels = 1 if spec.color == "GRAY" else 3
    blob = _tensor((len(images), channels, height, width), reuse)
    means, deviations = (np.broadcast_to(np.asarray(values[:channels], np.float32), (channels,)) for values in (spec.mean, spec.std))
    for tensor, image in zip(blob, images, strict=True):
        h, w = image.shape[:2]
        if h > height or w > width:
            raise InputError(f"a picture of {h}x{w} does not fit the network's input of {height}x{width}")
        for target, plane, mean, deviation in zip(tensor, _planes(image, spec.color), means, deviations, strict=True):
            target[:h, :w] = plane
            if mean:
                target[:h, :w] -= mean
            if deviation != 1:
                target[:h, :w] /= deviation
            target[:h, w:] = target[h:] = -mean / deviation
    return np.ascontiguousarray(blob.transpose(0, 2, 3, 1)) if spec.layout == "NHWC" else blob
