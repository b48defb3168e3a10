"""FaceNet's experiments (Schroff et al. 2015, section 5): JPEG quality, picture size, embedding dimension, VAL against threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..similarity import unit
from ..types import FloatArray
from . import metrics
from .intervals import Interval, supported
from .metrics import Counts
from .protocols import PairList, k_fold
from .rates import rates_at
from .run import compare_pairs, evaluate_pairs, side_vectors
from .summary import accuracy_interval
from .tasks import Degraded

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["JPEG", "PIXELS", "Level", "dimension_levels", "quality_levels", "val_curve"]

JPEG = (10, 20, 30, 50, 70, 90)
"""FaceNet's JPEG qualities."""
PIXELS = (1_600, 6_400, 14_400, 25_600, 65_536)
"""FaceNet's picture sizes in pixels."""


@dataclass(frozen=True, slots=True)
class Level:
    """One setting of an experiment.

    Attributes:
        setting: "jpeg 20", "6400 pixels", "16 dimensions".
        accuracy, stderr, accuracy_interval: by folds.
        val: TAR at the false match rate `far` (FaceNet's VAL@FAR), None where the pairs cannot carry it; val_interval where it was resampled.
        undetected: pictures without a found face.
    """

    setting: str
    accuracy: float
    stderr: float
    accuracy_interval: Interval
    far: float
    val: float | None
    val_interval: Interval | None
    undetected: int


def quality_levels(
    pairs: PairList,
    spec: PipelineSpec,
    *,
    jpeg: Sequence[int] = JPEG,
    pixels: Sequence[int] = PIXELS,
    out: str | Path | None = None,
    far: float = 1e-3,
    executor: Literal["serial", "threads", "processes"] = "serial",
    progress: bool = True,
) -> list[Level]:
    """Accuracy and VAL at each JPEG quality and picture size, the untouched pictures first; each level embeds all pictures once (kept)."""
    settings: list[tuple[str, Degraded | None]] = [("untouched", None)]
    settings += [(f"jpeg {value}", Degraded(spec, jpeg=value)) for value in jpeg]
    settings += [(f"{value} pixels", Degraded(spec, pixels=value)) for value in pixels]
    levels = []
    for name, task in settings:
        folder = None if out is None else Path(out) / name.replace(" ", "-")
        report = evaluate_pairs(pairs, spec, out=folder, dataset=name, task=task, executor=executor, progress=progress)
        point = report.tar_at_fmr.get(f"{far:g}")
        levels.append(
            Level(
                name,
                report.accuracy.mean,
                report.accuracy.stderr,
                report.accuracy.interval,
                far,
                None if point is None else point.tar,
                None if point is None else point.tar_interval,
                report.failures_to_detect.pictures,
            )
        )
    return levels


def dimension_levels(
    pairs: PairList,
    vectors: Mapping[Path, FloatArray | None],
    spec: PipelineSpec,
    dimensions: Sequence[int],
    how: Literal["pca", "truncate"] = "pca",
    far: float = 1e-3,
) -> list[Level]:
    """Accuracy and VAL of shortened embeddings.

    "pca": projected on the first principal components of the unit vectors, which for each fold are found on pictures of the other folds alone.
    "truncate": the first numbers of the vector, which means something only for networks trained so that it does.
    """
    sides = side_vectors(pairs, vectors)
    size = next((len(vector) for vector in sides.values() if vector is not None), 0)
    if not size or any(not 1 <= d <= size for d in dimensions) or how not in ("pca", "truncate"):
        raise InputError(f"dimensions lie in 1..{size} and how is pca or truncate, got {list(dimensions)} and {how!r}")
    levels = []
    shorten = _components(pairs, sides) if how == "pca" else None
    for d in dimensions:
        scores, undetected = np.full(len(pairs), np.nan), np.ones(len(pairs), bool)
        for fold in np.unique(pairs.folds).tolist():
            inside = pairs.folds == fold
            cut: Callable[[FloatArray], FloatArray] = shorten(fold, d) if shorten else lambda vector, d=d: vector[:d]  # type: ignore[misc]
            part = pairs.only(inside, "")
            wanted = {side for pair in part.pairs for side in (pair.first, pair.second)}
            short = {side: None if (vector := sides[side]) is None else cut(vector) for side in wanted}
            scores[inside], undetected[inside] = compare_pairs(part, short, spec)
        folds = k_fold(scores, pairs.labels, pairs.folds, undetected)
        c = metrics.counts(scores[~undetected], pairs.labels[~undetected])
        val = metrics.tar_at_fmr(c, fmr=far).tar if c.genuine and supported(far, c.impostors) else None
        missed = sum(vector is None for vector in sides.values())
        interval = accuracy_interval(folds.correct, [pair.people for pair in pairs.pairs])
        levels.append(Level(f"{d} dimensions", folds.mean, folds.stderr, interval, far, val, None, missed))
    return levels


def _components(pairs: PairList, sides: Mapping[Path, FloatArray | None]) -> Callable[[int, int], Callable[[FloatArray], FloatArray]]:
    """fold, d -> projection, fitted outside the fold."""
    axes = {}
    for fold in np.unique(pairs.folds).tolist():
        here = {side for pair, number in zip(pairs.pairs, pairs.folds, strict=True) if number == fold for side in (pair.first, pair.second)}
        rows = np.stack([unit(vector) for side, vector in sides.items() if side not in here and vector is not None]).astype(np.float64)
        # not centered: the cosine of the projections is then the best approximation of the cosine itself
        _, axis = np.linalg.eigh(rows.T @ rows)
        axes[fold] = axis[:, ::-1].astype(np.float32)

    def projection(fold: int, d: int) -> Callable[[FloatArray], FloatArray]:
        axis = axes[fold][:, :d]
        return lambda vector: np.asarray(unit(vector) @ axis, np.float32)

    return projection


def val_curve(scores: ArrayLike | Counts, labels: ArrayLike | None = None, thresholds: Sequence[float] = ()) -> list[dict[str, float]]:
    """VAL and FAR against the threshold: `[{threshold, val, far}]`, by default at 101 thresholds over the range of the scores. Needs both classes."""
    c = metrics.counts(scores, labels)
    metrics.roc(c)  # refuses one class alone
    wanted = list(thresholds) or np.linspace(float(c.thresholds[-1]), float(c.thresholds[0]), 101).tolist()
    tar, trr = rates_at(c, None, wanted)
    return [{"threshold": float(t), "val": float(a), "far": float(1 - r)} for t, a, r in zip(wanted, tar, trr, strict=True)]
