"""Jobs: what takes longer than a request. Rows in the store, so that any worker can take them up, watch them and stop them.

queued → running → done | failed | canceled. A running job has a heartbeat; one whose worker fell silent is begun again (evaluations go on where they
were: their vectors are kept), and given up when that has happened twice.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from .store import Store

__all__ = ["ENDED", "Job", "beat", "cancel", "claim", "create", "drop", "finish", "get", "listing", "release", "report"]

ENDED = ("done", "failed", "canceled")
SILENCE = 30.0
"""Seconds without a heartbeat after which a job's worker counts as dead."""
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was when it was read. Times are seconds since 1970; `version` grows with every change."""

    id: str
    kind: str
    key: str
    state: str
    parameters: dict[str, Any]
    done: int
    total: int
    note: str
    problem: dict[str, Any] | None
    created: float
    started: float | None
    finished: float | None
    attempts: int
    version: int


def _job(row: sqlite3.Row) -> Job:
    problem = None if row["problem"] is None else json.loads(row["problem"])
    return Job(row["id"], row["kind"], row["key"], row["state"], json.loads(row["parameters"]), row["done"], row["total"], row["note"], problem,
               row["created"], row["started"], row["finished"], row["attempts"], row["version"])  # fmt: skip


def new_id() -> str:
    """A name for a job: it sorts by time and cannot be guessed."""
    return f"{int(time.time()):x}{secrets.token_hex(6)}"


def create(store: Store, id: str, kind: str, key: str, parameters: dict[str, Any]) -> Job:
    """A new job, waiting."""
    with store.write() as db:
        db.execute("INSERT INTO jobs (id, kind, key, state, parameters, created) VALUES (?, ?, ?, 'queued', ?, ?)",
                   (id, kind, key, json.dumps(parameters), time.time()))  # fmt: skip
        return _job(db.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone())


def get(store: Store, id: str) -> Job | None:
    """One job, or None."""
    row = store.connection.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()
    return _job(row) if row else None


def listing(store: Store, kind: str | None = None) -> list[Job]:
    """All jobs (of a kind), newest first."""
    rows = store.connection.execute("SELECT * FROM jobs WHERE ? IS NULL OR kind = ? ORDER BY created DESC, id", (kind, kind))
    return [_job(row) for row in rows]


def claim(store: Store, now: float) -> Job | None:
    """Take the oldest waiting job, or one whose worker is dead; None where there is none."""
    with store.write() as db:
        db.execute("UPDATE jobs SET state = 'failed', finished = ?, version = version + 1, problem = ? WHERE state = 'running' AND beat < ? AND attempts >= ?",
                   (now, json.dumps({"status": 500, "detail": f"its worker died {ATTEMPTS} times"}), now - SILENCE, ATTEMPTS))  # fmt: skip
        row = db.execute("SELECT id FROM jobs WHERE state = 'queued' OR (state = 'running' AND beat < ?) ORDER BY created LIMIT 1",
                         (now - SILENCE,)).fetchone()  # fmt: skip
        if row is None:
            return None
        db.execute("UPDATE jobs SET state = 'running', started = coalesce(started, ?), beat = ?, attempts = attempts + 1, version = version + 1 WHERE id = ?",
                   (now, now, row["id"]))  # fmt: skip
        return _job(db.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone())


def beat(store: Store, id: str, now: float) -> bool:
    """Say that the job's worker lives; whether the job is still wanted."""
    with store.write() as db:
        return db.execute("UPDATE jobs SET beat = ? WHERE id = ? AND state = 'running'", (now, id)).rowcount == 1


def report(store: Store, id: str, done: int, total: int, note: str = "") -> None:
    """Progress."""
    with store.write() as db:
        db.execute("UPDATE jobs SET done = ?, total = ?, note = ?, version = version + 1 WHERE id = ? AND state = 'running'", (done, total, note, id))


def finish(store: Store, id: str, problem: dict[str, Any] | None = None) -> None:
    """The end, with a problem or without; a job that was canceled meanwhile stays so."""
    with store.write() as db:
        db.execute("UPDATE jobs SET state = ?, problem = ?, finished = ?, version = version + 1 WHERE id = ? AND state = 'running'",
                   ("done" if problem is None else "failed", None if problem is None else json.dumps(problem), time.time(), id))  # fmt: skip


def release(store: Store, id: str) -> None:
    """Back into the line: the service stops before the job has ended."""
    with store.write() as db:
        db.execute("UPDATE jobs SET state = 'queued', attempts = attempts - 1, version = version + 1 WHERE id = ? AND state = 'running'", (id,))


def cancel(store: Store, id: str) -> None:
    """Stop a job that has not ended; its worker sees it at the next heartbeat."""
    with store.write() as db:
        db.execute(
            "UPDATE jobs SET state = 'canceled', finished = ?, version = version + 1 WHERE id = ? AND state IN ('queued', 'running')",
            (time.time(), id),
        )


def drop(store: Store, id: str) -> None:
    """Forget a job that has ended."""
    with store.write() as db:
        db.execute("DELETE FROM jobs WHERE id = ? AND state IN ('done', 'failed', 'canceled')", (id,))
