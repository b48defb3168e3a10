"""The service's own audit log: who made and deleted galleries, signed in, began and stopped jobs, made and ended keys. Galleries keep their own."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from ..gallery.names import when
from .store import Store

__all__ = ["OPERATOR", "listing", "note"]

OPERATOR = "operator"
"""Who acts on the command line of the machine itself, where there is no key."""


def note(db: sqlite3.Connection, key: str, action: str, target: str, request: str = "") -> None:
    """Write a line, in the transaction of what it tells."""
    db.execute("INSERT INTO events (time, key, action, target, request) VALUES (?, ?, ?, ?, ?)", (time.time(), key, action, target, request))


def listing(store: Store, before: int | None, limit: int) -> list[dict[str, Any]]:
    """At most `limit` lines with numbers below `before`, newest first, with the names of the keys."""
    rows = store.connection.execute(
        "SELECT events.*, keys.name FROM events LEFT JOIN keys ON keys.id = events.key WHERE ? IS NULL OR n < ? ORDER BY n DESC LIMIT ?",
        (before, before, limit),
    )
    return [
        {"n": row["n"], "time": when(int(row["time"] * 1e6)), "actor": row["key"], "name": row["name"] or row["key"], "action": row["action"],
         "target": row["target"], "request": row["request"]}
        for row in rows
    ]  # fmt: skip
