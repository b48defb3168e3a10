"""deepface's way of naming things, translated: pictures (BGR arrays, base64), detectors and models by its names, boxes as x, y, w, h."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import align, cards, geometry, image
from ..api import get_pipeline
from ..cards import Card
from ..errors import AssetUnavailable, ConfigError, InputError, NoFaceFound, UnknownModel
from ..pipeline import Pipeline
from ..types import Crop, Face, ImageArray
from . import warn_once

__all__ = ["DETECTORS", "MODELS", "area", "color", "crop_for", "cut", "embed", "faces_of", "model_card", "open_pipeline", "pictures", "read"]

MODELS = {
    "VGG-Face": "vggface",
    "Facenet": "facenet128",
    "Facenet512": "facenet512",
    "OpenFace": "openface",
    "DeepFace": "fb-deepface",
    "DeepID": "deepid",
    "ArcFace": "arcface-r34",
    "Dlib": "dlib-resnet-v1",
    "SFace": "sface-2021dec-int8bq",
    "GhostFaceNet": "ghostfacenet",
    "Buffalo_L": "arcface-w600k-r50",
}
"""deepface's name -> our card. A card's own name is taken too."""

DETECTORS = {
    "opencv": "haar-frontalface",
    "ssd": "ssd-res10",
    "dlib": "dlib-hog",
    "mtcnn": "mtcnn",
    "fastmtcnn": "mtcnn-facenet",
    "retinaface": "retinaface-mnet025",
    "yunet": "yunet-2023mar-int8bq",
    "centerface": "centerface",
    "skip": "whole",
}
"""deepface's name -> our card. A card's own name is taken too."""

ABSENT = ("mediapipe", *(f"yolov{version}{size}" for version in (8, 11, 12) for size in "nsml"))
POINTS = "yunet-2023mar-int8bq"
"""Asked for the five points where a detector gives none (deepface: OpenCV's eye cascade)."""
SAME_FACE = 0.2
"""Least overlap (intersection over union) of a box with the box whose points it is given. Haar's and dlib's boxes are a good deal smaller than YuNet's."""
UNIT_LENGTH = ("VGG-Face",)
"""Models whose vectors deepface scales to length 1."""

T = TypeVar("T")


def read(source: Any) -> ImageArray:
    """(H, W, 3) uint8 RGB from what deepface takes: a path, a **BGR** array, a file object, a `data:image/…;base64,…` string. Bytes too.

    Raises:
        ImageError: no picture.
        InputError: a URL, or broken base64.
    """
    if isinstance(source, str):
        if source.lower().startswith(("http://", "https://", "ftp://", "s3://")):
            raise InputError(
                f"{source[:80]} is a URL, and faceworks opens none: a service that does can be made to read its own network; download it, pass the bytes"
            )
        if source.startswith("data:image/"):
            try:
                return image.load(base64.b64decode(source.partition(",")[2], validate=True))
            except binascii.Error as error:
                raise InputError(f"the picture after 'data:image/…,' is no base64 ({error})") from error
    if isinstance(source, np.ndarray) and source.ndim == 3 and source.shape[2] in (3, 4):
        order = [2, 1, 0, 3][: source.shape[2]]
        return image.load(np.ascontiguousarray(source[..., order]))
    return image.load(source)


def pictures(source: Any) -> list[Any] | None:
    """The members of a batch (a list, or a 4-D array), None for a single picture."""
    if isinstance(source, list):
        return source
    return list(source) if isinstance(source, np.ndarray) and source.ndim == 4 else None


def model_card(name: str) -> Card:
    """The embedder's card behind a deepface name or a card's own."""
    if name not in MODELS and name not in cards.names("embed"):
        raise UnknownModel(f"no model {name!r}; deepface's names: {', '.join(MODELS)}; or a card of `faceworks models list --task embed`")
    return cards.get(MODELS.get(name, name), "embed")


def _detector_name(name: str) -> str:
    if name in ABSENT:
        raise UnknownModel(f"faceworks has no detector {name!r}; use detector_backend='yunet' (quick) or 'retinaface' (thorough)")
    if name not in DETECTORS and name not in cards.names("detect"):
        raise UnknownModel(f"no detector {name!r}; deepface's names: {', '.join(DETECTORS)}; or a card of `faceworks models list --task detect`")
    return DETECTORS.get(name, name)


def _reachable(action: Callable[[], T], advice: str) -> T:
    """Run it; where a weight file cannot be had, say which choice needs no such file."""
    try:
        return action()
    except AssetUnavailable as error:
        raise AssetUnavailable(f"{error}; {advice}", error.tried) from error


def open_pipeline(model_name: str) -> Pipeline:
    """The pipeline of a model, its weights at hand.

    Raises:
        UnknownModel, AssetUnavailable: the message names `model_name='SFace'`, whose weights come from the package index.
    """
    pipeline = get_pipeline(embedder=model_card(model_name).name)
    advice = (
        ""
        if model_name == "SFace"
        else f"the weights of {model_name!r} are out of reach here: pass model_name='SFace', which needs the package index only"
    )
    _reachable(lambda: pipeline.embedder, advice or "check the network, or set FACEWORKS_MIRRORS to a folder with the file")
    return pipeline


def _with_points(picture: ImageArray, faces: Sequence[Face]) -> list[Face]:
    """The faces, those without points given those of YuNet's face at the same place, where it has one."""
    if all(face.landmarks is not None for face in faces):
        return list(faces)
    known = _reachable(lambda: get_pipeline(detector=POINTS).detect([picture])[0], "the five points of these faces come from it")
    if not known:
        return list(faces)
    overlap = geometry.iou([face.box for face in faces], [face.box for face in known])
    best = overlap.argmax(axis=1)
    return [
        dataclasses.replace(face, landmarks=known[best[row]].landmarks) if face.landmarks is None and overlap[row, best[row]] >= SAME_FACE else face
        for row, face in enumerate(faces)
    ]


def faces_of(picture: ImageArray, name: str, detector_backend: str, enforce_detection: bool, max_faces: int | None = None) -> list[Face]:
    """The faces that deepface would go on with: the found ones, or the whole picture for "skip" and where nothing is found and nothing enforced.

    Raises:
        NoFaceFound: none, and `enforce_detection`.
    """
    height, width = picture.shape[:2]
    whole = Face(np.array([0, 0, width, height], np.float32), 0.0, None, "whole")
    detector = _detector_name(detector_backend)
    if detector == "whole":
        return [whole]
    pipeline = get_pipeline(detector=detector)
    found = _reachable(lambda: pipeline.detect([picture])[0], "pass detector_backend='yunet', which needs the package index only")
    found = [face for face in found if face.width >= 1 and face.height >= 1]
    if not found and enforce_detection:
        raise NoFaceFound(f"no face found in {name} by {detector_backend}; enforce_detection=False takes the whole picture, 'yunet' finds more")
    if max_faces is not None:
        found = sorted(found, key=lambda face: -face.area)[:max_faces]
    return _with_points(picture, found) if found else [whole]


def _rectangle(face: Face, expand_percentage: int) -> tuple[int, int, int, int]:
    """x, y, w, h in whole pixels, grown as deepface grows it; it may leave the picture."""
    x, y, w, h = int(face.box[0]), int(face.box[1]), int(face.width), int(face.height)
    grow_w, grow_h = int(w * max(expand_percentage, 0) / 100), int(h * max(expand_percentage, 0) / 100)
    return x - int(grow_w / 2), y - int(grow_h / 2), w + grow_w, h + grow_h


def area(face: Face, size: tuple[int, int], expand_percentage: int, detector_backend: str) -> dict[str, Any]:
    """deepface's `facial_area` in a picture of `size` (height, width). Left and right are the person's; a point outside the picture is None."""
    x, y, w, h = _rectangle(face, expand_percentage)
    x, y = max(0, x), max(0, y)
    answer: dict[str, Any] = {"x": x, "y": y, "w": min(size[1] - x - 1, w), "h": min(size[0] - y - 1, h)}
    names = {"left_eye": 1, "right_eye": 0}
    if detector_backend == "retinaface" and face.landmarks is not None:
        names |= {"nose": 2, "mouth_left": 4, "mouth_right": 3}
    for name, index in names.items():
        point = None if face.landmarks is None else tuple(int(value) for value in face.landmarks.points[index])
        answer[name] = point if point and 0 <= point[0] < size[1] and 0 <= point[1] < size[0] else None
    return answer


def cut(picture: ImageArray, face: Face, level: bool, expand_percentage: int) -> ImageArray:
    """The rectangle of a face; with `level` turned about its center until the eyes are level, black outside the picture."""
    if face.detector == "whole":
        return picture.copy()
    x, y, w, h = _rectangle(face, expand_percentage)
    if not level:
        return picture[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)].copy()
    angle = 0.0
    if face.landmarks is not None:
        right, left = face.landmarks.points[0], face.landmarks.points[1]
        angle = math.atan2(float(left[1] - right[1]), float(left[0] - right[0]))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    center = np.array([x + (w - 1) / 2, y + (h - 1) / 2])
    matrix = np.column_stack([turn, np.array([(w - 1) / 2, (h - 1) / 2]) - turn @ center])
    return image.warp(picture, matrix, (h, w), interpolation="cubic" if angle else "nearest")


def color(pixels: ImageArray, name: str) -> NDArray[np.uint8]:
    """RGB pixels as "rgb", "bgr" or "gray" (ITU-R 601 in 14 bits, as OpenCV)."""
    if name == "gray":
        weights = np.array([4899, 9617, 1868], np.uint32)
        return ((pixels.astype(np.uint32) @ weights + 8192) >> 14).astype(np.uint8)
    if name not in ("rgb", "bgr"):
        raise InputError(f"color_face is 'rgb', 'bgr' or 'gray', got {name!r}")
    return pixels if name == "rgb" else np.ascontiguousarray(pixels[..., ::-1])


def crop_for(pipeline: Pipeline, picture: ImageArray, face: Face, level: bool, expand_percentage: int) -> Crop:
    """What the network sees. `level`: the crop of the model's card; else, or where five points are needed and lacking, the square about the box."""
    spec = cards.get(pipeline.spec.embedder, "embed").input_for()
    factor, schemes = 1 + max(expand_percentage, 0) / 100, align.schemes(spec.crop)
    kind, _, text = spec.crop.partition(":")
    lacking = "arcface5" in schemes and (face.landmarks is None or face.landmarks.scheme not in schemes)
    if face.detector == "whole" or (not schemes and factor == 1):
        return pipeline.crop(picture, face)
    if not schemes and kind in ("square", "box"):
        grammar = f"{kind}:{float(text or 1) * factor:g}"
    elif level and not lacking:
        if factor > 1:
            warn_once(
                f"expand_percentage changes facial_area and the returned face; the crop {spec.crop} of {pipeline.spec.embedder} follows the landmarks"
            )
        return pipeline.crop(picture, face)
    else:
        grammar = f"square:{factor:g}"
    return align.crop(picture, face, grammar, (spec.size[0], spec.size[1]), spec.border, spec.interpolation, spec.margin)


def embed(pipeline: Pipeline, crops: Sequence[Crop], model_name: str) -> list[NDArray[np.float64]]:
    """One vector (D,) float64 for each crop, with the length that deepface leaves it."""
    vectors = [item.vector.astype(np.float64) for item in pipeline.embed_crops(crops)]
    return [vector / (np.linalg.norm(vector) + 1e-10) for vector in vectors] if model_name in UNIT_LENGTH else vectors


def check_options(expand_percentage: int, normalization: str, anti_spoofing: bool) -> None:
    """Refuse what cannot be done, and warn of what is done otherwise."""
    if anti_spoofing:
        raise ConfigError(
            "anti_spoofing is not in faceworks.compat.deepface; call with anti_spoofing=False, and ask faceworks.analyze(picture, 'liveness')"
        )
    if normalization not in ("base", "raw", "Facenet", "Facenet2018", "VGGFace", "VGGFace2", "ArcFace"):
        raise InputError(f"unimplemented normalization type {normalization!r}")
    if normalization != "base":
        warn_once(f"normalization={normalization!r} is ignored: a model's card says how its network was trained to see pictures, and is followed")
    if expand_percentage < 0:
        warn_once(f"expand_percentage is {expand_percentage}; a negative one counts as 0, as in deepface")


def name_of(source: Any) -> str:
    """What a picture is called in messages."""
    text = str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__
    return text if len(text) <= 200 else f"{text[:40]}…"
