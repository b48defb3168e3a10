"""A gallery in memory: columns over a base that may lie in a mapped file, and a tail that grows. Both the memory and the HDF5 store are one.

Rows are never moved: a replaced or removed row is marked dead and a new one is appended. What a search needs (ids, persons, life) is in memory for
all rows, 29 bytes each; other columns of the base are read from its file when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..types import FloatArray
from . import scan
from .backend import NUMBERS, TEXTS, Binding, Change, Entries, Hits, Ids, Samples, samples_of
from .directory import Directory

__all__ = ["Grown", "Table"]

EAGER = ("id", "person", "expires", "removed")
Rows = NDArray[np.intp]
Read = Callable[[str], Any]
"""Reads one whole column of the base."""


class Grown:
    """An array that grows at its end, by a quarter at a time."""

    def __init__(self, start: NDArray[Any]) -> None:
        self._data, self._used = start, len(start)

    def __len__(self) -> int:
        return self._used

    @property
    def values(self) -> NDArray[Any]:
        """What was appended so far, as a view."""
        return self._data[: self._used]

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows."""
        needed = self._used + len(rows)
        if needed > len(self._data):
            grown = np.empty((max(needed, self._used + self._used // 4), *self._data.shape[1:]), self._data.dtype)
            grown[: self._used] = self.values
            self._data = grown
        self._data[self._used : needed] = rows
        self._used = needed


class Table:
    """People and samples, changed by `apply`, searched by `search`.

    Args:
        base: vectors (N, D) of length 1, not copied. columns: the eager columns of the base. read: the other ones by name.
        people: the people of the base.
    """

    def __init__(
        self, binding: Binding | None = None, base: FloatArray | None = None, columns: Mapping[str, Any] | None = None,
        read: Read | None = None, people: Directory | None = None,
    ) -> None:  # fmt: skip
        self.binding, self.people, self.changes = binding, people or Directory(), 0
        self._read: Read = read or (lambda name: _empty(name, 0))
        self._start(np.zeros((0, binding.dim if binding else 0), np.float32) if base is None else base, columns or {})

    @classmethod
    def of(cls, change: Change) -> Table:
        """A table whose base is what a change adds to nothing."""
        table = cls(change.binding)
        table.apply(Change(people=change.people))
        samples = change.samples
        if samples is None or not len(samples):
            return table
        places = np.array([table.people.find(id) for id in samples.people], np.int32)
        columns = {"id": samples.id, "person": places[samples.person], "expires": samples.expires, "removed": samples.removed}
        return cls(change.binding, samples.vectors, columns, lambda name: getattr(samples, name), table.people)

    def _start(self, base: FloatArray, columns: Mapping[str, Any]) -> None:
        self.base, self.tail = base, Grown(np.zeros((0, base.shape[1]), np.float32))
        self._eager = {name: Grown(np.asarray(columns[name] if columns else _empty(name, 0))) for name in EAGER}
        self._alive = Grown(np.ones(len(base), bool))
        self._late: dict[str, Any] = {name: Grown(_empty(name, 0)) for name in NUMBERS if name not in EAGER} | {name: [] for name in TEXTS}
        self._kept: dict[str, Any] = {}
        self.living = len(base)
        self._nobody = Entries((), samples_of((), (), np.zeros((0, base.shape[1])), ()))
        self._order: tuple[Rows, NDArray[np.int64]] | None = None
        self._dead: tuple[int, int, Rows] | None = None

    def __len__(self) -> int:
        return self.living

    def column(self, name: str) -> NDArray[Any]:
        """An eager column over all rows, dead ones too."""
        return self._eager[name].values

    # --- change ---

    def check(self, change: Change) -> None:
        """Raise `InputError` for what `apply` could not carry out."""
        binding = change.binding or (None if change.clear else self.binding)
        if change.samples is None or not len(change.samples):
            return
        if binding is None:
            raise InputError("samples need a model: the first change of a gallery names it in `binding`")
        if change.samples.vectors.shape[1] != binding.dim:
            raise InputError(f"the gallery holds vectors of {binding.dim} numbers, got {change.samples.vectors.shape[1]}")
        if binding.metric == "chi2" and (change.samples.vectors < 0).any():
            raise InputError("a chi2 gallery holds histograms: numbers that are not negative")
        if len(np.unique(change.samples.id)) != len(change.samples):
            raise InputError("a sample id occurs twice in one change")
        fresh = {person.id for person in change.people}
        gone = set(change.remove_people)
        for place in np.unique(change.samples.person):
            id = change.samples.people[place]
            if id not in fresh and (change.clear or id in gone or self.people.find(id) is None):
                raise InputError(f"samples of nobody: no person has the id {id!r}")

    def apply(self, change: Change) -> None:
        """Carry out a checked change."""
        if change.clear:
            self.people, self.binding, self._read = Directory(), None, lambda name: _empty(name, 0)
            self._start(np.zeros((0, 0), np.float32), {})
        if change.binding is not None:
            self.binding = change.binding
            if not len(self.base) and not len(self.tail):
                self._start(np.zeros((0, change.binding.dim), np.float32), {})
        self._remove_people(change.remove_people)
        if len(change.remove_samples):
            self._kill(self.rows_of(np.asarray(change.remove_samples, np.int64)))
        for person in change.people:
            self.people.put(person)
        if change.samples is not None and len(change.samples):
            self._append(change.samples)
        self.changes += 1
        self._dead = None

    def _remove_people(self, ids: Sequence[str]) -> None:
        places = [place for id in ids if (place := self.people.find(id)) is not None]
        if places:
            self._kill(np.flatnonzero(np.isin(self.column("person"), places) & self._alive.values))
            for place in places:
                self.people.drop(place)

    def _kill(self, rows: Rows) -> None:
        self._alive.values[rows] = False
        self.living -= len(rows)
        if len(rows):
            self._order = None

    def _append(self, samples: Samples) -> None:
        known = self.column("id")
        if len(known) and samples.id.min() <= self._largest():
            self._kill(self.rows_of(samples.id))
        found = (self.people.find(id) for id in samples.people)
        places = np.array([-1 if place is None else place for place in found], np.int32)
        for name, grown in self._eager.items():
            grown.append(places[samples.person] if name == "person" else getattr(samples, name))
        for name, late in self._late.items():
            if isinstance(late, Grown):
                late.append(getattr(samples, name))
            else:
                late.extend(getattr(samples, name))
        self.tail.append(samples.vectors)
        self._alive.append(np.ones(len(samples), bool))
        self.living += len(samples)
        self._order = None

    def _largest(self) -> int:
        ids = self.column("id")
        if self._order is not None:
            return int(self._order[1][-1]) if len(self._order[1]) else -1
        return int(ids.max()) if len(ids) else -1

    # --- look ---

    def rows_of(self, ids: NDArray[np.int64]) -> Rows:
        """Living rows of the ids that exist."""
        if self._order is None:
            rows = np.flatnonzero(self._alive.values)
            keys = self.column("id")[rows]
            if len(keys) > 1 and (np.diff(keys) < 0).any():
                sort = np.argsort(keys, kind="stable")
                rows, keys = rows[sort], keys[sort]
            self._order = rows, keys
        rows, keys = self._order
        places = np.searchsorted(keys, ids)
        inside = places < len(keys)
        places = places[inside]
        found: Rows = rows[places[keys[places] == ids[inside]]]
        return found

    def vectors(self, rows: Rows) -> FloatArray:
        """Vectors of rows, as a copy."""
        n = len(self.base)
        if not len(self.tail):
            return np.asarray(self.base[rows])
        out = np.empty((len(rows), self.base.shape[1]), np.float32)
        low = rows < n
        out[low] = self.base[rows[low]]
        out[~low] = self.tail.values[rows[~low] - n]
        return out

    def _late_values(self, name: str, rows: Rows) -> Any:
        n, late = len(self.base), self._late[name]
        if n and name not in self._kept:
            self._kept[name] = self._read(name)
        base = self._kept[name] if n else _empty(name, 0)
        if name in TEXTS:
            return [base[row] if row < n else late[row - n] for row in rows]
        out = np.empty((len(rows), *late.values.shape[1:]), late.values.dtype)
        low = rows < n
        out[low] = base[rows[low]]
        out[~low] = late.values[rows[~low] - n]
        return out

    def forget_columns(self) -> None:
        """Let go of columns that were read from the base."""
        self._kept.clear()

    def samples(self, rows: Rows, places: Sequence[int] | None = None) -> Samples:
        """Rows as columns; `places` are the people to count in, by default those that occur."""
        persons = self.column("person")[rows]
        used = np.unique(persons) if places is None else np.asarray(places, np.int32)
        sort = np.argsort(used)
        person = sort[np.searchsorted(used[sort], persons)].astype(np.int32) if len(rows) else np.zeros(0, np.int32)
        columns: dict[str, Any] = {name: self.column(name)[rows] for name in EAGER if name != "person"}
        columns |= {name: self._late_values(name, rows) for name in self._late}
        return Samples(people=tuple(self.people.id_at(int(place)) for place in used), person=person, vectors=self.vectors(rows), **columns)

    def living_rows(self) -> Rows:
        """Rows in the order of their ids."""
        self.rows_of(np.zeros(0, np.int64))
        assert self._order is not None
        return self._order[0]

    def entries(self, people: Sequence[str] | None = None, name: str | None = None, samples: Sequence[int] | Ids | None = None) -> Entries:
        """See `Backend.entries`."""
        if samples is not None:
            rows = np.sort(self.rows_of(np.asarray(samples, np.int64)))
            rows = rows[np.argsort(self.column("id")[rows], kind="stable")]
            places = [int(place) for place in np.unique(self.column("person")[rows])]
        else:
            if people is None and name is not None:
                places = self.people.named(name)
            elif people is not None:
                places = [place for id in dict.fromkeys(people) if (place := self.people.find(id)) is not None]
            else:
                places = [place for place, _ in self.people.alive()]
            if name is not None and people is not None:
                places = [place for place in places if (person := self.people.at(place)) is not None and person.name == name]
            if not places:
                return self._nobody
            rows = self.living_rows()
            if len(places) < self.people.living:
                rows = rows[np.isin(self.column("person")[rows], places)]
        chosen = sorted((person for place in places if (person := self.people.at(place)) is not None), key=lambda person: person.id)
        positions = [place for person in chosen if (place := self.people.find(person.id)) is not None]
        return Entries(chosen, self.samples(rows, positions))

    def dead(self, now: int) -> Rows:
        """Rows that no search finds at `now`: replaced, removed, expired."""
        if self._dead is None or not self._dead[0] <= now < self._dead[1]:
            expires, gone = self.column("expires"), ~self._alive.values
            if (removed := self.column("removed")).any():
                gone |= removed != 0
            after = np.iinfo(np.int64).max
            if expires.any():
                gone |= (expires != 0) & (expires <= now)
                later = expires[expires > now]
                after = int(later.min()) if len(later) else after
            self._dead = now, after, np.flatnonzero(gone)
        return self._dead[2]

    def findable(self, now: int) -> tuple[int, int]:
        """See `Backend.findable`."""
        rows = np.delete(self.column("person"), self.dead(now))
        assert self._dead is not None
        return int(np.count_nonzero(np.bincount(rows))), self._dead[1]

    def search(self, queries: FloatArray, k: int, now: int, candidates: Callable[[FloatArray], list[Rows]] | None = None) -> list[Hits]:
        """See `Backend.search`; `candidates` (an index) proposes rows of the base instead of reading all of it."""
        dead = self.dead(now)
        if self.binding is not None and self.binding.metric == "chi2":
            return self._search_histograms(queries, k, dead)
        n = len(self.base)
        if candidates is None:
            found = scan.nearest([self.base, self.tail.values], queries, k, dead)
        else:
            found = candidates(queries)
            if len(dead):
                found = [rows[~np.isin(rows, dead)] for rows in found]
            if len(self.tail):
                late = scan.nearest([self.tail.values], queries, k, dead[dead >= n] - n)
                found = [np.concatenate([rows, tail + n]) for rows, tail in zip(found, late, strict=True)]
        ids, persons = self.column("id"), self.column("person")
        answers = []
        for query, rows in zip(queries, found, strict=True):
            best, scores = scan.order(query, rows, ids[rows], self.vectors, k)
            answers.append(Hits(ids[best], scores, [self.people.id_at(int(place)) for place in persons[best]]))
        return answers

    def _search_histograms(self, queries: FloatArray, k: int, dead: Rows) -> list[Hits]:
        rows = np.setdiff1d(np.arange(len(self.column("id"))), dead, assume_unique=True)
        lengths, ids, answers = self._late_values("length", rows), self.column("id")[rows], []
        for query in queries:
            scores = scan.chi_squares(query, self.vectors(rows), lengths)
            best = np.lexsort((ids, -scores))[: max(k, 0)]
            people = [self.people.id_at(int(place)) for place in self.column("person")[rows[best]]]
            answers.append(Hits(ids[best], scores[best], people))
        return answers


def _empty(name: str, n: int) -> Any:
    if name in TEXTS:
        return []
    kind, width = NUMBERS[name]
    return np.zeros((n, width) if width > 1 else n, np.dtype(kind))
