"""Sessions of the page: a person hands in a key once and gets a cookie that scripts cannot read, and a token that other sites cannot know.

Every writing request of a session carries the token in `X-CSRF-Token`; the cookie is `SameSite=Strict` and kept as SHA-256 alone. The token is an HMAC of the
cookie: whoever cannot read the cookie cannot make it, and all tabs of a browser have the same one.
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
MOST = 64
"""Sessions of one key: a key is one person's, or one team's."""


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in of the page: the key behind it, and its token against cross-site requests."""

    key: Key
    token: str

    def allows(self, token: str) -> bool:
        """Whether this is the session's token."""
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _token(cookie: str) -> str:
    return hmac.new(cookie.encode("utf-8", "surrogatepass"), b"faceworks csrf", hashlib.sha256).hexdigest()


def open_session(db: sqlite3.Connection, key: Key, now: float, seconds: float) -> tuple[str, str]:
    """A new session: (cookie, token). Expired ones are swept out, and of a key the oldest above `MOST`."""
    cookie = secrets.token_urlsafe(32)
    db.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
    db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(cookie), key.id, now + seconds))
    db.execute(
        "DELETE FROM sessions WHERE key = ? AND digest NOT IN (SELECT digest FROM sessions WHERE key = ? ORDER BY expires DESC LIMIT ?)",
        (key.id, key.id, MOST),
    )
    return cookie, _token(cookie)


def find(db: sqlite3.Connection, cookie: str, now: float) -> Session | None:
    """The session of a cookie, while it and its key live."""
    row = db.execute("SELECT * FROM sessions WHERE digest = ? AND expires > ?", (_digest(cookie), now)).fetchone()
    key = keys.by_id(db, row["key"], now) if row else None
    return Session(key, _token(cookie)) if key else None


def close(db: sqlite3.Connection, cookie: str) -> None:
    """End a session."""
    db.execute("DELETE FROM sessions WHERE digest = ?", (_digest(cookie),))
