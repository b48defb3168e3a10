"""faceworks embed PATH… --out V.npz"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .detect import complain, run_over, save_pictures
from .options import common, detector_options, embedder_options, make_spec, save_option
from .output import box_text, faces_entry, note, print_json, print_table, write_vectors

__all__ = ["embed"]


@click.command(short_help="Turn faces into vectors.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option("--out", metavar="V.npz", type=click.Path(dir_okay=False, path_type=Path), help="Write vectors, names, boxes, scores, model.")
@embedder_options
@detector_options
@save_option
@common
def embed(paths: tuple[str, ...], out: Path | None, save: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Turn the faces in pictures into vectors; PATH is a picture, a folder, or a quoted glob.

    Vectors are written as the network gives them (not scaled to length 1), one row for each face; compare only vectors of one model. Read the
    file with numpy.load(FILE, allow_pickle=False). Vectors of faces are personal data: treat them like the pictures.
    """
    if out is None and not as_json:
        raise click.UsageError("say where the vectors go: --out V.npz, or --json for stdout", click.get_current_context())
    spec = make_spec(options, select="all", on_no_face="empty")
    from ..api import get_pipeline

    pipeline = get_pipeline(spec)
    items = run_over(pipeline.embed, paths, quiet)
    rows = [(str(item.source), face) for item in items if item.error is None for face in item.result]
    if out is not None:
        write_vectors(out, rows, pipeline.recipe_id, pipeline.embedding_id)
    if save is not None:
        save_pictures(save, items, lambda item: [face.face for face in item.result])
    if as_json:
        print_json([faces_entry(item.source, item.result or [], item.error) for item in items])
    elif not quiet:
        lengths = [f"{face.embedding.norm:.2f}" if face.embedding and face.embedding.norm is not None else "-" for _, face in rows]
        print_table(
            ["picture", ">box x1,y1 x2,y2", ">score", ">vector length"],
            [(name, box_text(face.face), f"{face.face.score:.3f}", length) for (name, face), length in zip(rows, lengths, strict=True)],
        )
        note(f"wrote {len(rows)} vector{'s' * (len(rows) != 1)} of {pipeline.embedding_id} to {out}")
    return complain(items)
