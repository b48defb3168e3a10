"""The whole road from pictures to people, as the command line and the service walk it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..batch import Executor
from ..batch.rows import FaceRows
from ..batch.tables import write_table
from ..calibration import find
from ..errors import ConfigError, DuplicateEntry, InputError
from ..gallery import names, open_gallery
from ..gallery.backend import samples_of
from ..pipeline import Pipeline, PipelineSpec
from ..types import ImageArray
from . import albums, sheets
from .grouping import Groups

__all__ = ["run_album"]


def run_album(
    pictures: Sequence[Any],
    table: Path | None,
    out: Path,
    spec: PipelineSpec,
    *,
    load: Callable[[str], ImageArray],
    threshold: float | None = None,
    said: Path | None = None,
    anew: bool = False,
    folders: bool = False,
    gallery: str | None = None,
    least: int = 2,
    executor: Executor = "processes",
    progress: bool = False,
) -> dict[str, Any]:
    """Embed `pictures` into `out`/faces.parquet (or take a table), group the faces, write people.csv and index.html; what was done, and warnings.

    Raises:
        ConfigError: the folder cannot be written; a recipe without a calibration and without a threshold.
        InputError: no face at all, or feedback that contradicts itself. DuplicateEntry: a gallery that has people already.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be made: {error.strerror or error}") from error
    errors = 0
    if table is None:
        table = out / "faces.parquet"
        errors = write_table(FaceRows(spec, "embed"), pictures, table, executor=executor, progress=progress).errors
    album = albums.read_album(table)
    if not album.faces:
        raise InputError("no face was found in any picture; try a lower --min-score or another --detector")
    warnings = [f"{errors} pictures could not be used; see the column error of {table}"] if errors else []
    rate: float | None = None
    if threshold is None:
        pipeline = Pipeline(spec)
        if album.model != pipeline.embedding_id:
            raise ConfigError(f"{table} holds vectors of {album.model}, the options name {pipeline.embedding_id}; say the embedder that wrote it")
        calibration = find(pipeline.recipe_id, spec.calibration)
        if calibration is None:
            raise ConfigError(
                "this recipe has no calibration to take a threshold from; give --threshold (a cosine), or run: faceworks evaluate calibrate"
            )
        threshold, rate = albums.threshold_for(calibration, len(album.faces))
    labels = out / "people.csv"
    known = albums.read_labels(labels) if labels.exists() and not anew else None
    must, cannot = albums.feedback(said) if said is not None else ([], [])
    groups = albums.group_album(album, threshold, must=must, cannot=cannot, known=known)
    albums.write_labels(labels, album, groups)
    sheets.write_sheet(out / "index.html", album, groups, load, least)
    if folders:
        sheets.write_folders(out / "people", album, groups, load, least)
    enrolled = _enroll(gallery, Pipeline(spec), album, groups, least) if gallery is not None else 0
    people = len(np.unique(groups.labels))  # labels of people who were joined since stay free
    done: dict[str, Any] = {
        "pictures": len(set(album.pictures)), "faces": len(album.faces), "people": people, "suggestions": len(groups.suggestions),
        "threshold": round(threshold, 4), "fmr": rate, "out": str(out), "warnings": warnings,
    }  # fmt: skip
    return done | ({"enrolled": enrolled} if gallery is not None else {})


def _enroll(url: str, pipeline: Pipeline, album: albums.Album, groups: Groups, least: int) -> int:
    if album.model != pipeline.embedding_id:
        raise ConfigError(
            f"the vectors are of {album.model}, the options name {pipeline.embedding_id}; say the embedder that made them, for the gallery to use"
        )
    chosen = [members for members in groups.members() if len(members) >= least]
    faces = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    with open_gallery(url, "a", pipeline.spec) as opened:
        if len(opened):
            raise DuplicateEntry(f"{url} has people already; name a new gallery, and bring them together with: faceworks gallery import")
        people = [names.new_person(f"person-{groups.labels[members[0]]:05d}") for members in chosen]
        if people:
            owners = np.repeat(np.arange(len(people)), [len(members) for members in chosen])
            sources = [album.pictures[face] for face in faces]
            columns = {"source": sources, "box": album.boxes[faces], "time": np.full(len(faces), names.now())}
            opened.store(people, samples_of([person.id for person in people], owners, album.vectors[faces], names.new_ids(len(faces)), **columns))
        return len(people)
