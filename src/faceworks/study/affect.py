"""Valence and arousal, intensity and naturalness: models and people side by side (T4, T5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..evaluate import agreement
from .config import StudyConfig
from .naming import EMOTIONS
from .ratings import Ratings, scaled
from .stats import mean_interval

__all__ = ["STAND_INS", "ellipse", "t4", "t5"]

Row = Mapping[str, Any]
STAND_INS = frozenset({"affect-from-emotion"})
"""Models whose valence and arousal are a function of emotion probabilities: shown under a banner, kept out of agreement and inference."""


def ellipse(x: Sequence[float], y: Sequence[float]) -> dict[str, float] | None:
    """The ellipse that would hold 95 % of a bivariate normal cloud: center, half axes, angle in degrees; None with fewer than four points or no spread."""
    if len(x) < 4:
        return None
    covariance = np.cov(np.array([x, y], np.float64))
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-12 or values[1] <= 0:
        return None
    half = np.sqrt(np.maximum(values, 0) * 5.991464547107979)  # the 95 % quantile of chi-square with two degrees of freedom
    return {"x": float(np.mean(x)), "y": float(np.mean(y)), "a": float(half[1]), "b": float(half[0]),
            "angle": float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))}  # fmt: skip


def _agreement(model: Mapping[str, float], people: Mapping[str, float]) -> dict[str, Any]:
    common = sorted(set(model) & set(people))
    x, y = [model[name] for name in common], [people[name] for name in common]
    found: dict[str, Any] = {"n": len(common)}
    for name in ("ccc", "pearson", "rmse", "sagr"):
        try:
            found[name] = getattr(agreement, name)(x, y) if len(common) > 1 else None
        except InputError:
            found[name] = None
    return found


def t4(config: StudyConfig, faces: Sequence[Row], ratings: Ratings) -> dict[str, Any]:
    """Valence and arousal by emotion: model, people, outside models; agreement over pictures (never for a stand-in); ellipses for the plot."""
    edits = [row for row in faces if row["role"] == "edit"]
    sources: dict[str, dict[str, dict[str, float]]] = {}
    if config.affect:
        sources["model"] = {key: {row["picture"]: row[key] for row in faces if row[key] is not None} for key in ("valence", "arousal")}
    for kind in ("human", "ai"):
        means = {
            key: {name: scaled(key, value, config.ratings) for name, value in ratings.means(key, kind).items()} for key in ("valence", "arousal")
        }
        if any(means.values()):
            sources[kind] = means
    table, ellipses = [], []
    for who, values in sources.items():
        for condition in ("source", *EMOTIONS):
            rows = (
                [row for row in faces if row["role"] == "source"]
                if condition == "source"
                else [row for row in edits if row["condition"] == condition]
            )
            entry: dict[str, Any] = {"who": who, "condition": condition}
            for key in ("valence", "arousal"):
                some = [row for row in rows if row["picture"] in values[key]]
                entry[key] = mean_interval([values[key][row["picture"]] for row in some], [row["identity"] for row in some])
            if entry["valence"]["n"] or entry["arousal"]["n"]:
                table.append(entry)
            both = [row["picture"] for row in rows if row["picture"] in values["valence"] and row["picture"] in values["arousal"]]
            x, y = [values["valence"][name] for name in both], [values["arousal"][name] for name in both]
            if both:
                ellipses.append({"who": who, "condition": condition, "x": x, "y": y, "ellipse": ellipse(x, y)})
    judged = {name for name in sources if not (name == "model" and config.affect in STAND_INS)}
    compared = [("model", "human"), ("ai", "human"), ("model", "ai")]
    agreements = [
        {"a": a, "b": b, "what": key, **_agreement(sources[a][key], sources[b][key])}
        for a, b in compared
        if {a, b} <= judged
        for key in ("valence", "arousal")
    ]
    return {"model": config.affect, "stand_in": config.affect in STAND_INS, "table": table, "agreement": agreements, "clouds": ellipses}


def t5(config: StudyConfig, faces: Sequence[Row], ratings: Ratings) -> dict[str, Any]:
    """Intensity by emotion (1 − P(neutral) of each model, displacement of points, people) and naturalness (rated from outside alone)."""
    measures: dict[str, dict[str, float]] = {
        f"1 − P(neutral), {name}": {row["picture"]: row[f"intensity_{name}"] for row in faces if row[f"intensity_{name}"] is not None}
        for name in config.emotion
    }
    measures["displacement of points"] = {row["picture"]: row["displacement"] for row in faces if row["displacement"] is not None}
    for question in ("intensity", "naturalness"):
        for kind, word in (("human", "people"), ("ai", "outside model")):
            if found := ratings.means(question, kind):
                measures[f"{question}, {word}"] = found
    measures["quality score"] = {row["picture"]: row["quality"] for row in faces if row["quality"] is not None}
    table = []
    for name, values in measures.items():
        for condition in ("source", *EMOTIONS):
            rows = [
                row
                for row in faces
                if (row["role"] == "source" if condition == "source" else row["role"] == "edit" and row["condition"] == condition)
            ]
            some = [row for row in rows if row["picture"] in values]
            if some:
                table.append(
                    {"measure": name, "condition": condition, **mean_interval([values[r["picture"]] for r in some], [r["identity"] for r in some])}
                )
    people = ratings.means("intensity")
    return {
        "table": table,
        "agreement": [{"a": name, "b": "intensity, people", **{k: v for k, v in _agreement(values, people).items() if k in ("n", "pearson")}}
                      for name, values in measures.items() if people and not name.startswith(("intensity, people", "naturalness", "quality"))],
        "naturalness_rated": any(name.startswith("naturalness") for name in measures),
    }  # fmt: skip
