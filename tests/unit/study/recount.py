"""T2 to T4 counted again from the CSV files, with nothing but the standard library and SciPy's t: no line is shared with faceworks."""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, str]


def rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def mean_of_people(some: Iterable[Row], value: Callable[[Row], str]) -> dict[str, Any]:
    """n, mean over identities, SD over values, t interval over identities."""
    from scipy.stats import t

    kept = [(row["identity"], float(value(row))) for row in some if value(row) != ""]
    if not kept:
        return {"n": 0, "mean": None}
    people: dict[str, list[float]] = defaultdict(list)
    for name, number in kept:
        people[name].append(number)
    means = [statistics.fmean(numbers) for numbers in people.values()]
    center = statistics.fmean(means)
    half = t.ppf(0.975, len(means) - 1) * statistics.stdev(means) / math.sqrt(len(means))
    return {"n": len(kept), "mean": center, "sd": statistics.stdev([v for _, v in kept]), "low": center - half, "high": center + half}


def t2(pairs: list[Row], rates: tuple[str, ...]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in pairs:
        if row["control"]:
            continue
        groups[row["embedder"], row["condition"]].append(row)
        if row["baseline"] == "0":
            groups[row["embedder"], "all"].append(row)
    for key, some in groups.items():
        good = [row for row in some if row["status"] == "ok"]
        found[key] = {
            "similarity": mean_of_people(good, lambda row: row["similarity"]),
            "z": mean_of_people(good, lambda row: row["z"]),
            "verified": {rate: (sum(row[f"verified_cosine_{rate}"] == "1" for row in some), len(some)) for rate in rates},
            "failures": len(some) - len(good),
        }
    return found


def t3(faces: list[Row], model: str) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in faces:
        if row["role"] != "reference" and not row["control"]:
            found["source" if row["role"] == "source" else row["condition"], row[f"emotion_{model}"]] += 1
    return dict(found)


def t4(faces: list[Row]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in faces:
        if row["role"] != "reference" and not row["control"]:
            groups["source" if row["role"] == "source" else row["condition"]].append(row)
    return {name: {key: mean_of_people(some, lambda row, key=key: row[key]) for key in ("valence", "arousal")} for name, some in groups.items()}
