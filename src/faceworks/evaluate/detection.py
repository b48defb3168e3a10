"""Detection: average precision of boxes. A found box is a hit when it overlaps a true box, not yet taken by a better one, by IoU ≥ 0.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, InputError
from ..types import to_dict
from .annotations import by_name, read_faces
from .fddb import fddb_curve
from .metrics import Floats
from .wider import read_subset, wider_ap

__all__ = ["DetectionResult", "average_precision", "detection_ap", "evaluate_detection", "iou_matrix", "match"]

ALARMS = (10, 50, 100, 200, 500, 1000, 2000)
"""Numbers of false alarms at which FDDB's curves are read."""


def iou_matrix(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union (M, N) of boxes (M, 4) and (N, 4), x1 y1 x2 y2 with width x2 − x1; an empty box overlaps nothing."""
    x, y = np.asarray(a, np.float64).reshape(-1, 4), np.asarray(b, np.float64).reshape(-1, 4)
    sides = np.minimum(x[:, None, 2:], y[None, :, 2:]) - np.maximum(x[:, None, :2], y[None, :, :2])
    inner = np.clip(sides, 0, None).prod(axis=2)
    outer = np.clip(x[:, 2:] - x[:, :2], 0, None).prod(axis=1)[:, None] + np.clip(y[:, 2:] - y[:, :2], 0, None).prod(axis=1)[None] - inner
    return np.asarray(np.divide(inner, outer, out=np.zeros_like(inner), where=outer > 0), np.float64)


def match(found: ArrayLike, scores: ArrayLike, truth: ArrayLike, ignored: ArrayLike | None = None, iou: float = 0.5) -> NDArray[np.int64]:
    """Judge the boxes of one picture, best score first: (M,) 1 hit, 0 false alarm, −1 neither (it best fits an ignored true box).

    Each box looks for the free true box that it overlaps most; at least `iou`. `ignored` (N,) marks true boxes that need not be found.
    """
    overlap, order = iou_matrix(found, truth), np.argsort(-np.asarray(scores, np.float64), kind="stable")
    free = np.ones(overlap.shape[1], bool)
    skip = np.zeros(overlap.shape[1], bool) if ignored is None else np.asarray(ignored, bool)
    judged = np.zeros(overlap.shape[0], np.int64)
    for index in order:
        open_to = np.where(free | skip, overlap[index], -1.0)
        if not open_to.size or open_to.max() < iou:
            continue
        best = int(open_to.argmax())
        judged[index] = -1 if skip[best] else 1
        free[best] = False
    return judged


def average_precision(scores: ArrayLike, hits: ArrayLike, total: int) -> float:
    """Σ (recall step) · precision over descending scores, equal scores together. Equals scikit-learn's `average_precision_score` when all were found.

    Args:
        scores: (N,) of found boxes.
        hits: (N,) True for a hit.
        total: number of true boxes; those never found lower the recall.

    Raises:
        InputError: no true box, NaN, or more hits than true boxes.
    """
    values, right = np.asarray(scores, np.float64), np.asarray(hits, bool)
    if total < 1 or values.ndim != 1 or values.shape != right.shape or np.isnan(values).any() or right.sum() > total:
        raise InputError(
            f"scores and hits must be (N,) without NaN, with 1 to {total} hits at most, got {values.shape}, {right.shape}, {right.sum()} hits"
        )
    if not values.size:
        return 0.0
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)
    hit_count = np.cumsum(right[order])[last]
    precision = hit_count / (np.flatnonzero(last) + 1)
    return float((np.diff(np.append(0, hit_count)) / total * precision).sum())


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """AP and counts at the lowest score that was kept."""

    ap: float
    faces: int
    found: int
    hits: int
    false_alarms: int
    pictures: int
    iou: float


def detection_ap(
    found: Mapping[str, Sequence[Mapping[str, Any]]], truth: Mapping[str, Sequence[Mapping[str, Any]]], iou: float = 0.5
) -> DetectionResult:
    """AP over pictures. Both map a picture's name to faces `{"box": [x1, y1, x2, y2]}`; found ones have a `score`, true ones may have `ignore`.

    Every picture of `truth` counts, found or not; a picture in `found` alone is refused.
    """
    if extra := sorted(set(found) - set(truth)):
        raise InputError(f"{len(extra)} pictures have found boxes but no truth: {', '.join(extra[:3])}")
    if not 0 < iou <= 1:
        raise InputError(f"iou lies in (0, 1], got {iou}")
    scores, judged, total = [np.empty(0)], [np.empty(0, np.int64)], 0
    for name, real in truth.items():
        faces = found.get(name, [])
        ignored = np.array([bool(face.get("ignore")) for face in real], bool)
        total += int((~ignored).sum())
        values = np.array([face["score"] for face in faces], np.float64)
        scores.append(values)
        judged.append(match([face["box"] for face in faces], values, [face["box"] for face in real], ignored, iou))
    every, verdict = np.concatenate(scores), np.concatenate(judged)
    counted = verdict >= 0
    hits = int((verdict == 1).sum())
    ap = average_precision(every[counted], verdict[counted] == 1, total)
    return DetectionResult(ap, total, int(counted.sum()), hits, int(counted.sum()) - hits, len(truth), iou)


def evaluate_detection(
    found: str | Path,
    truth: str | Path,
    protocol: Literal["ap", "wider", "fddb"] = "ap",
    iou: float = 0.5,
    subsets: Mapping[str, str | Path] | None = None,
) -> dict[str, Any]:
    """A report on found boxes (JSON of `faceworks detect`, detected at a low score) against annotations (`annotations.read_faces`).

    Args:
        protocol: "ap" (each found box once, `detection_ap`), "wider" (`wider_ap`) or "fddb" (`fddb_curve`).
        subsets: for "wider", name -> list file (`read_subset`): easy, medium, hard. Default: all true boxes without `ignore`.

    Returns:
        `protocol`, `pictures`, `faces` and the figures: `ap` …, `settings` {name: {ap, faces, curve}}, or `curve` and `at_false_alarms`.

    Raises:
        ManifestError: a file is not what it should be, or the pictures of one are not those of the other.
    """
    if subsets and protocol != "wider":
        raise ConfigError(f"settings (easy, medium, hard) belong to the protocol wider, not to {protocol}")
    real = read_faces(truth)
    boxes = by_name(read_faces(found, scored=True), real)
    head: dict[str, Any] = {"schema": 2, "kind": "detection", "protocol": protocol, "found_file": str(found), "truth_file": str(truth)}
    if protocol == "ap":
        return {**head, **to_dict(detection_ap(boxes, real, iou))}
    if protocol == "wider":
        lists: dict[str, Any] = {name: by_name(read_subset(path), real) for name, path in (subsets or {}).items()} or {"all": None}
        settings = {name: wider_ap(boxes, real, chosen, iou) for name, chosen in lists.items()}
        return head | {"iou": iou, "pictures": len(real), "settings": {name: _setting(item) for name, item in settings.items()}}
    curve = fddb_curve(boxes, real)
    points = {str(count): dict(zip(("discrete", "continuous"), curve.at(count), strict=True)) for count in ALARMS}
    columns = {name: getattr(curve, name).tolist() for name in ("scores", "false_alarms", "discrete", "continuous")}
    return head | {"pictures": curve.pictures, "faces": curve.faces, "at_false_alarms": points, "curve": columns}


def _setting(item: Any) -> dict[str, Any]:
    return {"ap": item.ap, "faces": item.faces, "curve": {"precision": item.precision.tolist(), "recall": item.recall.tolist()}}
