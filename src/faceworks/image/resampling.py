"""`resize` and `warp`: OpenCV's resampling, for pictures of any side."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..types import ImageArray

__all__ = ["halved", "resize", "warp"]


_SIDE = 32766  # OpenCV 4 keeps remap coordinates in 16 bits and refuses sides of SHRT_MAX and more


def _interpolation(name: str) -> int:
    import cv2

    known = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}
    if name not in known:
        raise InputError(f"unknown interpolation {name!r}; known: {', '.join(known)}")
    return int(known[name])


def _sides(size: tuple[int, int], what: str) -> tuple[int, int]:
    height, width = (int(side) for side in size)
    if height < 1 or width < 1:
        raise InputError(f"{what} must be (height, width) of at least (1, 1), got {tuple(size)}")
    return height, width


def resize(image: ImageArray, size: tuple[int, int], interpolation: str | None = None) -> ImageArray:
    """`image` (H, W, 3) at `size` = (height, width).

    The pictures' *edges* coincide: target pixel center x stands at (x + 0.5) · W/width − 0.5 in the source. `interpolation` is "nearest", "linear",
    "cubic" or "area"; default area where both sides shrink (no aliasing), linear otherwise.

    Raises:
        InputError: a size below (1, 1), an unknown interpolation.
    """
    import cv2

    height, width = _sides(size, "the size of a resized picture")
    if interpolation is None:
        interpolation = "area" if height <= image.shape[0] and width <= image.shape[1] else "linear"
    out: ImageArray = cv2.resize(image, (width, height), interpolation=_interpolation(interpolation))
    return out


def halved(image: ImageArray, size: tuple[int, int]) -> tuple[ImageArray, int]:
    """`image` halved by means of 2x2 pixels until fitting it into `size` = (height, width) takes no less than half of it, and what its sides were divided by (1, 2, 4…).

    What is left to do is bilinear sampling that sees every pixel. Both together cost a fifth of one average over areas (a picture of 12 megapixels
    to 640x480: 10 against 65 ms) and differ from it by less than a gray level in the mean. A last row or column that makes no pair is left out:
    less than one pixel of the target. The shorter side of a narrow picture keeps at least one pixel.
    """
    import cv2

    height, width = image.shape[:2]
    fit, factor = min(size[0] / height, size[1] / width), 1
    while fit < 0.5 and min(height, width) >= 2:
        height, width, fit, factor = height // 2, width // 2, fit * 2, factor * 2
        image = np.asarray(cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return image, factor


def warp(image: ImageArray, matrix: ArrayLike, size: tuple[int, int], border: str = "black", interpolation: str = "linear") -> ImageArray:
    """`image` carried by `matrix` onto a new picture of `size` = (height, width), as `cv2.warpAffine`.

    `matrix` (2, 3) maps picture coordinates to target coordinates; integer coordinates are pixel centers. What lies outside the picture is black, or
    the nearest edge pixel (`border="replicate"`). `interpolation`: "nearest", "linear", "cubic" ("area" is linear here, as in OpenCV). Pictures and
    targets of any side are accepted: beyond OpenCV's 32766 the target is made in pieces, each from the part of the picture that it needs.

    Raises:
        InputError: a matrix that is not finite and invertible, a size below (1, 1), an unknown border or interpolation.
    """
    import cv2

    height, width = _sides(size, "the size of a warped picture")
    forward = np.asarray(matrix, dtype=np.float64)
    if forward.shape != (2, 3) or not np.isfinite(forward).all() or abs(np.linalg.det(forward[:, :2])) < 1e-12:
        raise InputError(f"a warp needs a finite, invertible (2, 3) matrix, got {np.array2string(forward, precision=3)}")
    if border not in ("black", "replicate"):
        raise InputError(f"unknown border {border!r}; known: black, replicate")
    mode, flags = (cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_CONSTANT), _interpolation(interpolation)
    part = image
    if max(*image.shape[:2], height, width) > _SIDE:
        inverse = np.linalg.inv(forward[:, :2])
        corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])
        needed = (corners - forward[:, 2]) @ inverse.T
        limit = np.array([image.shape[1], image.shape[0]])
        low = np.clip(np.floor(needed.min(axis=0)) - 3, 0, limit - 1).astype(int)  # 3: room for the cubic kernel
        high = np.clip(np.ceil(needed.max(axis=0)) + 4, low + 1, limit).astype(int)
        if max(height, width, *(high - low)) > _SIDE and max(height, width) > 1:
            axis = int(width > height)
            first = (height, width)[axis] // 2
            shifted = forward.copy()
            shifted[1 - axis, 2] -= first
            halves = [(forward, first), (shifted, (height, width)[axis] - first)]
            pieces = [warp(image, m, (height, n) if axis else (n, width), border, interpolation) for m, n in halves]
            return np.concatenate(pieces, axis=axis)
        part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        forward = np.column_stack([forward[:, :2], forward[:, 2] + forward[:, :2] @ low])
    out: ImageArray = cv2.warpAffine(part, forward, (width, height), flags=flags, borderMode=mode)
    return out
