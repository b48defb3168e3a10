"""Adding what was embedded elsewhere: bare vectors, or people and samples of a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DuplicateEntry, ModelMismatch
from ..types import FloatArray
from . import names
from .backend import Binding, Change, Entries, samples_of

if TYPE_CHECKING:
    from .policy import Gallery

__all__ = ["add_entries", "add_table", "add_vectors"]


def add_vectors(gallery: Gallery, people: Sequence[str], vectors: FloatArray, model: str, columns: dict[str, Any]) -> range:
    """See `Gallery.enroll_vectors`."""
    vectors = np.asarray(vectors, np.float32)
    place = {name: index for index, name in enumerate(dict.fromkeys(people))}
    ids = names.new_ids(len(people))
    columns.setdefault("time", np.full(len(people), gallery.clock()))
    samples = samples_of([str(i) for i in range(len(place))], [place[name] for name in people], vectors, np.asarray(ids), **columns)

    def work(since: str) -> range:
        info = gallery.info
        if info.binding is not None and info.binding.model != model:
            raise ModelMismatch(f"the gallery holds vectors of {info.binding.model}, not of {model}; use one gallery for each model")
        known = {name: gallery.known(None, name) if info.people else None for name in place}
        keys = [item or names.new_person(name) for name, item in known.items()]
        fresh = [person for person, item in zip(keys, known.values(), strict=True) if item is None]
        made = None if info.binding else gallery.model.bound(model, vectors.shape[1])
        mine = samples.replace(people=tuple(person.id for person in keys))
        gallery.commit(Change(binding=made, people=fresh, samples=mine, since=since), "enroll", keys)
        return ids

    return gallery.settle(work)


def add_table(gallery: Gallery, rows: Iterable[Mapping[str, Any]], name_of: Callable[[str], str], *, consent: str = "", expires: Any = None,
              chunk: int = 5000) -> Iterator[tuple[str, int | None]]:  # fmt: skip
    """Enroll faces of a table that `faceworks batch embed` wrote: the largest face of each picture, `chunk` pictures in one transaction.

    Args:
        rows: with source, box, vector, norm, model and error; those of one picture follow each other. name_of: a source's person.

    Yields:
        Source and sample id, None where the table has no face or no vector for a picture.

    Raises:
        ModelMismatch: vectors of another model than the gallery's, or of several. InputError: a source without a name.
    """
    until = names.moment(expires)
    pictures = (max(group, key=_area) for _, group in itertools.groupby(rows, key=lambda row: row["source"]))
    while part := list(itertools.islice(pictures, chunk)):
        good = [row for row in part if row.get("vector") is not None]
        models = {str(row["model"]) for row in good}
        if len(models) > 1:
            raise ModelMismatch(f"the table holds vectors of several models: {', '.join(sorted(models))}; use one table and one gallery for each")
        ids: Iterator[int] = iter(())
        if good:
            ids = iter(add_vectors(gallery, [name_of(row["source"]) for row in good], np.array([row["vector"] for row in good], np.float32), models.pop(), {
                "source": [row["source"] for row in good], "consent": [consent] * len(good), "expires": [until] * len(good),
                "norm": [np.nan if row.get("norm") is None else row["norm"] for row in good],
                "box": [[np.nan] * 4 if row.get("box") is None else row["box"] for row in good],
            }))  # fmt: skip
        for row in part:
            yield row["source"], next(ids) if row.get("vector") is not None else None


def _area(row: Mapping[str, Any]) -> float:
    box = row.get("box")
    return -1.0 if row.get("vector") is None else 0.0 if box is None else float((box[2] - box[0]) * (box[3] - box[1]))


def add_entries(gallery: Gallery, binding: Binding | None, entries: Entries, action: str) -> None:
    """See `Gallery.add_entries`."""

    def work(since: str) -> None:
        mine = gallery.binding
        if mine is not None and binding is not None and (mine.model, mine.dim, mine.metric) != (binding.model, binding.dim, binding.metric):
            raise ModelMismatch(f"the gallery holds {mine.dim} numbers of {mine.model}, the file {binding.dim} of {binding.model}")
        taken = [item.id for item in gallery.backend.entries([item.id for item in entries.people]).people]
        if taken:
            raise DuplicateEntry(
                f"{len(taken)} people of the file are here already (first: {taken[0]}); remove them first, or import into a new gallery"
            )
        if len(gallery.backend.entries(samples=entries.samples.id).samples):
            raise DuplicateEntry("samples of the file are here already, under other people; import into a new gallery")
        change = Change(binding=None if mine else binding, people=entries.people, samples=entries.samples, since=since)
        gallery.commit(change, action, entries.people)

    gallery.settle(work)
