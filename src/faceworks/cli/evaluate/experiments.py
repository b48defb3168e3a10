"""FaceNet's experiments: robustness, dimension, val."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options import common
from ..output import print_json, print_table
from .group import evaluate, interval, percent, write_report
from .options import EXECUTOR, FOLDS, LIST, PATH, ROOT, central, numbers, only_folds, out_option, picture_options, whole_numbers


def _levels(name: str, levels: Any, out: Path | None, as_json: bool, quiet: bool) -> int:
    from ...evaluate.file_pages import levels_page
    from ...types import to_dict

    write_report({"schema": 2, "kind": name, "levels": to_dict(levels)}, levels_page(f"Sensitivity: {name}", levels), out)
    if as_json:
        print_json(levels)
        return 0
    if quiet:
        click.echo("\n".join(f"{item.setting}\t{item.accuracy:.6f}" for item in levels))
        return 0
    print_table(
        ["setting", ">accuracy", "95 %", ">VAL at FAR 1e-3", ">undetected"],
        [(item.setting, percent(item.accuracy), interval(item.accuracy_interval), percent(item.val), str(item.undetected)) for item in levels],
    )
    return 0


@evaluate.command(short_help="FaceNet's experiment: JPEG quality and picture size.")
@ROOT
@LIST
@FOLDS
@click.option("--jpeg", metavar="10,20,…", callback=whole_numbers, help="JPEG qualities. Default: FaceNet's.")
@click.option("--pixels", metavar="1600,6400,…", callback=whole_numbers, help="Picture sizes in pixels. Default: FaceNet's.")
@out_option("Write the report, and one for each level.")
@EXECUTOR
@picture_options
def robustness(
    root: Path, list_file: Path, folds: Any, jpeg: Any, pixels: Any, out: Path | None, executor: Any, as_json: bool, quiet: bool, **options: Any
) -> int:
    """Accuracy and VAL when pictures are saved as worse JPEG, or shrunk, before anything else is done."""
    spec = central(options)
    from ...evaluate import quality_levels, read_lfw_pairs
    from ...evaluate.experiments import JPEG, PIXELS

    found = only_folds(read_lfw_pairs(list_file, root), folds)
    levels = quality_levels(found, spec, jpeg=jpeg or JPEG, pixels=pixels or PIXELS, out=out, executor=executor, progress=not quiet)
    return _levels("robustness", levels, out, as_json, quiet)


@evaluate.command(short_help="FaceNet's experiment: embedding dimension.")
@ROOT
@LIST
@click.option("--dimensions", metavar="8,16,…", callback=whole_numbers, default="8,16,32,64,128", show_default=True, help="Numbers kept of a vector.")
@click.option("--how", type=click.Choice(["pca", "truncate"]), default="pca", show_default=True,
              help="Principal components found on the other folds, or the first numbers of the vector.")  # fmt: skip
@out_option("Write the report; vectors/ are kept here.")
@EXECUTOR
@picture_options
def dimension(
    root: Path, list_file: Path, dimensions: Any, how: Any, out: Path | None, executor: Any, as_json: bool, quiet: bool, **options: Any
) -> int:  # fmt: skip
    """Accuracy and VAL of shortened embeddings."""
    spec = central(options)
    from ... import settings
    from ...evaluate import dimension_levels, read_lfw_pairs
    from ...evaluate.vectors import embed_pictures

    found = read_lfw_pairs(list_file, root)
    vectors = embed_pictures(found.pictures, spec, (out or settings.current().cache) / "vectors", executor=executor, progress=not quiet).vectors
    return _levels("dimension", dimension_levels(found, vectors, spec, dimensions, how), out, as_json, quiet)


@evaluate.command(short_help="FaceNet's experiment: VAL against the threshold.")
@click.argument("scores_file", metavar="FILE.csv", type=PATH)
@click.option("--thresholds", metavar="0.2,0.3,…", callback=numbers, help="Thresholds. Default: 21 over the range of the scores (101 with --out).")
@out_option()
@common
def val(scores_file: Path, thresholds: Any, out: Path | None, as_json: bool, quiet: bool) -> int:
    """VAL (share of same pairs accepted) and FAR (share of different pairs accepted) at each threshold.

    FILE.csv has the columns score,label: what --out of a run holds as scores.csv, or anybody's. A pair without a score is left out, and counted.
    """
    from ...evaluate import evaluate_val
    from ...evaluate.file_pages import val_page

    document = evaluate_val(scores_file, thresholds or (), 101 if out is not None else 21)
    write_report(document, val_page(document["source"], document["table"]), out)
    if as_json:
        print_json(document)
        return 0
    rows = [(f"{row['threshold']:.4g}", f"{row['val']:.5f}", f"{row['far']:.3e}") for row in document["table"]]
    if quiet:
        click.echo("\n".join("\t".join(row) for row in rows))
        return 0
    counts = document["counts"]
    print_table(
        [">threshold", ">VAL", ">FAR"], rows, f"{counts['genuine']} same and {counts['impostor']} different pairs, {counts['missed']} without a score"
    )
    return 0
