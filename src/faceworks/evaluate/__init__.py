"""Error rates: metrics, protocols, calibration and runs.

from faceworks.evaluate import evaluate_pairs, read_lfw_pairs
report = evaluate_pairs(read_lfw_pairs("pairs.txt", "lfw/"), dataset="LFW View 2", out="lfw-report")
"""

from __future__ import annotations

from .bootstrap import rate_interval, vertex_weights
from .calibrate import fit_calibration, realized, reliability
from .comparison import compare_reports
from .experiments import dimension_levels, quality_levels, val_curve
from .folder import evaluate_folder
from .folder_calibration import calibrate_folder
from .groups import group_rates, read_groups
from .identification import cmc, identification_auc, identification_table, open_set, rank_k, ranks, tpir_at_fpir
from .intervals import clopper_pearson, require_support, rule_of_three
from .lists import read_fglfw_pairs, read_labeled_pairs, read_pairs_csv, read_template_pairs, read_view1, read_youtube_faces, write_fglfw_pairs
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
from .mining import mine_hard
from .pad import bpcer_at_apcer, pad_rates
from .plot import plot_roc
from .protocols import FoldResult, Pair, PairList, k_fold, read_lfw_pairs
from .rates import cllr, d_prime, det, min_cllr, rates_at, transaction, val_at_far, verification_table
from .report import Report
from .run import evaluate_pairs
from .score_files import evaluate_attributes, evaluate_pad, evaluate_scores, evaluate_val, read_columns
from .score_fusion import FusedReport, ScoreFusion, fuse_reports, fuse_scores, logistic_weights, sigma_weights
from .summary import Summary, summarize
from .tasks import Degraded, FixedCrop

__all__ = [
    "Counts",
    "Degraded",
    "FixedCrop",
    "FoldResult",
    "FusedReport",
    "McNemar",
    "OperatingPoint",
    "Pair",
    "PairList",
    "Report",
    "Roc",
    "ScoreFusion",
    "Summary",
    "accuracy_at",
    "auc",
    "best_threshold",
    "bpcer_at_apcer",
    "calibrate_folder",
    "cllr",
    "clopper_pearson",
    "cmc",
    "compare_reports",
    "counts",
    "d_prime",
    "det",
    "dimension_levels",
    "eer",
    "evaluate_attributes",
    "evaluate_folder",
    "evaluate_pad",
    "evaluate_pairs",
    "evaluate_scores",
    "evaluate_val",
    "fit_calibration",
    "fnmr_at_fmr",
    "fuse_reports",
    "fuse_scores",
    "group_rates",
    "identification_auc",
    "identification_table",
    "k_fold",
    "logistic_weights",
    "mcnemar",
    "min_cllr",
    "mine_hard",
    "open_set",
    "pad_rates",
    "plot_roc",
    "quality_levels",
    "rank_k",
    "ranks",
    "rate_interval",
    "rates_at",
    "read_columns",
    "read_fglfw_pairs",
    "read_groups",
    "read_labeled_pairs",
    "read_lfw_pairs",
    "read_pairs_csv",
    "read_template_pairs",
    "read_view1",
    "read_youtube_faces",
    "realized",
    "reliability",
    "require_support",
    "roc",
    "rule_of_three",
    "sigma_weights",
    "summarize",
    "tar_at_fmr",
    "tpir_at_fpir",
    "transaction",
    "val_at_far",
    "val_curve",
    "verification_table",
    "vertex_weights",
    "write_fglfw_pairs",
]  # fmt: skip
