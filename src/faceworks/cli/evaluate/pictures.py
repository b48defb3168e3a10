"""Commands that embed pictures: lfw, fglfw, pairs, bin, videos, templates, folder, calibrate, robustness, dimension."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import common, decision_options, detector_options, embedder_options, make_spec
from ..output import note, print_facts, print_json, print_table
from .group import evaluate, interval, options_of_runs, percent, run_pairs, whole_numbers, write_json

if TYPE_CHECKING:
    from ...evaluate import PairList

ROOT = click.option("--root", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder that the list's pictures lie below.")
PATH = click.Path(path_type=Path)


def _spec(options: dict[str, Any]) -> Any:
    return make_spec(options, select="central", on_no_face="empty")


@evaluate.command(short_help="Labeled Faces in the Wild: ten-fold verification accuracy.")
@ROOT
@click.option("--pairs", required=True, metavar="FILE", type=PATH, help="LFW's pairs.txt (View 2), or pairsDevTest.txt with --view1.")
@click.option("--view1", metavar="FILE", type=PATH, help="pairsDevTrain.txt: LFW's View 1, the threshold chosen here and judged on --pairs.")
@click.option("--folds", metavar="1,2", callback=whole_numbers, help="Only these folds, at least two. Default: all.")
@options_of_runs
@decision_options
@embedder_options
@detector_options
@common
def lfw(root: Path, pairs: Path, view1: Path | None, folds: tuple[int, ...] | None, **options: Any) -> int:
    """Verification accuracy by LFW's protocol: the threshold of each fold is chosen on the others; mean ± standard error.

    Of each picture the central face is taken. A pair with an undetected face counts as wrong, never as absent. Vectors are kept, so that a second
    run embeds nothing and an interrupted one continues. FaceNet's two protocols: --center-crop 0.5 (no detector) and --fallback 0.5 (the middle
    square where the detector finds nothing). XQLFW's list has this format too.
    """
    spec = _spec(options)
    from ...evaluate import read_lfw_pairs, read_view1

    found = read_lfw_pairs(pairs, root) if view1 is None else read_view1(view1, pairs, root)
    return run_pairs(only_folds(found, folds), spec, {**options, "dataset": options["dataset"] or "LFW"})


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


@evaluate.command(short_help="A list in FGLFW's format: two lines a pair.")
@ROOT
@click.option("--pairs", required=True, metavar="FILE", type=PATH, help="pair_FGLFW.txt: 12,000 lines, two for each pair.")
@click.option("--number-of-folds", default=10, show_default=True, help="Folds in the list.")
@options_of_runs
@decision_options
@embedder_options
@detector_options
@common
def fglfw(root: Path, pairs: Path, number_of_folds: int, **options: Any) -> int:
    """LFW's protocol on pairs whose different people look alike (FGLFW), or on any list of that format."""
    spec = _spec(options)
    from ...evaluate import read_fglfw_pairs

    return run_pairs(read_fglfw_pairs(pairs, root, number_of_folds), spec, options)


@evaluate.command(short_help="Any pairs: a CSV, CALFW's or CPLFW's list, a .bin set; --hard mines hard negatives.")
@click.argument("list_file", metavar="FILE", type=PATH)
@click.option("--root", metavar="DIR", type=PATH, help="Folder that the list's pictures lie below. Default: the list's folder.")
@click.option(
    "--hard", is_flag=True, help="FILE is LFW's pairs.txt: replace its different pairs by hard ones, write them (hard-pairs.txt), evaluate."
)
@click.option("--mine-with", metavar="NAME", help="Embedder that mines hard pairs. Default: the one that is evaluated.")
@options_of_runs
@decision_options
@embedder_options
@detector_options
@common
def pairs(list_file: Path, root: Path | None, hard: bool, mine_with: str | None, **options: Any) -> int:
    """Verification over a list of pairs.

    FILE.csv has the columns first, second, label and, if they are there, fold, person_a, person_b. FILE.txt is CALFW's or CPLFW's list (two lines a
    pair, "picture.jpg label"). FILE.bin is an insightface set (aligned crops: no detector is run; pictures are unpacked below --out).
    """
    spec = _spec(options)
    from ... import settings
    from ...errors import InputError
    from ...evaluate import read_labeled_pairs, read_pairs_csv

    base = root or list_file.parent
    if hard:
        return run_pairs(_hard(list_file, base, spec, mine_with, options), spec, options)
    if list_file.suffix == ".bin":
        from ...evaluate.bins import read_bin

        found = read_bin(list_file, (options["out"] or settings.current().cache) / "pictures")
        options["center_crop"] = options["center_crop"] or 1.0
    elif list_file.suffix == ".csv":
        found = read_pairs_csv(list_file, base)
    elif list_file.suffix == ".txt":
        found = read_labeled_pairs(list_file, base)
    else:
        raise InputError(f"{list_file}: a list of pairs is a .csv, .txt or .bin file")
    return run_pairs(found, spec, options)


def _hard(list_file: Path, root: Path, spec: Any, mine_with: str | None, options: dict[str, Any]) -> PairList:
    from ... import settings
    from ...evaluate import mine_hard, read_fglfw_pairs, read_lfw_pairs, write_fglfw_pairs
    from ...evaluate.vectors import embed_pictures

    plain = read_lfw_pairs(list_file, root)
    miner = spec if mine_with is None else spec.with_options(embedder=mine_with)
    store = (options["out"] or settings.current().cache) / "vectors"
    found = mine_hard(plain, embed_pictures(plain.pictures, miner, store, executor=options["executor"], progress=not options["quiet"]).vectors)
    if options["out"] is None:
        return found
    options["out"].mkdir(parents=True, exist_ok=True)
    path = options["out"] / "hard-pairs.txt"
    write_fglfw_pairs(path, found.pairs, root)
    again = read_fglfw_pairs(path, root, len({int(number) for number in found.folds}))
    return again.only(again.folds > 0, f"different pairs mined to be hard by {miner.embedder}")


@evaluate.command(short_help="YouTube Faces: pairs of videos, a video being the mean of its frames.")
@ROOT
@click.option("--splits", required=True, metavar="FILE", type=PATH, help="splits.txt")
@click.option("--frames", default=0, show_default=True, type=click.IntRange(min=0), help="At most so many frames of a video, evenly spread; 0 = all.")
@options_of_runs
@decision_options
@embedder_options
@detector_options
@common
def videos(root: Path, splits: Path, frames: int, **options: Any) -> int:
    """Verification of videos by YouTube Faces' protocol: 5,000 pairs in ten folds."""
    spec = _spec(options)
    from ...evaluate import read_youtube_faces

    return run_pairs(read_youtube_faces(splits, root, frames), spec, options)


@evaluate.command(short_help="Templates of several pictures, as IJB has them.")
@ROOT
@click.option("--templates", "template_file", required=True, metavar="FILE.csv", type=PATH, help="Columns template, person, picture.")
@click.option("--pairs", "pair_file", required=True, metavar="FILE.csv", type=PATH, help="Columns first, second (templates), perhaps fold.")
@options_of_runs
@decision_options
@embedder_options
@detector_options
@common
def templates(root: Path, template_file: Path, pair_file: Path, **options: Any) -> int:
    """Verification of templates: a template's vector is the mean of the unit vectors of its pictures."""
    spec = _spec(options)
    from ...evaluate import read_template_pairs

    return run_pairs(read_template_pairs(template_file, pair_file, root), spec, options)


@evaluate.command(short_help="A folder of person folders: who is it, with and without strangers.")
@click.argument("root", metavar="DIR", type=PATH)
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write the report and vectors/.")
@click.option("--dataset", default="", help="Name and variant, as it shall stand in the report.")
@click.option(
    "--strangers", default=0.3, show_default=True, type=click.FloatRange(0, 0.9), help="Share of people who are not enrolled; 0 = closed set."
)
@click.option("--enroll", default=1, show_default=True, type=click.IntRange(min=1), help="Pictures enrolled of each person.")
@click.option("--split", type=click.Choice(["independent", "dependent"]), default="independent", show_default=True,
              help="Thresholds are chosen on other people, or on other pictures of the same people.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="What is dealt by chance is dealt by this number.")
@click.option("--executor", type=click.Choice(["serial", "threads", "processes"]), default="serial", show_default=True, help="How to embed.")
@embedder_options
@detector_options
@common
def folder(
    root: Path, out: Path | None, dataset: str, strangers: float, enroll: int, split: Any, seed: int, executor: Any, as_json: bool, quiet: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Identification: rank-k and CMC (closed set), TPIR and TNIR (open set: some people are strangers)."""
    spec = _spec(options)
    from ...evaluate import evaluate_folder
    from ...evaluate.report import plain
    from ...types import to_dict

    found = evaluate_folder(
        root, spec, out=out, dataset=dataset, strangers=strangers, enroll=enroll, split=split, seed=seed, executor=executor, progress=not quiet
    )
    if as_json:
        print_json(plain(to_dict(found)))
    elif quiet:
        click.echo(f"{found.rank1:.6f}")
    else:
        counts = found.counts
        rows = [("rank 1, 95 %", f"{percent(found.rank1)} {interval(found.rank1_interval)}"), ("rank 5", percent(found.rank5))]
        rows.append(("enrolled", f"{counts['enrolled_people']} people, {counts['enrolled']} pictures"))
        rows.append(
            ("asked", f"{counts['probes']} pictures of enrolled people, {counts['strangers']} of strangers; {counts['undetected']} without a face")
        )
        if found.auc is not None:
            rows.append(("AUC (open set)", f"{found.auc:.4f}"))
        for point in found.points:
            rows.append(
                (f"threshold for FPIR {point.fpir_requested:g}", f"{point.threshold:.4f}: TPIR {percent(point.tpir)}, FPIR {percent(point.fpir)}")
            )
        print_facts(rows, f"{found.dataset}: rank 1 {percent(found.rank1)}")
        if out is not None:
            note(f"wrote {out / 'report.html'}, report.md and report.json")
    return 0


@evaluate.command(short_help="Measure thresholds for false match rates, and probabilities, for a recipe.")
@click.argument("root", metavar="DIR", type=PATH)
@click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write calibration.json and the report; vectors/ are kept here."
)
@click.option("--keep", is_flag=True, help="Use it from now on: keep it in the user's folder, where verify --fmr finds it.")
@click.option("--dataset", default="", help="Name and variant of the pictures, as it shall stand wherever the calibration is used.")
@click.option("--executor", type=click.Choice(["serial", "threads", "processes"]), default="serial", show_default=True, help="How to embed.")
@embedder_options
@detector_options
@common
def calibrate(root: Path, out: Path | None, keep: bool, dataset: str, executor: Any, as_json: bool, quiet: bool, **options: Any) -> int:
    """Compare every picture of a folder of person folders with every other, and store what a similarity means for this recipe.

    The threshold of each false match rate from 1e-1 to 1e-5, as far as the comparisons carry it, with intervals by resampling people and with the
    rate reached on the other half of the people; and the map from similarity to probability.
    """
    spec = _spec(options)
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


def _levels(name: str, levels: Any, out: Path | None, as_json: bool) -> int:
    from ...types import to_dict

    write_json(out, {"schema": 2, "kind": name, "levels": to_dict(levels)})
    if as_json:
        print_json(levels)
        return 0
    print_table(
        ["setting", ">accuracy", "95 %", ">VAL at FAR 1e-3", ">undetected"],
        [(item.setting, percent(item.accuracy), interval(item.accuracy_interval), percent(item.val), str(item.undetected)) for item in levels],
    )
    return 0


@evaluate.command(short_help="FaceNet's experiment: JPEG quality and picture size.")
@ROOT
@click.option("--pairs", "list_file", required=True, metavar="FILE", type=PATH, help="LFW's pairs.txt.")
@click.option("--folds", metavar="1,2", callback=whole_numbers, help="Only these folds, at least two. Default: all.")
@click.option("--jpeg", metavar="10,20,…", callback=whole_numbers, help="JPEG qualities. Default: FaceNet's.")
@click.option("--pixels", metavar="1600,6400,…", callback=whole_numbers, help="Picture sizes in pixels. Default: FaceNet's.")
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write report.json, and a report for each level.")
@click.option("--executor", type=click.Choice(["serial", "threads", "processes"]), default="serial", show_default=True, help="How to embed.")
@embedder_options
@detector_options
@common
def robustness(
    root: Path, list_file: Path, folds: Any, jpeg: Any, pixels: Any, out: Path | None, executor: Any, as_json: bool, quiet: bool, **options: Any
) -> int:
    """Accuracy and VAL when pictures are saved as worse JPEG, or shrunk, before anything else is done."""
    spec = _spec(options)
    from ...evaluate import quality_levels, read_lfw_pairs
    from ...evaluate.experiments import JPEG, PIXELS

    found = only_folds(read_lfw_pairs(list_file, root), folds)
    levels = quality_levels(found, spec, jpeg=jpeg or JPEG, pixels=pixels or PIXELS, out=out, executor=executor, progress=not quiet)
    return _levels("robustness", levels, out, as_json)


@evaluate.command(short_help="FaceNet's experiment: embedding dimension.")
@ROOT
@click.option("--pairs", "list_file", required=True, metavar="FILE", type=PATH, help="LFW's pairs.txt.")
@click.option("--dimensions", metavar="8,16,…", callback=whole_numbers, default="8,16,32,64,128", show_default=True, help="Numbers kept of a vector.")
@click.option("--how", type=click.Choice(["pca", "truncate"]), default="pca", show_default=True,
              help="Principal components found on the other folds, or the first numbers of the vector.")  # fmt: skip
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write report.json; vectors/ are kept here.")
@click.option("--executor", type=click.Choice(["serial", "threads", "processes"]), default="serial", show_default=True, help="How to embed.")
@embedder_options
@detector_options
@common
def dimension(
    root: Path, list_file: Path, dimensions: Any, how: Any, out: Path | None, executor: Any, as_json: bool, quiet: bool, **options: Any
) -> int:  # fmt: skip
    """Accuracy and VAL of shortened embeddings."""
    spec = _spec(options)
    from ... import settings
    from ...evaluate import dimension_levels, read_lfw_pairs
    from ...evaluate.vectors import embed_pictures

    found = read_lfw_pairs(list_file, root)
    vectors = embed_pictures(found.pictures, spec, (out or settings.current().cache) / "vectors", executor=executor, progress=not quiet).vectors
    return _levels("dimension", dimension_levels(found, vectors, spec, dimensions, how), out, as_json)
