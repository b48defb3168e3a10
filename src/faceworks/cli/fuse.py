"""faceworks analyze fuse"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from .analyze import analyze
from .options import common
from .output import note, print_json, print_table

__all__ = ["analyze", "fuse"]


def _pairs(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not (name.strip() and equals and rest.strip()) or name.strip() in found:
            raise click.BadParameter(f"must be NAME=VALUE, each name once; got {value!r}", ctx, parameter)
        found[name.strip()] = rest.strip()
    return found


def _weights(ctx: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, float] | None:
    if value is None:
        return None
    try:
        return {name: float(number) for name, number in _pairs(ctx, parameter, value.split(",")).items()}
    except ValueError as error:
        raise click.BadParameter(f"must be such as face=0.6,voice=0.4; got {value!r}", ctx, parameter) from error


@analyze.command(short_help="Judge emotions by face, voice and words together, from CSV files.")
@click.option("--source", "sources", multiple=True, required=True, callback=_pairs, metavar="NAME=FILE.csv", help="A sense and its file; repeatable.")
@click.option("--fit", "labels", metavar="LABELS.csv", type=click.Path(path_type=Path), help="Fit the weights on these labels (columns id,label).")
@click.option("--weights", callback=_weights, metavar="NAME=W,…", help="Weights of the senses. Default: equal shares of those that are there.")
@click.option("--space", type=click.Choice(["six", "seven", "eight"]), default="seven", show_default=True, help="Labels of the answer.")
@click.option("--csv", "csv_file", metavar="OUT.csv", type=click.Path(dir_okay=False, path_type=Path), help="Write one row for each id.")
@common
def fuse(
    sources: dict[str, str], labels: Path | None, weights: dict[str, float] | None, space: str, csv_file: Path | None, as_json: bool, quiet: bool
) -> int:
    """Pool distributions over emotions from several senses: p ∝ Π p_source^weight; a missing row or empty cells are a missing sense.

    Each file has a column id (or source) and one column for each emotion, in English or Korean (happy, 행복, emotion_happy). They may come from any
    model: this package ships none for voice or text. "moved" is how far the answer would move without a sense, 0 to 1. With --fit each source and the
    pool are measured, the pool on rows that its weights have not seen.
    """
    from ..attributes.senses import fuse_files, to_rows
    from ..attributes.table import write_csv

    judgment = fuse_files(sources, labels, weights, space)
    rows = to_rows(judgment)
    if csv_file is not None:
        write_csv(csv_file, rows)
    if as_json:
        print_json(
            {"weights": judgment.weights, "scores": judgment.scores, "rows": [{"id": key, "fused": item} for key, item in judgment.rows.items()]}
        )
        return 0
    if quiet:
        for row in rows:
            click.echo(f"{row['id']}\t{row['emotion']}")
        return 0
    names = list(sources)
    cells = []
    for key, item in judgment.rows.items():
        top = f"{item.emotion.label} {item.emotion.probabilities[item.emotion.label]:.2f}"
        cells.append([key, top, *(f"{item.moved[name]:.2f}" if name in item.moved else "missing" for name in names), " ".join(item.decisive)])
    print_table(["id", "emotion", *(f">moved by {name}" for name in names), "decisive"], cells)
    if judgment.weights is not None:
        note("weights: " + ", ".join(f"{name} {value:.3f}" for name, value in judgment.weights.by_source.items()))
    if judgment.scores:
        scored = [
            (name, str(int(item["rows"])), f"{100 * item['accuracy']:.1f} %", f"{item['log_loss']:.3f}") for name, item in judgment.scores.items()
        ]
        print_table(["judge", ">rows", ">accuracy", ">log loss"], scored)
    return 0
