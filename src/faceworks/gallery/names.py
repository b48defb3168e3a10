"""Names, keys and times of people: what is accepted, and how they are found."""

from __future__ import annotations

import json
import secrets
import threading
import time
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..errors import InputError, UnknownPerson
from .backend import Person

__all__ = ["clean_id", "clean_metadata", "clean_name", "find", "moment", "new_ids", "new_person", "now", "sought", "when"]

LONGEST_NAME, LONGEST_ID, LONGEST_METADATA = 16_000, 128, 1_000_000


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def moment(value: str | int | datetime | None) -> int:
    """A time as microseconds since 1970 UTC: ISO 8601 text (without an offset it is UTC), a datetime, or such a number; None = 0 = never.

    Raises:
        InputError: no such time.
    """
    if value is None or value == "":
        return 0
    if isinstance(value, int):
        return value
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InputError(f"{value!r} is no time; write it as 2027-01-31 or 2027-01-31T18:00:00+01:00") from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def when(value: int) -> str | None:
    """A time as ISO 8601 text, None for never."""
    return datetime.fromtimestamp(value / 1e6, UTC).isoformat(timespec="seconds") if value else None


def clean_name(name: str) -> str:
    """A name as it is kept: Unicode NFC, without spaces around it. Slashes, dots, quotes, emoji: all are letters to us.

    Raises:
        InputError: empty, too long, or with characters that no store can keep (NUL, lone surrogates).
    """
    text = unicodedata.normalize("NFC", str(name)).strip()
    if not text or len(text) > LONGEST_NAME:
        raise InputError(f"a name has 1 to {LONGEST_NAME} characters, got {len(text)}")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError("a name cannot hold the character NUL or half a surrogate pair")
    return text


def sought(reference: str) -> str:
    """A name as it would be kept, for looking it up; one that cannot be kept is nobody's."""
    try:
        return clean_name(reference)
    except InputError:
        return "\ufffd"


def clean_id(id: str) -> str:
    """A person's key as it is kept.

    Raises:
        InputError: empty, longer than 128 bytes, or not printable.
    """
    text = clean_name(id)
    if len(text.encode()) > LONGEST_ID or not text.isprintable():
        raise InputError(f"a person's id is printable and has at most {LONGEST_ID} bytes, got {len(text.encode())}")
    return text


def clean_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata as plain JSON.

    Raises:
        InputError: something that JSON does not know, or too much of it.
    """
    if not metadata:
        return {}
    try:
        text = json.dumps(dict(metadata), allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"metadata must be a JSON object: {error}") from error
    if len(text) > LONGEST_METADATA or "\\u0000" in text:
        raise InputError(f"metadata may have {LONGEST_METADATA} characters and no NUL, got {len(text)}")
    plain: dict[str, Any] = json.loads(text)
    return plain


_last = 0
_lock = threading.Lock()


def new_ids(count: int) -> range:
    """Keys that grow with time and are unlike those of other processes: microseconds, then ten random bits; never twice from one process."""
    global _last
    with _lock:
        start = max((now() << 10) | secrets.randbits(10), _last + 1)
        _last = start + count
    return range(start, start + count)


def new_person(name: str, id: str | None = None, metadata: Mapping[str, Any] | None = None) -> Person:
    """Somebody who is not in a gallery yet."""
    key = clean_id(id) if id is not None else f"{new_ids(1)[0]:016x}"
    return Person(key, clean_name(name), clean_metadata(metadata), now(), 0, secrets.token_hex(8))


def find(reference: str, by_id: Sequence[Person], by_name: Sequence[Person], where: str) -> Person:
    """The one person whom an id, or else a name, means.

    Raises:
        UnknownPerson: nobody, or several (the message lists their ids).
    """
    if by_id:
        return by_id[0]
    if len(by_name) == 1:
        return by_name[0]
    shown = reference if len(reference) <= 80 else f"{reference[:60]}…"
    if by_name:
        ids = ", ".join(person.id for person in by_name[:20])
        raise UnknownPerson(f"{len(by_name)} people in {where} are called {shown!r}; say which by the id: {ids}")
    raise UnknownPerson(f"nobody in {where} has the id or the name {shown!r}", reference)
