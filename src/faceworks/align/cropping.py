"""The crop grammar (see the package): from a name to a transform, from a transform to pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from .. import geometry, image
from ..errors import ConfigError, InputError
from ..types import Crop, Face, ImageArray, View
from . import chips, frontal
from .templates import EYES, TEMPLATES, eye_centers

__all__ = ["crop", "matrix_for", "mirror", "mirror_view", "needs_scheme", "schemes", "shifted", "square", "template_points"]

_KINDS = "dlib-N:P, dlib-chip, eyes:K, facealigner:X,Y, square:K, box:K, whole, none, frontalize"


def schemes(template: str) -> tuple[str, ...]:
    """Landmark schemes that a crop can be cut by, the preferred one first; () when the box is enough."""
    if template in TEMPLATES:
        return (TEMPLATES[template][2],)
    kind = template.partition(":")[0]
    if kind.startswith("dlib-"):
        return ("dlib5", "ibug68")
    if kind == "frontalize":
        return ("ibug68", "mesh468")
    return tuple(EYES) if kind == "eyes" else ("dlib5", *(name for name in EYES if name != "dlib5")) if kind == "facealigner" else ()


def needs_scheme(template: str) -> str | None:
    """Landmark scheme that a crop needs, or None when the box is enough."""
    return next(iter(schemes(template)), None)


def template_points(template: str, size: tuple[int, int]) -> NDArray[np.float64]:
    """Template points scaled to `size` (height, width) about pixel centers."""
    points, base, _ = TEMPLATES[template]
    scale = np.array([size[1] / base[1], size[0] / base[0]])
    scaled: NDArray[np.float64] = (points + 0.5) * scale - 0.5
    return scaled


def _box_matrix(box: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Picture → crop for a box stretched to a size: box edges become the outer edges of the crop's pixels."""
    x1, y1, x2, y2 = (float(v) for v in box)
    width, height = max(x2 - x1, 1e-3), max(y2 - y1, 1e-3)
    sx, sy = size[1] / width, size[0] / height
    return np.array([[sx, 0.0, -x1 * sx + 0.5 * sx - 0.5], [0.0, sy, -y1 * sy + 0.5 * sy - 0.5]])


def _factor(template: str) -> float:
    _, _, text = template.partition(":")
    try:
        factor = float(text or "1")
    except ValueError:
        factor = -1.0
    if not 0 < factor < float("inf"):
        raise ConfigError(f"crop {template!r}: the factor must be a positive number")
    return factor


def _chip(template: str, size: tuple[int, int]) -> tuple[int, float]:
    """Side and padding of a dlib chip."""
    kind, _, text = template.partition(":")
    side = kind.removeprefix("dlib-")
    try:
        pixels, padding = size[0] if side == "chip" else int(side), float(text or "0.25")
    except ValueError:
        pixels, padding = 0, -1.0
    if not (pixels > 1 and 0 <= padding < 10):
        raise ConfigError(f"crop {template!r}: expected dlib-N:P with a side N of at least 2 pixels and a padding P from 0, as dlib-150:0.25")
    if size != (pixels, pixels):
        raise ConfigError(
            f"crop {template!r} is {pixels}x{pixels}, the size asked for is {size[0]}x{size[1]}; take dlib-{size[1]} or the size {pixels}"
        )
    return pixels, padding


def _eyes_matrix(face: Face, template: str, size: tuple[int, int]) -> NDArray[np.float64]:
    """Picture → crop: turned about the box center until the eyes are level, then the square about that center."""
    left, right = eye_centers(face.landmarks)
    angle = math.atan2(right[1] - left[1], right[0] - left[0])
    box = face.box.astype(np.float64)
    center = np.array([box[0] + box[2] - 1, box[1] + box[3] - 1]) / 2
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    level = np.column_stack([turn, center - turn @ center])
    return geometry.compose(_box_matrix(geometry.square_box(face.box, _factor(template)), size), level)


def _aligner_matrix(face: Face, template: str, size: tuple[int, int]) -> NDArray[np.float64]:
    """Picture → crop as imutils 0.5.4 has it: eye centers in whole pixels, and of dlib's five points only the outer corners."""
    _, _, text = template.partition(":")
    try:
        wanted = [float(item) for item in (text or ".35").split(",")]
    except ValueError:
        wanted = []
    if len(wanted) not in (1, 2) or not (0 < wanted[0] < 0.5 and 0 < wanted[-1] < 1):
        raise ConfigError(f"crop {template!r}: expected facealigner:X,Y with the left eye at a fraction X below 0.5 of the width and Y of the height")
    left, right = eye_centers(face.landmarks)
    if face.landmarks is not None and face.landmarks.scheme == "dlib5":
        left, right = face.landmarks.points[2].astype(np.float64), face.landmarks.points[0].astype(np.float64)
    left, right = np.trunc(left), np.trunc(right)
    across = complex(*(right - left))
    if across == 0:
        raise InputError("the two eyes coincide: the face cannot be turned by them")
    middle = complex(*((left + right) // 2))
    factor = (1 - 2 * wanted[0]) * size[1] / across
    offset = complex(size[1] * 0.5, size[0] * wanted[-1]) - factor * middle
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])


def _moved_inside(box: NDArray[np.float32], factor: float, image_size: tuple[int, int]) -> NDArray[np.int64]:
    """The piece [x1, y1, x2, y2) of a picture (height, width), in whole pixels, that `border="shift"` takes for a box.

    As Silent-Face-Anti-Spoofing's `CropImage` has it: the factor is cut down until the piece fits the picture, then the piece is moved inside; corners
    are rounded toward zero and inclusive.
    """
    sides = np.array([image_size[1], image_size[0]], np.float64)
    start = np.trunc(box[:2].astype(np.float64))
    extent = np.maximum(np.trunc(box[2:].astype(np.float64) - box[:2] + 1), 1)
    extent, center = extent * min(factor, *((sides - 1) / extent)), start + extent / 2
    # each step in the original's order: a float's last digit decides over a whole pixel
    low, high = center - extent / 2, center + extent / 2
    low, high = np.maximum(low, 0), np.where(low < 0, high - low, high)
    low, high = np.where(high > sides - 1, low - (high - sides + 1), low), np.minimum(high, sides - 1)
    piece: NDArray[np.int64] = np.concatenate([np.trunc(low), np.trunc(high) + 1]).astype(np.int64)
    return piece


def matrix_for(
    face: Face, template: str, size: tuple[int, int], image_size: tuple[int, int], margin: float = 0.0, border: str = "black"
) -> NDArray[np.float64]:
    """The (2, 3) transform from picture to crop."""
    kind = template.partition(":")[0]
    if border == "shift":
        if kind != "box" or margin:
            raise ConfigError(f'crop {template!r} cannot be moved inside the picture: border = "shift" goes with box:K without margin')
        return _box_matrix(_moved_inside(face.box, _factor(template), image_size).astype(np.float32), size)
    if template in TEMPLATES:
        scheme = TEMPLATES[template][2]
        if face.landmarks is None or face.landmarks.scheme != scheme:
            have = "none" if face.landmarks is None else face.landmarks.scheme
            raise InputError(f"the crop {template!r} needs {scheme} landmarks, the face of {face.detector or 'unknown origin'} has {have}")
        return geometry.similarity_transform(face.landmarks.points, template_points(template, size))
    if kind.startswith("dlib-"):
        return chips.matrix(face.landmarks, *_chip(template, size))
    if kind == "eyes":
        return _eyes_matrix(face, template, size)
    if kind == "facealigner":
        return _aligner_matrix(face, template, size)
    if kind == "square":
        return _box_matrix(geometry.square_box(face.box, _factor(template)), size)
    if kind == "box":
        box = geometry.scale_about_center(face.box, _factor(template))
        if margin:
            grow_x, grow_y = margin * face.width / (size[1] - margin) / 2, margin * face.height / (size[0] - margin) / 2
            box = box + np.array([-grow_x, -grow_y, grow_x, grow_y], dtype=np.float32)
        return _box_matrix(box, size)
    if kind in ("whole", "none"):
        return _box_matrix(np.array([0, 0, image_size[1], image_size[0]], dtype=np.float32), size)
    raise ConfigError(f"unknown crop {template!r}; known: {', '.join(TEMPLATES)}, {_KINDS}")


def crop(
    picture: ImageArray,
    face: Face,
    template: str = "arcface-112x112",
    size: tuple[int, int] | None = None,
    border: str = "black",
    interpolation: str = "linear",
    margin: float = 0.0,
) -> Crop:
    """Cut one face out of `picture` ((H, W, 3) uint8 RGB).

    Args:
        face: with the landmarks that the template needs (`schemes`).
        template: crop grammar, see the package.
        size: (height, width) of the crop; default the template's own, else 112x112.
        border: what lies outside the picture: "black" or "replicate" (a dlib chip is always black there); with "shift" nothing does: the piece of "box:K"
            is shrunk to the picture's sides, moved inside and resized alone (MiniFASNet's rule, pixel for pixel).
        interpolation: "linear", "area" or "cubic" (a dlib chip has dlib's own sampling, facealigner is always cubic).
        margin: for "box": pixels added in all, measured in the crop.

    Raises:
        InputError: the face lacks the landmarks.
        ConfigError: unknown template.
    """
    kind = template.partition(":")[0]
    height, width = picture.shape[:2]
    if kind.startswith("dlib-"):
        side = kind.removeprefix("dlib-")
        own = int(side) if side.isdigit() else 150
        pixels, matrix = chips.chip(picture, face.landmarks, *_chip(template, size or (own, own)))
        return Crop(pixels, matrix, template)
    if kind == "frontalize":
        size = size or (224, 224)
        if size[0] != size[1]:
            raise ConfigError(f"crop {template!r} is square, the size asked for is {size[0]}x{size[1]}")
        front = frontal.frontalize(picture, face.landmarks, size[0])
        return Crop(front.pixels, frontal.similarity_to_front(face.landmarks, front), template)
    size = size or (TEMPLATES[template][1] if template in TEMPLATES else (112, 112))
    matrix = matrix_for(face, template, size, (height, width), margin, border)
    if border == "shift":
        x1, y1, x2, y2 = _moved_inside(face.box, _factor(template), (height, width))
        return Crop(image.resize(picture[y1:y2, x1:x2], size, interpolation), matrix, template)
    interpolation = "cubic" if kind == "facealigner" else interpolation
    return Crop(image.warp(picture, matrix, size, border=border, interpolation=interpolation), matrix, template)


def square(picture: ImageArray, face: Face, factor: float = 1.0, size: int = 224) -> Crop:
    """The square about the box center with `factor` times its longer side, `size` x `size`, outside the picture black: nothing is flattened."""
    return crop(picture, face, f"square:{factor:g}", (size, size))


def mirror(item: Crop) -> Crop:
    """The crop seen in a mirror; its matrix still maps the picture to it."""
    across = np.array([[-1.0, 0.0, item.pixels.shape[1] - 1.0], [0.0, 1.0, 0.0]])
    return Crop(np.ascontiguousarray(item.pixels[:, ::-1]), geometry.compose(across, item.matrix), item.template)


def mirror_view(view: View) -> View:
    """The view with all its crops mirrored; face and picture stay what they are."""
    return dataclasses.replace(view, crops=tuple(mirror(item) for item in view.crops))


def shifted(face: Face, x: float, y: float) -> Face:
    """The face with box and points moved by fractions of the box's longer side: its crop is another, as if the detector had erred by so much."""
    side = max(face.width, face.height)
    step = np.array([x * side, y * side], np.float32)
    points = None if face.landmarks is None else dataclasses.replace(face.landmarks, points=face.landmarks.points + step)
    return dataclasses.replace(face, box=face.box + np.tile(step, 2), landmarks=points)
