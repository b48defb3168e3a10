"""Is the edited face still the same person? Source against edit, with several embedders, against what different people score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..calibration import Calibration
from ..compat.deepface_tables import CONFIDENCES, THRESHOLDS, find_confidence
from ..errors import FaceworksError
from ..types import Metric
from .config import StudyConfig
from .impostors import Impostors, Threshold, effective_number, impostor_scores, threshold
from .manifest import Manifest, Picture
from .measure import Record, pipeline_for

__all__ = ["DEEPFACE", "Face", "IdentityResult", "compare", "rate_key", "same_order"]

Floats: TypeAlias = NDArray[np.float64]
Face: TypeAlias = tuple[Picture, Record]

DEEPFACE: Mapping[str, str] = {
    "sface-2021dec-int8bq": "SFace", "dlib-resnet-v1": "Dlib", "arcface-r34": "ArcFace", "vggface": "VGG-Face", "facenet128": "Facenet",
    "facenet512": "Facenet512", "openface": "OpenFace", "fb-deepface": "DeepFace", "deepid": "DeepID", "ghostfacenet": "GhostFaceNet",
}  # fmt: skip
"""Embedder -> the name under which deepface fitted its confidence. Others have none."""


def rate_key(fmr: float) -> str:
    """A rate as a part of a column's name: 1e-3."""
    text = f"{fmr:.0e}"
    return text.replace("e-0", "e-").replace("e+0", "e")


@dataclass(frozen=True, slots=True)
class IdentityResult:
    """Every pair, and what each embedder knows of the set.

    Attributes:
        pairs: one row for each (edit, embedder), or (edit, source, embedder) with neutral = "each".
        embedders: embedder -> thresholds, impostors, nearest neighbors, real people.
        impostors: embedder -> scores, for curves.
    """

    pairs: list[dict[str, Any]]
    embedders: dict[str, dict[str, Any]]
    impostors: dict[str, Impostors] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Source:
    """What an edit is compared with: one picture, or the mean of several. `vectors` is empty without a face."""

    name: str
    vectors: Mapping[str, Floats]


def compare(config: StudyConfig, manifest: Manifest, records: Mapping[str, Record]) -> IdentityResult:
    """Compare every edit with its source. `records`: picture name -> record."""
    faces = [(item, records[item.name]) for item in manifest.pictures]
    sources = _sources(config, manifest, records)
    pairs: list[dict[str, Any]] = []
    about: dict[str, dict[str, Any]] = {}
    scores: dict[str, Impostors] = {}
    for embedder in config.embedders:
        known, recipe = _calibration(config, embedder)
        scores[embedder] = impostors = impostor_scores(_groups(faces, embedder))
        limits = {(m, f): threshold(_metric(m), f, impostors, known) for m in config.metrics for f in config.fmrs}
        real = _real(faces, embedder)
        about[embedder] = _about(config, embedder, recipe, known, impostors, limits, real, sources)
        firsts = _unit_rows({name: group[0].vectors[embedder] for name, group in sources.items() if group[0].vectors})
        for item, record in faces:
            if item.role != "edit":
                continue
            for source in sources[item.identity]:
                row = _row(config, embedder, item, record, source, impostors, limits, known)
                if row["status"] == "ok":
                    row["z_real"] = None if real is None else (row["similarity"] - real["mean"]) / real["sd"]
                    row["rank"] = _rank(record.vectors[embedder], row["similarity"], item.identity, firsts)
                pairs.append(row)
    return IdentityResult(pairs, about, scores)


def _metric(name: str) -> Metric:
    return name  # type: ignore[return-value]


def _calibration(config: StudyConfig, embedder: str) -> tuple[Calibration | None, str]:
    pipeline = pipeline_for(config.detector, embedder)
    return pipeline.calibration, pipeline.recipe_id


def _sources(config: StudyConfig, manifest: Manifest, records: Mapping[str, Record]) -> dict[str, list[_Source]]:
    found: dict[str, list[_Source]] = {}
    for identity in manifest.identities:
        items = [item for item in manifest.of_role("source") if item.identity == identity]
        if config.neutral == "mean" and len(items) > 1:
            with_face = [records[item.name] for item in items if records[item.name].found]
            mean = {name: np.mean([record.vectors[name] for record in with_face], axis=0) for name in config.embedders} if with_face else {}
            found[identity] = [_Source(f"mean of {len(with_face)} sources", mean)]
        else:
            kept = items if config.neutral == "each" else items[:1]
            found[identity] = [_Source(item.name, records[item.name].vectors) for item in kept]
    return found


def _groups(faces: Sequence[Face], embedder: str) -> dict[str, list[tuple[str, Floats]]]:
    """Condition -> vectors of it. Sources are a condition of their own, so that a no-op edit is not compared with another's source."""
    groups: dict[str, list[tuple[str, Floats]]] = defaultdict(list)
    for item, record in faces:
        if record.found and item.role != "reference" and not item.control:
            groups["source" if item.role == "source" else item.condition].append((item.identity, record.vectors[embedder]))
    return dict(groups)


def _real(faces: Sequence[Face], embedder: str) -> dict[str, Any] | None:
    """What real people score who change their expression: all pairs of pictures of one reference identity with different conditions."""
    of: dict[str, list[tuple[str, Floats]]] = defaultdict(list)
    for item, record in faces:
        if item.role == "reference" and record.found:
            of[item.identity].append((item.condition, record.vectors[embedder]))
    scores = [similarity.similarity(a, b) for group in of.values() for i, (one, a) in enumerate(group) for two, b in group[i + 1 :] if one != two]
    if len(scores) < 3 or float(np.std(scores)) == 0:
        return None
    return {"people": len(of), "n": len(scores), "mean": float(np.mean(scores)), "sd": float(np.std(scores, ddof=1)), "min": float(np.min(scores))}


def _row(
    config: StudyConfig, embedder: str, item: Picture, record: Record, source: _Source, impostors: Impostors,
    limits: Mapping[tuple[str, float], Threshold], known: Calibration | None,
) -> dict[str, Any]:  # fmt: skip
    status = (record.error and "unreadable") or ("no face in edit" if not record.found else "no face in source" if not source.vectors else "ok")
    row: dict[str, Any] = {
        "identity": item.identity, "condition": item.condition, "replicate": item.replicate, "generator": item.generator, "edit": item.name,
        "source": source.name, "embedder": embedder, "status": status, "control": item.control, "baseline": item.condition == "neutral",
    }  # fmt: skip
    names = ["similarity", *(f"distance_{m}" for m in config.metrics), "z", "z_real", "rank", "probability", "fmr", "fmr_upper"]
    row |= dict.fromkeys(names)
    for (metric, fmr), limit in limits.items():
        row[f"threshold_{metric}_{rate_key(fmr)}"] = None if np.isnan(limit.distance) else limit.distance
        row[f"verified_{metric}_{rate_key(fmr)}"] = None if np.isnan(limit.distance) else False
    first = limits[config.metrics[0], config.fmrs[0]]
    row |= {"threshold_source": first.source, "deepface_confidence": None}
    if status != "ok":
        return row
    a, b = source.vectors[embedder], record.vectors[embedder]
    cosine = similarity.similarity(a, b)
    row |= {"similarity": cosine, "z": impostors.z(cosine)} | {f"distance_{m}": similarity.distance(a, b, _metric(m)) for m in config.metrics}
    for (metric, fmr), limit in limits.items():
        if not np.isnan(limit.distance):
            row[f"verified_{metric}_{rate_key(fmr)}"] = similarity.accepts(row[f"distance_{metric}"], limit.distance)
    if known is not None:
        row |= {"probability": known.probability(cosine), "fmr": known.fmr_at(cosine)}
    elif (share := impostors.fmr(cosine)) is not None:
        row |= {"fmr": share[0], "fmr_upper": share[1]}
    row["deepface_confidence"] = _deepface(embedder, row["distance_cosine"])
    return row


def _deepface(embedder: str, distance: float) -> float | None:
    """deepface's "confidence": no probability, kept for those who compare with older work."""
    name = DEEPFACE.get(embedder)
    if name is None or name not in CONFIDENCES:
        return None
    return float(find_confidence(distance, name, distance <= THRESHOLDS[name]["cosine"], "cosine"))


def _unit_rows(vectors: Mapping[str, Floats]) -> tuple[Sequence[str], Floats]:
    """Names and unit vectors (N, D)."""
    rows = np.stack(list(vectors.values())) if vectors else np.zeros((0, 1))
    return list(vectors), rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _rank(edit: Floats, own: float, identity: str, firsts: tuple[Sequence[str], Floats]) -> int:
    """1 + the number of other identities whose source is closer to the edit than its own (`own` is that cosine)."""
    names, units = firsts
    cosines = units @ (edit / np.linalg.norm(edit))
    return 1 + sum(float(value) > own for name, value in zip(names, cosines, strict=True) if name != identity)


def _about(
    config: StudyConfig, embedder: str, recipe: str, known: Calibration | None, impostors: Impostors,
    limits: Mapping[tuple[str, float], Threshold], real: dict[str, Any] | None, sources: Mapping[str, list[_Source]],
) -> dict[str, Any]:  # fmt: skip
    firsts = {name: group[0].vectors[embedder] for name, group in sources.items() if group[0].vectors}
    some = impostors.n > 2
    return {
        "recipe": recipe,
        "models": pipeline_for(config.detector, embedder).models,
        "calibrated": known is not None,
        "calibration": None if known is None else {"dataset": known.dataset, "people": known.people, "impostors": known.impostors, "date": known.date[:10]},
        "impostors": {
            "n": impostors.n, "conditions": impostors.conditions, "mean": float(impostors.cosine.mean()) if some else None,
            "sd": float(impostors.cosine.std(ddof=1)) if some else None, "max": float(impostors.cosine[-1]) if impostors.n else None,
        },
        "thresholds": [
            {"metric": m, "fmr": f, "distance": None if np.isnan(t.distance) else t.distance, "source": t.source, "kind": t.kind, "limit": t.limit}
            for (m, f), t in limits.items()
        ],
        "real_people": real,
        "neighbors": _neighbors(config, firsts, limits[config.metrics[0], config.fmrs[0]], impostors),
    }  # fmt: skip


def _neighbors(config: StudyConfig, firsts: Mapping[str, Floats], limit: Threshold, impostors: Impostors) -> dict[str, Any] | None:
    """Are the people of the set different people? Each source's nearest other, and how many faces the set is worth."""
    if len(firsts) < 2:
        return None
    names, vectors = list(firsts), list(firsts.values())
    cosines = np.asarray(similarity.cosine_matrix(np.stack(vectors), np.stack(vectors)), np.float64)
    np.fill_diagonal(cosines, -np.inf)
    nearest = cosines.argmax(axis=1)
    best = cosines.max(axis=1)
    alike = [
        {"identity": names[i], "nearest": names[int(nearest[i])], "similarity": float(best[i]), "z": impostors.z(float(best[i]))}
        for i in range(len(names))
        if limit.kind == "calibration" and 1.0 - best[i] <= limit.distance
    ]
    closest = int(best.argmax())
    return {
        "identities": len(names),
        "effective_number": effective_number(vectors),
        "closest": [names[closest], names[int(nearest[closest])], float(best[closest])],
        "judged": limit.kind == "calibration",
        "alike": alike,
        "fmr": config.fmrs[0],
    }


def same_order(pairs: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    """Whether the metrics rank pairs of one embedder alike.

    cosine, angular and euclidean_l2 are functions of each other, so they must (asserted); euclidean of raw vectors need not.

    Raises:
        FaceworksError: the three differ: a fault of the arithmetic.
    """
    rows = [row for row in pairs if row["status"] == "ok"]
    found: dict[str, Any] = {"n": len(rows), "identical": True, "euclidean": None}
    order = np.argsort([row["distance_cosine"] for row in rows], kind="stable")
    for metric in ("angular", "euclidean_l2"):
        if metric in metrics and (np.diff([rows[i][f"distance_{metric}"] for i in order]) < -1e-9).any():
            raise FaceworksError(f"{metric} ranks pairs of {rows[0]['embedder']} otherwise than cosine, which algebra forbids; please report this")
    if "euclidean" in metrics and len(rows) > 2:
        from scipy import stats

        a, b = ([row[f"distance_{m}"] for row in rows] for m in ("cosine", "euclidean"))
        keys = [key for key in rows[0] if key.startswith("verified_cosine_")]
        moved = sum(row[key] != row[key.replace("cosine", "euclidean")] for row in rows for key in keys[:1])
        rho = None if len(set(a)) < 2 or len(set(b)) < 2 else float(stats.spearmanr(a, b).statistic)
        found["euclidean"] = {"spearman": rho, "decisions_that_differ": moved}
    return found
