"""faceworks batch detect|embed|analyze SRC… --out faces.parquet"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .analyze import parse_models
from .options import common, detector_options, embedder_options, make_spec
from .output import if_interrupted, note, print_facts, print_json

__all__ = ["batch"]

F = TypeVar("F", bound=Callable[..., Any])
EXECUTORS = ("serial", "threads", "processes", "ray")  # equal to batch.EXECUTORS (tested); here so that --help imports no NumPy


@click.group(short_help="Many pictures into one Parquet table, resumable.")
def batch() -> None:
    """Many pictures into one Parquet table.

    SRC is a picture, a folder, a quoted glob, a table (.csv, .tsv, .parquet) with a column of paths, an archive (.zip, .tar, .tar.gz) or a video. The table
    is a folder of shards that pandas, DuckDB and Spark read by its name; a run that was killed goes on where it stopped when the same command is given
    again: no picture is lost or written twice. Pictures that cannot be used are named on stderr (the first few) and in the column error, the others are
    done, and the exit code is 2.
    """


def _options(function: F) -> F:
    for option in reversed([
        click.argument("sources", metavar="SRC…", nargs=-1, required=True, type=click.Path()),
        click.option("--out", metavar="FILE.parquet", required=True, type=click.Path(path_type=Path), help="Folder of the table's shards."),
        click.option("--executor", type=click.Choice(EXECUTORS), default="processes", show_default=True, help="Where the work is done."),
        click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Default: one for each core (of the cluster, with ray)."),
        click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True, metavar="N", help="Pictures handed to a worker at once."),
        click.option("--address", metavar="ADDRESS", help='Ray cluster: "auto" or host:port. Default: one of our own on this machine.'),
        click.option("--column", metavar="NAME", help="Column of a table that holds the pictures' paths."),
        click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Of a video, every n-th frame."),
        click.option("--keyframes", is_flag=True, help="Of a video, the keyframes alone."),
        click.option("--retry-errors", is_flag=True, help="Try pictures again that could not be used in an earlier run."),
    ]):  # fmt: skip
        function = option(function)
    return detector_options(common(function))


def _run(sources: tuple[str, ...], step: Any, defaults: dict[str, Any], as_json: bool, quiet: bool, options: dict[str, Any], **more: Any) -> int:
    from ..batch.rows import FaceRows
    from ..batch.sources import Content, gather
    from ..batch.tables import write_table

    found: Any = gather(sources, column=options["column"], every=options["every"], keyframes=options["keyframes"])
    first = next(found, None)
    found = [] if first is None else itertools.chain([first], found)
    if not isinstance(first, Content):  # names are small: with all of them known the bar can tell what remains
        found = list(found)
    spec = make_spec(options, **{"select": "all", "on_no_face": "empty", **defaults})
    with if_interrupted(f"what is done stands in {options['out']}; the same command goes on"):
        summary = write_table(
            FaceRows(spec, step, **more), found, options["out"], executor=options["executor"], workers=options["workers"],
            batch_size=options["batch_size"], retry_errors=options["retry_errors"], progress=not quiet, address=options["address"],
        )  # fmt: skip
    if as_json:
        print_json({"out": str(options["out"]), **{name: getattr(summary, name) for name in summary.__dataclass_fields__}})
    elif not quiet:
        rate = summary.pictures / summary.seconds if summary.seconds else 0.0
        print_facts([
            ("pictures", f"{summary.pictures} done in {summary.seconds:.1f} s ({rate:.1f}/s), {summary.resumed} were done before"),
            ("faces", str(summary.faces)),
            ("errors", f"{summary.errors}{' (column error)' if summary.errors else ''}"),
            ("table", str(options["out"])),
        ])  # fmt: skip
    for text in summary.failed:
        note(f"error: {text}")
    if summary.errors:
        note(f"{summary.errors} picture{'s' * (summary.errors != 1)} could not be used; see the column error of {options['out']}")
    return 2 if summary.errors else 0


@batch.command(short_help="Boxes and points of all faces.")
@_options
def detect(sources: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> int:
    """Boxes and points of all faces."""
    return _run(sources, "detect", {}, as_json, quiet, options)


@batch.command(short_help="Vectors of all faces.")
@embedder_options
@_options
def embed(sources: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> int:
    """Vectors of all faces (raw, as the network gives them). Vectors of faces are personal data: treat them like the pictures."""
    return _run(sources, "embed", {}, as_json, quiet, options)


@batch.command(short_help="Emotion, age, gender … of all faces.")
@click.option("--attributes", default="emotion,age,gender", show_default=True, metavar="A,B", help="As of `faceworks analyze`.")
@click.option("--model", "models", multiple=True, callback=parse_models, metavar="ATTRIBUTE=NAME", help="Who answers an attribute; repeatable.")
@_options
def analyze(sources: tuple[str, ...], attributes: str, models: dict[str, str], as_json: bool, quiet: bool, **options: Any) -> int:
    """Attributes of all faces, as JSON in the column `attributes`. Distributions of a model, not facts about a person."""
    wanted = tuple(item.strip() for item in attributes.split(",") if item.strip())
    return _run(sources, "analyze", {}, as_json, quiet, options, attributes=wanted, models=models)
