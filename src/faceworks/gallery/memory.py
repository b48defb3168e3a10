"""A gallery that lives as long as its process."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..errors import GalleryUnavailable
from ..types import FloatArray
from .backend import LOCAL_METRICS, Binding, Change, Entries, Hits, Ids, Info, require_revision
from .table import Table

__all__ = ["MemoryBackend"]


class MemoryBackend:
    """The store that the others are held equal to."""

    def __init__(self, binding: Binding | None = None) -> None:
        self._table, self._lock, self._closed = Table(binding), threading.RLock(), False

    @property
    def info(self) -> Info:
        """See `Backend.info`."""
        table = self._table
        return Info("memory", "memory:", table.binding, table.people.living, len(table), str(table.changes), not self._closed, metrics=LOCAL_METRICS)

    def commit(self, change: Change) -> None:
        """See `Backend.commit`."""
        with self._lock:
            if self._closed:
                raise GalleryUnavailable("this gallery is closed")
            require_revision(change, str(self._table.changes), "memory:")
            self._table.check(change)
            self._table.apply(change)

    def search(self, queries: FloatArray, k: int, now: int, exact: bool = True) -> list[Hits]:
        """See `Backend.search`."""
        with self._lock:
            return self._table.search(queries, k, now)

    def entries(self, people: Sequence[str] | None = None, *, name: str | None = None, samples: Sequence[int] | Ids | None = None) -> Entries:
        """See `Backend.entries`."""
        with self._lock:
            return self._table.entries(people, name, samples)

    def compact(self) -> None:
        """Rebuild without the dead rows."""
        with self._lock:
            everything, binding = self._table.entries(), self._table.binding
            changes = self._table.changes + 1
            self._table = Table()
            self._table.apply(Change(binding=binding, people=everything.people, samples=everything.samples))
            self._table.changes = changes

    def __len__(self) -> int:
        return len(self._table)

    def close(self) -> None:
        """See `Backend.close`."""
        self._closed = True
