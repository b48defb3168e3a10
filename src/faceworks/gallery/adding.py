"""Adding what was embedded elsewhere: bare vectors, or people and samples of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DuplicateEntry, ModelMismatch
from ..types import FloatArray
from . import names
from .backend import Binding, Change, Entries, samples_of

if TYPE_CHECKING:
    from .policy import Gallery

__all__ = ["add_entries", "add_vectors"]


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
        made = None if info.binding else Binding(model, "", vectors.shape[1])
        mine = samples.replace(people=tuple(person.id for person in keys))
        gallery.commit(Change(binding=made, people=fresh, samples=mine, since=since), "enroll", keys)
        return ids

    return gallery.settle(work)


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
