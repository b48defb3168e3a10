"""Commands over a folder of person folders: folder, calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..output import note, print_facts, print_json, print_table
from .group import evaluate, interval, percent
from .options import DATASET, EXECUTOR, PATH, central, group_options, groups_of, out_option, picture_options


@evaluate.command(short_help="A folder of person folders: who is it, with and without strangers.")
@click.argument("root", metavar="DIR", type=PATH)
@out_option("Write the report; vectors/ are kept here.")
@DATASET
@click.option(
    "--strangers", default=0.3, show_default=True, type=click.FloatRange(0, 0.9), help="Share of people who are not enrolled; 0 = closed set."
)
@click.option("--enroll", default=1, show_default=True, type=click.IntRange(min=1), help="Pictures enrolled of each person.")
@click.option("--split", type=click.Choice(["independent", "dependent"]), default="independent", show_default=True,
              help="Thresholds are chosen on other people, or on other pictures of the same people.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="What is dealt by chance is dealt by this number.")
@EXECUTOR
@group_options
@picture_options
def folder(
    root: Path, out: Path | None, dataset: str, strangers: float, enroll: int, split: Any, seed: int, executor: Any, as_json: bool, quiet: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Identification: rank-k and CMC (closed set), TPIR and TNIR (open set: some people are strangers)."""
    spec = central(options)
    from ...evaluate import evaluate_folder
    from ...evaluate.report import plain
    from ...types import to_dict

    found = evaluate_folder(
        root, spec, out=out, dataset=dataset, strangers=strangers, enroll=enroll, split=split, seed=seed, executor=executor, progress=not quiet,
        groups=groups_of(options),
    )  # fmt: skip
    if as_json:
        print_json(plain(to_dict(found)))
    elif quiet:
        click.echo(f"{found.rank1:.6f}")
    else:
        counts = found.counts
        rows = [("rank 1, 95 %", f"{percent(found.rank1)} {interval(found.rank1_interval)}"), ("rank 5", percent(found.rank5))]
        if found.split == "independent":
            rows.append(("development", f"{counts['development_people']} of {counts['people']} people, for thresholds alone"))
        rows.append(("enrolled", f"{counts['enrolled_people']} people, {counts['enrolled']} pictures"))
        rows.append(
            ("asked", f"{counts['probes']} pictures of enrolled people, {counts['strangers']} of strangers; {counts['undetected']} without a face")
        )
        if found.auc is not None:
            rows.append(("AUC (open set)", f"{found.auc:.4f}"))
        for point in found.points:
            rows.append(
                (
                    f"FPIR {point.fpir_requested:g}",
                    f"TPIR {percent(point.tpir)}, FPIR {percent(point.fpir)} at similarity {point.threshold:.4f} (--threshold {1 - point.threshold:.4f})",
                )
            )
        for group in found.groups:
            for item in group.groups:
                rates = f"rank 1 {percent(item.rank1)}, FNIR {percent(item.fnir)} of {item.probes}, FPIR {percent(item.fpir)} of {item.strangers}"
                rows.append((f"{group.column} {item.group}", rates))
        print_facts(rows, f"{found.dataset}: rank 1 {percent(found.rank1)}")
        if out is not None:
            note(f"wrote {out / 'report.html'}, report.md and report.json")
    return 0


@evaluate.command(short_help="Measure thresholds for false match rates, and probabilities, for a recipe.")
@click.argument("root", metavar="DIR", type=PATH)
@out_option("Write calibration.json and the report; vectors/ are kept here.")
@click.option("--keep", is_flag=True, help="Use it from now on: keep it in the user's folder, where verify --fmr finds it.")
@click.option("--dataset", default="", help="Name and variant of the pictures, as it shall stand wherever the calibration is used.")
@EXECUTOR
@picture_options
def calibrate(root: Path, out: Path | None, keep: bool, dataset: str, executor: Any, as_json: bool, quiet: bool, **options: Any) -> int:
    """Compare every picture of a folder of person folders with every other, and store what a similarity means for this recipe.

    The threshold of each false match rate from 1e-1 to 1e-5, as far as the comparisons carry it, with intervals by resampling people and with the
    rate reached on the other half of the people; and the map from similarity to probability.
    """
    spec = central(options)
    from ... import calibration
    from ...evaluate.folder_calibration import calibrate_with_checks, write_calibration_pages

    store = None if out is None else out / "vectors"
    found, checks, _ = calibrate_with_checks(root, spec, dataset=dataset or str(root), store=store, executor=executor, progress=not quiet)
    written = []
    if out is not None:
        calibration.save(found, out / "calibration.json")
        write_calibration_pages(found, checks, out)
        written.append(str(out / "calibration.json"))
    if keep:
        calibration.save(found, calibration.user_folder() / f"{found.recipe}.json")
        written.append(str(calibration.user_folder() / f"{found.recipe}.json"))
    if as_json:
        print_json(found)
    elif quiet:
        click.echo(found.recipe)
    else:
        print_table(
            [">FMR", ">threshold (cosine)", ">distance", "FMR reached, 95 %", ">FNMR"],
            [
                (f"{row.fmr:g}", f"{row.threshold:.4f}", f"{1 - row.threshold:.4f}", f"{row.low:.2e} to {row.high:.2e}", percent(row.fnmr))
                for row in found.rows
            ],
            f"{found.impostors} impostor and {found.genuine} genuine comparisons of {found.people} people; recipe {found.recipe}",
        )
    if written and not quiet:
        note(f"wrote {' and '.join(written)}")
    return 0
