"""Choose the weights of the attribute pools on the first part of each data set, from the answers that `bench.attributes measure` left.

    python -m bench.attributes_fit --state DIR

Emotion: maximum likelihood (`attributes.fuse.fit`). Gender: the exponents on a grid of tenths under which the labels are most likely. Age: the share on a grid
of twentieths with the smallest mean absolute error. Nothing is written: the weights belong into the cards of the pools.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceworks import cards
from faceworks.attributes import PREFERRED
from faceworks.attributes.fuse import fit
from faceworks.attributes.pool import log_pool
from faceworks.types import Categorical

from .attributes import ADULT, answers

TENTHS = np.arange(0, 1.01, 0.1)


def _tuning(state: Path, set_name: str, attribute: str) -> tuple[list[dict[str, Any]], list[int], dict[str, dict[str, NDArray[Any]]]]:
    """What is true of each picture, the places of the first part, and the answers of the pool's parts."""
    truth = json.loads((state / f"{set_name}.json").read_text(encoding="utf-8"))
    found = answers(state, set_name, attribute)
    parts = {part.model: found[part.model] for part in cards.get(PREFERRED[attribute][-1]).part}
    adult = [attribute != "gender" or float(item.get("age", ADULT)) >= ADULT for item in truth]
    return truth, [place for place, item in enumerate(truth) if item["part"] == 0 and adult[place]], parts


def emotion(state: Path) -> dict[str, float]:
    """Exponents by maximum likelihood."""
    truth, places, parts = _tuning(state, "fer2013", "emotion")

    def said(name: str, place: int) -> Categorical:
        shares = {str(label): float(value) for label, value in zip(parts[name]["emotion.labels"], parts[name]["emotion"][place], strict=True)}
        return Categorical(max(shares, key=lambda label: shares[label]), shares, name)

    return dict(fit([{name: said(name, place) for name in parts} for place in places], [truth[place]["emotion"] for place in places]).by_source)


def gender(state: Path) -> dict[str, float]:
    """Exponents with the largest likelihood."""
    truth, places, parts = _tuning(state, "utkface", "gender")
    tables = [item["gender"][places][:, [list(item["gender.labels"]).index(name) for name in ("female", "male")]] for item in parts.values()]
    right = np.array([("female", "male").index(truth[place]["gender"]) for place in places])

    def likelihood(weights: Sequence[float]) -> float:
        return float(np.log(np.maximum(log_pool(tables, weights)[np.arange(len(right)), right], 1e-12)).mean())

    best = max(itertools.product(TENTHS, repeat=len(tables)), key=likelihood)
    return {name: float(weight) for name, weight in zip(parts, best, strict=True)}


def age(state: Path) -> dict[str, float]:
    """The share of two models with the smallest error."""
    truth, places, parts = _tuning(state, "utkface", "age")
    (first, one), (second, other) = parts.items()
    years = np.array([float(truth[place]["age"]) for place in places])
    best = min(np.arange(0, 1.01, 0.05), key=lambda w: float(np.abs(w * one["age"][places, 0] + (1 - w) * other["age"][places, 0] - years).mean()))
    return {first: float(best), second: 1 - float(best)}


def main() -> None:
    """Print the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True)
    state = parser.parse_args().state
    for name, chosen in (("emotion", emotion(state)), ("gender", gender(state)), ("age", age(state))):
        print(f"{PREFERRED[name][-1]}: " + ", ".join(f"{model} {weight:.3f}" for model, weight in chosen.items()))


if __name__ == "__main__":
    main()
