"""faceworks cluster SRC… --out DIR"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import common, detector_options, embedder_options, make_spec
from .output import if_interrupted, note, print_facts, print_json

__all__ = ["cluster"]


@click.command(short_help="Group the faces of an album into people.")
@click.argument("sources", metavar="SRC…", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out", metavar="DIR", required=True, type=click.Path(file_okay=False, path_type=Path), help="Results: people.csv, index.html, faces.parquet."
)
@click.option(
    "--threshold", type=float, metavar="COS", help="Mean cosine from which groups are joined. Default: by the calibration and the number of faces."
)
@click.option("--feedback", "said", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Rows relation,a,b: same or different, and two faces as people.csv names them.")  # fmt: skip
@click.option("--anew", is_flag=True, help="Forget the people of an earlier run into DIR; else they stay and new faces are added.")
@click.option("--folders", is_flag=True, help="Write a folder of portraits for each person too.")
@click.option("--gallery", metavar="URL", help="Enroll the people into a gallery, as person-00000 and so on; a later run adds to it.")
@click.option(
    "--min-faces", type=click.IntRange(min=1), default=2, show_default=True, metavar="N", help="Smallest group for the sheet, folders and gallery."
)
@click.option(
    "--executor", type=click.Choice(["serial", "threads", "processes"]), default="processes", show_default=True, help="Where faces are embedded."
)
@embedder_options
@detector_options
@common
def cluster(
    sources: tuple[str, ...], out: Path, threshold: float | None, said: Path | None, anew: bool, folders: bool, gallery: str | None, min_faces: int,
    executor: Any, as_json: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Group the faces of an album into people; SRC is a picture, a folder, a quoted glob, an archive, or a table of `faceworks batch embed`.

    Faces of one picture are never joined. A second run into the same DIR embeds new pictures alone, keeps the people of the first and adds to them;
    --feedback corrects. What may be one person but is not sure is listed, not joined.
    """
    from ..batch.sources import gather, load
    from ..cluster.album_run import run_album

    table = Path(sources[0]) if len(sources) == 1 and Path(sources[0]).is_dir() and any(Path(sources[0]).glob("part-*.parquet")) else None
    pictures = {} if table is not None else {str(reference): reference for reference in gather(sources)}
    spec = make_spec(options, select="all", on_no_face="empty")
    with if_interrupted(f"the vectors that are done stay in {out}; the same command goes on"):
        result = run_album(
            list(pictures.values()), table, out, spec, threshold=threshold, said=said, anew=anew, folders=folders, gallery=gallery, least=min_faces,
            executor=executor, progress=not quiet, load=lambda name: load(pictures.get(name, name)),
        )  # fmt: skip
    for text in result.pop("warnings"):
        note(f"warning: {text}")
    if as_json:
        print_json(result)
    elif not quiet:
        print_facts(
            [(name.replace("_", " "), f"{value:.2g}" if name == "fmr" and value is not None else str(value)) for name, value in result.items()]
        )
        click.echo(f"look: {out / 'index.html'}")
    return 0
