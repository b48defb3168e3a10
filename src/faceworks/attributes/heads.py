"""From the numbers of a network's output to distributions and values, as the card says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..cards import OutputSpec
from ..errors import CardError
from ..types import Categorical, FloatArray, Scalar

__all__ = ["average", "categorical", "results", "softmax"]

Array = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    """Softmax over the last axis, shifted by its largest value so that nothing overflows."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total: Array = powers / powers.sum(axis=-1, keepdims=True)
    return total


def _probabilities(raw: Array, output: OutputSpec) -> Array:
    if output.activation == "softmax":
        return softmax(raw)
    values: Array = 1 / (1 + np.exp(-raw)) if output.activation == "sigmoid" else np.clip(raw, 0.0, None)
    if values.shape[1] == 1:  # one number: the probability of the second label
        return np.concatenate([1 - np.clip(values, 0, 1), np.clip(values, 0, 1)], axis=1)
    shares: Array = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    return shares


def activated(raw: FloatArray, output: OutputSpec, card: str) -> Array:
    """The numbers of one output as probabilities (N, K) (classes, expectation) or values (N, 1).

    Raises:
        CardError: the network gives another number of classes than the card has labels or weights.
    """
    numbers = np.asarray(raw, dtype=np.float64).reshape(len(raw), -1)
    if output.columns:
        numbers = numbers[:, output.columns[0] : output.columns[1]]
    if output.kind == "value":
        if numbers.shape[1] != 1:
            raise CardError(
                f"card {card}: output {output.name} is a value, the network gives {numbers.shape[1]} numbers; say columns = [first, last + 1]"
            )
        values = numbers * output.scale + output.offset
        return np.asarray(np.clip(values, output.range[0], output.range[1])) if output.range else values
    wanted = len(output.labels or output.weights)
    if numbers.shape[1] != wanted and not (numbers.shape[1] == 1 and wanted == 2):
        raise CardError(f"card {card}: output {output.name} gives {numbers.shape[1]} numbers, the card has {wanted} labels or weights")
    return _probabilities(numbers, output)


def categorical(labels: Sequence[str], probabilities: Array, model: str) -> Categorical:
    """A distribution; equal labels are added up, the most probable one is named (the first of equals)."""
    summed: dict[str, float] = {}
    for label, value in zip(labels, probabilities, strict=True):
        summed[label] = summed.get(label, 0.0) + float(value)
    total = sum(summed.values())
    shares = {label: value / total for label, value in summed.items()}
    return Categorical(max(shares, key=lambda label: shares[label]), shares, model)


def results(numbers: Array, output: OutputSpec, model: str) -> list[Categorical | Scalar]:
    """What activated numbers (N, K) mean, one result a row."""
    if output.kind == "classes":
        return [categorical(output.labels, row, model) for row in numbers]
    low, high = output.range if output.range else (-np.inf, np.inf)
    if output.kind == "expectation":
        weights = np.asarray(output.weights, dtype=np.float64)
        means = numbers @ weights
        spreads = np.sqrt(np.maximum((numbers * (weights - means[:, None]) ** 2).sum(axis=1), 0.0))
        return [Scalar(float(mean), output.unit, (low, high), float(spread), model) for mean, spread in zip(means, spreads, strict=True)]
    return [Scalar(float(row[0]), output.unit or "1", (low, high), output.error or None, model) for row in numbers]


def average(parts: Sequence[Array]) -> Array:
    """The mean of the activated numbers of several outputs of one attribute."""
    return np.asarray(np.mean(np.stack(parts), axis=0))
