"""deepface's `verify`, `represent`, `extract_faces`, `find`, `register`, `search` and `analyze` over faceworks: parameters, defaults, keys and types of deepface 0.0.103.

    from faceworks.compat import deepface as DeepFace              # or: from faceworks.compat.deepface import DeepFace

Behind the names are faceworks' detectors, its alignment by five points and its networks, so distances differ from deepface's (and separate people
better). `threshold=None` is faceworks' own threshold, `threshold="deepface"` the one of deepface's table. Arrays are BGR, as there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..errors import ConfigError
from . import deepface_faces as faces
from . import warn_once
from .deepface_attributes import analyze
from .deepface_compare import distance, embedded, given, threshold_for
from .deepface_folder import find
from .deepface_gallery import register, search
from .deepface_tables import RANGES, MetricName, find_confidence

__all__ = ["DeepFace", "analyze", "extract_faces", "find", "register", "represent", "search", "verify"]

NO_PROBABILITY = (
    "'confidence' is deepface's formula, and no probability: it jumps by up to 30 points at the threshold, saturates at 100, and was fitted on 25 pictures "
    "of nine people with deepface's own alignment; do not average or test it; use 'distance', or faceworks.verify, whose figures name their evaluation"
)


def verify(
    img1_path: Any,
    img2_path: Any,
    model_name: str = "VGG-Face",
    detector_backend: str = "opencv",
    distance_metric: MetricName = "cosine",
    enforce_detection: bool = True,
    align: bool = True,
    expand_percentage: int = 0,
    normalization: str = "base",
    silent: bool = False,
    threshold: float | str | None = None,
    anti_spoofing: bool = False,
) -> dict[str, Any]:
    """Whether two pictures show the same person; of several faces the closest pair is taken.

    Args:
        img1_path, img2_path: path, BGR array, file object, base64 string, or an embedding as a list of numbers.
        model_name, detector_backend: deepface's names, or those of faceworks' cards.
        distance_metric: "cosine", "euclidean", "euclidean_l2", "angular", or a function of two vectors (then `threshold` is needed).
        enforce_detection: False takes the whole picture where no face is found.
        align: False cuts the square about the box instead of the model's own crop.
        threshold: largest distance of the same person; None: faceworks' own; "deepface": deepface's table.

    Returns:
        verified, distance, threshold, confidence, model, detector_backend, similarity_metric, facial_areas (img1, img2), time.

    Raises:
        NoFaceFound (a ValueError): no face, and `enforce_detection`.
        AssetUnavailable: the model's weights cannot be had; `model_name="SFace"` always can from the package index.
    """
    del silent  # nothing is logged
    start = time.perf_counter()
    faces.check_options(expand_percentage, normalization, anti_spoofing)
    card = faces.model_card(model_name)
    limit = threshold_for(card, model_name, distance_metric, threshold)
    sides = [
        given(source, card, model_name, position)
        if isinstance(source, list)
        else embedded(source, model_name, detector_backend, enforce_detection, align, expand_percentage)
        for position, source in enumerate((img1_path, img2_path), start=1)
    ]
    pairs = [(distance(x, y, distance_metric), one, two) for x, one in sides[0] for y, two in sides[1]]
    nearest, first, second = min(pairs, key=lambda pair: pair[0])
    warn_once(NO_PROBABILITY)
    verified = similarity.accepts(nearest, limit)
    return {
        "verified": verified,
        "distance": nearest,
        "threshold": limit,
        "confidence": find_confidence(nearest, model_name, verified, distance_metric),
        "model": model_name,
        "detector_backend": detector_backend,
        "similarity_metric": distance_metric,
        "facial_areas": {"img1": first, "img2": second},
        "time": round(time.perf_counter() - start, 2),
    }


def represent(
    img_path: Any,
    model_name: str = "VGG-Face",
    enforce_detection: bool = True,
    detector_backend: str = "opencv",
    align: bool = True,
    expand_percentage: int = 0,
    normalization: str = "base",
    anti_spoofing: bool = False,
    max_faces: int | None = None,
    l2_normalize: bool = False,
    minmax_normalize: bool = False,
    return_face: bool = False,
) -> list[Any]:
    """The faces of a picture as vectors: embedding (list of floats), facial_area, face_confidence, and with `return_face` what the network saw.

    A list of pictures (or a 4-D array) gives a list of such lists, a list of one picture the inner list, as in deepface. `face` is (h, w, 3) float32
    BGR in [0, 1]. `max_faces` keeps the largest.

    Raises:
        NoFaceFound (a ValueError), AssetUnavailable: as `verify`.
    """
    faces.check_options(expand_percentage, normalization, anti_spoofing)
    pipeline = faces.open_pipeline(model_name)
    many = faces.pictures(img_path)
    answers: list[list[dict[str, Any]]] = []
    for source in [img_path] if many is None else many:
        picture = faces.read(source)
        found = faces.faces_of(picture, faces.name_of(source), detector_backend, enforce_detection, max_faces)
        crops = [faces.crop_for(pipeline, picture, face, align, expand_percentage) for face in found]
        vectors = faces.embed(pipeline, crops, model_name)
        answer = []
        for face, crop, vector in zip(found, crops, vectors, strict=True):
            entry: dict[str, Any] = {"embedding": _normalized(vector, model_name, minmax_normalize, l2_normalize).tolist()}
            if detector_backend == "skip":
                entry |= {"facial_area": {"x": 0, "y": 0, "w": picture.shape[1], "h": picture.shape[0]}, "face_confidence": 0}
            else:
                entry["facial_area"] = faces.area(face, picture.shape[:2], expand_percentage, detector_backend)
                entry["face_confidence"] = round(face.score, 2)
            if return_face:
                entry["face"] = crop.pixels[..., ::-1].astype(np.float32) / np.float32(255)
            answer.append(entry)
        answers.append(answer)
    return answers[0] if len(answers) == 1 else answers


def _normalized(vector: NDArray[np.float64], model_name: str, minmax: bool, l2: bool) -> NDArray[np.float64]:
    if minmax and model_name in RANGES:
        low, high = RANGES[model_name]
        vector = (np.clip(vector, low, high) - low) / (high - low)
    norm = float(np.linalg.norm(vector))
    return vector / norm if l2 and norm > 0 else vector


def extract_faces(
    img_path: Any,
    detector_backend: str = "opencv",
    enforce_detection: bool = True,
    align: bool = True,
    expand_percentage: int = 0,
    grayscale: bool = False,
    color_face: str = "rgb",
    normalize_face: bool = True,
    anti_spoofing: bool = False,
) -> list[Any]:
    """The faces of a picture: face (pixels of the box), facial_area (x, y, w, h, left_eye, right_eye), confidence.

    With `align` the face is turned about the center of its box until the eyes are level. `normalize_face` divides by 255. A list of pictures (or a
    4-D array) gives a list of lists.

    Raises:
        NoFaceFound (a ValueError): no face, and `enforce_detection`.
    """
    faces.check_options(expand_percentage, "base", anti_spoofing)
    many = faces.pictures(img_path)
    if many is not None:
        options = (detector_backend, enforce_detection, align, expand_percentage, grayscale, color_face, normalize_face, anti_spoofing)
        return [extract_faces(item, *options) for item in many]
    picture = faces.read(img_path)
    answer = []
    for face in faces.faces_of(picture, faces.name_of(img_path), detector_backend, enforce_detection):
        pixels = faces.color(faces.cut(picture, face, align, expand_percentage), "gray" if grayscale else color_face)
        if pixels.size == 0:
            continue
        answer.append(
            {
                "face": pixels / 255 if normalize_face and pixels.max() > 1 else pixels,
                "facial_area": faces.area(face, picture.shape[:2], expand_percentage, detector_backend),
                "confidence": round(face.score, 2),
            }
        )
    return answer


_HERE = ("verify", "represent", "extract_faces", "find", "register", "search", "analyze")


def _absent(name: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigError(f"deepface's {name} is not in faceworks.compat.deepface; here are {', '.join(_HERE)}; {instead}")

    refuse.__name__ = name
    refuse.__doc__ = f"Not here: raises ConfigError ({instead})."
    return refuse


identify = _absent("identify", "compare a stored vector with verify: a list of numbers is taken for an embedding")
build_index = _absent("build_index", "galleries keep their index themselves; faceworks.open_gallery(…).build_index() makes one at once")
stream = _absent("stream", "read the frames yourself and pass them as BGR arrays")
build_model = _absent("build_model", "models open by themselves; faceworks.get_pipeline gives them to hold")
detectFace = _absent("detectFace", "use extract_faces")  # noqa: N816 - deepface's name

DeepFace = sys.modules[__name__]
"""So that `from faceworks.compat.deepface import DeepFace` works."""
