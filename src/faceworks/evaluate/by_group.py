"""Agreement with its doubt, and group by group: what a mean over everybody hides.

Labels: accuracy with its exact binomial interval, macro-F1 by resampling rows. Numbers: MAE and CCC by resampling rows. A group of fewer than
`LEAST` rows is counted and left without figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from . import agreement
from .intervals import Interval, clopper_pearson

__all__ = ["LEAST", "figures", "group_table", "intervals"]

LEAST = 5
"""Smallest group that gets figures."""
REPLICATES = 500


def figures(truth: Sequence[Any], predicted: Sequence[Any]) -> dict[str, float | None]:
    """Accuracy and macro-F1 of labels (text), MAE and CCC of numbers; None where one is not defined."""
    found: dict[str, float | None] = {}
    for name, work in _measures(truth).items():
        try:
            found[name] = work(truth, predicted)
        except InputError:
            found[name] = None
    return found


def _measures(truth: Sequence[Any]) -> dict[str, Callable[[Sequence[Any], Sequence[Any]], float]]:
    if isinstance(truth[0], str):
        return {
            "accuracy": lambda a, b: agreement.confusion(a, b).accuracy,
            "macro_f1": lambda a, b: agreement.macro_f1(agreement.confusion(a, b)),
        }
    return {"mae": agreement.mae, "ccc": agreement.ccc}


def intervals(truth: Sequence[Any], predicted: Sequence[Any], seed: int = 0) -> dict[str, Interval | None]:
    """95 % intervals of `figures`; None where a figure is not defined on enough of the resamples."""
    found: dict[str, Interval | None] = {}
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(truth), len(truth)) for _ in range(REPLICATES)]
    for name, work in _measures(truth).items():
        if name == "accuracy":
            wrong = sum(a != b for a, b in zip(truth, predicted, strict=True))
            low, high = clopper_pearson(wrong, len(truth))
            found[name] = (1 - high, 1 - low)
            continue
        values = []
        for rows in draws:
            try:
                values.append(work([truth[i] for i in rows], [predicted[i] for i in rows]))
            except InputError:
                continue
        found[name] = None if len(values) < REPLICATES // 2 else (float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5)))
    return found


def group_table(truth: Sequence[Any], predicted: Sequence[Any], groups: Sequence[str]) -> dict[str, Any]:
    """Figures and intervals for each group (its rows first), and the name of the worst: lowest accuracy, or largest MAE.

    Raises:
        InputError: other lengths.
    """
    if not len(truth) == len(predicted) == len(groups):
        raise InputError(f"truth, predicted and groups must have one length, got {len(truth)}, {len(predicted)} and {len(groups)}")
    table: dict[str, Any] = {}
    for name in sorted(set(groups)):
        rows = [index for index, group in enumerate(groups) if group == name]
        a, b = [truth[i] for i in rows], [predicted[i] for i in rows]
        table[name] = {"rows": len(rows)} | ({"figures": figures(a, b), "intervals": intervals(a, b)} if len(rows) >= LEAST else {})
    measured = {name: item["figures"] for name, item in table.items() if "figures" in item}
    worst = None
    if measured:
        first = next(iter(_measures(truth)))
        worst = (min if first == "accuracy" else max)(measured, key=lambda name: measured[name][first])
    return {"table": table, "worst": worst}
