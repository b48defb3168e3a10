"""FDDB's curves (Jain and Learned-Miller, UMass technical report 2010-009): true positive rate, or mean overlap, over the number of false alarms.

In each picture, at each score, found and true regions are assigned to each other one to one so that the sum of their overlaps (IoU of pixels) is
largest. *Discrete*: a pair counts 1 where its overlap is more than one half. *Continuous*: it counts its overlap. A found region without a partner,
or with one it overlaps by no more than half, is a false alarm. True regions are ellipses (or boxes); found ones boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..optional import require
from .metrics import Floats

__all__ = ["FddbCurve", "fddb_curve", "region_overlap"]


@dataclass(frozen=True, slots=True, eq=False)
class FddbCurve:
    """One point for each score, falling: false alarms over all pictures, and what was found over `faces`."""

    scores: Floats
    false_alarms: Floats
    discrete: Floats
    continuous: Floats
    faces: int
    pictures: int

    def at(self, false_alarms: int) -> tuple[float, float]:
        """Discrete and continuous rate at the last score with at most so many false alarms; 0, 0 where even the first has more."""
        kept = np.flatnonzero(self.false_alarms <= false_alarms)
        return (0.0, 0.0) if not kept.size else (float(self.discrete[kept[-1]]), float(self.continuous[kept[-1]]))


def region_overlap(box: Sequence[float], face: Mapping[str, Any]) -> float:
    """IoU of a box [x1, y1, x2, y2] and a true face, counted on pixel centers; of two boxes exactly."""
    x1, y1, x2, y2 = box
    a, b, c, d = face["box"]
    if "ellipse" not in face:
        inner = max(0.0, min(x2, c) - max(x1, a)) * max(0.0, min(y2, d) - max(y1, b))
        outer = max(0.0, x2 - x1) * max(0.0, y2 - y1) + max(0.0, c - a) * max(0.0, d - b) - inner
        return inner / outer if outer > 0 else 0.0
    if min(x2, c) < max(x1, a) or min(y2, d) < max(y1, b):
        return 0.0
    half, short, angle, middle_x, middle_y = face["ellipse"]
    # four points a pixel: a face of 20 pixels would otherwise err by a few hundredths
    xs = np.arange(2 * np.floor(min(x1, a)), 2 * np.ceil(max(x2, c)) + 1) / 2 + 0.25
    ys = np.arange(2 * np.floor(min(y1, b)), 2 * np.ceil(max(y2, d)) + 1) / 2 + 0.25
    right, down = np.meshgrid(xs - middle_x, ys - middle_y)
    along, across = right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)
    oval = (along / half) ** 2 + (across / short) ** 2 <= 1
    inside = ((xs >= x1) & (xs <= x2))[None] & ((ys >= y1) & (ys <= y2))[:, None]
    union = int((oval | inside).sum())
    return float((oval & inside).sum() / union) if union else 0.0


def fddb_curve(found: Mapping[str, Sequence[Mapping[str, Any]]], truth: Mapping[str, Sequence[Mapping[str, Any]]]) -> FddbCurve:
    """Both curves. Both map a picture to faces; true ones with `ellipse` or `box`, found ones with `box` and `score`. Needs SciPy (extra study).

    Raises:
        InputError: found boxes of a picture without truth; no true face.
    """
    if extra := sorted(set(found) - set(truth)):
        raise InputError(f"{len(extra)} pictures have found boxes but no truth: {', '.join(extra[:3])}")
    total = sum(map(len, truth.values()))
    if not total:
        raise InputError("there is no true face in any picture")
    assign = require("scipy.optimize", "study", "FDDB's matching").linear_sum_assignment
    steps: list[tuple[float, ...]] = []
    for name, real in truth.items():
        faces = sorted(found.get(name, []), key=lambda face: -face["score"])
        overlaps = np.array([[region_overlap(face["box"], item) for item in real] for face in faces]).reshape(len(faces), len(real))
        before = (0.0, 0.0, 0.0)
        for count, face in enumerate(faces, start=1):
            if count < len(faces) and faces[count]["score"] == face["score"]:
                continue
            rows, columns = assign(overlaps[:count], maximize=True)
            pairs = overlaps[rows, columns]
            hits = float((pairs > 0.5).sum())
            now = (count - hits, hits, float(pairs.sum()))
            steps.append((float(face["score"]), *(new - old for new, old in zip(now, before, strict=True))))
            before = now
    steps.sort(key=lambda step: -step[0])
    values = np.array(steps, np.float64).reshape(-1, 4)
    last = np.append(np.diff(values[:, 0]) != 0, True) if len(values) else np.zeros(0, bool)
    sums = np.cumsum(values[:, 1:], axis=0)[last]
    return FddbCurve(values[last, 0], sums[:, 0], sums[:, 1] / total, sums[:, 2] / total, total, len(truth))
