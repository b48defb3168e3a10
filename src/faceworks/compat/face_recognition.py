"""The functions of face_recognition 1.3.0 over faceworks: same signatures, same return types, no dlib but for `model="hog"`.

    from faceworks.compat import face_recognition

Pictures are (H, W, 3) uint8 RGB or (H, W) gray; a location is (top, right, bottom, left) in whole pixels, right and bottom being the last pixels inside;
an encoding is (128,) float64. The networks, landmarks and chips are dlib's own files run by faceworks (the tests ask for the same locations and
points, and for vectors within 0.002 of the original's, where two pictures of one person lie at 0.3).

`model="hog"`, face_recognition's default, is compiled into dlib and needs the extra `faceworks[dlib]`. Without it an error says so, unless
`use_cnn_without_dlib()` was called, which takes dlib's convolutional detector instead: another set of faces, at a multiple of the time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import cards, geometry, image, plugins, settings
from ..api import get_pipeline
from ..detect import ADAPTERS, Detector
from ..errors import InputError, MissingDependency
from ..landmarks import Landmarker, load_landmarker
from ..runtime import SessionOptions
from ..types import Crop, Face, ImageArray, Landmarks

__all__ = [
    "batch_face_locations",
    "compare_faces",
    "face_distance",
    "face_encodings",
    "face_landmarks",
    "face_locations",
    "load_image_file",
    "use_cnn_without_dlib",
]

Location = tuple[int, int, int, int]
"""(top, right, bottom, left)."""
Point = tuple[int, int]

DETECTORS = {"hog": "dlib-hog", "cnn": "dlib-mmod"}
LANDMARKERS = {"small": "dlib-5", "large": "dlib-68"}
EMBEDDER = "dlib-resnet-v1"

_LIPS_TOP = [*range(48, 55), 64, 63, 62, 61, 60]
_LIPS_BOTTOM = [*range(54, 60), 48, 60, 67, 66, 65, 64]
GROUPS = {
    "large": {
        "chin": [*range(17)],
        "left_eyebrow": [*range(17, 22)],
        "right_eyebrow": [*range(22, 27)],
        "nose_bridge": [*range(27, 31)],
        "nose_tip": [*range(31, 36)],
        "left_eye": [*range(36, 42)],
        "right_eye": [*range(42, 48)],
        "top_lip": _LIPS_TOP,
        "bottom_lip": _LIPS_BOTTOM,
    },
    "small": {"nose_tip": [4], "left_eye": [2, 3], "right_eye": [0, 1]},
}
"""Name -> indices among the 68 points of iBUG, or among dlib's five. Left and right are the viewer's."""

JITTER_SHRINK, JITTER_SHIFT, JITTER_ZOOM, JITTER_TURN = 3, 0.02, (0.97, 0.99999), 3.0
"""dlib's `jitter_image`: the chip less 3 pixels each side, moved by 2 %, enlarged by up to 3 %, turned by 3 degrees, mirrored half of the time."""
JITTER_SEED = 0

_fallback: list[str] = []


def use_cnn_without_dlib(on: bool = True) -> None:
    """Let `model="hog"` mean `"cnn"` where dlib is not installed, for this process. Not part of face_recognition."""
    _fallback[:] = ["cnn"] if on else []


def load_image_file(file: Any, mode: str = "RGB") -> NDArray[np.uint8]:
    """Read a picture: (H, W, 3) uint8 for "RGB", (H, W) for "L". `file` is a path, a file object or bytes.

    The EXIF orientation is applied, which the original does not do. A truncated file is an error, of which the original shows the upper part.
    """
    if mode not in ("RGB", "L"):
        raise InputError(f"only mode 'RGB' and 'L' are supported, got {mode!r}")
    picture = image.load(file)
    if mode == "RGB":
        return picture
    weights = np.array([19595, 38470, 7471], np.uint32)  # ITU-R 601 in 16 bits, as Pillow rounds it
    return ((picture.astype(np.uint32) @ weights + 0x8000) >> 16).astype(np.uint8)


@lru_cache(maxsize=8)
def _detector(model: str, upsample: int, active: settings.Settings) -> Detector:
    card = cards.get(DETECTORS[model], "detect")
    cards.check_license(card)
    card = dataclasses.replace(card, decode={**card.decode, "upsample": upsample})
    detector: Detector = plugins.load_adapter("detect", card.adapter, ADAPTERS)(card, SessionOptions(), None)
    return detector


@lru_cache(maxsize=2)
def _landmarker(model: str, active: settings.Settings) -> Landmarker:
    return load_landmarker(LANDMARKERS[model])


def _find(picture: ImageArray, upsample: int, model: str) -> list[Face]:
    """Faces of one picture. Any model but "cnn" is "hog", as in the original."""
    if upsample < 0 or upsample != int(upsample):
        raise InputError(f"number_of_times_to_upsample must be a whole number from 0, got {upsample!r}")
    model = "cnn" if model == "cnn" else "hog"
    try:
        detector = _detector(model, int(upsample), settings.current())
    except MissingDependency as error:
        if not _fallback:
            raise MissingDependency(f"{error}; or ask for model='cnn', which needs no dlib, or call use_cnn_without_dlib() once") from error
        detector = _detector(_fallback[0], int(upsample), settings.current())
    return detector.detect([picture])[0]


def _location(face: Face) -> Location:
    """The box with dlib's inclusive last pixels."""
    x1, y1, x2, y2 = (round(float(value)) for value in face.box)
    return y1, x2 - 1, y2 - 1, x1


def _trimmed(location: Location, shape: tuple[int, ...]) -> Location:
    return max(location[0], 0), min(location[1], shape[1]), min(location[2], shape[0]), max(location[3], 0)


def _face(location: Sequence[int]) -> Face:
    top, right, bottom, left = (int(value) for value in location)
    # named so that the landmarker takes the box as one of dlib's
    return Face(np.array([left, top, right + 1, bottom + 1], np.float32), 1.0, None, DETECTORS["hog"])


def face_locations(img: ImageArray, number_of_times_to_upsample: int = 1, model: str = "hog") -> list[Location]:
    """Faces as (top, right, bottom, left), best first, cut to the picture. `model` is "hog" or "cnn"."""
    picture = image.load(img)
    return [_trimmed(_location(face), picture.shape) for face in _find(picture, number_of_times_to_upsample, model)]


def batch_face_locations(images: Sequence[ImageArray], number_of_times_to_upsample: int = 1, batch_size: int = 128) -> list[list[Location]]:
    """`face_locations(model="cnn")` of each picture. They may differ in size; `batch_size` is accepted and means nothing on a CPU."""
    del batch_size
    return [face_locations(picture, number_of_times_to_upsample, "cnn") for picture in images]


def _with_points(picture: ImageArray, locations: Sequence[Sequence[int]] | None, model: str) -> list[Face]:
    places = [_location(face) for face in _find(picture, 1, "hog")] if locations is None else locations
    faces = [_face(place) for place in places]
    if not faces:
        return []
    points: list[Landmarks] = _landmarker(model, settings.current()).locate([picture], [faces])[0]
    return [dataclasses.replace(face, landmarks=item) for face, item in zip(faces, points, strict=True)]


def face_landmarks(
    face_image: ImageArray, face_locations: Sequence[Sequence[int]] | None = None, model: str = "large"
) -> list[dict[str, list[Point]]]:
    """Points of each face by feature, (x, y) in whole pixels: nine groups of 68 for "large", three of five for "small".

    Without `face_locations` the faces are found by `model="hog"`, enlarged once, as in the original.
    """
    if model not in GROUPS:
        raise InputError("Invalid landmarks model type. Supported models are ['small', 'large'].")
    answer = []
    for face in _with_points(image.load(face_image), face_locations, model):
        assert face.landmarks is not None
        points = [(round(float(x)), round(float(y))) for x, y in face.landmarks.points]
        answer.append({name: [points[index] for index in indices] for name, indices in GROUPS[model].items()})
    return answer


def face_encodings(
    face_image: ImageArray, known_face_locations: Sequence[Sequence[int]] | None = None, num_jitters: int = 1, model: str = "small"
) -> list[NDArray[np.float64]]:
    """One (128,) float64 vector for each face, not normalized. `model` says which landmarks place the chip.

    `num_jitters` above 1 averages over that many slightly moved, turned, enlarged and mirrored chips, by dlib's rules but from numpy's random numbers
    with a fixed seed: the same call gives the same vector.
    """
    picture = image.load(face_image)
    faces = _with_points(picture, known_face_locations, "small" if model == "small" else "large")
    if not faces:
        return []
    pipeline = get_pipeline(embedder=EMBEDDER)
    chips = [pipeline.crop(picture, face) for face in faces]
    if num_jitters <= 1:
        return [item.vector.astype(np.float64) for item in pipeline.embed_crops(chips)]
    answer = []
    for chip in chips:
        vectors = np.array([item.vector for item in pipeline.embed_crops(_jittered(chip, num_jitters))], np.float64)
        answer.append(vectors.mean(axis=0))
    return answer


def _jittered(chip: Crop, count: int) -> list[Crop]:
    """Random variants of a square chip."""
    random, side = np.random.default_rng(JITTER_SEED), chip.pixels.shape[0]
    span, middle, variants = side - 2 * JITTER_SHRINK, (side - 1) / 2, []
    for _ in range(count):
        x, y = middle + np.round(random.uniform(-JITTER_SHIFT, JITTER_SHIFT, 2) * span)
        scale = side / int(span / random.uniform(*JITTER_ZOOM))
        turn = np.deg2rad(random.uniform(-JITTER_TURN, JITTER_TURN))
        a, b = scale * np.cos(turn), scale * np.sin(turn)
        matrix = np.array([[a, -b, middle - a * x + b * y], [b, a, middle - b * x - a * y]])
        if random.random() > 0.5:
            matrix = geometry.compose(np.array([[-1.0, 0.0, side - 1.0], [0.0, 1.0, 0.0]]), matrix)
        pixels = image.warp(chip.pixels, matrix, (side, side))
        variants.append(Crop(pixels, geometry.compose(matrix, chip.matrix), chip.template))
    return variants


def face_distance(face_encodings: Sequence[ArrayLike] | NDArray[Any], face_to_compare: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distance of each encoding to one, (N,) float64; empty for none."""
    if len(face_encodings) == 0:
        return np.empty(0)
    distances: NDArray[np.float64] = np.linalg.norm(np.asarray(face_encodings) - np.asarray(face_to_compare), axis=1)
    return distances


def compare_faces(
    known_face_encodings: Sequence[ArrayLike] | NDArray[Any], face_encoding_to_check: ArrayLike, tolerance: float = 0.6
) -> list[np.bool_]:
    """Whether each encoding lies within `tolerance` of one; a tie is a match."""
    return list(face_distance(known_face_encodings, face_encoding_to_check) <= tolerance)
