"""Faces made unrecognizable in a picture. What is taken away is gone: every mode first reduces the face to a few colors, so no filter brings it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np

from . import image as pictures
from .errors import InputError
from .types import Face, ImageArray

__all__ = ["MODES", "Mode", "hide"]

Mode: TypeAlias = Literal["blur", "pixelate", "fill"]
MODES: tuple[Mode, ...] = get_args(Mode)
CELLS = 6
"""So many cells lie along a face's longer side. At 112x112 a network that reads faces needs some 20 across; see `docs/howto/video.md` for the measured rates."""


def hide(
    image: ImageArray,
    faces: Sequence[Face],
    mode: Mode = "blur",
    *,
    margin: float = 0.2,
    shape: Literal["ellipse", "box"] = "ellipse",
    color: tuple[int, int, int] = (0, 0, 0),
) -> ImageArray:
    """A new picture with the faces hidden.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        faces: their boxes count.
        mode: "fill" with `color`; "pixelate" into `CELLS` cells across; "blur", the same cells smoothed.
        margin: the region is the box, grown by this part of its sides on each side.
        shape: "ellipse" within that region, or the whole "box".

    Raises:
        InputError: an unknown mode or shape, or a negative margin.
    """
    if mode not in MODES or shape not in ("ellipse", "box") or margin < 0:
        raise InputError(f"mode is one of {', '.join(MODES)}, shape ellipse or box, margin at least 0; got {mode!r}, {shape!r}, {margin}")
    out = np.array(pictures.load(image))
    for face in faces:
        _hide_one(out, face, mode, margin, shape, color)
    return out


def _hide_one(out: ImageArray, face: Face, mode: Mode, margin: float, shape: str, color: tuple[int, int, int]) -> None:
    height, width = out.shape[:2]
    grow_x, grow_y = margin * face.width, margin * face.height
    x1, y1 = max(0, int(np.floor(face.box[0] - grow_x))), max(0, int(np.floor(face.box[1] - grow_y)))
    x2, y2 = min(width, int(np.ceil(face.box[2] + grow_x)) + 1), min(height, int(np.ceil(face.box[3] + grow_y)) + 1)
    if x1 >= x2 or y1 >= y2:
        return
    region = out[y1:y2, x1:x2]
    tall, wide = region.shape[:2]
    if mode == "fill":
        changed = np.full_like(region, np.array(color, np.uint8))
    else:
        longer = max(face.width, face.height, 1.0)
        cells = max(1, round(CELLS * wide / longer)), max(1, round(CELLS * tall / longer))
        small = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
        small = (small // 16 * 16 + 8).astype(np.uint8)  # 16 levels: the cells' exact means would narrow down who it was
        changed = np.asarray(cv2.resize(small, (wide, tall), interpolation=cv2.INTER_NEAREST if mode == "pixelate" else cv2.INTER_CUBIC))
    if shape == "box":
        region[:] = changed
        return
    mask = np.zeros((tall, wide), np.uint8)
    middle = round((float(face.box[0] + face.box[2]) / 2 - x1) * 16), round((float(face.box[1] + face.box[3]) / 2 - y1) * 16)
    axes = round((face.width / 2 + grow_x) * 16), round((face.height / 2 + grow_y) * 16)
    cv2.ellipse(mask, middle, axes, 0, 0, 360, 255, -1, cv2.LINE_8, 4)
    region[mask > 0] = changed[mask > 0]
