"""Choose the weights of the attribute pools on the first part of each data set, from the answers that `bench.attributes measure` left.

    python -m bench.attributes_fit --data ../shared/data --state DIR

Emotion: exponents and offsets of a multinomial logit by maximum likelihood; the parts of the mirrored pool are asked of the crop and of its mirror image.
Gender: the exponents on a grid of tenths under which the labels are most likely. Age: the share on a grid of twentieths with the smallest mean absolute
error. Nothing is written: the weights belong into the cards of the pools.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from faceworks import align, cards, image
from faceworks.attributes import PREFERRED, AttributeModel, load_attribute_model
from faceworks.attributes.labels import SEVEN, canonical
from faceworks.attributes.pool import FLOOR, log_pool, pool_views
from faceworks.evaluate.intervals import clopper_pearson
from faceworks.runtime import SessionOptions
from faceworks.types import Categorical, View

from .attribute_sets import SETS
from .attributes import ADULT, answers, identity, whole_for

TENTHS = np.arange(0, 1.01, 0.1)


def _tuning(state: Path, set_name: str, attribute: str) -> tuple[list[dict[str, Any]], list[int], dict[str, dict[str, NDArray[Any]]]]:
    """What is true of each picture, the places of the first part, and the answers of the pool's parts."""
    truth = json.loads((state / f"{set_name}.json").read_text(encoding="utf-8"))
    found = answers(state, set_name, attribute)
    parts = {part.model: found[part.model] for part in cards.get(PREFERRED[attribute][-1]).part}
    adult = [attribute != "gender" or float(item.get("age", ADULT)) >= ADULT for item in truth]
    return truth, [place for place, item in enumerate(truth) if item["part"] == 0 and adult[place]], parts


POOLS = ("emotion-pool", "emotion-pool-mirrored")


def _logs(said: Iterable[Mapping[str, float]]) -> NDArray[np.float64]:
    """Distributions as logarithms (N, 7) in the order of `labels.SEVEN`."""
    rows = [{canonical(label): value for label, value in shares.items()} for shares in said]
    return np.log(np.maximum([[shares[label] for label in SEVEN] for shares in rows], FLOOR))


def one_way(state: Path, name: str) -> NDArray[np.float64]:
    """What a model said of FER2013's pictures when it was measured."""
    said = answers(state, "fer2013", "emotion")[name]
    return _logs(dict(zip(map(str, said["emotion.labels"]), row, strict=True)) for row in said["emotion"])


def both_ways(data: Path, state: Path, name: str) -> NDArray[np.float64]:
    """What it says of them and of their mirror images together; kept."""
    card = cards.get(name)
    target = state / f"fer2013.emotion.{name}.{identity(card)}.both.npy"
    if not target.is_file():
        model, spec = cast(AttributeModel, load_attribute_model(name, SessionOptions(threads=1))), card.input[0]
        said = []
        for sample in SETS["fer2013"][0](data):
            picture = image.load(sample.path)
            face = whole_for(card, picture.shape[0])
            crop = align.crop(picture, face, spec.crop, (spec.size[0], spec.size[1]), spec.border, spec.interpolation, spec.margin)
            view = View(face, (picture.shape[0], picture.shape[1]), 1, (crop,))
            said.append(cast(Categorical, pool_views(model.predict([view, align.mirror_view(view)]))["emotion"]).probabilities)
        np.save(target, _logs(said))
    return cast(NDArray[np.float64], np.load(target))


def fit_logit(logs: NDArray[np.float64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """Exponents (S,) and offsets (K,) that make the labels (N,) most likely, from logarithms (N, K, S); a slight pull of the offsets to 0 settles their sum."""
    sources = logs.shape[2]

    def loss(values: NDArray[np.float64]) -> float:
        scores = logs @ values[:sources] + values[sources:]
        return float((logsumexp(scores, axis=1) - scores[np.arange(len(right)), right]).sum() + values[sources:] @ values[sources:])

    return np.asarray(minimize(loss, np.r_[np.full(sources, 1 / sources), np.zeros(logs.shape[1])], method="L-BFGS-B").x)


def emotion(data: Path, state: Path, pool: str) -> dict[str, float]:
    """Exponents and offsets; on stderr what they reach on the part they were not fitted on, and when each part is judged by the other's fit."""
    truth = json.loads((state / "fer2013.json").read_text(encoding="utf-8"))
    parts = cards.get(pool).part
    logs = np.stack([both_ways(data, state, part.model) if part.flip else one_way(state, part.model) for part in parts], axis=2)
    right = np.array([SEVEN.index(item["emotion"]) for item in truth])
    second = np.array([item["part"] == 1 for item in truth])
    hits = np.zeros(len(right), bool)
    for part in (second, ~second):
        chosen = fit_logit(logs[part], right[part])  # at last on the first part
        hits[~part] = (logs[~part] @ chosen[: len(parts)] + chosen[len(parts) :]).argmax(axis=1) == right[~part]
    ends = clopper_pearson(int((~hits).sum()), len(hits))
    print(
        f"{pool}: each part by the other's fit {100 * hits.mean():.1f} % [{100 * (1 - ends[1]):.1f}, {100 * (1 - ends[0]):.1f}]; "
        f"second part by the first's {100 * hits[second].mean():.1f} %, first by the second's {100 * hits[~second].mean():.1f} %",
        file=sys.stderr,
    )
    return dict(zip([*(part.model for part in parts), *SEVEN], chosen.tolist(), strict=True))


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
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    state = options.state
    found = {pool: emotion(options.data, state, pool) for pool in POOLS}
    for name, chosen in (found | {PREFERRED["gender"][-1]: gender(state), PREFERRED["age"][-1]: age(state)}).items():
        print(f"{name}: " + ", ".join(f"{model} {weight:.3f}" for model, weight in chosen.items()))


if __name__ == "__main__":
    main()
