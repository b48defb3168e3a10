"""What deepface's functions share: the threshold in force, a distance as it is rounded there, and the faces of a picture as vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..cards import Card
from ..errors import ConfigError, InputError
from ..types import Metric
from ..verification import resolve_threshold
from . import deepface_faces as faces
from . import warn_once
from .deepface_tables import THRESHOLDS, MetricName, find_threshold

__all__ = ["Found", "distance", "embedded", "given", "threshold_for"]

NO_AREA: dict[str, Any] = {"x": None, "y": None, "w": None, "h": None, "left_eye": None, "right_eye": None}
Found = tuple[NDArray[np.float64], dict[str, Any]]
"""Vector (D,) and facial area of a face."""


def threshold_for(card: Card, model_name: str, metric: MetricName, asked: float | str | None) -> float:
    """The number in force: given, deepface's, or the card's; deepface's with a warning where the card has none."""
    if asked == "deepface":
        return find_threshold(model_name, metric)
    if isinstance(asked, str):
        raise ConfigError(f"threshold is a number, None (faceworks' own) or 'deepface' (its table), got {asked!r}")
    if asked is not None:
        return asked
    if not isinstance(metric, str):
        raise InputError("a distance_metric that is a function needs a threshold: give threshold= a number")
    if metric not in similarity.METRICS:
        raise InputError(f"unknown distance_metric {metric!r}; known: {', '.join(similarity.METRICS)}, or a function")
    known: Metric = metric
    try:
        return round(resolve_threshold(card, known).threshold, 6)
    except ConfigError:
        if model_name not in THRESHOLDS:
            raise
        others = ", ".join(repr(item.metric) for item in card.threshold) or "none"
        value = find_threshold(model_name, metric)
        warn_once(
            f"faceworks has no {metric} threshold for {model_name}: deepface's {value:g} decides, which was tuned on its own alignment; "
            f"give threshold= a number, or a distance_metric that faceworks has one for ({others})"
        )
        return value


def distance(x: NDArray[np.float64], y: NDArray[np.float64], metric: MetricName) -> float:
    """Six decimals, as deepface rounds; a function's answer is left as it is."""
    if not isinstance(metric, str):
        return float(metric(x, y))
    known: Metric = metric  # type: ignore[assignment]  # checked by similarity.distance
    return round(similarity.distance(x, y, known), 6)


def given(numbers: list[Any], card: Card, model_name: str, position: int) -> list[Found]:
    """An embedding handed in as a list."""
    if not all(isinstance(item, (float, int)) for item in numbers):
        raise InputError(f"img{position}_path is a list, so it is an embedding, but not all its items are numbers")
    wanted = next((item.dim for item in card.output if item.kind == "embedding"), 0)
    if len(numbers) != wanted:
        raise InputError(f"embeddings of {model_name} have {wanted} numbers, img{position}_path has {len(numbers)}")
    return [(np.array(numbers, np.float64), dict(NO_AREA))]


def embedded(source: Any, model_name: str, detector_backend: str, enforce_detection: bool, align: bool, expand_percentage: int) -> list[Found]:
    """Vector and facial area of each face of a picture."""
    pipeline = faces.open_pipeline(model_name)
    picture = faces.read(source)
    found = faces.faces_of(picture, faces.name_of(source), detector_backend, enforce_detection)
    crops = [faces.crop_for(pipeline, picture, face, align, expand_percentage) for face in found]
    areas = [faces.area(face, picture.shape[:2], expand_percentage, detector_backend) for face in found]
    return list(zip(faces.embed(pipeline, crops, model_name), areas, strict=True))
