"""From pictures to samples: who is enrolled from which file, which faces are good enough, and what looks wrong."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import image
from ..errors import ConfigError, FaceworksError, InputError, ManifestError, ModelMismatch, NoFaceFound
from ..types import Embedding, Face, FloatArray, ImageArray
from .backend import Person, Samples, samples_of
from .identifying import prepared, scores
from .names import clean_id, clean_name, moment, new_ids, new_person, now

if TYPE_CHECKING:
    from ..attributes.quality import Quality
    from ..pipeline import Pipeline
    from .policy import Gallery

__all__ = ["Enrolled", "NewFace", "enroll", "from_csv", "from_folders", "from_names", "name_pattern", "namer"]

DUPLICATE = {"cosine": 0.999, "chi2": -1e-3}
"""Similarity from which two vectors of one person count as the same picture, by metric."""


@dataclass(frozen=True, slots=True, eq=False)
class NewFace:
    """Somebody to be enrolled from one picture.

    Attributes:
        name: of the person; ignored for a known `id`. source: what `image.load` takes. id: the person's key, None = found by name, else made.
        metadata: of a new person. consent: on what ground. expires: ISO 8601 text, datetime, or None.
    """

    name: str
    source: Any
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    consent: str = ""
    expires: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """What became of one picture.

    Attributes:
        face: what was asked for. person: who, or None if it was refused. sample: id of the new sample, or None.
        warnings: what looks wrong, in words. quality: of the face, or None. error: why it was refused, or None.
    """

    face: NewFace
    person: Person | None = None
    sample: int | None = None
    warnings: tuple[str, ...] = ()
    quality: Quality | None = None
    error: FaceworksError | None = None


def from_folders(folder: str | Path, **common: Any) -> list[NewFace]:
    """A folder of person folders: the folder's name is the person's (underscores are kept).

    Raises:
        InputError: no folder, or no picture in its folders.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is no folder")
    found = [NewFace(path.parent.name, path, **common) for sub in sorted(root.iterdir()) if sub.is_dir() for path in pictures_in(sub)]
    if not found:
        raise InputError(
            f"{root} holds no folders with pictures; give --person NAME, or --name-from PATTERN for flat files such as '{{name}}_{{n:4d}}'"
        )
    return found


def pictures_in(folder: Path) -> list[Path]:
    """Picture files directly in a folder, sorted."""
    suffixes = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"}
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))


def name_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern such as "{name}_{n:4d}" as a regular expression for the stem of a file: {name} any letters, {n:4d} four digits, {*} anything.

    Raises:
        InputError: no {name}, or a field that is not known.
    """
    parts = re.split(r"(\{[^{}]*\})", pattern)
    out = ""
    for part in parts:
        digits = re.fullmatch(r"\{n(?::0?(\d*)d)?\}", part)
        if part == "{name}":
            out += "(?P<name>.+)" if "(?P<name>" not in out else "(?P=name)"
        elif digits:
            out += rf"\d{{{digits[1]}}}" if digits[1] else r"\d+"
        elif part == "{*}":
            out += ".*"
        elif part.startswith("{"):
            raise InputError(f"--name-from knows {{name}}, {{n}}, {{n:4d}} and {{*}}, not {part}")
        else:
            out += re.escape(part)
    if "(?P<name>" not in out:
        raise InputError(f"--name-from needs {{name}}, for example '{{name}}_{{n:4d}}', got {pattern!r}")
    return re.compile(out)


def from_names(paths: Iterable[Path], pattern: str, **common: Any) -> list[NewFace]:
    """Files whose names say who they show.

    Raises:
        InputError: a file whose name does not fit the pattern.
    """
    expression, found = name_pattern(pattern), []
    for path in paths:
        fit = expression.fullmatch(path.stem)
        if fit is None:
            raise InputError(f"the name of {path} does not fit --name-from {pattern!r}")
        found.append(NewFace(fit["name"], path, **common))
    return found


def namer(pattern: str | None) -> Callable[[str], str]:
    """What gives a source its person's name: a pattern for the file's name, or None for the name of its folder.

    Raises:
        InputError: by what is returned, for a source without a name.
    """
    expression = None if pattern is None else name_pattern(pattern)

    def name_of(source: str) -> str:
        path = Path(source)
        fit = None if expression is None else expression.fullmatch(path.stem)
        name = path.parent.name if expression is None else "" if fit is None else fit["name"]
        if not name:
            how = "lies in no folder" if expression is None else f"does not fit --name-from {pattern!r}"
            raise InputError(f"{source} {how}: nobody knows who it shows; give --person or --name-from")
        return name

    return name_of


COLUMNS = ("name", "source", "id", "metadata", "consent", "expires")


def from_csv(path: str | Path) -> list[NewFace]:
    """A table with a head: name and source (relative to the table's folder), perhaps id, metadata (JSON), consent, expires; other columns are metadata.

    Raises:
        ManifestError: a line that cannot be used.
    """
    table = Path(path)
    found = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or not {"name", "source"} <= set(reader.fieldnames):
                raise ManifestError(f"{table} needs the columns name and source, got {reader.fieldnames}", 1)
            for row in reader:
                line = reader.line_num
                try:
                    extra = {key: value for key, value in row.items() if key and key not in COLUMNS and value}
                    metadata = extra | (json.loads(row["metadata"]) if row.get("metadata") else {})
                    source = table.parent / row["source"]
                    moment(row.get("expires"))
                    found.append(
                        NewFace(
                            clean_name(row["name"]), source, row.get("id") or None, metadata, row.get("consent") or "", row.get("expires") or None
                        )
                    )
                except (InputError, ValueError, TypeError) as error:
                    raise ManifestError(str(error), line) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"cannot read {table}: {error}") from error
    return found


def enroll(
    gallery: Gallery, faces: Iterable[NewFace], *, min_quality: float | None = None, keep_duplicates: bool = False, chunk: int = 16
) -> Iterator[Enrolled]:  # fmt: skip
    """Enroll pictures, `chunk` of them in one transaction; one answer for each, in order. A picture that cannot be used is an answer with an error."""
    iterator = iter(faces)
    while batch := list(islice(iterator, chunk)):
        yield from _chunk(gallery, batch, min_quality, keep_duplicates)


Found: TypeAlias = "tuple[ImageArray, Face, Quality] | FaceworksError"


def _chunk(gallery: Gallery, batch: Sequence[NewFace], least: float | None, keep: bool) -> list[Enrolled]:
    pipeline = gallery.pipeline  # one for the whole chunk, even if the gallery is embedded anew meanwhile
    found = [_look(pipeline, item, least) for item in batch]
    results = [entry for entry in found if not isinstance(entry, FaceworksError)]
    if not results:
        return [Enrolled(item, error=entry) for item, entry in zip(batch, found, strict=True) if isinstance(entry, FaceworksError)]
    embeddings = pipeline.embed_faces([entry[0] for entry in results], [[entry[1]] for entry in results])
    made = [group[0] for group in embeddings]
    return gallery.settle(lambda since: _placed(gallery, batch, found, made, keep, since))


def _placed(
    gallery: Gallery, batch: Sequence[NewFace], found: Sequence[Found], embeddings: Sequence[Embedding], keep: bool, since: str
) -> list[Enrolled]:  # fmt: skip
    """Decide who each face is, and store them; computed anew when another writer was faster."""
    good = [place for place, entry in enumerate(found) if not isinstance(entry, FaceworksError)]
    outcomes: dict[int, Enrolled] = {
        place: Enrolled(batch[place], error=entry) for place, entry in enumerate(found) if isinstance(entry, FaceworksError)
    }
    binding = gallery.binding
    if binding is not None and any(embedding.model != binding.model for embedding in embeddings):
        raise ModelMismatch(f"the gallery was embedded anew meanwhile, with {binding.model}; nothing was enrolled: enroll again")
    vectors = np.stack([embedding.vector for embedding in embeddings]) if good else np.zeros((0, 1), np.float32)
    near = gallery.look_up(vectors) if len(good) else []
    limits = _limits(gallery)
    fresh: dict[str, Person] = {}
    rows: list[tuple[int, str, Face, Quality, float | None]] = []
    used: dict[str, Person] = {}
    for i, place in enumerate(good):
        entry = found[place]
        assert not isinstance(entry, FaceworksError)
        _, face, quality = entry
        try:
            person = _who(gallery, batch[place], fresh)
        except FaceworksError as error:
            outcomes[place] = Enrolled(batch[place], quality=quality, error=error)
            continue
        warnings, duplicate = _doubts(gallery, person, vectors[i], near[i], limits)
        if 0 < moment(batch[place].expires) <= gallery.clock():
            warnings.append(f"expires {batch[place].expires}, which is past: it is never found")
        warnings += quality.reasons
        if duplicate and not keep:
            outcomes[place] = Enrolled(batch[place], person, None, tuple(warnings), quality)
            continue
        if person in fresh.values():
            used[person.id] = person
        rows.append((i, person.id, face, quality, embeddings[i].norm))
        outcomes[place] = Enrolled(batch[place], person, -1, tuple(warnings), quality)
    if rows:
        samples = _columns(rows, vectors, [batch[place] for place in good])
        gallery.store(list(used.values()), samples, since)
        for (i, *_), id in zip(rows, samples.id, strict=True):
            old = outcomes[good[i]]
            outcomes[good[i]] = Enrolled(old.face, old.person, int(id), old.warnings, old.quality)
    return [outcomes[place] for place in range(len(batch))]


def _look(pipeline: Pipeline, item: NewFace, least: float | None) -> tuple[ImageArray, Face, Quality] | FaceworksError:
    from ..attributes.quality import measure

    try:
        clean_name(item.name)
        moment(item.expires)
        picture = image.load(item.source)
        every = pipeline.detect([picture])[0]
        chosen = pipeline.select(every, picture.shape[:2])[:1]
        if not chosen:
            raise NoFaceFound(f"no face found in {image.describe(item.source)}")
        quality = measure(picture, chosen[0], n_faces=len(every))
        if least is not None and quality.score < least:
            raise InputError(
                f"{image.describe(item.source)}: quality {quality.score:.0f} is below {least:g}: {'; '.join(quality.reasons) or 'all a little weak'}"
            )
        return picture, chosen[0], quality
    except InputError as error:
        return error


def _who(gallery: Gallery, item: NewFace, fresh: dict[str, Person]) -> Person:
    """The person in the gallery, or a new one; `fresh` holds those of this transaction, by what they are found by."""
    key = clean_id(item.id) if item.id is not None else f"\0{clean_name(item.name)}"
    if key in fresh:
        return fresh[key]
    known = gallery.known(item.id, item.name)
    if known is not None and item.id is None:
        return known
    return fresh.setdefault(key, known or new_person(item.name, item.id, item.metadata))  # a known id is written too: it may have been removed


def _limits(gallery: Gallery) -> tuple[float, float]:
    """Similarities from which somebody is the same picture, and looks like somebody else; infinite where nobody has measured a threshold."""
    binding = gallery.binding
    same = DUPLICATE["chi2" if binding is not None and binding.metric == "chi2" else "cosine"]
    try:
        return same, gallery.threshold().similarity
    except ConfigError:
        return same, float("inf")


def _doubts(
    gallery: Gallery, person: Person, vector: FloatArray, near: Sequence[tuple[str, float, int]], limits: tuple[float, float]
) -> tuple[list[str], bool]:  # fmt: skip
    warnings, duplicate = [], False
    for id, score, sample in near:
        if id == person.id and score >= limits[0]:
            warnings.append(f"nearly the same picture as sample {sample} (similarity {score:.4f})")
            duplicate = True
        elif id != person.id and score >= limits[1]:
            for other in gallery.backend.entries([id]).people:
                warnings.append(f"looks like {other.name} ({id}), similarity {score:.3f}: the same person under two names?")
    if np.isfinite(limits[1]) and not any(id == person.id and score >= limits[1] for id, score, _ in near):
        entries = gallery.backend.entries([person.id])
        own = entries.samples.take(entries.samples.living(gallery.clock()))
        best = float(scores(gallery.binding, prepared(gallery.binding, vector[None])[0], own).max()) if len(own) else limits[1]
        if best < limits[1]:
            warnings.append(f"does not look like {person.name}'s other samples (similarity {best:.3f} at most): somebody else?")
    return warnings, duplicate


def _columns(rows: Sequence[tuple[int, str, Face, Any, float | None]], vectors: Any, items: Sequence[NewFace]) -> Samples:
    ids = list(dict.fromkeys(row[1] for row in rows))
    chosen = [items[row[0]] for row in rows]
    sources = [str(item.source) if isinstance(item.source, (str, Path)) else "" for item in chosen]
    return samples_of(
        ids, [ids.index(row[1]) for row in rows], vectors[[row[0] for row in rows]], list(new_ids(len(rows))),
        norm=[np.nan if row[4] is None else row[4] for row in rows], quality=[row[3].score for row in rows], box=[row[2].box for row in rows],
        time=[now()] * len(rows), expires=[moment(item.expires) for item in chosen], source=sources, consent=[item.consent for item in chosen],
    )  # fmt: skip
