"""faceworks evaluate lfw --root DIR --pairs FILE"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import common, debug, decision_options, detector_options, embedder_options, make_spec
from .output import note, print_facts, print_json

if TYPE_CHECKING:
    from ..evaluate import PairList, Report

__all__ = ["evaluate"]


@click.group(short_help="Measure error rates on a data set.")
@debug
def evaluate() -> None:
    """Measure error rates on a data set that you have."""


def _folds(ctx: click.Context, _: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"must be numbers joined by commas, such as 1,2; got {value!r}", ctx)
    return tuple(sorted({int(part) for part in parts}))


@evaluate.command(short_help="Labeled Faces in the Wild: ten-fold verification accuracy.")
@click.option("--root", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of person folders.")
@click.option("--pairs", required=True, metavar="FILE", type=click.Path(path_type=Path), help="LFW's pairs.txt (View 2).")
@click.option("--folds", metavar="1,2", callback=_folds, help="Only these folds, at least two. Default: all.")
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write report.json, scores.csv and vectors/.")
@click.option("--dataset", default="LFW", show_default=True, help="Name and variant, as it shall stand in the report.")
@click.option("--executor", type=click.Choice(["serial", "threads", "processes"]), default="serial", show_default=True, help="How to embed.")
@decision_options
@embedder_options
@detector_options
@common
def lfw(
    root: Path, pairs: Path, folds: tuple[int, ...] | None, out: Path | None, dataset: str, executor: Any, as_json: bool, quiet: bool, **options: Any
) -> int:
    """Verification accuracy by LFW's protocol: the threshold of each fold is chosen on the others; mean ± standard error.

    Of each picture the central face is taken. A pair with an undetected face counts as wrong, never as absent. Vectors are kept, so that a second
    run embeds nothing and an interrupted one continues.
    """
    spec = make_spec(options, select="central", on_no_face="empty")
    from ..evaluate import evaluate_pairs, read_lfw_pairs

    chosen = only_folds(read_lfw_pairs(pairs, root), folds)
    report = evaluate_pairs(chosen, spec, out=out, dataset=dataset, executor=executor, progress=not quiet)
    if as_json:
        print_json(report.to_dict())
    elif quiet:
        click.echo(f"{report.accuracy.mean:.6f}\t{report.accuracy.stderr:.6f}")
    else:
        print_facts(_facts(report), f"{dataset}: {100 * report.accuracy.mean:.2f} ± {100 * report.accuracy.stderr:.2f} % accuracy")
        if out is not None:
            note(f"wrote {out / 'report.json'} and {out / 'scores.csv'}")
    return 0


def only_folds(pairs: PairList, folds: tuple[int, ...] | None) -> PairList:
    """The pairs of some folds."""
    if folds is None:
        return pairs
    import numpy as np

    from ..errors import InputError
    from ..evaluate import PairList

    known = sorted({int(number) for number in pairs.folds})
    if absent := [number for number in folds if number not in known]:
        raise InputError(f"--folds: there is no fold {', '.join(map(str, absent))} in {pairs.source}; it has {known[0]} to {known[-1]}")
    kept = np.isin(pairs.folds, folds)
    chosen = tuple(pair for pair, keep in zip(pairs.pairs, kept, strict=True) if keep)
    return PairList(chosen, pairs.folds[kept], pairs.source, pairs.sha256, f"{pairs.protocol}, only {','.join(map(str, folds))}")


def _facts(report: Report) -> list[tuple[str, str]]:
    counts, missed = report.counts, report.failures_to_detect
    rows = [
        (
            "pairs",
            f"{counts['pairs']} ({counts['genuine']} same, {counts['impostor']} different), {counts['pictures']} pictures, {counts['people']} people",
        ),
        ("undetected", f"{missed.pictures} pictures; they spoil {missed.pairs} pairs, all counted as wrong"),
    ]
    if report.stock is not None:
        rows.append(
            (
                "at the card's threshold",
                f"{100 * report.stock.accuracy:.2f} % ({report.stock.metric} {report.stock.threshold:g}: {report.stock.source})",
            )
        )
    if report.auc is not None and report.eer is not None:
        rows.append(("AUC, EER", f"{report.auc:.5f}, {100 * report.eer:.2f} %"))
    rows += [(f"TAR at FMR {rate}", f"{100 * point.tar:.2f} %") for rate, point in report.tar_at_fmr.items()]
    rows += [(role, f"{model['name']}, weights: {model['weights_license']}") for role, model in report.models.items()]
    rows.append(("recipe, time", f"{report.recipe}, {report.seconds:.1f} s"))
    return rows
