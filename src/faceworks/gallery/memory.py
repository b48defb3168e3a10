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
    """The store that the others are held equal to.

    Args:
        binding: the model. url: what it calls itself.
    """

    def __init__(self, binding: Binding | None = None, url: str = "memory:") -> None:
        self._table, self._lock, self._closed, self._frozen, self._url = Table(binding), threading.RLock(), False, False, url

    def freeze(self) -> None:
        """Accept no change any more: it is a picture of a file that is only read."""
        self._frozen = True

    @property
    def info(self) -> Info:
        """See `Backend.info`."""
        table = self._table
        return Info(
            "memory",
            self._url,
            table.binding,
            table.people.living,
            len(table),
            str(table.changes),
            not (self._closed or self._frozen),
            metrics=LOCAL_METRICS,
        )

    def commit(self, change: Change) -> None:
        """See `Backend.commit`."""
        with self._lock:
            if self._closed:
                raise GalleryUnavailable("this gallery is closed")
            if self._frozen:
                raise GalleryUnavailable(
                    f"{self._url} is only read: bring it over with faceworks gallery migrate {self._url} --embedder NAME --gallery NEW.h5"
                )
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

    def findable(self, now: int) -> tuple[int, int]:
        """See `Backend.findable`."""
        with self._lock:
            return self._table.findable(now)

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
