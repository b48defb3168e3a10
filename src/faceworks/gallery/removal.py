"""Taking people out: removed (undoable for some minutes), purged, forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UnknownPerson
from . import names
from .backend import Change, Ids, Person

if TYPE_CHECKING:
    from .policy import Gallery

__all__ = ["UNDO_SECONDS", "purge", "remove", "restore"]

UNDO_SECONDS = 15 * 60
"""How long a removal can be undone."""


def remove(gallery: Gallery, reference: str, samples: Sequence[int] | None, since: str) -> int:
    """See `Gallery.remove`."""
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
    gallery.commit(Change(people=people, samples=marked, since=since), "remove", [person])
    return len(chosen)


def restore(gallery: Gallery, reference: str, since: str) -> Person:
    """See `Gallery.restore`."""
    before = gallery.clock() - UNDO_SECONDS * 1_000_000
    candidates = []
    for person in gallery.meant(reference):
        samples = gallery.backend.entries([person.id]).samples
        gone = samples.take(samples.removed > before)
        if person.removed > before or (not person.removed and len(gone)):
            candidates.append((person, gone))
    if len(candidates) != 1:
        names.find(reference, [], [person for person, _ in candidates], "what was removed in the last 15 minutes")
    person, gone = candidates[0]
    back = dataclasses.replace(person, removed=0)
    unmarked = gone.replace(removed=np.zeros(len(gone), np.int64)) if len(gone) else None
    gallery.commit(Change(people=[back], samples=unmarked, since=since), "restore", [back])
    return back


def purge(gallery: Gallery, expired: bool, removed_before: int | None, since: str) -> int:
    """See `Gallery.purge`."""
    old = _overdue(gallery, expired, removed_before)
    if len(old.samples) or old.people:
        change = Change(remove_people=[person.id for person in old.people], remove_samples=old.samples, since=since)
        gallery.commit(change, "purge", old.people)
    return len(old.samples)


@dataclass(frozen=True, slots=True, eq=False)
class _Overdue:
    """What is to be deleted for good: people, and ids of samples."""

    people: Sequence[Person]
    samples: Ids


def _overdue(gallery: Gallery, expired: bool, removed_before: int | None) -> _Overdue:
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
    return _Overdue(away, samples.id[gone])
