"""Does the edited face show what it should? Rectangular confusion matrices, hit rates with intervals, and the guard against edits that change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..evaluate.agreement import confusion, kappa, macro_f1, unbiased_hit_rate
from .config import StudyConfig
from .faces import distribution
from .identity import rate_key
from .naming import EMOTIONS
from .stats import share

__all__ = ["CHANGE_FLOOR", "MOVE_FLOOR", "lazy", "matrix", "model_tables"]

Row = Mapping[str, Any]
CHANGE_FLOOR = 0.10
"""Total variation distance between the emotions of source and edit below which nothing has changed, unless the no-op baseline says more."""
MOVE_FLOOR = 0.02
"""The same for the displacement of points, in eye distances: about what re-encoding a picture moves them."""


def matrix(rows: Sequence[tuple[str, str]], targets: Sequence[str], columns: Sequence[str], top2: int | None = None) -> dict[str, Any]:
    """A rectangular confusion of (target, said) with what follows from it.

    "unsure" and "no face" are columns and count as misses. Rows "source" are shown and enter no figure. `top2`: hits among the two most probable.
    """
    shown = [name for name in ("source", *targets) if any(target == name for target, _ in rows)]
    counts = {name: Counter(answer for target, answer in rows if target == name) for name in shown}
    judged = [(target, answer) for target, answer in rows if target != "source"]
    found: dict[str, Any] = {
        "rows": shown, "columns": list(columns), "counts": [[counts[name][column] for column in columns] for name in shown], "n": len(judged),
    }  # fmt: skip
    if not judged:
        return found | {"accuracy": None, "macro_f1": None, "kappa": None, "top2": None, "recall": {}, "unbiased_hit_rate": {}}
    table = confusion([target for target, _ in judged], [answer for _, answer in judged], list(dict.fromkeys([*targets, *columns])))
    try:
        chance: float | None = (
            kappa(table) if len({target for target, _ in judged}) > 1 else None
        )  # one target alone: agreement by chance is all there is
    except InputError:
        chance = None
    rates = unbiased_hit_rate(table)
    return found | {
        "accuracy": share(sum(target == answer for target, answer in judged), len(judged)),
        "macro_f1": _macro_f1(judged, targets) if columns else macro_f1(table),
        "kappa": chance,
        "top2": None if top2 is None else share(top2, len(judged)),
        "recall": {name: share(counts[name][name], sum(counts[name].values())) for name in shown if name != "source"},
        "unbiased_hit_rate": {name: rates[name] for name in targets if rates.get(name) is not None},
    }


def _macro_f1(rows: Sequence[tuple[str, str]], targets: Sequence[str]) -> float:
    """Mean F1 over the targets that were shown (labels nobody aimed at have no recall; saying them costs recall of the target)."""
    values = []
    for name in targets:
        hits = sum(target == answer == name for target, answer in rows)
        total = sum(target == name for target, _ in rows) + sum(answer == name for _, answer in rows)
        if any(target == name for target, _ in rows):
            values.append(2 * hits / total)
    return float(np.mean(values))


def model_tables(config: StudyConfig, faces: Sequence[Row], labels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Target x model for every emotion model: open set (whole label space) and renormalized to the targets. `labels`: model -> its label space."""
    edits = [row for row in faces if row["role"] == "edit"]
    targets = [label for label in EMOTIONS if any(row["condition"] == label for row in edits)]
    shown = [(row, "source" if row["role"] == "source" else row["condition"]) for row in faces if row["role"] != "reference"]
    found = {}
    for model in config.emotion:
        space = [label for label in EMOTIONS if label in labels[model]] + sorted(set(labels[model]) - set(EMOTIONS))
        probabilities = [(target, row, distribution(row, model, space)) for row, target in shown]
        open_rows = [(target, row[f"emotion_{model}"]) for target, row, _ in probabilities]
        closed = [(target, _best(p, sorted({*targets, "neutral"})) if p else "no face") for target, _, p in probabilities]
        found[model] = {
            "targets": targets,
            "open": matrix(open_rows, targets, [*space, "unsure", "no face"], _top2(probabilities, lambda p: p)),
            "renormalized": matrix(closed, targets, [*[n for n in EMOTIONS if n in {*targets, "neutral"}], "no face"],
                                   _top2(probabilities, lambda p: {k: v for k, v in p.items() if k in {*targets, "neutral"}})),
            "never_said": [name for name in targets if not any(answer == name for _, answer in open_rows)],
        }  # fmt: skip
    return found


def _best(p: Mapping[str, float], among: Sequence[str]) -> str:
    return min(among, key=lambda name: (-p.get(name, 0.0), name))


def _top2(rows: Sequence[tuple[str, Row, dict[str, float] | None]], keep: Callable[[dict[str, float]], Mapping[str, float]]) -> int:
    hits = 0
    for target, _, p in rows:
        if target != "source" and p:
            kept = keep(p)
            hits += target in sorted(kept, key=lambda name: (-kept[name], name))[:2]
    return hits


def lazy(config: StudyConfig, faces: Sequence[Row], pairs: Sequence[Row]) -> dict[str, Any]:
    """Identity kept x expression changed, for every edit that aims at an emotion. An edit that keeps identity by changing nothing is *lazy*.

    Changed: the emotions' distribution (mean over models) or the points moved more than on 95 % of the no-op edits, and more than the floors.
    Kept: verified at the first rate by more than half of the embedders that could compare.
    """
    key = f"verified_cosine_{rate_key(config.fmrs[0])}"
    votes: dict[str, list[bool]] = {}
    for row in pairs:
        if row["status"] == "ok" and row[key] is not None:
            votes.setdefault(row["edit"], []).append(bool(row[key]))
    zs: dict[str, list[float]] = {}
    for row in pairs:
        if row["z"] is not None:
            zs.setdefault(row["edit"], []).append(row["z"])
    usable = [row for row in faces if row["role"] == "edit" and row["status"] == "ok" and row["displacement"] is not None]
    quiet = [row for row in usable if row["condition"] == "neutral"]
    change_limit = max([CHANGE_FLOOR, *([float(np.percentile([_change(config, row) for row in quiet], 95))] if quiet and config.emotion else [])])
    move_limit = max([MOVE_FLOOR, *([float(np.percentile([row["displacement"] for row in quiet], 95))] if quiet else [])])
    points: list[dict[str, Any]] = []
    for row in usable:
        if row["condition"] == "neutral" or row["picture"] not in votes:
            continue
        kept = sum(votes[row["picture"]]) * 2 > len(votes[row["picture"]])
        change = _change(config, row)
        changed = row["displacement"] > move_limit or (bool(config.emotion) and change > change_limit)
        quadrant = ("good" if changed else "lazy") if kept else ("identity lost" if changed else "neither")
        points.append({
            "picture": row["picture"], "identity": row["identity"], "condition": row["condition"], "kept": kept, "changed": changed, "quadrant": quadrant,
            "z": float(np.mean(zs[row["picture"]])) if row["picture"] in zs else None, "change": change if config.emotion else None,
            "displacement": row["displacement"],
        })  # fmt: skip
    counts = Counter(point["quadrant"] for point in points)
    return {
        "limits": {"change": change_limit if config.emotion else None, "displacement": move_limit, "from_baseline": bool(quiet)},
        "counts": {name: counts[name] for name in ("good", "lazy", "identity lost", "neither")},
        "points": points,
    }


def _change(config: StudyConfig, row: Row) -> float:
    values = [row[f"change_{name}"] for name in config.emotion if row.get(f"change_{name}") is not None]
    return float(np.mean(values)) if values else 0.0
