"""How much one key may ask: a token bucket for its rate, a count for what it has running. Both lie in the store, so all workers agree."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

__all__ = ["Refusal", "admit", "release"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not now: why, and after how many seconds it is worth asking again."""

    why: str
    seconds: float


def admit(db: sqlite3.Connection, key: str, request: str, now: float, *, rate: float, burst: int, concurrency: int, until: float) -> Refusal | None:
    """Take a token for a request and count it as running until `release`, or until `until` where its worker dies.

    The bucket holds at most `burst` tokens and gains `rate` a second. A refused request takes no token.
    """
    row = db.execute("SELECT tokens, updated FROM buckets WHERE key = ?", (key,)).fetchone()
    tokens = burst if row is None else min(burst, row["tokens"] + max(0.0, now - row["updated"]) * rate)
    if tokens < 1:
        return Refusal(f"more than {rate:g} requests a second (and {burst} at once) with one key", (1 - tokens) / rate)
    running = db.execute("SELECT count(*) FROM running WHERE key = ? AND until > ?", (key, now)).fetchone()[0]
    if running >= concurrency:
        return Refusal(f"{running} requests of this key are running or waiting, the limit is {concurrency}", 1.0)
    db.execute("INSERT INTO buckets VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET tokens = excluded.tokens, updated = excluded.updated",
               (key, tokens - 1, now))  # fmt: skip
    db.execute("DELETE FROM running WHERE until <= ?", (now,))
    db.execute("INSERT OR REPLACE INTO running VALUES (?, ?, ?)", (request, key, until))
    return None


def release(db: sqlite3.Connection, request: str) -> None:
    """A request has ended."""
    db.execute("DELETE FROM running WHERE id = ?", (request,))
