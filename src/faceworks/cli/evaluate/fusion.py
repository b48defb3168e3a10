"""faceworks evaluate fuse: several systems' scores of the same pairs as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import common
from .group import evaluate, interval, percent, present
from .options import PATH, out_option

if TYPE_CHECKING:
    from ...evaluate import FusedReport

__all__ = ["fuse"]


@evaluate.command(short_help="Fuse the scores of several systems on the same pairs.")
@click.argument("reports", metavar="A B…", nargs=-1, required=True, type=PATH)
@click.option("--method", type=click.Choice(["logistic", "sigma"]), default="logistic", show_default=True, help="See above.")
@out_option()
@common
def fuse(reports: tuple[Path, ...], method: Any, out: Path | None, as_json: bool, quiet: bool) -> int:
    """Fuse the scores in folders that `faceworks evaluate lfw|fglfw|pairs --out` wrote, over the same pairs.

    logistic: log-odds of the same person, by logistic regression. sigma: the weighted mean, each weight proportional to 1 / σ of the system's impostor
    scores. Weights and threshold of a fold come from the other folds, from pairs that show none of its people. `faceworks evaluate compare` takes
    what --out holds.
    """
    from ...evaluate.score_fusion import fuse_reports, write_report

    found = fuse_reports(reports, method)
    document = found.to_dict()
    if out is not None:
        write_report(found, out)
    result = found.fusion.result
    headline = f"Fusion ({method}) of {len(found.systems)} systems: {100 * result.mean:.2f} ± {100 * result.stderr:.2f} % accuracy"
    present(document, out, as_json, headline, _rows(found), f"{result.mean:.6f}\t{result.stderr:.6f}" if quiet else None)
    return 0


def _rows(found: FusedReport) -> list[tuple[str, str]]:
    fusion, summary = found.fusion, found.summary
    rows = [("accuracy, 95 %", interval(found.interval)), ("undetected", f"{fusion.result.failures} pairs, all counted as wrong")]
    for name, weights in zip(found.systems, fusion.weights.T, strict=True):
        rows.append((f"weight of {name}", f"{weights.mean():.4g} (over the folds {weights.min():.4g} to {weights.max():.4g})"))
    if summary.auc is not None and summary.eer is not None:
        rows.append(("AUC, EER", f"{summary.auc:.5f}, {percent(summary.eer)}"))
    for rate, point in summary.tar_at_fmr.items():
        rows.append((f"TAR at FMR {rate}", f"{percent(point.tar)} {interval(point.tar_interval)} ({point.false_accepts} false matches)"))
    return rows
