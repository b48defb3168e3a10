"""API keys and roles.

A key is `fw_<id>_<secret>`: the id finds the row, the secret has 256 random bits. Kept is SHA-256 of the secret: against guessing 256 bits a slow
password hash would add nothing but load. Comparison takes constant time, also where the id is unknown.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from dataclasses import dataclass

from ...errors import InputError
from .. import ledger
from ..store import Store

__all__ = ["LOCAL", "ROLES", "Key", "add", "any_key", "find", "listing", "revoke"]

ROLES = ("read", "enroll", "admin")
"""Each may do what the ones before it may."""
FORM = re.compile(r"fw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
NOBODY = hashlib.sha256(b"nobody").digest()


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. Times are seconds since 1970; `expires` and `revoked` may be None."""

    id: str
    name: str
    role: str
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    def may(self, role: str) -> bool:
        """Whether the key's role covers `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Key("local", "local", "admin")
"""Who works without a key, where the service listens on loopback and no key was ever made."""


def add(store: Store, name: str, role: str, days: float | None = None) -> tuple[Key, str]:
    """Make a key; returns it and its text, which is shown once and kept nowhere.

    Raises:
        InputError: an empty or long name, an unknown role, a lifetime that is not positive.
    """
    name = name.strip()
    if not name or len(name) > 80 or not name.isprintable():
        raise InputError(f"a key's name has 1 to 80 printable characters, got {name[:90]!r}")
    if role not in ROLES:
        raise InputError(f"a role is {', '.join(ROLES)}; got {role!r}")
    if days is not None and not days > 0:
        raise InputError(f"a key lives for more than 0 days, got {days}")
    now, secret = time.time(), secrets.token_urlsafe(32)
    key = Key(secrets.token_hex(6), name, role, now, None if days is None else now + days * 86400)
    with store.write() as db:
        db.execute(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL)", (key.id, name, role, hashlib.sha256(secret.encode()).digest(), now, key.expires)
        )
        ledger.note(db, ledger.OPERATOR, f"add {role} key", key.id)
    return key, f"fw_{key.id}_{secret}"


def _key(row: sqlite3.Row) -> Key:
    return Key(row["id"], row["name"], row["role"], row["created"], row["expires"], row["revoked"])


def find(db: sqlite3.Connection, text: str, now: float) -> Key | None:
    """The living key of this text, or None."""
    match = FORM.fullmatch(text)
    row = db.execute("SELECT * FROM keys WHERE id = ?", (match[1],)).fetchone() if match else None
    digest = hashlib.sha256((match[2] if match else "").encode()).digest()
    same = hmac.compare_digest(digest, bytes(row["digest"]) if row else NOBODY)
    return _key(row) if row and same and living(row, now) else None


def living(row: sqlite3.Row, now: float) -> bool:
    """Neither revoked nor expired."""
    return row["revoked"] is None and (row["expires"] is None or row["expires"] > now)


def by_id(db: sqlite3.Connection, id: str, now: float) -> Key | None:
    """The living key with this id, or None."""
    row = db.execute("SELECT * FROM keys WHERE id = ?", (id,)).fetchone()
    return _key(row) if row and living(row, now) else None


def any_key(db: sqlite3.Connection) -> bool:
    """Whether a key was ever made; from then on nobody works without one, even when all are revoked."""
    return db.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None


def listing(store: Store) -> list[Key]:
    """All keys, oldest first."""
    return [_key(row) for row in store.connection.execute("SELECT * FROM keys ORDER BY created, id")]


def revoke(store: Store, id: str) -> Key:
    """End a key at once, and the sessions that were opened with it.

    Raises:
        InputError: no such key.
    """
    with store.write() as db:
        db.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (time.time(), id))
        db.execute("DELETE FROM sessions WHERE key = ?", (id,))
        row = db.execute("SELECT * FROM keys WHERE id = ?", (id,)).fetchone()
        if row is not None:
            ledger.note(db, ledger.OPERATOR, "revoke key", id)
    if row is None:
        raise InputError(f"no key has the id {id!r}; see: faceworks serve keys list")
    return _key(row)
