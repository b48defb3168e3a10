"""Average precision by WIDER FACE's rules (Yang et al., CVPR 2016, and their evaluation code), which differ from detection's usual ones:

- scores are stretched over [0, 1], lowest to highest of all pictures together, and precision and recall are read at 1,000 equal steps;
- boxes include their last pixel: a width is x2 − x1 + 1;
- a box is judged by the true box that it overlaps most, at least half. A second box on one true box counts as found, but adds nothing to the
  recall; a box on an ignored true box counts as neither;
- a setting (easy, medium, hard) is a list of the true boxes that count, all others being ignored;
- AP is the area under the precision made monotone (as in PASCAL VOC from 2010 on).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ManifestError
from ..optional import require
from .metrics import Floats

__all__ = ["STEPS", "WiderResult", "envelope_area", "read_subset", "wider_ap"]

STEPS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class WiderResult:
    """AP and its curve: `precision` and `recall` (1000,) at falling scores; `faces` true boxes counted."""

    ap: float
    faces: int
    pictures: int
    precision: Floats
    recall: Floats


def _overlaps(found: Floats, truth: Floats) -> Floats:
    """IoU (M, N) of boxes that include their last pixels."""
    sides = np.minimum(found[:, None, 2:], truth[None, :, 2:]) - np.maximum(found[:, None, :2], truth[None, :, :2]) + 1
    inner = np.clip(sides, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1) for boxes in (found, truth)]
    return np.asarray(inner / (areas[0][:, None] + areas[1][None] - inner), np.float64)


def _judge(found: Floats, truth: Floats, counted: NDArray[np.bool_], iou: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of one picture's boxes, best first: how many true boxes are found after each (M,), and whether each counts as found (M,)."""
    proposed = np.ones(len(found), bool)
    hit = np.zeros(len(truth), bool)
    recalled = np.zeros(len(found), np.int64)
    overlaps = _overlaps(found, truth) if len(truth) else np.zeros((len(found), 0))
    for index in range(len(found)):
        best = int(overlaps[index].argmax()) if len(truth) else -1
        if best >= 0 and overlaps[index, best] >= iou:
            if counted[best]:
                hit[best] = True
            else:
                proposed[index] = False
        recalled[index] = hit.sum()
    return recalled, proposed


def envelope_area(recall: Floats, precision: Floats) -> float:
    """Area under precision over recall (both (N,), recall rising), precision raised to the best that follows."""
    x, y = np.concatenate([[0.0], recall, [1.0]]), np.concatenate([[0.0], precision, [0.0]])
    y = np.maximum.accumulate(y[::-1])[::-1]
    return float((np.diff(x) * y[1:]).sum())


def wider_ap(
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    truth: Mapping[str, Sequence[Mapping[str, Any]]],
    subset: Mapping[str, Sequence[int]] | None = None,
    iou: float = 0.5,
) -> WiderResult:
    """AP of one setting. Both map a picture to faces `{"box": [x1, y1, x2, y2]}` (x2 = x + w, as WIDER's evaluation reads it); found ones have a `score`.

    Args:
        subset: picture -> numbers (from 0) of the true boxes that count; None takes those without `ignore`.

    Raises:
        InputError: found boxes of a picture without truth; no true box that counts.
    """
    if extra := sorted(set(found) - set(truth)):
        raise InputError(f"{len(extra)} pictures have found boxes but no truth: {', '.join(extra[:3])}")
    every = np.array([face["score"] for faces in found.values() for face in faces], np.float64)
    low, span = (float(every.min()), float(np.ptp(every))) if every.size else (0.0, 0.0)
    steps = 1 - np.arange(1, STEPS + 1) / STEPS
    proposals, recalls, total = np.zeros(STEPS), np.zeros(STEPS), 0
    for name, real in truth.items():
        counted = np.array([not face.get("ignore") for face in real], bool)
        if subset is not None:
            counted = np.zeros(len(real), bool)
            counted[list(subset.get(name, ()))] = True
        total += int(counted.sum())
        faces = found.get(name, [])
        if not faces or not real:  # the authors' code passes over a picture without true boxes, and so over its false alarms
            continue
        scores = np.array([face["score"] for face in faces], np.float64)
        scores = (scores - low) / span if span else np.ones_like(scores)
        order = np.argsort(-scores, kind="stable")
        boxes = np.array([face["box"] for face in faces], np.float64)[order]
        recalled, proposed = _judge(boxes, np.array([face["box"] for face in real], np.float64).reshape(-1, 4), counted, iou)
        reached = np.searchsorted(-scores[order], -steps, side="right")  # how many boxes have at least the step's score
        some = reached > 0
        proposals[some] += np.cumsum(proposed)[reached[some] - 1]
        recalls[some] += recalled[reached[some] - 1]
    if not total:
        raise InputError("no true box counts in this setting")
    precision = np.divide(recalls, proposals, out=np.zeros(STEPS), where=proposals > 0)
    recall = recalls / total
    return WiderResult(envelope_area(recall, precision), total, len(truth), precision, recall)


def read_subset(path: str | Path) -> dict[str, list[int]]:
    """A setting: the true boxes that count, numbers from 0.

    `.mat`: WIDER FACE's own `wider_easy_val.mat` and its like (needs SciPy, extra study). `.json`: {"event/picture.jpg": [0, 3, …]}.

    Raises:
        ManifestError: the file does not hold such a list.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".mat":
            tables = require("scipy.io", "study", "WIDER FACE's .mat lists").loadmat(str(path))
            found = {}
            for event, files, lists in zip(tables["event_list"][:, 0], tables["file_list"][:, 0], tables["gt_list"][:, 0], strict=True):
                for file, numbers in zip(files[:, 0], lists[:, 0], strict=True):
                    # MATLAB counts from 1
                    found[f"{event.item()}/{file.item()}.jpg"] = [int(number) - 1 for number in np.asarray(numbers).reshape(-1)]
            return found
        return {str(name): [int(number) for number in numbers] for name, numbers in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ManifestError(f'{path}: expected WIDER FACE\'s wider_…_val.mat or {{"picture.jpg": [numbers from 0]}}: {error}') from error
