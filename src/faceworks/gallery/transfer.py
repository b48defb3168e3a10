"""Galleries as files: JSON lines, Parquet, and the layouts of the course notes. No pickle.

JSON lines: the first line is {"faceworks gallery": 1, "binding": {…}}, then one line for each person, {"person": {…}}, and after it one for each of the
person's samples, {"sample": {…, "vector": base64 of float32 little-endian, of the length the network gave}}.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import image
from ..errors import ConfigError, GalleryUnavailable, InputError, ManifestError, ModelMismatch
from ..optional import require
from ..pipeline import Pipeline
from ..types import Embedding, FloatArray
from . import names
from .backend import NUMBERS, TEXTS, Binding, Change, Entries, Person, Samples, samples_of
from .hdf5.codec import person_of
from .policy import Gallery

__all__ = ["export", "import_", "migrate", "reindex"]

Layout = Literal["jsonl", "parquet", "seed"]


def layout_of(path: Path, layout: Layout | None) -> Layout:
    """The layout that was asked for, or that the file's suffix says."""
    known: dict[str, Layout] = {".jsonl": "jsonl", ".parquet": "parquet", ".h5": "seed", ".hdf5": "seed", ".hdf": "seed"}
    found = layout or known.get(path.suffix.lower())
    if found is None:
        raise ConfigError(f"what should {path} be? name it .jsonl or .parquet, or give --layout jsonl, parquet or seed")
    return found


def export(gallery: Gallery, path: str | Path, people: Iterable[str] | None = None, layout: Layout | None = None) -> int:
    """Write everybody, or some people (ids or names), to a file; whole or not at all. Returns the number of samples.

    Raises:
        UnknownPerson. GalleryUnavailable: the file cannot be written. MissingDependency: Parquet without pyarrow.
    """
    path = Path(path)
    kind = layout_of(path, layout)
    chosen = None if people is None else [gallery.person(item).id for item in people]
    found = gallery.backend.entries(chosen)
    living = [person for person in found.people if not person.removed]
    samples = found.samples.take(found.samples.living(gallery.clock()))
    place = {person.id: index for index, person in enumerate(living)}
    samples = samples.take([row for row, person in enumerate(samples.person) if samples.people[person] in place])
    ids = [person.id for person in living]
    persons = np.array([place[samples.people[person]] for person in samples.person], np.int32)
    entries = Entries(living, samples.replace(people=tuple(ids), person=persons))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if kind == "seed":
            from .hdf5.seed import write_seed

            write_seed(temporary, entries)
        elif kind == "parquet":
            _write_parquet(temporary, gallery.binding, entries)
        else:
            temporary.write_text("".join(_lines(gallery.binding, entries)), encoding="utf-8")
        os.chmod(temporary, 0o600)
        os.replace(temporary, path)
    except OSError as error:
        raise GalleryUnavailable(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    gallery.note("export", living, len(samples))
    return len(samples)


def _lines(binding: Binding | None, entries: Entries) -> Iterable[str]:
    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False) + "\n"

    yield line({"faceworks gallery": 1, "binding": binding.to_json() if binding else None})
    samples = entries.samples
    for number, person in enumerate(entries.people):
        yield line({"person": person.to_json() | {"token": ""}})
        for row in np.flatnonzero(samples.person == number):
            numbers = {name: getattr(samples, name)[row].tolist() for name in NUMBERS if name not in ("person", "length")}
            plain = {name: None if value != value or (isinstance(value, list) and value[0] != value[0]) else value for name, value in numbers.items()}
            vector = (samples.vectors[row] * samples.length[row]).astype("<f4").tobytes()
            texts = {name: getattr(samples, name)[row] for name in TEXTS}
            yield line({"sample": {**plain, **texts, "person": person.id, "vector": base64.b64encode(vector).decode()}})


def _write_parquet(path: Path, binding: Binding | None, entries: Entries) -> None:
    arrow, parquet = (require(name, "parquet", "Parquet") for name in ("pyarrow", "pyarrow.parquet"))
    samples = entries.samples
    people = [entries.people[place] for place in samples.person]
    columns: dict[str, Any] = {name: getattr(samples, name) for name in NUMBERS if name not in ("person", "box", "length")}
    columns |= {"box": list(samples.box), "vector": list(samples.vectors * samples.length[:, None])}
    columns |= {name: list(getattr(samples, name)) for name in TEXTS}
    columns |= {"person_id": [item.id for item in people], "person_name": [item.name for item in people], "person_created": [item.created for item in people],
                "person_metadata": [json.dumps(dict(item.metadata), ensure_ascii=False) for item in people]}  # fmt: skip
    table = arrow.table(columns).replace_schema_metadata({"faceworks gallery": json.dumps(binding.to_json() if binding else None)})
    parquet.write_table(table, path)


def import_(gallery: Gallery, path: str | Path, layout: Layout | None = None) -> int:
    """Read people from a file of `export` (JSON lines or Parquet) into a gallery, in one transaction; the number of samples.

    Raises:
        ManifestError: a line that cannot be used. ModelMismatch, DuplicateEntry: see `Gallery.add_entries`.
    """
    path = Path(path)
    kind = layout_of(path, layout)
    if kind == "seed":
        raise ConfigError(f"{path} names no model: bring it over with faceworks gallery migrate {path} --embedder NAME")
    binding, people, rows = _read_parquet(path) if kind == "parquet" else _read_lines(path)
    if not people:
        return 0
    ids = list(people)
    try:
        vectors = np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), -1)
        columns = {name: [row[name] for row in rows] for name in TEXTS}
        for name in NUMBERS:
            if name not in ("id", "person", "length", "removed"):
                missing: Any = [np.nan] * 4 if name == "box" else np.nan if name in ("norm", "quality") else 0
                columns[name] = [missing if row.get(name) is None else row[name] for row in rows]
        places = {id: place for place, id in enumerate(ids)}
        samples = samples_of(ids, [places[row["person"]] for row in rows], vectors, [row["id"] for row in rows], **columns) if rows else None
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{path} does not hold what an export holds: {error}") from error
    empty = samples_of([], [], np.zeros((0, binding.dim if binding else 0)), [])
    gallery.add_entries(binding, Entries([people[id] for id in ids], empty if samples is None else samples))
    return len(rows)


def _read_lines(path: Path) -> tuple[Binding | None, dict[str, Person], list[dict[str, Any]]]:
    people: dict[str, Person] = {}
    rows: list[dict[str, Any]] = []
    binding = None
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, start=1):
                line = json.loads(text)
                if number == 1:
                    if line.get("faceworks gallery") != 1:
                        raise ManifestError(f"{path} is no export of a gallery", 1)
                    binding = Binding.from_json(line["binding"]) if line["binding"] else None
                elif "person" in line:
                    person = _fresh(line["person"])
                    people[person.id] = person
                else:
                    row = dict(line["sample"])
                    row["vector"] = np.frombuffer(base64.b64decode(row["vector"], validate=True), "<f4")
                    rows.append(row)
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise ManifestError(f"{path}: {type(error).__name__}: {error}", number) from error
    return binding, people, rows


def _fresh(plain: dict[str, Any]) -> Person:
    made = names.new_person(plain["name"], plain["id"], plain.get("metadata"))
    return person_of({**plain, "id": made.id, "name": made.name, "metadata": made.metadata, "token": made.token, "removed": 0})


def _read_parquet(path: Path) -> tuple[Binding | None, dict[str, Person], list[dict[str, Any]]]:
    parquet = require("pyarrow.parquet", "parquet", "Parquet")
    try:
        table = parquet.read_table(path)
        head = json.loads((table.schema.metadata or {})[b"faceworks gallery"])
        rows = table.to_pylist()
        people: dict[str, Person] = {}
        for row in rows:
            plain = {
                "id": row["person_id"],
                "name": row["person_name"],
                "created": row["person_created"],
                "metadata": json.loads(row["person_metadata"]),
            }
            people[row["person_id"]] = people.get(row["person_id"]) or _fresh(plain)
            row["person"] = row["person_id"]
            row.update({name: None for name in ("norm", "quality") if row[name] != row[name]})
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ManifestError(f"{path} is no Parquet export of a gallery: {error}") from error
    return Binding.from_json(head) if head else None, people, rows


def migrate(path: str | Path, gallery: Gallery, pipeline: Pipeline) -> int:
    """Bring a file in a layout of the course notes over, its vectors being those of `pipeline`; the number of samples.

    Raises:
        ModelMismatch: vectors of another length than the embedder makes.
    """
    from .hdf5.seed import read_seed

    found = read_seed(path)
    dim = found[0][2].shape[1]
    expected = expected_dim(pipeline)
    if expected is not None and expected != dim:
        raise ModelMismatch(f"{path} holds vectors of {dim} numbers, {pipeline.spec.embedder} makes {expected}: name the embedder that made them")
    people = [names.new_person(name, None, {key: value for key, value in facts.items() if value is not None}) for name, facts, _ in found]
    counts = [len(vectors) for _, _, vectors in found]
    vectors = np.concatenate([vectors for _, _, vectors in found])
    ids = names.new_ids(len(vectors))
    columns: dict[str, Any] = {"time": [names.now()] * len(vectors), "source": [f"{Path(path).name}"] * len(vectors)}
    samples = samples_of([item.id for item in people], np.repeat(np.arange(len(people)), counts), vectors, list(ids), **columns)
    gallery.add_entries(gallery.bind(pipeline, dim), Entries(people, samples), "migrate")
    return len(samples)


def expected_dim(pipeline: Pipeline) -> int | None:
    """Length of the vectors of a pipeline, as its card says."""
    from .. import cards

    dims = [item.dim for item in cards.get(pipeline.spec.embedder, "embed").output if item.kind == "embedding" and item.dim]
    return dims[0] if dims else None


def reindex(
    gallery: Gallery, pipeline: Pipeline, *, drop_missing: bool = False, progress: Callable[[int], None] | None = None
) -> tuple[int, list[str]]:
    """Embed all samples anew with another pipeline, from their pictures; one transaction at the end. Samples done, and what could not be.

    The face is the one nearest to where it was. Removed and expired samples are dropped. Others may write meanwhile: what they enrolled is embedded
    too, and what they changed or removed stays so.

    Raises:
        GalleryUnavailable: pictures are gone, unless `drop_missing`. GalleryLocked: others were faster, again and again.
    """
    done: dict[tuple[int, str, bytes], Embedding | InputError] = {}

    def work(since: str) -> tuple[int, list[str]]:
        everything = gallery.backend.entries()
        people = [person for person in everything.people if not person.removed]
        staying = np.array([not person.removed for person in everything.people], bool)
        alive = everything.samples.living(gallery.clock()) & staying[everything.samples.person]
        samples = everything.samples.take(alive)
        rows, made, lost = [], [], []
        for row in range(len(samples)):
            # What decides the vector: a sample that another writer merged keeps it, one that was replaced under its id does not.
            key = int(samples.id[row]), samples.source[row], samples.box[row].tobytes()
            if key not in done:
                done[key] = _anew(pipeline, samples.source[row], samples.box[row])
                if progress is not None:
                    progress(1)
            found = done[key]
            if isinstance(found, InputError):
                lost.append(f"sample {samples.id[row]} of {samples.people[samples.person[row]]}: {found}")
            else:
                rows.append(row)
                made.append(found)
        if lost and not drop_missing:
            raise GalleryUnavailable(
                f"{len(lost)} of {len(samples)} samples cannot be embedded anew ({lost[0]}); nothing was changed; --drop-missing gives them up"
            )
        fresh: Samples | None = None
        if rows:
            kept = samples.take(rows)
            columns = {name: getattr(kept, name) for name in (*NUMBERS, *TEXTS) if name not in ("id", "person", "length", "norm")}
            norms = [np.nan if item.norm is None else item.norm for item in made]
            fresh = samples_of(kept.people, kept.person, np.stack([item.vector for item in made]), kept.id, norm=norms, **columns)
        dim = len(made[0].vector) if made else expected_dim(pipeline) or 0
        change = Change(clear=True, binding=gallery.bind(pipeline, dim), people=people, samples=fresh, since=since)
        gallery.commit(change, "reindex", people)
        return len(rows), lost

    return gallery.settle(work)


def _anew(pipeline: Pipeline, source: str, box: FloatArray) -> Embedding | InputError:
    """The face of a picture that is nearest to where it was, embedded; or why it cannot be."""
    try:
        picture = image.load(source)
        faces = pipeline.detect([picture])[0]
        if not faces:
            raise InputError("no face found")
        center = box.reshape(2, 2).mean(axis=0)
        nearest = (
            min(faces, key=lambda item: float(np.hypot(*(item.box.reshape(2, 2).mean(axis=0) - center)))) if np.isfinite(center).all() else faces[0]
        )
        return pipeline.embed_faces([picture], [[nearest]])[0][0]
    except InputError as error:
        return error
