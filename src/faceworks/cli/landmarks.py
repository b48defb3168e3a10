"""faceworks landmarks PATH…"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .detect import complain, run_over, save_pictures
from .options import common, detector_options, make_spec, save_option
from .output import box_text, faces_entry, print_json, print_table

if TYPE_CHECKING:
    from ..types import Face

__all__ = ["landmarks"]


@click.command(short_help="Find the facial points in pictures.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option("--landmarker", metavar="NAME", help="Landmarker (see `faceworks models list --task landmark`). Default: the detector's own points.")
@detector_options
@save_option
@common
def landmarks(paths: tuple[str, ...], landmarker: str | None, save: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Find the facial points of every face; PATH is a picture, a folder, or a quoted glob.

    Points are x,y in pixels of the picture, y down; integer coordinates are pixel centers. Schemes: arcface5 (eyes, nose tip, mouth corners, as the
    viewer sees them), dlib5 (eye corners and nose base), ibug68, mesh468.
    """
    spec = make_spec(options, select="all", on_no_face="empty")
    from ..api import get_pipeline
    from ..landmarks import ensure, load_landmarker

    pipeline = get_pipeline(spec)
    asked = None if landmarker is None else load_landmarker(landmarker, pipeline.session_options)

    def find(images: Sequence[Any]) -> list[list[Face]]:
        faces = pipeline.find(images)
        return faces if asked is None else ensure(images, faces, asked)

    items = run_over(find, paths, quiet)
    if save is not None:
        save_pictures(save, items, lambda item: item.result)
    if as_json:
        print_json([faces_entry(item.source, item.result or [], item.error) for item in items])
    elif quiet:
        for item in items:
            for face in item.result or []:
                click.echo(f"{item.source}\t{_text(face)}")
    else:
        rows = [
            (str(item.source), str(n), box_text(face), _scheme(face), _text(face)) for item in items for n, face in enumerate(item.result or [], 1)
        ]
        print_table(["picture", ">face", ">box x1,y1 x2,y2", "scheme", "points x,y"], rows)
    return complain(items)


def _scheme(face: Face) -> str:
    return "none" if face.landmarks is None else face.landmarks.scheme


def _text(face: Face) -> str:
    return "-" if face.landmarks is None else " ".join(f"{x:.1f},{y:.1f}" for x, y in face.landmarks.points.tolist())
