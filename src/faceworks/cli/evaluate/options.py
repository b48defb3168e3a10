"""Options that several commands of `faceworks evaluate` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import common, decision_options, detector_options, embedder_options, make_spec

if TYPE_CHECKING:
    from ...evaluate import PairList

__all__ = [
    "DATASET",
    "EXECUTOR",
    "FOLDS",
    "LIST",
    "PATH",
    "ROOT",
    "central",
    "group_options",
    "groups_of",
    "numbers",
    "only_folds",
    "out_option",
    "picture_options",
    "run_options",
    "whole_numbers",
]

Command = Callable[..., Any]


def _numbers(kind: Any) -> Callable[[click.Context, click.Parameter, str | None], tuple[Any, ...] | None]:
    def parse(ctx: click.Context, _: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        if value is None:
            return None
        try:
            return tuple(kind(part) for part in value.split(","))
        except ValueError as error:
            raise click.BadParameter(f"must be numbers joined by commas, such as 1,2; got {value!r}", ctx) from error

    return parse


numbers = _numbers(float)
whole_numbers = _numbers(int)

PATH = click.Path(path_type=Path)
ROOT = click.option("--root", required=True, metavar="DIR", type=PATH, help="Folder that the list's pictures lie below.")
LIST = click.option("--pairs", "list_file", required=True, metavar="FILE", type=PATH, help="LFW's pairs.txt.")
FOLDS = click.option("--folds", metavar="1,2", callback=whole_numbers, help="Only these folds, at least two. Default: all.")
DATASET = click.option("--dataset", default="", help="Name and variant, as it shall stand in the report.")
EXECUTOR = click.option(
    "--executor", type=click.Choice(["serial", "threads", "processes"]), default="serial", show_default=True, help="How to embed."
)


def out_option(text: str = "Write report.json, report.md and report.html.") -> Callable[[Command], Command]:
    """--out DIR."""
    return click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help=text)


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several decorators as one; the first is shown first."""

    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


group_options = _all(
    click.option("--group-by", metavar="COLUMN", multiple=True, help="Error rates for each group of this column of --manifest (repeatable)."),
    click.option("--manifest", metavar="FILE", type=PATH, help="CSV with picture (or person) and the columns of --group-by."),
    click.option("--band-edges", metavar="18,30,50", callback=numbers, help="Edges of the bands for a column of numbers, such as age."),
)
"""Options that `groups_of` reads."""
picture_options = _all(embedder_options, detector_options, common)
"""Options of commands that embed pictures."""
run_options = _all(
    out_option("Write the report, scores.csv and vectors/."),
    DATASET,
    EXECUTOR,
    click.option("--center-crop", metavar="SHARE", type=float, help="No detector: the middle square of this share of the picture is the face."),
    click.option("--fallback", metavar="SHARE", type=float, help="Where no face is found, cut the middle square of this share of the picture."),
    group_options,
    click.option("--rates", metavar="1e-2,1e-3", callback=numbers, help="False match rates to report; refused if the pairs cannot carry one."),
    click.option("--pictures", is_flag=True, help="Put the pictures of the worst pairs into report.html; otherwise they stand by name alone."),
    decision_options,
    picture_options,
)
"""Options of commands that verify pairs of pictures."""


def central(options: dict[str, Any]) -> Any:
    """The spec of an evaluation: LFW's rule takes the central face, and a missed face is a result."""
    return make_spec(options, select="central", on_no_face="empty")


def groups_of(options: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Column -> (picture or person -> group), of `group_options`."""
    from ...evaluate import read_groups
    from ...evaluate.groups import bands

    if options["group_by"] and options["manifest"] is None:
        raise click.UsageError("--group-by needs --manifest FILE", click.get_current_context())
    groups = {column: read_groups(options["manifest"], column) for column in options["group_by"]}
    if options["band_edges"]:
        groups = {column: bands(of, options["band_edges"]) or of for column, of in groups.items()}
    return groups


def only_folds(pairs: PairList, folds: tuple[int, ...] | None) -> PairList:
    """The pairs of some folds."""
    if folds is None:
        return pairs
    import numpy as np

    from ...errors import InputError

    wanted, known = sorted(set(folds)), sorted({int(number) for number in pairs.folds})
    if absent := [number for number in wanted if number not in known]:
        raise InputError(f"--folds: there is no fold {', '.join(map(str, absent))} in {pairs.source}; it has {known[0]} to {known[-1]}")
    return pairs.only(np.isin(pairs.folds, wanted), f"only {','.join(map(str, wanted))}")
