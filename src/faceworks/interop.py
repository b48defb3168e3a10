"""Results as other packages want them: pandas data frames, supervision's detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .errors import InputError
from .optional import require
from .types import Categorical, Face, FaceResult, Identification, Verification, to_dict

__all__ = ["to_dataframe", "to_supervision"]


def to_dataframe(results: Any, sources: Sequence[Any] | None = None) -> Any:
    """A pandas DataFrame of results, one row for each face, pair or answer.

    Args:
        results: what `detect`, `embed`, `analyze`, `identify` give for one picture or for a list of pictures, or `Verification` values.
        sources: names of the pictures, for results of a list of pictures; else they are numbered from 0.

    Returns:
        Columns: picture, face; x1, y1, x2, y2, score, detector; for vectors `vector` (arrays) and norm; for attributes `<name>` with the label or value, and
        `<name>.<label>` with probabilities or `<name>.spread`; for identities person, person_id, similarity, probability; for verifications its fields.

    Raises:
        InputError: another kind of value. MissingDependency: without pandas (extra `study`).
    """
    pandas = require("pandas", "study", "a data frame")
    if isinstance(results, Verification):
        results = [results]
    items = list(results)
    if items and all(isinstance(item, Verification) for item in items):
        return pandas.DataFrame(
            [{name: value for name, value in to_dict(item).items() if name not in ("faces", "models", "timings")} for item in items]
        )
    groups = items if all(isinstance(item, (list, tuple)) for item in items) else [items]
    if sources is not None and len(sources) != len(groups):
        raise InputError(f"sources has {len(sources)} names for the results of {len(groups)} pictures; it needs one for each")
    rows = []
    for place, group in enumerate(groups):
        name = place if sources is None else str(sources[place])
        rows += [{"picture": name, "face": number, **_row(item)} for number, item in enumerate(group)]
    return pandas.DataFrame(rows)


def _row(item: Any) -> dict[str, Any]:
    if isinstance(item, Face):
        return _box(item)
    if isinstance(item, Identification):
        best = item.candidates[0] if item.candidates else None
        more = {"similarity": None if best is None else best.similarity, "probability": None if best is None else best.probability}
        return {**_box(item.face), "person": item.person, "person_id": item.person_id, **more, "threshold": item.threshold}
    if isinstance(item, FaceResult):
        row = _box(item.face)
        if item.embedding is not None:
            row |= {"vector": np.array(item.embedding.vector), "norm": item.embedding.norm}
        return row | dict(_attributes(item))
    raise InputError(f"a {type(item).__name__} is no result of detect, embed, analyze, identify or verify")


def _box(face: Face) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(value) for value in face.box)
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": float(face.score), "detector": face.detector}


def _attributes(item: FaceResult) -> Iterator[tuple[str, Any]]:
    for name, value in item.attributes.items():
        if isinstance(value, Categorical):
            yield name, value.label
            yield from ((f"{name}.{label}", share) for label, share in value.probabilities.items())
        else:
            yield name, value.value
            if value.spread is not None:
                yield f"{name}.spread", value.spread


def to_supervision(faces: Iterable[Face | FaceResult | Identification]) -> Any:
    """`supervision.Detections` of one picture's faces: xyxy (N, 4) float32, confidence (N,), class_id 0, and in `data` class_name ("face", or the person's name),
    and landmarks (N, K, 2) where all faces have the same scheme.

    Raises:
        MissingDependency: without the package supervision (pip install supervision; no extra of ours names it, since it brings a second OpenCV).
    """
    supervision = require("supervision", "supervision", "supervision's detections")
    items = list(faces)
    found = [item if isinstance(item, Face) else item.face for item in items]
    data: dict[str, Any] = {"class_name": np.array([getattr(item, "person", None) or "face" for item in items], dtype=np.str_)}
    schemes = {face.landmarks.scheme if face.landmarks is not None else None for face in found}
    if len(schemes) == 1 and None not in schemes:
        data["landmarks"] = np.stack([face.landmarks.points for face in found if face.landmarks is not None])
    return supervision.Detections(
        xyxy=np.array([face.box for face in found], np.float32).reshape(-1, 4),
        confidence=np.array([face.score for face in found], np.float32),
        class_id=np.zeros(len(found), int),
        data=data,
    )
