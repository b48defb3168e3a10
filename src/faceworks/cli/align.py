"""faceworks align PATH… --strategy S --out DIR"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .detect import complain, run_over
from .options import common, detector_options, make_spec
from .output import note, print_json, print_table

if TYPE_CHECKING:
    from ..types import Crop

__all__ = ["align"]


@click.command(short_help="Cut faces out of pictures: aligned, square, turned to the front.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option("--strategy", default="arcface-112x112", show_default=True, metavar="S",
              help="similarity5, square:K, eyes:K, facealigner:X,Y, dlib-chip, dlib-N:P, frontalize, box:K or none.")  # fmt: skip
@click.option("--size", type=click.IntRange(16, 4096), default=224, show_default=True, help="Side of the crops in pixels.")
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Folder for the crops (PNG).")
@click.option("--landmarker", metavar="NAME", help="Landmarker for strategies that need points. Default: the detector's, else the scheme's own.")
@click.option("--redetect", is_flag=True, help="Detect again in the aligned crop and cut to the face found there.")
@detector_options
@common
def align(
    paths: tuple[str, ...],
    strategy: str,
    size: int,
    out: Path,
    landmarker: str | None,
    redetect: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Cut every face out and write it as NAME-1.png, NAME-2.png …; PATH is a picture, a folder, or a quoted glob.

    What lies outside the picture is black. --redetect runs the detector on the crop and writes the face found in it, resized to the same size; a crop
    without a face is written as it is, and a note says so.
    """
    spec = make_spec(options, select="all", on_no_face="empty")
    from ..api import get_pipeline
    from ..crops import cut_faces

    pipeline = get_pipeline(spec)

    def cut(images: Sequence[Any]) -> list[list[Crop]]:
        return cut_faces(pipeline, images, strategy, size, landmarker, redetect)

    items = run_over(cut, paths, quiet)
    rows = _write(out, items)
    if as_json:
        print_json([{"source": source, "face": number, "crop": target, "strategy": crop.template} for source, number, target, crop in rows])
    elif quiet:
        for _, _, target, _ in rows:
            click.echo(target)
    else:
        print_table(["picture", ">face", "crop"], [(source, str(number), target) for source, number, target, _ in rows])
        if redetect and (missed := sum(not crop.template.endswith("+redetect") for *_, crop in rows)):
            note(f"no face found again in {missed} of {len(rows)} crops: written as they are")
    return complain(items)


def _write(out: Path, items: Sequence[Any]) -> list[tuple[str, int, str, Crop]]:
    """Save the crops; names are numbered on where two pictures share one."""
    from .. import image
    from ..errors import ConfigError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or error}") from error
    rows: list[tuple[str, int, str, Crop]] = []
    used: set[str] = set()
    for item in items:
        stem, again = Path(str(item.source)).stem, 1
        while (name := stem if again == 1 else f"{stem}_{again}") in used:
            again += 1
        used.add(name)
        for number, crop in enumerate(item.result or [], start=1):
            target = out / f"{name}-{number}.png"
            image.save(target, crop.pixels)
            rows.append((str(item.source), number, str(target), crop))
    return rows
