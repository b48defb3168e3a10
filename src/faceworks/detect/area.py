"""The exact area resampler of MTCNN: means over boxes of whole pixels, from one integral image per picture.

Bin i of n pixels in m bins covers floor(i · n / m) … ceil((i + 1) · n / m): PyTorch's adaptive average pooling, `interpolate(mode="area")`, to
float32 rounding, several times faster. OpenCV's INTER_AREA weights the pixels at a bin's ends, which moves MTCNN's boxes and loses weak faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cards import InputSpec
from ..types import FloatArray, ImageArray

__all__ = ["Integral", "bins"]

Index = NDArray[np.intp]


def bins(pixels: int, count: int) -> tuple[Index, Index]:
    """First pixel and first pixel after each of `count` bins over `pixels` pixels, both (count,)."""
    index = np.arange(count, dtype=np.intp)
    return index * pixels // count, -(-(index + 1) * pixels // count)


@dataclass(frozen=True, slots=True, eq=False)
class Integral:
    """Sums over all pixels above and to the left, one (H + 1, W + 1) int32 table per channel.

    Sums of large pictures overflow; differences are right all the same while one bin's sum is below 2³¹ (8 million pixels).
    """

    planes: tuple[NDArray[np.int32], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, picture: ImageArray, spec: InputSpec) -> Integral:
        """The tables of a picture (H, W, 3) uint8 RGB in the card's color order, with the card's mean and std."""
        planes = cv2.split(picture) if spec.color == "RGB" else cv2.split(picture)[::-1]
        tables = tuple(np.asarray(cv2.integral(plane, sdepth=cv2.CV_32S)) for plane in planes)
        return cls(tables, tuple(np.broadcast_to(spec.mean, 3).tolist()), tuple(np.broadcast_to(spec.std, 3).tolist()))

    def resampled(self, size: tuple[int, int]) -> FloatArray:
        """The whole picture at `size` (height, width): (3, height, width) float32, normalized."""
        height, width = self.planes[0].shape
        top, bottom = bins(height - 1, size[0])
        left, right = bins(width - 1, size[1])
        share = 1 / ((bottom - top)[:, None] * (right - left)[None]).astype(np.float32)
        out = np.empty((len(self.planes), *size), np.float32)
        for plane, target, mean, std in zip(self.planes, out, self.mean, self.std, strict=True):
            rows = plane.take(bottom, axis=0)
            rows -= plane.take(top, axis=0)
            sums = rows.take(right, axis=1)
            sums -= rows.take(left, axis=1)
            np.multiply(sums, share, out=target)
            target -= np.float32(mean)
            target /= np.float32(std)
        return out

    def crops(self, boxes: Sequence[tuple[int, int, int, int]] | NDArray[np.intp], side: int) -> FloatArray:
        """Pieces (x1, y1, x2, y2), right and bottom exclusive, inside the picture, each at side x side: (N, 3, side, side) float32, normalized."""
        corners = np.asarray(boxes, dtype=np.intp).reshape(-1, 4)
        steps = np.arange(side + 1, dtype=np.intp)
        spans = []
        for axis in (0, 1):
            start, pixels = corners[:, axis, None], (corners[:, axis + 2] - corners[:, axis])[:, None]
            spans.append((start + steps[:-1] * pixels // side, start - (-steps[1:] * pixels // side)))
        (left, right), (top, bottom) = spans
        share = 1 / ((bottom - top)[:, :, None] * (right - left)[:, None]).astype(np.float32)
        pitch = self.planes[0].shape[1]
        lower, upper = bottom[:, :, None] * pitch, top[:, :, None] * pitch
        places = [rows + columns[:, None] for rows in (lower, upper) for columns in (right, left)]
        out = np.empty((len(corners), len(self.planes), side, side), np.float32)
        for channel, (plane, mean, std) in enumerate(zip(self.planes, self.mean, self.std, strict=True)):
            flat = plane.reshape(-1)
            sums = flat.take(places[0])
            sums -= flat.take(places[1])
            sums -= flat.take(places[2])
            sums += flat.take(places[3])
            out[:, channel] = (sums * share - np.float32(mean)) / np.float32(std)
        return out
