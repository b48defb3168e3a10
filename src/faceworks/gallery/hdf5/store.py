"""The embedded gallery: a base file and the log of what was committed since. Many readers, one writer at a time, no server.

A reader sees base + log as far as the log was whole when it looked; it looks again at every call, which costs two `stat`. A writer holds the lock for
one transaction: it takes over what others committed, appends one record, and returns when the record is on the disk. The base is rewritten only by
`compact` (by itself when the log has outgrown a fraction of the base); after it, the generation in the base is higher than that of the
old log, which is then ignored, whatever a crash left of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, DuplicateEntry, GalleryCorrupt, GalleryUnavailable
from ...types import FloatArray
from ..backend import Binding, Change, Entries, Hits, Ids, Info
from ..files import Files, explained, locked
from ..table import Table
from . import log as logs
from .base_file import Base, open_base, write_base
from .codec import Codec, Plain
from .log import Log

__all__ = ["Hdf5Backend"]

SMALLEST_LOG, LOG_SHARE = 16 << 20, 4
"""The log is folded into the base when it is larger than 16 MB and than a quarter of the base."""
INDEX_FROM = 100_000
"""Below, the exact scan needs no index."""


class Hdf5Backend:
    """People in one HDF5 file with a log beside it.

    Args:
        path: the file. mode: "r" read, "r+" write, "a" write and create, "x" create.
        binding: the model of a new gallery. codec: seals and opens it, default plain. wait: seconds to wait for another writer.
        attributes: further ones for a new file. files: the file system.

    Raises:
        GalleryUnavailable: absent, not readable, of another kind. GalleryCorrupt: damaged. DuplicateEntry: mode "x" and it exists.
    """

    def __init__(
        self, path: str | Path, mode: str = "a", binding: Binding | None = None, *, codec: Codec | None = None, wait: float = 5.0,
        attributes: dict[str, Any] | None = None, files: Files | None = None,
    ) -> None:  # fmt: skip
        if mode not in ("r", "r+", "a", "x"):
            raise ConfigError(f"a gallery is opened with mode r, r+, a or x, got {mode!r}; to empty one, use clear")
        self.path, self.mode, self.wait = Path(path), mode, wait
        self.codec: Codec = codec or Plain()
        self.index: Any = None
        self._files, self._lock, self._closed = files or Files(), threading.RLock(), False
        self._doubtful = False
        with explained(self.path, "open"):
            if mode in ("a", "x"):
                self._create(binding, attributes or {})
            self._load()

    @property
    def log_path(self) -> Path:
        """The log beside the file."""
        return self.path.with_name(self.path.name + ".log")

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the base file."""
        return self._base.attributes

    # --- opening ---

    def _create(self, binding: Binding | None, attributes: dict[str, Any]) -> None:
        if self.path.is_file() and self.mode == "a":
            return
        with locked(self._lock_path, self.wait):
            if self.path.exists():
                if self.mode == "x":
                    raise DuplicateEntry(f"{self.path} exists; open it with mode 'a' or 'r+', or choose another name")
                return
            if self.log_path.exists():
                raise GalleryCorrupt(
                    f"{self.log_path} exists without {self.path}: its gallery was moved or lost; put them together or move the log away"
                )
            created = {"uuid": os.urandom(16).hex(), "generation": 1, "created": int(time.time() * 1e6)}
            self._write({**created, **attributes}, Table(binding), binding)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    def _write(self, attributes: dict[str, Any], table: Table, binding: Binding | None) -> None:
        entries = table.entries()
        sealed = self.codec.encode(Change(binding=binding, people=entries.people, samples=entries.samples)) if self.codec.sealed else None
        kept = {name: value for name, value in attributes.items() if name not in ("format", "version", "model", "recipe", "binding")}
        write_base(self._files, self.path, kept, binding, entries, sealed)

    def _load(self) -> None:
        """Open base and log; again when a compaction came between the two."""
        for _ in range(20):
            try:
                base = open_base(self.path)
            except FileNotFoundError:
                raise GalleryUnavailable(f"there is no gallery {self.path}; create it: faceworks gallery create --gallery {self.path}") from None
            log = Log.look(self.log_path)
            if log.generation > base.generation:
                base.handle.close()
            if log.generation >= 0 and log.uuid != base.uuid:
                raise GalleryCorrupt(f"{self.log_path} belongs to another gallery than {self.path}; put the right one there, or move it away")
            if log.generation <= base.generation:
                break
            time.sleep(0.01)
        else:
            raise GalleryCorrupt(f"{self.log_path} is newer than {self.path}: the file was replaced by an older copy; restore both together")
        self._start(base, log)

    def _start(self, base: Base, log: Log) -> None:
        self._close_base()
        self._base = base
        if (base.sealed is not None) != self.codec.sealed:
            raise ConfigError(
                f"{self.path} is encrypted: give its key (key=, --key-file or FACEWORKS_GALLERY_KEY)"
                if base.sealed is not None
                else f"{self.path} is not encrypted: open it without a key"
            )
        if base.sealed is not None:
            self._table = Table.of(self.codec.decode(base.sealed))
        else:
            assert base.table is not None
            self._table = base.table
        self._log = log if log.generation == base.generation else Log(self.log_path)
        self._seen: tuple[Any, ...] = ()
        self._replay()

    def _close_base(self) -> None:
        base = getattr(self, "_base", None)
        if base is not None:
            base.handle.close()

    def _replay(self) -> None:
        if self._log.generation >= 0:
            for payload in self._log.read():
                self._table.apply(self.codec.decode(payload))
        self._seen = self._state()

    def _state(self) -> tuple[Any, ...]:
        out: list[Any] = []
        for path in (self.path, self.log_path):
            try:
                status = path.stat()
                out += [status.st_ino, status.st_size if path is self.log_path else 0]
            except FileNotFoundError:
                out += [0, 0]
        return tuple(out)

    def refresh(self) -> None:
        """Take over what other processes committed."""
        if self._closed:
            raise GalleryUnavailable(f"the gallery {self.path} is closed")
        if self._doubtful:
            self._load()
            self._doubtful = False
        state = self._state()
        if state == self._seen:
            return
        if state[0] != self._base.inode or state[2] != self._log.inode or self._log.generation < 0:
            if state[0] == 0:
                raise GalleryUnavailable(f"the gallery {self.path} was deleted or moved")
            self._load()
        else:
            self._replay()

    # --- the protocol ---

    @property
    def info(self) -> Info:
        """See `Backend.info`."""
        with self._lock:
            self.refresh()
            table = self._table
            revision = f"{self._base.uuid.hex()}/{self._base.generation}/{self._log.number}/{table.changes}"
            return Info("hdf5", str(self.path), table.binding, table.people.living, len(table), revision, self.mode != "r", self.codec.sealed)

    def commit(self, change: Change) -> None:
        """See `Backend.commit`."""
        if self.mode == "r":
            raise GalleryUnavailable(f"{self.path} was opened for reading alone; open it with mode 'r+' or 'a'")
        with self._lock, explained(self.path, "write"), locked(self._lock_path, self.wait):
            self.refresh()
            self._table.check(change)
            self._doubtful = self.codec.sealed  # a codec that remembers keys is read anew if this fails
            pieces = self.codec.encode(change)
            if self._log.generation < 0:
                self._new_log()
            self._log.append(self._files, pieces)
            self._table.apply(change)
            self._doubtful = False
            self._seen = self._state()
            if self._log.end > max(SMALLEST_LOG, self.path.stat().st_size // LOG_SHARE):
                self._compact()

    def _new_log(self) -> None:
        logs.create(self._files, self.log_path, self._base.uuid, self._base.generation)
        self._log = Log.look(self.log_path)

    def compact(self) -> None:
        """Write the base anew, without what was removed, and empty the log."""
        if self.mode == "r":
            raise GalleryUnavailable(f"{self.path} was opened for reading alone; open it with mode 'r+' or 'a'")
        with self._lock, explained(self.path, "write"), locked(self._lock_path, self.wait):
            self.refresh()
            self._compact()

    def _compact(self) -> None:
        generation = self._base.generation + 1
        self._write({**self._base.attributes, "generation": generation}, self._table, self._table.binding)
        logs.create(self._files, self.log_path, self._base.uuid, generation)
        self._load()

    def search(self, queries: FloatArray, k: int, now: int, exact: bool = True) -> list[Hits]:
        """See `Backend.search`; with `exact=False` an index proposes, when one is open and the gallery is large."""
        with self._lock:
            self.refresh()
            index = None if exact or self.index is None else self.index.for_base(self._base.uuid, self._base.generation)
            candidates = None if index is None else (lambda asked: index.propose(asked, k))
            return self._table.search(np.ascontiguousarray(queries, np.float32), k, now, candidates)

    def entries(self, people: Sequence[str] | None = None, *, name: str | None = None, samples: Sequence[int] | Ids | None = None) -> Entries:
        """See `Backend.entries`."""
        with self._lock:
            self.refresh()
            return self._table.entries(people, name, samples)

    def check(self) -> list[str]:
        """What is worth knowing about the files; raises `GalleryCorrupt` where they are damaged."""
        with self._lock:
            self._load()
            notes = [f"{self._log.torn} bytes behind the last transaction, of a writer that was killed; the next one cuts them off"] * bool(
                self._log.torn
            )
            rows = self._table.living_rows()
            for start in range(0, len(rows), 1 << 16):
                part = rows[start : start + (1 << 16)]
                lengths = np.linalg.norm(self._table.vectors(part).astype(np.float64), axis=1)
                if not (np.abs(lengths - 1) < 1e-5).all():
                    worst = int(self._table.column("id")[part[int(np.abs(np.nan_to_num(lengths, nan=9e9) - 1).argmax())]])
                    raise GalleryCorrupt(f"{self.path}: the vector of sample {worst} is damaged (its length is not 1)")
            return notes

    @property
    def table(self) -> Table:
        """The content, for the index."""
        return self._table

    @property
    def base(self) -> Base:
        """The base file, for the index."""
        return self._base

    def __len__(self) -> int:
        with self._lock:
            self.refresh()
            return len(self._table)

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._closed = True
            self._close_base()
