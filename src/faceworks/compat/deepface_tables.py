"""Numbers of deepface 0.0.103: its thresholds, and the constants of its "confidence". The numbers are its own, as given; the code is ours.

The confidence is a logistic curve of the distance, fitted on 300 pairs of 25 pictures of nine people (its `experiments/distance-to-confidence.ipynb`),
then stretched so that "same" begins at 51 and "different" ends at 49. It is no probability: it jumps by up to 30 points at the threshold, it is 100
well before the distance is 0, and no prior enters it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, NamedTuple

from ..errors import ConfigError

__all__ = ["CONFIDENCES", "RANGES", "THRESHOLDS", "find_confidence", "find_threshold"]

MetricName = str | Callable[..., Any]

THRESHOLDS: Mapping[str, Mapping[str, float]] = {
    "VGG-Face": {"cosine": 0.68, "euclidean": 1.17, "euclidean_l2": 1.17, "angular": 0.39},
    "Facenet": {"cosine": 0.4, "euclidean": 10, "euclidean_l2": 0.8, "angular": 0.33},
    "Facenet512": {"cosine": 0.3, "euclidean": 23.56, "euclidean_l2": 1.04, "angular": 0.35},
    "ArcFace": {"cosine": 0.68, "euclidean": 4.15, "euclidean_l2": 1.13, "angular": 0.39},
    "Dlib": {"cosine": 0.07, "euclidean": 0.6, "euclidean_l2": 0.4, "angular": 0.12},
    "SFace": {"cosine": 0.593, "euclidean": 10.734, "euclidean_l2": 1.055, "angular": 0.36},
    "OpenFace": {"cosine": 0.1, "euclidean": 0.55, "euclidean_l2": 0.55, "angular": 0.11},
    "DeepFace": {"cosine": 0.23, "euclidean": 64, "euclidean_l2": 0.64, "angular": 0.12},
    "DeepID": {"cosine": 0.015, "euclidean": 45, "euclidean_l2": 0.17, "angular": 0.04},
    "GhostFaceNet": {"cosine": 0.65, "euclidean": 35.71, "euclidean_l2": 1.1, "angular": 0.38},
    "Buffalo_L": {"cosine": 0.55, "euclidean": 0.6, "euclidean_l2": 1.1, "angular": 0.45},
}
"""Model -> metric -> largest distance that counts as same (`deepface/config/threshold.py`)."""

RANGES: Mapping[str, tuple[float, float]] = {
    "VGG-Face": (0.0, 0.27054874177488775),
    "Facenet": (-3.541942596435547, 3.247769594192505),
    "Facenet512": (-4.388302803039551, 3.643190622329712),
    "OpenFace": (-0.34191709756851196, 0.26318004727363586),
    "DeepFace": (0.0, 17.294939041137695),
    "DeepID": (0.0, 127.86836242675781),
    "Dlib": (-0.41398656368255615, 0.5201137661933899),
    "ArcFace": (-2.945136308670044, 2.087090015411377),
}
"""Model -> smallest and largest value that `minmax_normalize` stretches to 0 and 1 (`deepface/config/minmax.py`)."""


class _Curve(NamedTuple):
    """sigmoid(w · distance / normalizer + b), and the values between which it ran for same and for different people."""

    w: float
    b: float
    normalizer: float
    max_true: float
    min_true: float
    max_false: float
    min_false: float


def _curves() -> dict[str, dict[str, _Curve]]:
    found: dict[str, dict[str, _Curve]] = {}
    text = resources.files(__package__).joinpath("deepface_confidence.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["model"], {})[row["metric"]] = _Curve(*(float(row[name]) for name in _Curve._fields))
    return found


CONFIDENCES: Mapping[str, Mapping[str, _Curve]] = _curves()
"""Model -> metric -> constants (`deepface/config/confidence.py`)."""


def find_threshold(model_name: str, distance_metric: MetricName = "cosine") -> float:
    """deepface's threshold of a model and a metric; 0.0 for a metric that is a function, as there.

    Raises:
        ConfigError: deepface has none.
    """
    if not isinstance(distance_metric, str):
        return 0.0
    if model_name not in THRESHOLDS:
        raise ConfigError(f"deepface has no threshold for {model_name!r}, only for: {', '.join(THRESHOLDS)}; give threshold= a number")
    if distance_metric not in THRESHOLDS[model_name]:
        raise ConfigError(f"deepface has no threshold for the metric {distance_metric!r}, only for: {', '.join(THRESHOLDS[model_name])}")
    return THRESHOLDS[model_name][distance_metric]


def find_confidence(distance: float, model_name: str, verified: bool, distance_metric: MetricName = "cosine") -> float:
    """deepface's "confidence" in percent, two decimals: 51 to 100 for same, 0 to 49 for different. No probability (see the module).

    A distance up to 0 gives 100 or 0; a model or metric without constants, or a metric that is a function, gives 51 or 49.
    """
    if distance <= 0:
        return 100.0 if verified else 0.0
    curve = CONFIDENCES.get(model_name, {}).get(distance_metric) if isinstance(distance_metric, str) else None
    if curve is None:
        return 51 if verified else 49
    z = curve.w * (distance / max(curve.normalizer, 1.0)) + curve.b
    raw = 100 / (1 + math.exp(-z)) if z >= 0 else 100 * math.exp(z) / (1 + math.exp(z))
    if verified:
        low, high, start, end = curve.min_true, curve.max_true, max(51.0, curve.min_true), 100.0
    else:
        low, high, start, end = curve.min_false, curve.max_false, 0.0, min(49.0, float(int(curve.max_false)))
    value = (raw - low) / (high - low) * (end - start) + start
    value = max(value, 51.0) if verified else min(value, 49.0)
    return round(min(max(value, 0.0), 100.0), 2)
