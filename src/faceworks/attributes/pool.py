"""Several models of one attribute as one: distributions are pooled log-linearly, numbers averaged. The card's parts say who, and with what weight.

Log-linear pooling is p(k) ∝ Π p_m(k)^w_m (Genest and Zidek, Statistical Science 1986): a model that is sure moves the answer more than one that is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..cards import Card, Part
from ..errors import CardError
from ..runtime import SessionOptions
from ..types import Categorical, Scalar
from . import Answer
from .labels import canonical

__all__ = ["FLOOR", "Pool", "log_pool", "pool_categoricals", "pool_scalars"]

FLOOR = 1e-6
"""Smallest probability that enters a logarithm: one model cannot forbid a label for all."""


def log_pool(probabilities: Sequence[NDArray[np.float64]], weights: Sequence[float]) -> NDArray[np.float64]:
    """Pool distributions (…, K) with one weight each: ∝ Π p^w."""
    total = np.zeros(np.shape(probabilities[0]))
    for values, weight in zip(probabilities, weights, strict=True):
        total = total + weight * np.log(np.maximum(values, FLOOR))
    powers = np.exp(total - total.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _word(label: str, emotion: bool) -> str:
    return canonical(label) if emotion else label


def pool_categoricals(
    items: Sequence[Categorical], weights: Sequence[float], labels: Sequence[str], model: str, emotion: bool = False
) -> Categorical:
    """Pool distributions over the labels of the answer; a model that lacks one of them says nothing of it (`FLOOR`)."""
    rows = []
    for item in items:
        shares: Mapping[str, float] = {_word(label, emotion): value for label, value in item.probabilities.items()}
        rows.append(np.array([shares.get(label, 0.0) for label in labels]))
    pooled = log_pool(rows, weights)
    return Categorical(labels[int(pooled.argmax())], {label: float(value) for label, value in zip(labels, pooled, strict=True)}, model)


def pool_scalars(items: Sequence[Scalar], weights: Sequence[float], model: str, limits: tuple[float, float]) -> Scalar:
    """The weighted mean; its spread is that of the mixture: the models' own spreads and how far they are apart."""
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    values = np.array([item.value for item in items])
    mean = float(shares @ values)
    own = np.array([(item.spread or 0.0) ** 2 for item in items])
    spread = float(np.sqrt(shares @ (own + (values - mean) ** 2)))
    return Scalar(float(np.clip(mean, *limits)), items[0].unit, limits, spread, model)


class Pool:
    """The fusion that a card with `[[part]]` entries describes."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        if not card.part:
            raise CardError(f"card {card.name}: the adapter pool needs [[part]] entries")
        self.card = card

    def combine(self, answers: Sequence[Sequence[Answer]]) -> list[Answer]:
        """One answer for each face."""
        return [self._one(row) for row in zip(*answers, strict=True)]

    def _one(self, row: Sequence[Answer]) -> Answer:
        out: dict[str, Categorical | Scalar] = {}
        for output in self.card.output:
            attribute = output.attribute or output.name
            known: list[tuple[Part, Categorical | Scalar]] = [
                (part, answer[attribute]) for part, answer in zip(self.card.part, row, strict=True) if attribute in answer
            ]
            weights = [part.weight for part, _ in known]
            distributions = [item for _, item in known if isinstance(item, Categorical)]
            numbers = [item for _, item in known if isinstance(item, Scalar)]
            if output.kind == "classes" and distributions and not numbers:
                out[attribute] = pool_categoricals(distributions, weights, output.labels, self.card.name, attribute == "emotion")
            elif output.kind != "classes" and numbers and not distributions:
                limits = (output.range[0], output.range[1]) if output.range else numbers[0].range
                out[attribute] = pool_scalars(numbers, weights, self.card.name, limits)
            else:
                raise CardError(f"card {self.card.name}: its parts do not answer {attribute} as {output.kind}")
        return out
