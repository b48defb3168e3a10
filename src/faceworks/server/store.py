"""The SQLite file that all workers share: keys, sessions, limits, idempotency keys, jobs, counters, events.

Write-ahead log, one connection for each thread, writing transactions begin IMMEDIATE and wait a bounded time for one another. A commit survives the
end of the process however it ends; what must survive a power cut (the faces) lies in the galleries, which wait for the disk themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from ..errors import ConfigError

__all__ = ["Store"]

P = ParamSpec("P")
R = TypeVar("R")
VERSION = 1
SCHEMA = """
CREATE TABLE keys (id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, digest BLOB NOT NULL, created REAL NOT NULL, expires REAL, revoked REAL);
CREATE TABLE sessions (digest BLOB PRIMARY KEY, key TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE buckets (key TEXT PRIMARY KEY, tokens REAL NOT NULL, updated REAL NOT NULL);
CREATE TABLE running (id TEXT PRIMARY KEY, key TEXT NOT NULL, until REAL NOT NULL);
CREATE INDEX running_key ON running (key);
CREATE TABLE replays (key TEXT NOT NULL, token TEXT NOT NULL, fingerprint BLOB NOT NULL, until REAL NOT NULL, status INTEGER, body BLOB,
                      headers TEXT, PRIMARY KEY (key, token));
CREATE TABLE jobs (id TEXT PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, parameters TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0,
                   total INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '', problem TEXT, created REAL NOT NULL, started REAL, finished REAL,
                   beat REAL NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 1);
CREATE INDEX jobs_state ON jobs (state, created);
CREATE TABLE counters (worker TEXT PRIMARY KEY, beat REAL NOT NULL, content TEXT NOT NULL);
CREATE TABLE events (n INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, key TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
                     request TEXT NOT NULL);
"""


class Store:
    """The file. Safe to call from several threads and processes; `call` is for coroutines."""

    def __init__(self, path: Path, wait: float = 5.0) -> None:
        self.path, self.wait = path, wait
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="faceworks-store")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._create()
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"cannot open {path}: {error}; give --data a folder that may be written") from error

    def _create(self) -> None:
        with self.write() as db:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif found != VERSION:
                raise ConfigError(f"{self.path} has the version {found}, this faceworks reads {VERSION}; use the release that wrote it")

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            # closed by `close` from another thread, used by its own alone
            found = sqlite3.connect(self.path, timeout=self.wait, isolation_level=None, check_same_thread=False)
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = found
            with self._lock:
                self._opened.append(found)
        return found

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A writing transaction: all of it, or nothing where the block raises."""
        db = self.connection
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # on a full disk SQLite has rolled back by itself
                db.execute("ROLLBACK")
            raise

    async def call(self, function: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        """Run a function that speaks to the file in the store's own thread, so that the event loop never waits for a disk."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*arguments, **options))

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        self._thread.shutdown(wait=True)
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
