"""The people of a gallery in memory, by position, id and name, over those of a mapped file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .backend import Person

__all__ = ["Directory"]


class Directory:
    """People by position. Those of the base are decoded when they are asked for."""

    def __init__(self, base_ids: NDArray[np.bytes_] | None = None, read: Callable[[], Sequence[Person]] | None = None) -> None:
        self._ids = np.zeros(0, "S1") if base_ids is None else base_ids
        self._read = read
        self._base: Sequence[Person] | None = None if read else ()
        self._over: dict[int, Person | None] = {}
        self._index: dict[str, int] | None = None
        self._names: dict[str, set[int]] | None = None
        self._size = self.living = len(self._ids)

    def __len__(self) -> int:
        return self._size

    def at(self, position: int) -> Person | None:
        """The person, or None if it was removed."""
        if position in self._over:
            return self._over[position]
        if self._base is None:
            assert self._read is not None
            self._base = tuple(self._read())
        return self._base[position]

    def id_at(self, position: int) -> str:
        """The id; nothing else is read."""
        person = self._over.get(position)
        return person.id if person is not None else self._ids[position].decode()

    def find(self, id: str) -> int | None:
        """Position of an id."""
        if self._index is None:
            self._index = {key.decode(): place for place, key in enumerate(self._ids)}
            self._index |= {person.id: place for place, person in self._over.items() if person is not None}
            for place, person in self._over.items():
                if person is None and place < len(self._ids):
                    self._index.pop(self._ids[place].decode(), None)
        return self._index.get(id)

    def named(self, name: str) -> list[int]:
        """Positions of those who bear a name."""
        if self._names is None:
            self._names = {}
            for place, person in self.alive():
                self._names.setdefault(person.name, set()).add(place)
        return sorted(self._names.get(name, ()))

    def _unname(self, place: int) -> None:
        person = self.at(place) if self._names is not None else None
        if self._names is not None and person is not None:
            self._names[person.name].discard(place)

    def put(self, person: Person) -> None:
        """Add or replace."""
        place = self.find(person.id)
        if place is not None:
            self._unname(place)
        if place is None:
            place, self._size, self.living = self._size, self._size + 1, self.living + 1
            assert self._index is not None
            self._index[person.id] = place
        self._over[place] = person
        if self._names is not None:
            self._names.setdefault(person.name, set()).add(place)

    def drop(self, place: int) -> None:
        """Remove."""
        id = self.id_at(place)
        self._unname(place)
        assert self._index is not None
        self._over[place] = None
        del self._index[id]
        self.living -= 1

    def alive(self) -> Iterator[tuple[int, Person]]:
        """Positions and people."""
        return ((place, person) for place in range(self._size) if (person := self.at(place)) is not None)
