"""The embedded gallery: a base file and the log of what was committed since. Many readers, one writer at a time, no server.

A reader sees base + log as far as the log was whole when it looked; it looks again at every call, which costs two `stat`. Base and log are read through
files that stay open, so what one look begins with stays one state, whatever is renamed meanwhile. A writer holds the lock for one transaction: it takes over
what others committed (reading, not trusting `stat`), appends one record, and returns when the record is on the disk. The base is rewritten only by
`compact` (by itself when the log has outgrown a fraction of the base); after it, the generation in the base is higher than that of the
old log, which is then ignored, whatever a crash left of it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, DuplicateEntry, GalleryCorrupt, GalleryLocked, GalleryUnavailable
from ...types import FloatArray
from ..backend import LOCAL_METRICS, Binding, Change, Entries, Hits, Ids, Info, require_revision
from ..files import Files, explained, locked
from ..index import INDEX_FILES
from ..table import Table
from . import log as logs
from .base_file import Base, open_base, write_base
from .codec import Codec, Plain
from .log import Log

__all__ = ["Hdf5Backend"]

SMALLEST_LOG, LOG_SHARE = 16 << 20, 4
"""The log is folded into the base when it is larger than 16 MB and than a quarter of the base."""
ATTEMPTS = 20
"""Looks at base and log, each disturbed by a writer, before what is seen is believed to be damage; files that nobody touches get three."""
WRITING_SECONDS = 2.0
"""A torn record this young may be one that is being written."""


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
        self.log_path, self._lock_path = (self.path.with_name(self.path.name + suffix) for suffix in (".log", ".lock"))
        self.codec: Codec = codec or Plain()
        self.index: Any = None
        self._files, self._closed, self._doubtful = files or Files(), False, True
        self._lock, self._turn = threading.RLock(), threading.Lock()
        self._seen: tuple[int, ...] = ()
        with explained(self.path, "open"):
            if mode in ("a", "x"):
                self._create(binding, attributes or {})
            self._load()

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

    def _write(self, attributes: dict[str, Any], table: Table, binding: Binding | None) -> None:
        entries = table.entries()
        sealed = self.codec.encode(Change(binding=binding, people=entries.people, samples=entries.samples)) if self.codec.sealed else None
        kept = {name: value for name, value in attributes.items() if name not in ("format", "version", "model", "recipe", "binding")}
        write_base(self._files, self.path, kept, binding, entries, sealed)

    def _load(self) -> None:
        """Open base and log; again when a compaction came between the two, or a record was cut back while it was read."""
        self._doubtful = True
        for attempt in range(ATTEMPTS):
            seen = self._state()
            try:
                base = open_base(self.path)
            except FileNotFoundError:
                raise GalleryUnavailable(
                    f"there is no gallery {self.path}; check the path, or create one: faceworks gallery create --gallery {self.path}"
                ) from None
            log = None
            try:
                log = Log.look(self.log_path)
                if log.generation >= 0 and log.uuid != base.uuid:
                    raise GalleryCorrupt(f"{self.log_path} belongs to another gallery than {self.path}; put the right one there, or move it away")
                if log.generation > base.generation:
                    raise GalleryCorrupt(f"{self.log_path} is newer than {self.path}: the file was replaced by an older copy; restore both together")
                table = self._read(base, log)
            except BaseException as error:
                base.handle.close()
                if log is not None:
                    log.close()
                still = self._state() == seen and attempt > 1
                if not isinstance(error, GalleryCorrupt) or still or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.005 * attempt)
                continue
            self._close_files()
            self._base, self._log, self._table, self._doubtful = base, log, table, False
            self._remember(seen)
            return

    def _read(self, base: Base, log: Log) -> Table:
        """What base and log hold together. A log of an earlier base is one that a compaction was about to replace: all of it is in the base."""
        if (base.sealed is not None) != self.codec.sealed:
            raise ConfigError(
                f"{self.path} is encrypted: give its key (key=, --key-file or FACEWORKS_GALLERY_KEY)"
                if base.sealed is not None
                else f"{self.path} is not encrypted: open it without a key"
            )
        self.codec.begin()
        table = base.table if base.sealed is None else Table.of(self.codec.decode(base.sealed))
        assert table is not None
        if log.generation < base.generation:
            log.generation = -1
        else:
            for payload in log.read():
                table.apply(self.codec.decode(payload))
        return table

    def _close_files(self) -> None:
        if hasattr(self, "_base"):
            self._base.handle.close()
            self._log.close()

    def _state(self) -> tuple[int, ...]:
        """Identity of the base; identity, size and time of the log."""
        out: list[int] = []
        for path in (self.path, self.log_path):
            try:
                status = path.stat()
                out += [status.st_ino] if path is self.path else [status.st_ino, status.st_size, status.st_mtime_ns]
            except FileNotFoundError:
                out += [0] if path is self.path else [0, 0, 0]
        return tuple(out)

    def _remember(self, state: tuple[int, ...]) -> None:
        """A state that was taken *before* the files were read: as long as it holds, there is nothing new to be read."""
        same = state[:2] == (self._base.inode, self._log.inode)
        at_work = self._log.torn and abs(time.time() - state[3] / 1e9) < WRITING_SECONDS
        self._seen = () if at_work or not same else state

    def refresh(self, certain: bool = False) -> None:
        """Take over what other processes committed; `certain` (under the lock) reads, whatever `stat` says."""
        if self._closed:
            raise GalleryUnavailable(f"the gallery {self.path} is closed")
        state = self._state()
        if state == self._seen and not self._doubtful and not certain:
            return
        if state[0] == 0:
            raise GalleryUnavailable(f"the gallery {self.path} was deleted or moved")
        if self._doubtful or state[:2] != (self._base.inode, self._log.inode) or self._log.generation < 0:
            if state != self._seen or self._doubtful:
                self._load()
            return
        self._doubtful = True  # until all of it is applied
        try:
            for payload in self._log.read():
                self._table.apply(self.codec.decode(payload))
        except GalleryCorrupt:
            self._load()  # which says whether it is damage, or was a record that its writer cut back while it was read
            return
        self._doubtful = False
        self._remember(state)

    # --- the protocol ---

    @property
    def info(self) -> Info:
        """See `Backend.info`."""
        with self._lock:
            self.refresh()
            table = self._table
            return Info(
                "hdf5",
                str(self.path),
                table.binding,
                table.people.living,
                len(table),
                self._revision,
                self.mode != "r",
                self.codec.sealed,
                metrics=LOCAL_METRICS,
            )

    @property
    def _revision(self) -> str:
        return f"{self._base.uuid.hex()}/{self._base.generation}/{self._log.number}"

    def commit(self, change: Change) -> None:
        """See `Backend.commit`."""
        if self.mode == "r":
            raise GalleryUnavailable(f"{self.path} was opened for reading alone; open it with mode 'r+' or 'a'")
        with self._writing():
            require_revision(change, self._revision, str(self.path))
            self._table.check(change)
            self._doubtful = self.codec.sealed  # a codec that remembers keys is read anew if this fails
            pieces = self.codec.encode(change)
            if self._log.generation < 0:
                self._new_log()
            self._log.append(self._files, pieces)
            self._table.apply(change)
            self._doubtful = False
            self._remember(self._state())
            if self._log.end > max(SMALLEST_LOG, self.path.stat().st_size // LOG_SHARE):
                with contextlib.suppress(OSError):  # the change is made and stays made; there will be another occasion
                    self._compact()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """The only writer of all threads and processes, with all that others committed. Threads that read wait only for the writing itself."""
        if not self._turn.acquire(timeout=self.wait):
            raise GalleryLocked(f"another thread has been writing to {self.path} for {self.wait:g} seconds; try again, or wait longer (wait=)")
        try:
            with explained(self.path, "write"), locked(self._lock_path, self.wait), self._lock:
                self.refresh(certain=True)
                yield
        finally:
            self._turn.release()

    def _new_log(self) -> None:
        logs.create(self._files, self.log_path, self._base.uuid, self._base.generation)
        self._log.close()
        self._log = Log.look(self.log_path)

    def compact(self) -> None:
        """Write the base anew, without what was removed, and empty the log."""
        if self.mode == "r":
            raise GalleryUnavailable(f"{self.path} was opened for reading alone; open it with mode 'r+' or 'a'")
        with self._writing():
            self._compact()

    def _compact(self, attributes: Mapping[str, Any] | None = None) -> None:
        generation = self._base.generation + 1
        self._write({**self._base.attributes, **(attributes or {}), "generation": generation}, self._table, self._table.binding)
        logs.create(self._files, self.log_path, self._base.uuid, generation)
        for suffix in INDEX_FILES:  # of another base now; and vectors of people who are forgotten must not stay in it
            self._files.remove(self.path.with_name(self.path.name + suffix))
        self._load()

    def rotate(self, key: bytes) -> None:
        """Seal an encrypted gallery with another master key: the base is written anew with it, and takes the old one's place at once or not at all."""
        codec: Any = self.codec
        if not self.codec.sealed:
            raise ConfigError(f"{self.path} is not encrypted; there is no key to change")
        if self.mode == "r":
            raise GalleryUnavailable(f"{self.path} was opened for reading alone; open it with mode 'r+' or 'a'")
        with self._writing():
            before = codec.rotate(key)
            try:
                self._compact(codec.attributes)
            except BaseException:
                codec.rotate(before)
                self._doubtful = True
                raise

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

    def findable(self, now: int) -> tuple[int, int]:
        """See `Backend.findable`."""
        with self._lock:
            self.refresh()
            return self._table.findable(now)

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
            self._close_files()
