"""Agreement of two sets of numbers or labels: a model and the truth, a model and people, people among each other.

Refused with `InputError`: empty input, unequal lengths, NaN or infinite numbers, and statistics that are not defined (a correlation with a constant).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .metrics import Floats

__all__ = ["Confusion", "ccc", "confusion", "kappa", "macro_f1", "mae", "pearson", "rmse", "sagr", "unbiased_hit_rate"]


def _numbers(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise InputError(f"two sequences of one length (N,), at least 1, are needed, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("a value is NaN or infinite; take such pairs out and say how many")
    return x, y


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error."""
    x, y = _numbers(truth, predicted)
    return float(np.abs(x - y).mean())


def rmse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error."""
    x, y = _numbers(truth, predicted)
    return float(np.sqrt(((x - y) ** 2).mean()))


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation. Not defined for a constant."""
    x, y = _numbers(a, b)
    dx, dy = x - x.mean(), y - y.mean()
    scale = float(np.linalg.norm(dx) * np.linalg.norm(dy))
    if scale == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise InputError("a correlation is not defined where one side is constant")
    return max(-1.0, min(1.0, float(dx @ dy) / scale))


def ccc(a: ArrayLike, b: ArrayLike) -> float:
    """Lin's concordance correlation (1989): 2 s_xy / (s²_x + s²_y + (x̄ − ȳ)²), moments with 1/N. Not defined where both are the same constant."""
    x, y = _numbers(a, b)
    bottom = float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    if bottom == 0:
        raise InputError("the concordance correlation is not defined where both sides are the same constant")
    return 2 * float(((x - x.mean()) * (y - y.mean())).mean()) / bottom


def sagr(a: ArrayLike, b: ArrayLike) -> float:
    """Sign agreement (Nicolaou et al. 2011): share of pairs with the same sign; 0 is a sign of its own, as in `numpy.sign`."""
    x, y = _numbers(a, b)
    return float((np.sign(x) == np.sign(y)).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Counts of (truth, predicted). `matrix` (L, L) int64: rows are truth, columns predicted, both in the order of `labels`."""

    matrix: NDArray[np.int64]
    labels: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share on the diagonal."""
        return float(np.trace(self.matrix) / self.matrix.sum())


def confusion(truth: Sequence[object], predicted: Sequence[object], labels: Sequence[str] | None = None) -> Confusion:
    """Confusion matrix. `labels` fixes order and extent (default: all that occur, sorted); one that is not among them is refused."""
    if len(truth) != len(predicted) or not len(truth):
        raise InputError(f"truth and predicted must have one length, at least 1, got {len(truth)} and {len(predicted)}")
    rows, columns = [str(item) for item in truth], [str(item) for item in predicted]
    order = tuple(labels) if labels is not None else tuple(sorted({*rows, *columns}))
    place = {name: index for index, name in enumerate(order)}
    if unknown := sorted({*rows, *columns} - set(place)):
        raise InputError(f"labels that are not listed: {', '.join(unknown[:5])}; listed: {', '.join(order)}")
    matrix = np.zeros((len(order), len(order)), np.int64)
    np.add.at(matrix, ([place[name] for name in rows], [place[name] for name in columns]), 1)
    matrix.setflags(write=False)
    return Confusion(matrix, order)


def kappa(table: Confusion, weights: Literal["none", "linear", "quadratic"] = "none") -> float:
    """Cohen's kappa; weighted for ordered labels (the order of `table.labels`). Equals `sklearn.metrics.cohen_kappa_score`.

    Raises:
        InputError: not defined where both sides use one and the same label alone.
    """
    if weights not in ("none", "linear", "quadratic"):
        raise InputError(f"weights must be none, linear or quadratic, got {weights!r}")
    observed = table.matrix / table.matrix.sum()
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0))
    far = np.abs(np.subtract.outer(np.arange(len(table.labels)), np.arange(len(table.labels)))).astype(np.float64)
    cost = (far > 0).astype(np.float64) if weights == "none" else far if weights == "linear" else far**2
    chance = float((cost * expected).sum())
    if chance == 0:
        raise InputError("kappa is not defined where both sides use one and the same label alone")
    return 1.0 - float((cost * observed).sum()) / chance


def macro_f1(table: Confusion) -> float:
    """Mean over labels of F1 = 2 · hits / (row + column); labels that occur on neither side are left out. Equals scikit-learn's."""
    hits, total = np.diag(table.matrix), table.matrix.sum(axis=1) + table.matrix.sum(axis=0)
    return float((2 * hits[total > 0] / total[total > 0]).mean())


def unbiased_hit_rate(table: Confusion) -> dict[str, float | None]:
    """Wagner's H_u (1993) by label: hits² / (row · column), so that saying one label always earns nothing.

    0 where the label was never said, None where it was never shown.
    """
    rates: dict[str, float | None] = {}
    for index, name in enumerate(table.labels):
        hits, row, column = (int(v) for v in (table.matrix[index, index], table.matrix[index].sum(), table.matrix[:, index].sum()))
        rates[name] = None if row == 0 else 0.0 if column == 0 else hits * hits / (row * column)
    return rates
