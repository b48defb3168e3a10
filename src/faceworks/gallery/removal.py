"""Taking people out: removed (undoable for some minutes), purged, forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UnknownPerson
from . import names
from .backend import Change, Person

if TYPE_CHECKING:
    from .policy import Gallery

__all__ = ["UNDO_SECONDS", "purge", "remove", "restore"]

UNDO_SECONDS = 15 * 60
"""How long a removal can be undone."""


def remove(gallery: Gallery, reference: str, samples: Sequence[int] | None) -> int:
    """See `Gallery.remove`."""
    purge(gallery, False, None)
    person = gallery.person(reference)
    held = gallery.get(person.id).samples
    chosen = held
    if samples is not None:
        if missing := sorted(set(samples) - set(held.id.tolist())):
            raise UnknownPerson(f"{person.name} ({person.id}) has no sample {', '.join(map(str, missing))}; samples: {held.id.tolist()}")
        chosen = held.take(np.isin(held.id, np.asarray(samples, np.int64)))
    at = gallery.clock()
    marked = chosen.replace(removed=np.full(len(chosen), at, np.int64)) if len(chosen) else None
    people = [] if samples is not None else [dataclasses.replace(person, removed=at)]
    gallery.commit(Change(people=people, samples=marked), "remove", [person])
    return len(chosen)


def restore(gallery: Gallery, reference: str) -> Person:
    """See `Gallery.restore`."""
    since = gallery.clock() - UNDO_SECONDS * 1_000_000
    candidates = []
    for person in gallery.meant(reference):
        samples = gallery.backend.entries([person.id]).samples
        gone = samples.take(samples.removed > since)
        if person.removed > since or (not person.removed and len(gone)):
            candidates.append((person, gone))
    if len(candidates) != 1:
        names.find(reference, [], [person for person, _ in candidates], "what was removed in the last 15 minutes")
    person, gone = candidates[0]
    back = dataclasses.replace(person, removed=0)
    unmarked = gone.replace(removed=np.zeros(len(gone), np.int64)) if len(gone) else None
    gallery.commit(Change(people=[back], samples=unmarked), "restore", [back])
    return back


def purge(gallery: Gallery, expired: bool, removed_before: int | None) -> int:
    """See `Gallery.purge`."""
    before = gallery.clock() - UNDO_SECONDS * 1_000_000 if removed_before is None else removed_before
    everything = gallery.backend.entries()
    samples = everything.samples
    gone = (samples.removed != 0) & (samples.removed <= before)
    if expired:
        gone |= (samples.expires != 0) & (samples.expires <= gallery.clock())
    left = np.bincount(samples.person[~gone], minlength=len(everything.people))
    lost = np.bincount(samples.person[gone], minlength=len(everything.people))
    away = [
        person for person, keeps, loses in zip(everything.people, left, lost, strict=True) if 0 < person.removed <= before or (loses and not keeps)
    ]  # fmt: skip
    if gone.any() or away:
        gallery.commit(Change(remove_people=[person.id for person in away], remove_samples=samples.id[gone]), "purge", away)
    return int(gone.sum())
