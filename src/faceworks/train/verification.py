"""How well embeddings tell people apart: all pairs of held-out people, or a pairs protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards import InputSpec, Threshold
from ..evaluate import metrics
from ..evaluate.labeled import LabeledPictures
from ..evaluate.lists import read_pairs_csv
from ..evaluate.protocols import PairList, k_fold, read_lfw_pairs
from .config import PairsConfig
from .cutting import Crops, cut

__all__ = ["PairsProtocol", "all_pairs", "figures", "threshold_at"]

_MOST = 2000
"""Held-out pictures that are compared at most: 2 million pairs."""
FMR = 0.01


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    values = vectors.astype(np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def all_pairs(vectors: NDArray[np.float32], people: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cosines and labels (True: same person) of all pairs of N pictures; of more than 2,000 pictures every k-th is taken."""
    step = -(-len(vectors) // _MOST)
    units, who = _units(vectors[::step]), people[::step]
    first, second = np.triu_indices(len(units), k=1)
    cosine = units @ units.T
    return cosine[first, second], who[first] == who[second]


def figures(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> dict[str, float]:
    """AUC, EER and TAR at FMR 1 %."""
    counted = metrics.counts(scores, same)
    return {"auc": metrics.auc(counted), "eer": metrics.eer(counted), "tar_at_fmr_1%": metrics.tar_at_fmr(counted, fmr=FMR).tar}


def threshold_at(scores: NDArray[np.float64], same: NDArray[np.bool_], what: str, date: str) -> Threshold:
    """The card's threshold: a cosine at FMR 1 %."""
    point = metrics.tar_at_fmr(scores, same, FMR)
    value = float(np.clip(point.threshold, -1, 1))
    return Threshold("cosine", "similarity", round(value, 6), f"faceworks train, {what}", fmr=FMR, pairs=len(scores), date=date)


class PairsProtocol:
    """A pairs list whose pictures were cut once; judged after every epoch."""

    def __init__(self, config: PairsConfig, entry: InputSpec, detector: str, folder: Path) -> None:
        self.pairs: PairList = (read_lfw_pairs if config.format == "lfw" else read_pairs_csv)(config.list, config.root)
        paths = list(self.pairs.pictures)
        names = np.array([str(path) for path in paths])
        labels = {"picture": np.arange(len(paths), dtype=np.int64)}
        self.crops: Crops = cut(LabeledPictures(config.list, names, paths, labels, {}), entry, config.detector or detector, folder=folder)
        self._row = {name: row for row, name in enumerate(self.crops.pictures.names.tolist())}

    def evaluate(self, embed: Callable[[Crops], Any]) -> dict[str, float]:
        """Accuracy by folds, AUC over pairs whose faces were found; a pair with a picture that could not be cut counts as wrong."""
        units = _units(embed(self.crops).numpy())
        scores, missed = np.full(len(self.pairs.pairs), np.nan), np.zeros(len(self.pairs.pairs), bool)
        for k, pair in enumerate(self.pairs.pairs):
            a, b = self._row.get(str(pair.first)), self._row.get(str(pair.second))
            if a is None or b is None:
                missed[k] = True
            else:
                scores[k] = units[a] @ units[b]
        same = np.array([pair.same for pair in self.pairs.pairs])
        result = k_fold(scores, same, self.pairs.folds, missed)
        return {"pairs_accuracy": result.mean, "pairs_auc": metrics.auc(scores[~missed], same[~missed]), "pairs_missed": float(missed.sum())}
