"""Error rates: metrics, protocols and runs.

from faceworks.evaluate import evaluate_pairs, read_lfw_pairs
report = evaluate_pairs(read_lfw_pairs("pairs.txt", "lfw/"), dataset="LFW View 2", out="lfw-report")
"""

from __future__ import annotations

from .metrics import (
    Counts,
    McNemar,
    OperatingPoint,
    Roc,
    accuracy_at,
    auc,
    best_threshold,
    counts,
    eer,
    fnmr_at_fmr,
    mcnemar,
    roc,
    tar_at_fmr,
)
from .protocols import FoldResult, Pair, PairList, k_fold, read_lfw_pairs
from .run import Report, evaluate_pairs

__all__ = [
    "Counts",
    "FoldResult",
    "McNemar",
    "OperatingPoint",
    "Pair",
    "PairList",
    "Report",
    "Roc",
    "accuracy_at",
    "auc",
    "best_threshold",
    "counts",
    "eer",
    "evaluate_pairs",
    "fnmr_at_fmr",
    "k_fold",
    "mcnemar",
    "read_lfw_pairs",
    "roc",
    "tar_at_fmr",
]
