"""Several models of one attribute as one: distributions are pooled log-linearly, numbers averaged. The card's parts say who, and with what weight.

Log-linear pooling is p(k) ∝ exp(b_k) Π p_m(k)^w_m (Genest and Zidek, Statistical Science 1986): a model that is sure moves the answer more than one that is
not. The offsets b_k, where a card has them, take off what all its models say too often or too rarely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cards import Card, Part, options
from ..errors import CardError
from ..runtime import SessionOptions
from ..types import Categorical, Scalar
from . import Answer
from .labels import canonical

__all__ = ["FLOOR", "Pool", "PoolOptions", "log_pool", "pool_categoricals", "pool_scalars", "pool_views"]

FLOOR = 1e-6
"""Smallest probability that enters a logarithm: one model cannot forbid a label for all."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The card's `[decode]`: what is added to the logarithm of each label of its one distribution, in the order of the labels; none: nothing."""

    offset: tuple[float, ...] = ()


def log_pool(probabilities: Sequence[NDArray[np.float64]], weights: Sequence[float], offset: Sequence[float] = ()) -> NDArray[np.float64]:
    """Pool distributions (…, K) with one weight each: ∝ exp(offset) · Π p^w."""
    total = np.zeros(np.shape(probabilities[0])) + (np.asarray(offset, np.float64) if len(offset) else 0.0)
    for values, weight in zip(probabilities, weights, strict=True):
        total = total + weight * np.log(np.maximum(values, FLOOR))
    powers = np.exp(total - total.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _word(label: str, emotion: bool) -> str:
    return canonical(label) if emotion else label


def pool_categoricals(
    items: Sequence[Categorical], weights: Sequence[float], labels: Sequence[str], model: str, emotion: bool = False, offset: Sequence[float] = ()
) -> Categorical:
    """Pool distributions over the labels of the answer; a model that lacks one of them says nothing of it (`FLOOR`)."""
    rows = []
    for item in items:
        shares: Mapping[str, float] = {_word(label, emotion): value for label, value in item.probabilities.items()}
        rows.append(np.array([shares.get(label, 0.0) for label in labels]))
    pooled = log_pool(rows, weights, offset)
    return Categorical(labels[int(pooled.argmax())], {label: float(value) for label, value in zip(labels, pooled, strict=True)}, model)


def pool_scalars(items: Sequence[Scalar], weights: Sequence[float], model: str, limits: tuple[float, float]) -> Scalar:
    """The weighted mean; its spread is that of the mixture: the models' own spreads and how far they are apart."""
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    values = np.array([item.value for item in items])
    mean = float(shares @ values)
    own = np.array([(item.spread or 0.0) ** 2 for item in items])
    spread = float(np.sqrt(shares @ (own + (values - mean) ** 2)))
    return Scalar(float(np.clip(mean, *limits)), items[0].unit, limits, spread, model)


def pool_views(answers: Sequence[Answer]) -> Answer:
    """What one model says of several views of one face, each with the same weight: distributions by their geometric mean, numbers by their mean."""
    found: dict[str, Categorical | Scalar] = {}
    for name, first in answers[0].items():
        items = [answer[name] for answer in answers if name in answer]
        shares = [1.0 / len(items)] * len(items)
        if isinstance(first, Categorical):
            found[name] = pool_categoricals(
                [item for item in items if isinstance(item, Categorical)], shares, tuple(first.probabilities), first.model
            )
        else:
            found[name] = pool_scalars([item for item in items if isinstance(item, Scalar)], shares, first.model, first.range)
    return found


class Pool:
    """The fusion that a card with `[[part]]` entries describes."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        if not card.part:
            raise CardError(f"card {card.name}: the adapter pool needs [[part]] entries")
        self.card = card
        self._offset = options(card, PoolOptions).offset
        if self._offset and [len(item.labels) for item in card.output] != [len(self._offset)]:
            raise CardError(f"card {card.name}: an offset of {len(self._offset)} numbers needs one output with as many labels")

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
                out[attribute] = pool_categoricals(distributions, weights, output.labels, self.card.name, attribute == "emotion", self._offset)
            elif output.kind != "classes" and numbers and not distributions:
                limits = (output.range[0], output.range[1]) if output.range else numbers[0].range
                out[attribute] = pool_scalars(numbers, weights, self.card.name, limits)
            else:
                raise CardError(f"card {self.card.name}: its parts do not answer {attribute} as {output.kind}")
        return out
