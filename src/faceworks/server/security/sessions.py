"""Sessions of the page: a person hands in a key once and gets a cookie that scripts cannot read, and a token that other sites cannot know.

Every writing request of a session carries the token in `X-CSRF-Token`; the cookie is `SameSite=Strict`. Both are kept as SHA-256 alone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass

from . import keys
from .keys import Key

__all__ = ["COOKIE", "Session", "close", "find", "open_session"]

COOKIE = "faceworks_session"


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in of the page: the key behind it, and the digest of its token against cross-site requests."""

    key: Key
    csrf: bytes

    def allows(self, token: str) -> bool:
        """Whether this is the session's token."""
        return hmac.compare_digest(_digest(token), self.csrf)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def open_session(db: sqlite3.Connection, key: Key, now: float, seconds: float) -> tuple[str, str]:
    """A new session: (cookie, token). Expired ones are swept out."""
    cookie, token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    db.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
    db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (_digest(cookie), key.id, _digest(token), now + seconds))
    return cookie, token


def find(db: sqlite3.Connection, cookie: str, now: float) -> Session | None:
    """The session of a cookie, while it and its key live."""
    row = db.execute("SELECT * FROM sessions WHERE digest = ? AND expires > ?", (_digest(cookie), now)).fetchone()
    key = keys.by_id(db, row["key"], now) if row else None
    return Session(key, bytes(row["csrf"])) if key else None


def renew(db: sqlite3.Connection, cookie: str) -> str:
    """A new token for a session (a page that was loaded again has forgotten the old one)."""
    token = secrets.token_urlsafe(32)
    db.execute("UPDATE sessions SET csrf = ? WHERE digest = ?", (_digest(token), _digest(cookie)))
    return token


def close(db: sqlite3.Connection, cookie: str) -> None:
    """End a session."""
    db.execute("DELETE FROM sessions WHERE digest = ?", (_digest(cookie),))
