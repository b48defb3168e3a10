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
from ..gallery import Gallery, names, open_gallery
from ..gallery.backend import Person, samples_of
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
        InputError: no face at all, or feedback that contradicts itself. DuplicateEntry: a gallery with other people, or whose people were joined or split since.
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
        raise InputError("no face was found in any picture; try a lower min_score or another detector")
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
        "pictures": len(set(album.pictures)), "faces": len(album.faces), "people": people,
        "seen_once": sum(len(members) == 1 for members in groups.members()), "suggestions": len(groups.suggestions),
        "threshold": round(threshold, 4), "fmr": rate, "out": str(out), "warnings": warnings,
    }  # fmt: skip
    return done | ({"enrolled": enrolled} if gallery is not None else {})


def _enroll(url: str, pipeline: Pipeline, album: albums.Album, groups: Groups, least: int) -> int:
    if album.model != pipeline.embedding_id:
        raise ConfigError(
            f"the vectors are of {album.model}, the options name {pipeline.embedding_id}; say the embedder that made them, for the gallery to use"
        )
    with open_gallery(url, "a", pipeline.spec) as opened:
        return opened.settle(lambda since: _add(opened, album, groups, least, since))


def _add(opened: Gallery, album: albums.Album, groups: Groups, least: int, since: str) -> int:
    """Store what the gallery does not hold yet; how many people are new."""
    owners = _owners(opened, album, groups) if len(opened) else {}
    people, ids, faces = list[Person](), list[str](), list[int]()
    for members in groups.members():
        label = int(groups.labels[members[0]]) if len(members) else -1
        if len(members) < least and label not in owners:
            continue
        owner, held = owners.get(label, (None, frozenset()))
        if owner is None:
            people.append(names.new_person(f"person-{label:05d}"))
            owner = people[-1].id
        fresh = [int(face) for face in members if int(face) not in held]
        ids += [owner] * len(fresh)
        faces += fresh
    if faces:
        place = {id: number for number, id in enumerate(dict.fromkeys(ids))}
        columns = {"source": [album.pictures[face] for face in faces], "box": album.boxes[faces], "time": np.full(len(faces), names.now())}
        opened.store(people, samples_of(list(place), [place[id] for id in ids], album.vectors[faces], names.new_ids(len(faces)), **columns), since)
    return len(people)


def _owners(opened: Gallery, album: albums.Album, groups: Groups) -> dict[int, tuple[str, frozenset[int]]]:
    """Label -> who it is in a gallery that an earlier run of this album filled, and the faces that lie there (removed ones too: they shall not come back)."""
    samples = opened.backend.entries().samples
    owner_of = {
        (source, box): samples.people[person]
        for source, box, person in zip(samples.source, _corners(samples.box), samples.person.tolist(), strict=True)
    }
    held: dict[int, dict[str, set[int]]] = {}
    for face, (picture, box, label) in enumerate(zip(album.pictures, _corners(album.boxes), groups.labels.tolist(), strict=True)):
        if (picture, box) in owner_of:
            held.setdefault(label, {}).setdefault(owner_of[picture, box], set()).add(face)
    if not held:
        raise DuplicateEntry(
            f"{opened.info.url} has people, but none of this album; name a new gallery, and bring them together with: faceworks gallery import"
        )
    known = [person for people in held.values() for person in people]
    if len(known) != len(set(known)) or any(len(people) > 1 for people in held.values()):
        raise DuplicateEntry(
            f"{opened.info.url} was filled by an earlier run, and people were joined or split since; name a new gallery, or change this one by: "
            "faceworks gallery merge, remove"
        )
    return {label: (person, frozenset(faces)) for label, people in held.items() for person, faces in people.items()}


def _corners(boxes: Any) -> list[tuple[float, ...]]:
    return [tuple(row) for row in np.round(boxes, 1).tolist()]
