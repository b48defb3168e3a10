"""Judging an emotion by several senses: face, voice and words, each a distribution from whatever model, pooled into one.

The pool is log-linear, p(k) ∝ Π p_s(k)^w_s (Genest and Zidek, Combining probability distributions, Statistical Science 1986): a source that is sure
weighs more than one that is not, and a source that is absent says nothing. The weights are fitted on labeled rows by maximum likelihood; the model is
then a multinomial logit with one coefficient a source, whose likelihood is concave, so that there is one answer. No voice and no text model ships here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..types import Categorical
from .labels import SPACES, canonical, to_space
from .pool import FLOOR, log_pool

__all__ = ["Fused", "Weights", "fit", "fuse"]

Array = NDArray[np.float64]
RIDGE = 1e-3
"""Weight of the squared coefficients in the fit, in rows: keeps a source that is never there at 0."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each source counts.

    Attributes:
        by_source: source -> weight, 0 or more. 1 = its probabilities are taken at their word; below 1 = it is surer than it is right, or repeats what
            others say.
        fitted: whether they were learned, and from how many labeled rows.
    """

    by_source: Mapping[str, float]
    fitted: int = 0

    def __post_init__(self) -> None:
        for name, value in self.by_source.items():
            if not np.isfinite(value) or value < 0:
                raise InputError(f"the weight of {name} must be 0 or more, got {value}")


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """One judgment from several senses.

    Attributes:
        emotion: the pooled distribution.
        sources: who was there.
        moved: source -> how far the answer would move without it: total variation distance in [0, 1] between the answers with and without.
        decisive: sources without which the label would be another.
    """

    emotion: Categorical
    sources: tuple[str, ...]
    moved: Mapping[str, float]
    decisive: tuple[str, ...]


def _labels(space: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(space, str):
        if space not in SPACES:
            raise InputError(f"unknown label space {space!r}; known: {', '.join(SPACES)}")
        return SPACES[space]
    return tuple(canonical(item) for item in space)


def _row(item: Categorical, labels: Sequence[str]) -> Array:
    """Probabilities in the order of the labels, given that one of them is right."""
    mapped = to_space(item, labels, "renormalize")
    return np.array([mapped.probabilities[label] for label in labels])


def _equal(names: Sequence[str]) -> Weights:
    return Weights(dict.fromkeys(names, 1.0 / max(len(names), 1)))


def fuse(
    sources: Mapping[str, Categorical | None], weights: Weights | Mapping[str, float] | None = None, space: str | Sequence[str] = "seven"
) -> Fused:
    """Pool what several senses say of one moment.

    Args:
        sources: sense -> its distribution over emotions (English or Korean words), or None where it is missing.
        weights: of each sense; None = equal shares that add up to 1 over those present (the geometric mean).
        space: labels of the answer. Each source is conditioned on them first (`labels.to_space`, renormalize).

    Raises:
        InputError: no source at all, a source without a weight, or one that has none of the labels.
    """
    labels = _labels(space)
    there = {name: _row(item, labels) for name, item in sources.items() if item is not None}
    if not there:
        raise InputError("no source says anything: at least one distribution is needed")
    table = weights.by_source if isinstance(weights, Weights) else weights if weights is not None else _equal(tuple(there)).by_source
    if missing := [name for name in there if name not in table]:
        raise InputError(f"no weight is given for {', '.join(missing)}; weights: {', '.join(table)}")
    names = tuple(there)
    together = _pool(there, table, labels)
    moved: dict[str, float] = {}
    decisive = []
    for name in names:
        without = {other: row for other, row in there.items() if other != name}
        rest = _pool(without, table if weights is not None else _equal(tuple(without)).by_source, labels)
        moved[name] = float(np.abs(together - rest).sum() / 2)
        if int(rest.argmax()) != int(together.argmax()):
            decisive.append(name)
    shares = {label: float(value) for label, value in zip(labels, together, strict=True)}
    return Fused(Categorical(labels[int(together.argmax())], shares, "fuse"), names, moved, tuple(decisive))


def _pool(rows: Mapping[str, Array], weights: Mapping[str, float], labels: Sequence[str]) -> Array:
    """The pool; nobody says anything: all labels alike."""
    if not rows:
        return np.full(len(labels), 1.0 / len(labels))
    return log_pool(list(rows.values()), [weights[name] for name in rows])


def fit(
    rows: Sequence[Mapping[str, Categorical | None]], truth: Sequence[str], space: str | Sequence[str] = "seven", names: Sequence[str] | None = None
) -> Weights:
    """The weights under which the labels are most likely, none below 0.

    Args:
        rows: for each moment, sense -> distribution or None.
        truth: its label; rows whose label is not in the space are refused.
        names: the senses; default: all that occur.

    Raises:
        InputError: other lengths, fewer than ten rows, or a label outside the space.
    """
    labels = _labels(space)
    if len(rows) != len(truth) or len(rows) < 10:
        raise InputError(f"as many rows as labels are needed, at least ten, got {len(rows)} and {len(truth)}")
    known = [canonical(item) for item in truth]
    if strange := sorted(set(known) - set(labels)):
        raise InputError(f"labels outside the space {', '.join(labels)}: {', '.join(strange)}")
    senses = tuple(names) if names is not None else tuple(dict.fromkeys(name for row in rows for name in row))
    if not senses:
        raise InputError("no source is named")
    logs = np.zeros((len(rows), len(labels), len(senses)))  # a sense that is missing adds nothing
    for index, row in enumerate(rows):
        for column, name in enumerate(senses):
            item = row.get(name)
            if item is not None:
                logs[index, :, column] = np.log(np.maximum(_row(item, labels), FLOOR))
    right = np.array([labels.index(name) for name in known])
    free = list(range(len(senses)))
    while free:
        found = _newton(logs[:, :, free], right)
        if (found >= 0).all():
            return Weights(dict.fromkeys(senses, 0.0) | {senses[column]: float(value) for column, value in zip(free, found, strict=True)}, len(rows))
        free = [column for column, value in zip(free, found, strict=True) if value > 0]
    return Weights(dict.fromkeys(senses, 0.0), len(rows))


def _newton(logs: Array, right: Array) -> Array:
    """Maximize Σ log p(right) − RIDGE · |w|² by Newton's method with step halving; `logs` is (N, K, S)."""

    def value(w: Array) -> float:
        scores = logs @ w
        top = scores.max(axis=1, keepdims=True)
        normal = (top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True)))[:, 0]
        return float((scores[np.arange(len(right)), right] - normal).sum() - RIDGE * (w @ w))

    w = np.full(logs.shape[2], 1.0 / logs.shape[2])
    observed = logs[np.arange(len(right)), right].sum(axis=0)
    for _ in range(100):
        scores = logs @ w
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        mean = np.einsum("nk,nks->ns", shares, logs)
        slope = observed - mean.sum(axis=0) - 2 * RIDGE * w
        spread = np.einsum("nk,nks,nkt->st", shares, logs, logs) - mean.T @ mean + 2 * RIDGE * np.eye(len(w))
        step = np.linalg.solve(spread, slope)
        size, now = 1.0, value(w)
        while value(w + size * step) < now and size > 1e-8:
            size /= 2
        w = w + size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return w
