"""Commands that verify pairs of pictures: lfw, fglfw, pairs, videos, templates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .group import evaluate, run_pairs
from .options import FOLDS, PATH, ROOT, central, only_folds, run_options

if TYPE_CHECKING:
    from ...evaluate import PairList


@evaluate.command(short_help="Labeled Faces in the Wild: ten-fold verification accuracy.")
@ROOT
@click.option("--pairs", required=True, metavar="FILE", type=PATH, help="LFW's pairs.txt (View 2), or pairsDevTest.txt with --view1.")
@click.option("--view1", metavar="FILE", type=PATH, help="pairsDevTrain.txt: LFW's View 1, the threshold chosen here and judged on --pairs.")
@FOLDS
@run_options
def lfw(root: Path, pairs: Path, view1: Path | None, folds: tuple[int, ...] | None, **options: Any) -> int:
    """Verification accuracy by LFW's protocol: the threshold of each fold is chosen on the others; mean ± standard error.

    Of each picture the central face is taken. A pair with an undetected face counts as wrong, never as absent. Vectors are kept, so that a second
    run embeds nothing and an interrupted one continues. FaceNet's two protocols: --center-crop 0.5 (no detector) and --fallback 0.5 (the middle
    square where the detector finds nothing). XQLFW's list has this format too.
    """
    spec = central(options)
    from ...evaluate import read_lfw_pairs, read_view1

    found = read_lfw_pairs(pairs, root) if view1 is None else read_view1(view1, pairs, root)
    return run_pairs(only_folds(found, folds), spec, {**options, "dataset": options["dataset"] or "LFW"})


@evaluate.command(short_help="A list in FGLFW's format: two lines a pair.")
@ROOT
@click.option("--pairs", required=True, metavar="FILE", type=PATH, help="pair_FGLFW.txt: 12,000 lines, two for each pair.")
@click.option("--number-of-folds", default=10, show_default=True, help="Folds in the list.")
@run_options
def fglfw(root: Path, pairs: Path, number_of_folds: int, **options: Any) -> int:
    """LFW's protocol on pairs whose different people look alike (FGLFW), or on any list of that format."""
    spec = central(options)
    from ...evaluate import read_fglfw_pairs

    return run_pairs(read_fglfw_pairs(pairs, root, number_of_folds), spec, options)


@evaluate.command(short_help="Any pairs: a CSV, CALFW's or CPLFW's list, a .bin set; --hard mines hard negatives.")
@click.argument("list_file", metavar="FILE", type=PATH)
@click.option("--root", metavar="DIR", type=PATH, help="Folder that the list's pictures lie below. Default: the list's folder.")
@click.option(
    "--hard", is_flag=True, help="FILE is LFW's pairs.txt: replace its different pairs by hard ones, write them (hard-pairs.txt), evaluate."
)
@click.option("--mine-with", metavar="NAME", help="Embedder that mines hard pairs. Default: the one that is evaluated.")
@run_options
def pairs(list_file: Path, root: Path | None, hard: bool, mine_with: str | None, **options: Any) -> int:
    """Verification over a list of pairs.

    FILE.csv has the columns first, second, label and, if they are there, fold, person_a, person_b. FILE.txt is CALFW's or CPLFW's list (two lines a
    pair, "picture.jpg label"). FILE.bin is an insightface set (aligned crops: no detector is run; pictures are unpacked below --out).
    """
    spec = central(options)
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
@run_options
def videos(root: Path, splits: Path, frames: int, **options: Any) -> int:
    """Verification of videos by YouTube Faces' protocol: 5,000 pairs in ten folds."""
    spec = central(options)
    from ...evaluate import read_youtube_faces

    return run_pairs(read_youtube_faces(splits, root, frames), spec, options)


@evaluate.command(short_help="Templates of several pictures, as IJB has them.")
@ROOT
@click.option("--templates", "template_file", required=True, metavar="FILE.csv", type=PATH, help="Columns template, person, picture.")
@click.option("--pairs", "pair_file", required=True, metavar="FILE.csv", type=PATH, help="Columns first, second (templates), perhaps fold.")
@run_options
def templates(root: Path, template_file: Path, pair_file: Path, **options: Any) -> int:
    """Verification of templates: a template's vector is the mean of the unit vectors of its pictures."""
    spec = central(options)
    from ...evaluate import read_template_pairs

    return run_pairs(read_template_pairs(template_file, pair_file, root), spec, options)
