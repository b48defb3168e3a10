"""One row for each picture: what was found, what the models say, and how far the face moved from its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import InputError
from .config import StudyConfig
from .manifest import Manifest, Picture
from .measure import Record

__all__ = ["MOVING", "STABLE", "displacement", "distribution", "face_rows", "said", "variation"]

Floats: TypeAlias = NDArray[np.float64]
STABLE = (27, 28, 29, 30, 36, 39, 42, 45)
"""Points of `ibug68` that expressions hardly move: nose bridge and eye corners. They carry one face onto the other."""
MOVING = (*range(17, 27), 37, 38, 40, 41, 43, 44, 46, 47, *range(48, 68))
"""Points that expressions move: brows, lids, mouth."""


def displacement(source: Floats, edit: Floats) -> float | None:
    """Mean way of `MOVING` from source (68, 2) to edit (68, 2) after a similarity fit on `STABLE`, in parts of the distance of the outer eye corners."""
    stable, moving = list(STABLE), list(MOVING)
    apart = float(np.linalg.norm(source[45] - source[36]))
    if apart < 1e-6:
        return None
    try:
        fit = geometry.similarity_transform(edit[stable], source[stable])
    except InputError:
        return None
    return float(np.linalg.norm(geometry.apply(fit, edit[moving]) - source[moving], axis=1).mean()) / apart


def variation(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Total variation distance of two distributions over labels: half the sum of absolute differences, in [0, 1]."""
    labels = sorted({*a, *b})  # a set has another order in every process, and the sum another last digit
    return 0.5 * sum(abs(a.get(label, 0.0) - b.get(label, 0.0)) for label in labels)


def said(probabilities: Mapping[str, float], unsure: float) -> str:
    """The most probable label (the first in alphabetical order of several), or "unsure" where it is less probable than `unsure`."""
    label = min(probabilities, key=lambda name: (-probabilities[name], name))
    return "unsure" if probabilities[label] < unsure else label


def face_rows(config: StudyConfig, manifest: Manifest, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Rows of `tables/faces.csv`, in the order of the manifest."""
    first: dict[str, Picture] = {}
    for item in manifest.of_role("source"):
        if records[item.name].found:
            first.setdefault(item.identity, item)
    return [
        _row(config, item, records[item.name], records[first[item.identity].name] if item.identity in first else None) for item in manifest.pictures
    ]


def _row(config: StudyConfig, item: Picture, record: Record, source: Record | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "identity": item.identity, "picture": item.name, "role": item.role, "condition": item.condition, "replicate": item.replicate,
        "generator": item.generator, "prompt": item.prompt, "seed": item.seed, "control": item.control, "sha256": item.digest,
        "status": "unreadable" if record.error else "ok" if record.found else "no face", "faces": record.faces,
        "height": record.size[0], "width": record.size[1], "face_width": record.box[2] - record.box[0] if record.box else None,
        "score": record.score if record.found else None, "quality": record.quality,
    }  # fmt: skip
    edit = item.role == "edit" and source is not None and record.found
    row["displacement"] = (
        displacement(source.points, record.points) if edit and source and source.points is not None and record.points is not None else None
    )
    for name in config.emotion:
        found = record.emotions.get(name)
        row[f"emotion_{name}"] = said(found, config.unsure) if found else "no face"
        row[f"intensity_{name}"] = 1.0 - found.get("neutral", 0.0) if found else None
        before = source.emotions.get(name) if edit and source else None
        row[f"change_{name}"] = variation(before, found) if before and found else None
        row |= {f"p_{label}_{name}": value for label, value in sorted(found.items())} if found else {}
    row["valence"], row["arousal"] = record.affect.get("valence"), record.affect.get("arousal")
    return row | {f"free_{name}": value for name, value in (item.free or {}).items()}


def distribution(row: Mapping[str, Any], model: str, labels: Sequence[str]) -> dict[str, float] | None:
    """The probabilities of a row under a model, or None without a face."""
    found = {label: row.get(f"p_{label}_{model}") for label in labels}
    return None if all(value is None for value in found.values()) else {label: float(value or 0.0) for label, value in found.items()}
